"""Cache of recorded tracks: reproducible, with motions in single precision, and of one source only."""

from dataclasses import replace

import numpy as np
import pytest
from facesr_edge.engines.errors import EngineError, TrainingError
from facesr_edge.training.data.cameras import track_cache
from facesr_edge.training.data.cameras.cache import PairCache, PairSource
from facesr_edge.training.data.cameras.shard_cache import shard_file
from facesr_edge.training.data.cameras.track_cache import TrackCache, TrackSource
from facesr_edge.training.data.cameras.tracks import FRAMES, Tracks
from facesr_edge.zoo import catalogue


@pytest.fixture(scope="module")
def source(faces):
    detector = catalogue.FOLDER / catalogue.DEFAULT_DETECTOR
    return TrackSource((faces,), None, 4, 32, seed=3, detector=detector)


@pytest.fixture(scope="module")
def filled(source, tmp_path_factory):
    """A cache of two shards, and the numbers of shards that were reported."""
    cache, done = TrackCache(tmp_path_factory.mktemp("tracks"), source, 2), []
    cache.fill(2, done.append)
    assert done == [0, 1, 2]
    return cache


def test_tracks_are_those_of_the_files(filled):
    stored = Tracks(*(np.load(shard_file(filled.folder, 0, kind)) for kind in Tracks._fields))
    assert {len(values) for values in stored} == {len(stored.lr)}
    assert stored.motions.dtype == stored.registered.dtype == stored.correlations.dtype == np.float32
    known = {track.tobytes(): number for number, track in enumerate(stored.lr)}
    rng, compared = np.random.default_rng(0), 0
    for _ in range(20):
        track = filled.draw(rng)
        assert track.lr.shape == (FRAMES, 32, 32, 3) and track.hr.shape == (128, 128, 3)
        if (number := known.get(track.lr.tobytes())) is not None:
            compared += 1
            for drawn, values in zip(track, stored, strict=True):
                np.testing.assert_array_equal(drawn, values[number])
    assert compared > 0


def test_recorded_shards_are_kept_and_a_missing_file_is_recorded_as_before(filled, source):
    path = shard_file(filled.folder, 1, "registered")
    content, kept = path.read_bytes(), shard_file(filled.folder, 0, "registered").stat().st_mtime_ns
    path.unlink()
    done: list[int] = []
    TrackCache(filled.folder, source, 2).fill(1, done.append)
    assert done == [1, 2] and path.read_bytes() == content
    assert shard_file(filled.folder, 0, "registered").stat().st_mtime_ns == kept


@pytest.mark.parametrize("kind", ["motions", "correlations"])
@pytest.mark.parametrize("damage", ["short", "pictures", "double precision"])
def test_damaged_motions_raise_one_line_that_names_the_file(filled, source, kind, damage, tmp_path):
    for file in filled.folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    path = shard_file(tmp_path, 0, kind)
    values = np.load(path)
    np.save(
        path,
        {"short": values[:-1], "pictures": np.nan_to_num(values).astype(np.uint8)}.get(
            damage, values.astype(np.float64)
        ),
    )
    with pytest.raises(TrainingError, match=f"0000-{kind}.npy is missing or damaged; delete it") as caught:
        TrackCache(tmp_path, source, 1).draw(np.random.default_rng(0))
    assert "\n" not in str(caught.value)


def test_a_folder_of_pairs_or_of_another_source_raises(source, tmp_path):
    TrackCache(tmp_path / "tracks", source, 1)
    PairCache(tmp_path / "pairs", PairSource(source.faces, None, 4, 32, seed=3), 1)
    for folder, other in (
        ("pairs", source),
        ("tracks", replace(source, detector=None)),
        ("tracks", replace(source, seed=4)),
    ):
        with pytest.raises(TrainingError, match="holds recordings of other pictures or settings"):
            TrackCache(tmp_path / folder, other, 1)


def test_another_version_of_the_tracks_is_refused(source, tmp_path, monkeypatch):
    TrackCache(tmp_path, source, 1)
    monkeypatch.setattr(track_cache, "VERSION", track_cache.VERSION + 1)
    with pytest.raises(TrainingError, match="holds recordings of other pictures or settings"):
        TrackCache(tmp_path, source, 1)


def test_a_model_that_is_no_detector_raises(source, tmp_path):
    wrong = replace(source, detector=catalogue.FOLDER / catalogue.DEFAULT_MODEL)
    with pytest.raises(EngineError, match="give a face detector"):
        TrackCache(tmp_path, wrong, 1).fill(1)
