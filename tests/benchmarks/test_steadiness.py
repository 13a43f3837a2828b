"""Change of the face area: 1 for bicubic itself, 0 for a face that is held, and exact where crops move."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from facesr_edge.benchmarks import steadiness
from facesr_edge.benchmarks.steadiness import measure, still_clip
from facesr_edge.sdk.pipeline.frame import Frame
from facesr_edge.sdk.pipeline.paste import enlarge

SCALE = 4


@dataclass(frozen=True, eq=False)
class UpscaledFace:
    box_xyxy: np.ndarray
    window_xyxy: tuple
    pixels: np.ndarray | None


@pytest.fixture(scope="module")
def frames():
    """A still picture with noise, (48, 64)."""
    rng = np.random.default_rng(1)
    picture = rng.integers(60, 180, (48, 64, 3))
    noise = [np.clip(picture + rng.normal(0, 5, picture.shape), 0, 255) for _ in range(9)]
    return [Frame(pixels.astype(np.uint8), n) for n, pixels in enumerate(noise)]


def bicubic(frame, change=lambda pixels, n: pixels):
    """One face whose box jitters, in a window that moves by whole pixels, out of the frame at times."""
    n = frame.index
    x, y, side = -2 + n % 4, 3 + n % 3, 32
    enlarged = enlarge(np.pad(frame.pixels, ((0, 0), (8, 8), (0, 0)), "edge"), SCALE)
    crop = enlarged[SCALE * y : SCALE * (y + side), SCALE * (x + 8) : SCALE * (x + 8 + side)]
    box = np.array([4.3, 8.2, 24.6, 27.7], np.float32) + np.float32(0.2 * (n % 3))
    return [UpscaledFace(box, (x, y, x + side, y + side), change(crop, n))]


def test_bicubic_has_the_ratio_1_where_the_crop_moves(frames):
    result = measure(frames, bicubic)
    assert len(result.bicubic) == 8 and result.bicubic.min() > 1
    assert result.upscaled == pytest.approx(result.bicubic, rel=2e-3) and result.ratio == pytest.approx(1, rel=1e-3)


def test_a_face_that_is_held_has_the_ratio_0_and_one_with_added_noise_more_than_1(frames):
    held = enlarge(np.pad(frames[0].pixels, ((0, 0), (8, 8), (0, 0)), "edge"), SCALE)

    def hold(frame):
        ((x0, y0, x1, y1),) = (face.window_xyxy for face in bicubic(frame))
        (face,) = bicubic(frame, lambda pixels, n: held[SCALE * y0 : SCALE * y1, SCALE * (x0 + 8) : SCALE * (x1 + 8)])
        return [face]

    assert measure(frames, hold).ratio == 0
    flicker = measure(frames, lambda frame: bicubic(frame, lambda pixels, n: pixels // 2 + np.uint8(60 * (n % 2))))
    assert flicker.ratio > 2 and flicker.stillest.ratio > flicker.ratio * 0.9 and len(flicker.stillest.bicubic) == 2


def test_a_face_without_pixels_and_a_new_one_are_left_out(frames):
    skipped = measure(frames, lambda frame: bicubic(frame, lambda pixels, n: None if n == 4 else pixels))
    assert len(skipped.bicubic) == 6
    none = measure(frames, lambda frame: [])
    assert str(none) == "no face in consecutive frames" and np.isnan(none.ratio)


def test_only_the_faces_change_is_infinite(frames):
    same = [Frame(frames[0].pixels, n) for n in range(3)]
    changing = measure(same, lambda frame: bicubic(frame, lambda pixels, n: pixels // 2 + np.uint8(n)))
    assert np.isinf(changing.ratio)


def test_a_still_clip_has_noise_that_the_codec_leaves():
    picture = np.full((64, 96, 3), 120, np.uint8)
    clip = still_clip(picture, 23, noise=12, frames=6)
    assert [frame.index for frame in clip] == list(range(6)) and clip[0].pixels.shape == picture.shape
    changes = [np.abs(a.pixels.astype(int) - b.pixels).mean() for a, b in pairwise(clip)]
    assert 0.5 < np.mean(changes) < 12


def test_the_table_has_a_row_per_clip_and_model(monkeypatch, capsys, put_face, tmp_path):
    import cv2

    put_face(frame := np.full((120, 160, 3), 118, np.uint8), 60, 60, 40)
    cv2.imwrite(str(tmp_path / "face.png"), frame)
    arguments = [
        "--model",
        "edge-nano-x4-camera",
        "--picture",
        str(tmp_path / "face.png"),
        "--noise",
        "12",
        "--crf",
        "23",
        "28",
    ]
    monkeypatch.setattr("sys.argv", ["steadiness", *arguments])
    monkeypatch.setattr(steadiness, "FRAMES", 8)
    steadiness.main()
    rows = capsys.readouterr().out.splitlines()[2:]
    clips = [f"face.png, noise 12, crf {crf}" for crf in (23, 28) for _ in steadiness.RUNTIMES]
    assert [row[:38].rstrip() for row in rows] == clips
    assert [row[62:76].rstrip() for row in rows] == [*steadiness.RUNTIMES] * 2
    assert [row[76:].split()[0] for row in rows] == ["7"] * 4
