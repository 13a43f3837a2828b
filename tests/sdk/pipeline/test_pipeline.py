"""The pipeline, with the shipped models."""

import locale
import threading

import cv2
import facesr_edge
import numpy as np
import pytest
from facesr_edge.engines.errors import EngineError, InputError, UsageError
from facesr_edge.sdk.pipeline import frame as frame_module
from facesr_edge.sdk.pipeline.frame import Frame, bgr_from
from facesr_edge.sdk.pipeline.upscale import psnr_db, residuals


def centers(result):
    return np.array([(f.box_xyxy[:2] + f.box_xyxy[2:]) / 2 for f in result.faces]).reshape(-1, 2)


def test_a_small_face_is_upscaled_four_times(sr, grey_frame, put_face):
    center = put_face(grey_frame, 100, 60, 40)
    result = sr(grey_frame)
    (face,) = result.faces
    assert np.abs(centers(result)[0] - center).max() < 12
    assert face.pixels.shape == tuple(np.array(face.original.shape) * [4, 4, 1]) and face.scale == 4
    x0, y0, x1, y1 = face.window_xyxy
    assert (face.original == grey_frame[y0:y1, x0:x1]).all()
    assert result.frame.shape == (720, 1280, 3)
    assert face.consistency_db > 45


def test_the_network_exceeds_bicubic_by_1_db(sr, portrait):
    hr = cv2.resize(portrait[40:200, 48:208], (128, 128), interpolation=cv2.INTER_AREA)
    lr = cv2.resize(hr, (32, 32), interpolation=cv2.INTER_AREA)
    bicubic = cv2.resize(lr, (128, 128), interpolation=cv2.INTER_CUBIC)
    assert cv2.PSNR(sr.upscale(lr[None])[0], hr) > cv2.PSNR(bicubic, hr) + 1


def test_a_frame_without_a_face_is_only_enlarged(sr, grey_frame):
    result = sr(grey_frame)
    assert result.faces == () and len(result.too_large) == 0
    assert (result.frame == 118).all() and result.timings_ms["total"] > 0


@pytest.mark.parametrize(
    ("x", "y"), [(0, 0), (280, 0), (569, 0), (0, 150), (569, 150), (0, 289), (280, 289), (569, 289)]
)
def test_faces_at_each_border_and_corner_are_detected_and_pasted(sr, grey_frame, portrait, x, y):
    face = cv2.resize(portrait[40:218, 39:217], (71, 71), interpolation=cv2.INTER_AREA)  # cropped to the face
    grey_frame[y : y + 71, x : x + 71] = face
    result = sr(grey_frame)
    assert len(result.faces) == 1
    left, top, right, bottom = result.faces[0].window_xyxy
    assert left >= 0 and top >= 0 and right <= 640 and bottom <= 360
    assert result.faces[0].pixels.shape[0] == 4 * (right - left)


def test_overlapping_windows_are_all_pasted(sr, grey_frame, put_face):
    for x in (100, 150, 200):
        put_face(grey_frame, x, 100, 36)
    result = sr(grey_frame)
    assert len(result.faces) == 3
    lefts = sorted(face.window_xyxy[0] for face in result.faces)
    assert lefts[1] - lefts[0] < result.faces[0].original.shape[0], "the windows overlap"


def test_a_face_that_is_too_large_is_reported_and_not_upscaled(sr, portrait):
    frame = np.full((720, 720, 3), 118, np.uint8)
    frame[100:356, 100:356] = portrait
    result = sr(frame)
    assert result.faces == () and len(result.too_large) == 1
    assert (result.frame == cv2.resize(frame, (1440, 1440), interpolation=cv2.INTER_CUBIC)).all()


@pytest.mark.parametrize("side", [20, 31, 40])
def test_a_frame_smaller_than_a_window_keeps_its_size_in_the_composite(sr, portrait, side):
    frame = cv2.resize(portrait[40:200, 48:208], (side, side), interpolation=cv2.INTER_AREA)
    result = sr(frame)
    assert result.frame.shape == (2 * side, 2 * side, 3)
    assert all(face.pixels.shape[0] == 4 * face.original.shape[0] for face in result.faces)


@pytest.mark.parametrize("convert", [lambda f: f[..., 1], lambda f: np.dstack((f, f[..., :1])), lambda f: f[..., 1:2]])
def test_grey_and_bgra_images_are_accepted(sr, grey_frame, put_face, convert):
    put_face(grey_frame, 100, 60, 40)
    result = sr(np.ascontiguousarray(convert(grey_frame)))
    assert len(result.faces) == 1 and result.frame.shape == (720, 1280, 3)


def test_a_frame_is_validated_once(sr, grey_frame, monkeypatch):
    calls = []

    def recorded(pixels, **layout):
        calls.append(layout)
        return bgr_from(pixels, **layout)

    monkeypatch.setattr(frame_module, "bgr_from", recorded)
    sr(grey_frame)
    assert len(calls) == 1
    sr(Frame(grey_frame))
    assert len(calls) == 1


@pytest.mark.parametrize("outscale", [1, 2, 3, 4])
def test_the_composite_has_the_size_of_outscale(sr, grey_frame, put_face, outscale):
    put_face(grey_frame, 100, 60, 40)
    with facesr_edge.load("idrn-x4", detector=sr.detector, outscale=outscale) as pipeline:
        result = pipeline(grey_frame)
        assert result.frame.shape == (360 * outscale, 640 * outscale, 3)
        assert len(result.faces) == 1
        if outscale == 1:
            assert result.frame is result.source.pixels


def test_without_a_composite_only_the_faces_are_upscaled(sr, grey_frame, put_face):
    put_face(grey_frame, 100, 60, 40)
    with facesr_edge.load("idrn-x4", detector=sr.detector, composite=False) as pipeline:
        result = pipeline(grey_frame)
    assert result.frame is None and len(result.faces) == 1 and "paste" not in result.timings_ms


def test_the_input_frame_is_not_modified(sr, grey_frame, put_face):
    put_face(grey_frame, 100, 60, 40)
    before = grey_frame.copy()
    sr(grey_frame)
    assert (grey_frame == before).all()


def test_a_stream_keeps_the_order_and_times_every_stage(sr, grey_frame, put_face):
    put_face(grey_frame, 100, 60, 40)
    results = list(sr.stream(Frame(grey_frame, index=i, time_s=i / 10) for i in range(3)))
    assert [r.source.index for r in results] == [0, 1, 2]
    ms = results[0].timings_ms
    stages = {"decode", "detect", "detect.network", "crop", "upscale", "upscale.network", "paste", "paste.enlarge"}
    assert set(ms) == {*stages, "total"}
    assert ms["total"] == pytest.approx(sum(v for k, v in ms.items() if "." not in k and k != "total"))
    assert ms["upscale.network"] <= ms["upscale"]


@pytest.mark.parametrize("size", [(32, 32), (20, 32), (40, 33), (128, 128), (1, 1)])
def test_upscale_accepts_any_size_up_to_the_largest_window(sr, size):
    crops = np.random.default_rng(0).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    assert sr.upscale(crops).shape == (2, 4 * size[0], 4 * size[1], 3)


def test_upscale_of_an_empty_batch_is_empty(sr):
    assert sr.upscale(np.zeros((0, 32, 32, 3), np.uint8)).shape == (0, 128, 128, 3)


@pytest.mark.parametrize(
    "crops",
    [np.zeros((1, 129, 40, 3), np.uint8), np.zeros((32, 32, 3), np.uint8), np.zeros((1, 32, 32, 3), np.float32)],
)
def test_upscale_rejects_other_shapes_and_dtypes(sr, crops):
    with pytest.raises(InputError, match="expected crops of"):
        sr.upscale(crops)


def test_consistency_is_measured_against_the_crop(sr, portrait):
    crop = cv2.resize(portrait[40:200, 48:208], (32, 32), interpolation=cv2.INTER_AREA)[None]
    upscaled = sr.upscale(crop)
    brighter = np.clip(upscaled.astype(int) + 10, 0, 255).astype(np.uint8)
    assert psnr_db(residuals(crop, upscaled))[0] > 50
    assert psnr_db(residuals(crop, brighter))[0] == pytest.approx(28.1, abs=1.5)
    assert psnr_db(residuals(np.zeros_like(crop), np.zeros_like(upscaled)))[0] == np.inf


def test_invalid_options_are_rejected(sr):
    with pytest.raises(UsageError, match="outscale is 5"):
        facesr_edge.load("idrn-x4", detector=sr.detector, outscale=5)
    with pytest.raises(UsageError, match="did you mean 'idrn-x4'"):
        facesr_edge.load("idrn-x")
    with pytest.raises(UsageError, match="unknown engine 'cuda'"):
        facesr_edge.load("idrn-x4", engine="cuda")
    with pytest.raises(EngineError, match="expected a super-resolution bundle"):
        facesr_edge.load("detector")
    with pytest.raises(EngineError, match="expected a face detector"):
        facesr_edge.load_detector("idrn-x4")


def test_pipelines_in_several_threads_agree(grey_frame, put_face):
    put_face(grey_frame, 100, 60, 40)
    before = locale.getlocale(locale.LC_CTYPE)
    frames: list[np.ndarray] = []

    def work():
        with facesr_edge.load("idrn-x4", threads=1) as pipeline:
            frames.append(pipeline(grey_frame).frame)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(frames) == 2 and (frames[0] == frames[1]).all()
    assert locale.getlocale(locale.LC_CTYPE) == before


@pytest.mark.parametrize("every", [1, 3, "auto"])
def test_a_stream_says_which_frames_were_detected_fully(sr, grey_frame, put_face, every):
    put_face(grey_frame, 100, 60, 40)
    with facesr_edge.load("idrn-x4", detector=sr.detector, composite=False, detect_every=every) as pipeline:
        results = list(pipeline.stream(Frame(grey_frame, index=i, time_s=i / 25) for i in range(4)))
        assert pipeline(grey_frame).detection.kind == "full"
    kinds = [result.detection.kind for result in results]
    assert kinds == ["full", *["full" if every == 1 else "tracked"] * 2, "full"]
    assert all(len(result.faces) == 1 for result in results)
    assert results[1].to_dict()["detection"]["kind"] == kinds[1]
    if every != 1:
        assert results[1].detection.megapixels < results[0].detection.megapixels / 2


def test_streams_do_not_share_known_faces(sr, grey_frame, put_face):
    put_face(grey_frame, 100, 60, 40)
    with facesr_edge.load("idrn-x4", detector=sr.detector, composite=False, detect_every=5) as pipeline:
        for _ in range(2):
            results = list(pipeline.stream(Frame(grey_frame, index=i, time_s=i / 25) for i in range(2)))
            assert [result.detection.kind for result in results] == ["full", "tracked"]


def test_an_invalid_detect_every_is_rejected(sr):
    with pytest.raises(UsageError, match="expected a number of frames"):
        facesr_edge.load("idrn-x4", detector=sr.detector, detect_every=0)
