"""Faces of a stream from several frames: what each is made from, and that it is the same however the stream is run."""

import cv2
import numpy as np
import pytest
from facesr_edge import load, open_source
from facesr_edge.engines.errors import EngineError, UsageError
from facesr_edge.sdk.load import load_detector
from facesr_edge.sdk.media.identity import pipeline_identity
from facesr_edge.sdk.pipeline import multi_frame
from facesr_edge.sdk.pipeline.frame import Frame
from facesr_edge.sdk.pipeline.upscale import psnr_db, residuals

ENGINE = {"engine": "onnxruntime", "precision": "fp32", "threads": 1}
FRAMES = 12
K = 5


@pytest.fixture(scope="module")
def clip(put_face):
    """Two faces that move, one of them from the fourth frame on, and a cut before the ninth."""
    rng, frames = np.random.default_rng(0), []
    backgrounds = [
        cv2.resize(rng.integers(30, 220, (5, 8, 3)).astype(np.uint8), (480, 270), interpolation=cv2.INTER_CUBIC)
        for _ in range(2)
    ]
    for n in range(FRAMES):
        pixels = backgrounds[n >= 8].copy()
        put_face(pixels, 20 + 2 * n, 50 + n, 40)
        if n >= 3:
            put_face(pixels, 190 - 3 * n, 40, 44)
        frames.append(Frame(pixels, n, n / 25))
    return frames


@pytest.fixture(scope="module")
def detector():
    with load_detector(min_face=24, **ENGINE) as detector:
        yield detector


@pytest.fixture(scope="module")
def pipeline(tiny_bundle, tiny_track_bundle, detector):
    """Number of frames, other options → pipeline."""

    def loaded(frames, **options):
        tracks = tiny_track_bundle.folder
        settings = {**ENGINE, "detector": detector, "track_model": tracks, **options}
        return load(tiny_bundle().folder, frames=frames, **settings)

    return loaded


def results(pipeline, frames, source, *, detect_every=1, **options):
    with pipeline(frames, detect_every=detect_every) as loaded:
        return list(loaded.stream(source, **options))


def facts(result):
    """Everything that may not depend on how a stream is run."""
    faces = [(f.window_xyxy, f.frames, f.earlier_frames, f.pixels.tobytes(), f.consistency_db) for f in result.faces]
    return faces, result.frame.tobytes()


@pytest.fixture(scope="module")
def from_several(pipeline, clip):
    return results(pipeline, K, clip, overlap=False)


def test_faces_are_made_from_the_frames_before_as_soon_as_there_are_enough(from_several):
    left = [min(result.faces, key=lambda face: face.window_xyxy[0]) for result in from_several]
    assert [face.frames for face in left] == [1, 2, 3, 4, 5, 5, 5, 5, 1, 2, 3, 4]
    assert left[2].earlier_frames == (0, 1) and left[4].earlier_frames == (0, 1, 2, 3)
    assert len(left[7].earlier_frames) == 4 and set(left[7].earlier_frames) < set(range(7))
    assert left[0].earlier_frames == () and left[10].earlier_frames == (8, 9)


def pairs_of(one, two):
    return zip(one.faces, two.faces, strict=True)


def test_faces_without_enough_frames_are_those_of_the_single_frame_network(pipeline, clip, from_several):
    alone = results(pipeline, 1, clip, overlap=False)
    pairs = [(a, b) for one, two in zip(from_several, alone, strict=True) for a, b in pairs_of(one, two)]
    assert len(pairs) == 2 * FRAMES - 3 and {b.frames for _, b in pairs} == {1}
    assert all(np.array_equal(a.original, b.original) and a.window_xyxy == b.window_xyxy for a, b in pairs)
    assert all(np.array_equal(a.pixels, b.pixels) == (a.frames == 1) for a, b in pairs)


def test_one_frame_gives_what_a_pipeline_without_the_option_gives(tiny_bundle, detector, pipeline, clip):
    with load(tiny_bundle().folder, detector=detector, **ENGINE) as plain:
        expected = [facts(result) for result in plain.stream(clip)]
    assert [facts(result) for result in results(pipeline, 1, clip)] == expected


@pytest.mark.parametrize("every", [1, 3, "auto"])
def test_overlap_does_not_change_faces_and_composites(pipeline, clip, every):
    alone, overlapped = (results(pipeline, K, clip, detect_every=every, overlap=overlap) for overlap in (False, True))
    assert any(face.frames > 1 for result in alone for face in result.faces)
    assert [facts(result) for result in overlapped] == [facts(result) for result in alone]


def test_a_face_holds_a_share_of_the_face_of_the_frame_before(pipeline, clip, from_several, monkeypatch):
    faces = []
    monkeypatch.setattr(multi_frame, "steadied", lambda pixels, history, before: faces.append(before) or pixels)
    without = results(pipeline, K, clip, overlap=False)
    pairs = [(a, b) for one, two in zip(from_several, without, strict=True) for a, b in pairs_of(one, two)]
    assert len(faces) == sum(face.frames > 1 for face, _ in pairs)
    assert all(np.array_equal(a.pixels, b.pixels) == (a.frames == 1) for a, b in pairs)
    for one, two in pairs:
        down = residuals(one.original[None], one.pixels[None])[0]
        assert one.consistency_db == pytest.approx(float(psnr_db(down)), abs=0.2 if one.frames == 1 else 1e-3)
        assert two.frames == one.frames


def test_streams_of_one_pipeline_do_not_share_tracks(pipeline, clip, from_several):
    with pipeline(K) as loaded:
        pairs = list(zip(loaded.stream(clip), loaded.stream(clip, overlap=False), strict=True))
    expected = [facts(result) for result in from_several]
    assert [facts(one) for one, _ in pairs] == [facts(two) for _, two in pairs] == expected


def test_calls_of_the_pipeline_have_one_frame(pipeline, clip):
    with pipeline(K) as loaded:
        assert {face.frames for frame in clip for face in loaded(frame).faces} == {1}


def test_a_chunk_has_the_same_faces_whether_or_not_the_frames_before_it_were_seen(pipeline, clip):
    late = [Frame(frame.pixels, 246 + frame.index, 10 + frame.time_s) for frame in clip]
    whole, rest = results(pipeline, K, late), results(pipeline, K, late[4:])
    assert sorted(face.frames for face in whole[3].faces) == [1, 4] and {face.frames for face in whole[4].faces} == {1}
    assert [facts(result) for result in whole[4:]] == [facts(result) for result in rest]


def test_a_stopped_run_goes_on_only_with_the_same_frames_and_network(pipeline):
    identities = []
    for frames in (1, 3, 4):
        with pipeline(frames) as loaded:
            identities.append(pipeline_identity(loaded))
    one, three, four = identities
    assert three.items() - four.items() == {("frames", 3)} and not any("track" in name for name in one)
    assert three["track model"].startswith("edge-track-x4 ")


def test_two_frames_are_enough_where_two_is_the_maximum(pipeline, clip):
    made = results(pipeline, 2, clip[:4])
    assert [max(face.frames for face in result.faces) for result in made] == [1, 2, 3, 3]  # with the frame before


def test_registration_is_a_stage_of_its_own(from_several, pipeline, clip):
    assert all(result.timings_ms["register"] > 0 for result in from_several)
    names = list(from_several[2].timings_ms)
    assert names.index("crop") < names.index("register") < names.index("upscale")
    assert "register" not in results(pipeline, 1, clip[:1])[0].timings_ms


def test_json_tells_the_number_of_frames(from_several):
    assert {face["frames"] for face in from_several[5].to_dict()["faces"]} == {5, 3}


@pytest.mark.parametrize(
    ("frames", "options", "message"),
    [
        (0, {}, "frames is 0, expected a number of frames, 1 or more"),
        (8, {}, "frames is 8, expected 1 to 7, those of edge-track-x4"),
        (3, {"uncertainty": True}, "leave out uncertainty or frames"),
        (3, {"references": "library"}, "leave out references or frames"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(pipeline, frames, options, message):
    with pytest.raises(UsageError, match=message) as error:
        pipeline(frames, **options)
    assert "\n" not in str(error.value)


def test_networks_that_do_not_fit_are_refused(pipeline, tiny_bundle):
    with pytest.raises(EngineError, match="takes one frame; give a multi-frame network such as"):
        pipeline(3, track_model=tiny_bundle().folder)


def test_faces_of_a_real_video_keep_their_tracks(shared, tiny_bundle, tiny_track_bundle, detector):
    with (
        open_source(shared / "video" / "one-by-one-person.mp4") as source,
        load(
            tiny_bundle().folder,
            detector=detector,
            frames=7,
            track_model=tiny_track_bundle.folder,
            composite=False,
            **ENGINE,
        ) as loaded,
    ):
        source.first_index, source.end_index = 270, 290
        made = [face for result in loaded.stream(source) for face in result.faces]
    assert [face.frames for face in made] == [1, 2, 3, 4, 5, 6, *[7] * 14]
    assert all(len(face.earlier_frames) == face.frames - 1 for face in made)
    assert made[6].earlier_frames == tuple(range(270, 276)) and set(made[-1].earlier_frames) < set(range(270, 289))
