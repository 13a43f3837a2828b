"""Multi-frame sessions: which network upscales a face, and what becomes of mixed batches."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest
from facesr_edge.calibration.data.faces import sample_faces
from facesr_edge.calibration.data.tracks import moved_tracks
from facesr_edge.engines.errors import EngineError
from facesr_edge.engines.multiframe.history import extended
from facesr_edge.engines.multiframe.session import MIN_FRAMES, MultiFrameSession
from facesr_edge.engines.onnxruntime.session import OrtSession


@pytest.fixture(scope="module")
def crops_of_tracks():
    """(8, 7, 32, 32, 3) crops, the newest last."""
    return moved_tracks(np.stack(sample_faces()), 4, 7).crops


@pytest.fixture(scope="module")
def single(tiny_bundle):
    with closing(OrtSession(tiny_bundle(), 1)) as session:
        yield session


@pytest.fixture
def several(track_bundle):
    with closing(OrtSession(track_bundle(), 1)) as session:
        yield session


@pytest.fixture
def session(single, several):
    with closing(MultiFrameSession(single, several, 7)) as session:
        yield session


def history(crops):
    """History of a window that stands still."""
    found = None
    for crop in crops:
        found = extended(found, crop, (0, 0), 7)
    return found


def test_each_face_is_upscaled_by_the_network_for_its_number_of_crops(session, single, several, crops_of_tracks):
    batch = np.ascontiguousarray(crops_of_tracks[:6, -1])
    lengths = (7, 1, MIN_FRAMES - 1, MIN_FRAMES, 0, 5)
    histories = [history(track[7 - n :]) if n else None for track, n in zip(crops_of_tracks, lengths, strict=False)]
    (result,) = session.infer_batches([batch], [histories])
    assert result.frames == (7, 1, 1, MIN_FRAMES, 1, 5)
    alone, alone_residual = single.infer_batches([batch])[0]
    for face, frames in enumerate(result.frames):
        if frames == 1:
            expected, residual = alone[face], alone_residual[face]
        else:
            samples = {"samples": histories[face].samples(4)[None]}
            (one,) = several.infer_batches([batch[face : face + 1]], [samples])
            expected, residual = one.tensor[0], one.residual[0]
        differences = np.abs(result.output.tensor[face].astype(int) - expected)
        assert differences.max() <= (0 if frames == 1 else 1) and (differences > 0).mean() < 0.001
        assert result.output.residual[face] == pytest.approx(residual, rel=1e-3)


def test_a_face_that_stands_still_is_that_of_the_single_frame_network(session, single, crops_of_tracks):
    crop = np.ascontiguousarray(crops_of_tracks[0, -1])
    (result,) = session.infer_batches([crop[None]], [[history([crop] * 7)]])
    assert result.frames == (1,)
    np.testing.assert_array_equal(result.output.tensor, single.infer(crop[None]))


def test_batches_keep_their_order_whatever_networks_they_need(session, crops_of_tracks):
    full, empty = [history(track) for track in crops_of_tracks[:3]], [None] * 3
    batch = np.ascontiguousarray(crops_of_tracks[:3, -1])
    one, other, mixed = session.infer_batches([batch] * 3, [full, empty, [full[0], None, full[2]]])
    assert one.frames == (7, 7, 7) and other.frames == (1, 1, 1) and mixed.frames == (7, 1, 7)
    expected = np.stack((one.output.tensor[0], other.output.tensor[1], one.output.tensor[2]))
    differences = np.abs(mixed.output.tensor.astype(int) - expected)
    assert differences.max() <= 1 and (differences > 0).mean() < 0.001  # rounding of ties in batches of other sizes
    assert np.array_equal(mixed.output.tensor[1], other.output.tensor[1])
    assert session.infer_batches([], []) == []


def test_faces_without_a_history_equal_the_single_frame_network_to_the_bit(session, single, crops_of_tracks):
    batch = np.ascontiguousarray(crops_of_tracks[:, -1])
    (result,) = session.infer_batches([batch], [[None] * len(batch)])
    (expected,) = single.infer_batches([batch])
    assert np.array_equal(result.output.tensor, expected.tensor)
    assert np.array_equal(result.output.residual, expected.residual)


def test_threads_get_the_results_of_their_own_faces(session, crops_of_tracks):
    batches = [np.ascontiguousarray(track[-1:]) for track in crops_of_tracks]
    histories = [[history(track)] if n % 3 else [None] for n, track in enumerate(crops_of_tracks)]
    expected = [session.infer_batches([one], [known])[0] for one, known in zip(batches, histories, strict=True)]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            results = pool.map(lambda one, known: session.infer_batches([one], [known])[0], batches, histories)
            for result, correct in zip(results, expected, strict=True):
                assert result.frames == correct.frames
                assert np.array_equal(result.output.tensor, correct.output.tensor)


def test_closing_leaves_the_single_frame_network_open(session, single, crops_of_tracks):
    batch = np.ascontiguousarray(crops_of_tracks[:1, -1])
    session.warm_up()
    session.close()
    session.close()
    for histories in ([None], [history(crops_of_tracks[0])]):
        with pytest.raises(EngineError, match="closed; load it again"):
            session.infer_batches([batch], [histories])
    assert single.infer(batch).shape == (1, 128, 128, 3)


def test_history_of_another_crop_is_rejected(session, crops_of_tracks, crops):
    with pytest.raises(EngineError, match="the newest crop of a history is 32x32 px, that of the batch 48 px"):
        session.infer_batches([crops(48, 1)], [[history(crops_of_tracks[0])]])
    with pytest.raises(EngineError, match="a history, or None, for each of 2 faces, got 1"):
        session.infer_batches([crops(32, 2)], [[None]])


def test_history_of_more_crops_than_asked_for_is_rejected(single, several, crops_of_tracks):
    batch = np.ascontiguousarray(crops_of_tracks[:1, -1])
    with pytest.raises(EngineError, match="histories of at most 3 crops, got 7"):
        MultiFrameSession(single, several, 3).infer_batches([batch], [[history(crops_of_tracks[0])]])


@pytest.mark.parametrize("frames", [0, 1, 8])
def test_number_of_frames_that_the_network_does_not_read_is_rejected(single, several, frames):
    with pytest.raises(EngineError, match=f"expected a network of {frames} frames, this one reads 2 to 7 frames"):
        MultiFrameSession(single, several, frames)


def test_networks_that_do_not_fit_together_are_rejected(single, several, tiny_bundle):
    with (
        closing(OrtSession(tiny_bundle(scale=2), 1)) as other,
        pytest.raises(EngineError, match="upscales by 4, the ot"),
    ):
        MultiFrameSession(other, several, 7)
    with pytest.raises(EngineError, match="reads one frame; load a multi-frame network"):
        MultiFrameSession(single, single, 7)
