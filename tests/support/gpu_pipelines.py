"""Pipelines of the same networks on the CPU and on the GPU, frames for them, and the comparison of their results."""

from contextlib import ExitStack, contextmanager

import cv2
import numpy as np
import pytest
from facesr_edge.calibration.data.faces import astronaut
from facesr_edge.engines.bundle.bundle import open_bundle
from facesr_edge.engines.errors import EngineError
from facesr_edge.engines.onnxruntime.session import OrtSession
from facesr_edge.sdk.gpu.stages import GpuStages
from facesr_edge.sdk.pipeline.detect import Detector
from facesr_edge.sdk.pipeline.pipeline import Pipeline
from facesr_edge.zoo import catalogue
from support.gpu_engines import OrtOnGpuArrays

SCENES = {  # number of upscaled faces, number of too large ones
    "one": (1, 0),
    "none": (0, 0),
    "padded": (2, 0),
    "upright": (2, 0),
    "borders": (4, 0),
    "overlapping": (3, 0),
    "too large": (0, 1),
    "smaller than a window": (1, 0),
    "overview": (1, 1),
    "many": (8, 0),
}
TIMINGS = {
    *("detect", "detect.upload", "detect.network", "crop", "upscale", "upscale.network"),
    *("paste", "paste.enlarge", "paste.download", "total"),
}


@contextmanager
def pipelines(gpu, network, outscale=2, composite=True, **options):
    """Pipelines of the same networks: `on_cpu` and `on_gpu`."""
    bundle, detector_bundle = open_bundle(network), catalogue.find(catalogue.DEFAULT_DETECTOR)
    with ExitStack() as stack:
        cpu_detector = Detector(OrtSession(detector_bundle, 1), **options)
        gpu_detector = Detector(OrtOnGpuArrays(detector_bundle, gpu), **options)
        settings = outscale, composite
        try:
            on_gpu = Pipeline(OrtOnGpuArrays(bundle, gpu), bundle.card, gpu_detector, *settings, stages=GpuStages)
        except EngineError as error:
            if "NVRTC not found" in str(error) or "nvcc" in str(error):
                pytest.skip(str(error))
            raise
        stack.callback(on_gpu.close)
        yield stack.enter_context(Pipeline(OrtSession(bundle, 1), bundle.card, cpu_detector, *settings)), on_gpu


def scene(name):
    """A frame with real faces, by what is special about it."""
    (width, height), faces = {
        "one": ((320, 256), [(60, 40, 36)]),
        "none": ((320, 192), []),
        "padded": ((333, 251), [(60, 40, 30), (220, 80, 24)]),
        "upright": ((160, 352), [(20, 30, 30), (20, 200, 40)]),
        "borders": ((352, 224), [(-24, -20, 40), (270, -16, 40), (-22, 150, 40), (278, 152, 40)]),
        "overlapping": ((352, 224), [(40, 60, 36), (86, 60, 36), (132, 60, 36)]),
        "too large": ((352, 320), [(30, 30, 100)]),
        "smaller than a window": ((44, 40), [(-12, -14, 28)]),
        "overview": ((704, 672), [(60, 40, 36), (250, 150, 190)]),
        "many": ((512, 352), [(20 + 120 * (n % 4), 20 + 110 * (n // 4), 26 + 3 * n) for n in range(8)]),
    }[name]
    frame = np.full((height, width, 3), 118, np.uint8)
    frame += (np.arange(width)[None, :, None] // 8 % 24 + np.arange(height)[:, None, None] // 8 % 16).astype(np.uint8)
    portrait = astronaut()[0:256, 96:352]
    for x, y, side in faces:
        small = cv2.resize(portrait, None, fx=side / 100, fy=side / 100, interpolation=cv2.INTER_AREA)
        left, top = max(x, 0), max(y, 0)
        part = small[top - y : height - y, left - x : width - x]
        frame[top : top + part.shape[0], left : left + part.shape[1]] = part
    return frame


def assert_same(result, expected):
    """Equal results, except for one grey level of the composite."""
    assert (result.frame is None) == (expected.frame is None)
    if expected.frame is not None:
        assert result.frame.shape == expected.frame.shape
        assert np.abs(result.frame.astype(int) - expected.frame.astype(int)).max() <= 1
    assert [f.window_xyxy for f in result.faces] == [f.window_xyxy for f in expected.faces]
    assert np.array_equal(result.too_large.boxes_xyxy, expected.too_large.boxes_xyxy)
    assert np.array_equal(result.source.pixels, expected.source.pixels)
    for face, expected_face in zip(result.faces, expected.faces, strict=True):
        assert np.array_equal(face.original, expected_face.original)
        assert np.array_equal(face.pixels, expected_face.pixels)
        assert (face.score, face.consistency_db) == (expected_face.score, expected_face.consistency_db)
        assert np.array_equal(face.box_xyxy, expected_face.box_xyxy)
        assert np.array_equal(face.landmarks, expected_face.landmarks)


def uploaded(gpu, host, stream, gap=0):
    """An array on the GPU whose upload is only queued, with rows padded by `gap` bytes."""
    rows = np.zeros((len(host), host[0].size + gap), np.uint8)
    rows[:, : host[0].size] = host.reshape(len(host), -1)
    owner = gpu.empty(rows.shape, np.uint8)
    gpu.upload(rows, owner, stream)
    return Surface(owner, host.shape, (rows.shape[1], *host.strides[1:]), stream)


class Surface:
    """Memory of another library with the CUDA array interface, as of Numba, CuPy and DeepStream."""

    def __init__(self, owner, shape, strides, stream):
        self.owner = owner
        interface = {"shape": shape, "strides": strides, "typestr": "|u1", "version": 3, "stream": stream.handle}
        self.__cuda_array_interface__ = {**interface, "data": (owner.pointer, False)}
