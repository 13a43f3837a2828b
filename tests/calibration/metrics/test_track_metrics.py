"""Evaluation on tracks: which network upscales a face, and what the result is compared with."""

from dataclasses import dataclass
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from facesr_edge.calibration.accuracy import CALIBRATION_FACES, track_psnr_check
from facesr_edge.calibration.data.faces import sample_faces
from facesr_edge.calibration.data.tracks import Tracks, moved_tracks
from facesr_edge.calibration.metrics.evaluate import upscale_bicubic
from facesr_edge.calibration.metrics.tracks import MOVED, evaluate_tracks, tracks_of
from facesr_edge.engines.bundle.io_spec import super_resolution
from facesr_edge.engines.errors import EngineError
from facesr_edge.engines.session import Output


@dataclass
class Sharpened:
    """A real upscaling without a network: bicubic, plus the mean differences of the samples where there are any."""

    frames: int = 7

    def __post_init__(self):
        self.io_spec = super_resolution(4, frames=self.frames)

    def infer(self, batch):
        return self.infer_batches([batch])[0].tensor

    def infer_batches(self, batches, inputs=()):
        outputs = []
        for number, batch in enumerate(batches):
            upscaled = upscale_bicubic(batch, 4).astype(np.float32)
            if inputs:
                cells = 255 * inputs[number]["samples"][:, :16]
                n, _, side, _ = cells.shape
                upscaled += (
                    cells.reshape(n, 4, 4, side, side).transpose(0, 3, 1, 4, 2).reshape(n, 4 * side, 4 * side, 1)
                )
            outputs.append(Output(np.clip(upscaled.round(), 0, 255).astype(np.uint8)))
        return outputs


class Nearest(Sharpened):
    """Nearest-neighbor upscaling."""

    def infer_batches(self, batches, inputs=()):
        return [
            Output(np.stack([cv2.resize(f, None, fx=4, fy=4, interpolation=cv2.INTER_NEAREST) for f in batch]))
            for batch in batches
        ]


@pytest.fixture(scope="module")
def tracks():
    return moved_tracks(np.stack(sample_faces()), 4, 7)


def test_samples_of_more_frames_reach_the_network(tracks):
    values = [evaluate_tracks(Sharpened(), tracks, frames).evaluation.psnr_y_db for frames in (1, 3, 7)]
    bicubic = evaluate_tracks(Sharpened(), tracks, 3).evaluation.bicubic["psnr_y_db"]
    assert values[0] == pytest.approx(bicubic) and len(set(values)) == 3


def test_faces_of_few_crops_are_upscaled_by_the_network_for_single_frames(tracks):
    motions = tracks.motions.copy()
    motions[:4, :6] = np.nan  # one crop is left
    broken = Tracks(tracks.crops, tracks.truth, motions)
    result = evaluate_tracks(Sharpened(), broken, 7, Nearest(1))
    assert (result.frames, result.several) == (7, 4)
    only = evaluate_tracks(Sharpened(), Tracks(*(part[4:] for part in (tracks.crops, tracks.truth, motions))), 7)
    single = evaluate_tracks(Nearest(1), Tracks(*(part[:4] for part in (tracks.crops, tracks.truth, motions))), 1)
    mean = (only.evaluation.psnr_y_db + single.evaluation.psnr_y_db) / 2
    assert result.evaluation.psnr_y_db == pytest.approx(mean, abs=0.01)
    values = result.to_dict()
    assert values["gain_over_single_db"] == pytest.approx(values["psnr_y_db"] - values["single_psnr_y_db"], abs=2e-4)
    assert values["several_frames_faces"] == 4 and "single_psnr_y_db" not in only.to_dict()


def test_frames_and_scales_that_do_not_suit_are_rejected(tracks):
    with pytest.raises(EngineError, match="expected 1 to 7 frames, which the network reads, got 8"):
        evaluate_tracks(Sharpened(), tracks, 8)
    other = SimpleNamespace(io_spec=super_resolution(2, frames=7))
    with pytest.raises(EngineError, match="upscales by 2, the tracks are of scale 4"):
        evaluate_tracks(other, tracks, 3)


def test_cameras_record_the_center_of_the_faces():
    io_spec, seen = super_resolution(4, frames=7), []

    def record(faces, scale):
        seen.append((faces.shape, scale))
        return moved_tracks(faces, scale, 7)

    assert tracks_of(sample_faces(), io_spec, {"mine": record}).keys() == {"mine"} and seen == [((8, 128, 128, 3), 4)]
    assert tracks_of(sample_faces()[:1], io_spec, {}).keys() == {MOVED}


def test_accuracy_check_calibrates_with_samples(tracks):
    check = track_psnr_check(Sharpened(), tracks, "faces", 0.05)
    assert len(check.batches) == len(check.inputs) == 8 <= CALIBRATION_FACES
    for batch, inputs, newest in zip(check.batches, check.inputs, tracks.newest, strict=True):
        assert np.array_equal(batch[0], newest) and np.abs(inputs["samples"]).max() > 0.1
    assert check.measure(Nearest()) < check.fp32_value
