"""The whole way of a frame with the real kernels, against `Pipeline`. The networks are ONNX Runtime's behind the GPU's
memory, a stand-in for compiled engines: everything around them is what runs on a device."""

import gc
import resource
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
from facesr_edge.calibration.data.faces import astronaut
from facesr_edge.engines.bundle.bundle import open_bundle
from facesr_edge.engines.cuda.device import Gpu
from facesr_edge.engines.cuda.frame_ops import Nv12
from facesr_edge.engines.errors import EngineError, InputError, UsageError
from facesr_edge.engines.onnxruntime.session import OrtSession
from facesr_edge.engines.registry import ENGINES
from facesr_edge.sdk.gpu.pipeline import GpuPipeline
from facesr_edge.sdk.load import load, load_detector
from facesr_edge.sdk.pipeline.detect import Detector
from facesr_edge.sdk.pipeline.frame import Frame
from facesr_edge.sdk.pipeline.pipeline import Pipeline
from facesr_edge.zoo import catalogue


class OrtBehindGpu(OrtSession):
    """ONNX Runtime that takes and gives arrays on the GPU, on a stream of its own, always in the same memory."""

    def __init__(self, bundle, gpu):
        super().__init__(bundle, threads=1)
        self.gpu, self.calls, self.fails = gpu, 0, False
        self._stream, self._out = gpu.stream(), gpu.empty((2**25,), np.uint8)

    def infer_on_device(self, array):
        self.calls += 1
        batch = self.gpu.view(array, self._stream)
        host = np.empty(batch.shape, batch.dtype)
        self.gpu.download(batch, host, self._stream)
        self._stream.synchronize()
        if self.fails:
            raise EngineError("the network failed")
        out = self.infer(host)
        seen = {"shape": out.shape, "typestr": out.dtype.str, "data": (self._out.pointer, False), "strides": None}
        result = self.gpu.view(type("Out", (), {"__cuda_array_interface__": seen, "whole": self._out})())
        self.gpu.upload(out, result, self._stream)
        return result


@contextmanager
def pipelines(gpu, network, outscale=2, composite=True, **options):
    """`Pipeline` and `GpuPipeline` of the same networks."""
    bundle, finder = open_bundle(network), catalogue.find(catalogue.DEFAULT_DETECTOR)
    with ExitStack() as open_:
        plain = Detector(OrtSession(finder, 1), **options)
        there = Detector(OrtBehindGpu(finder, gpu), **options)
        try:
            made = GpuPipeline(OrtBehindGpu(bundle, gpu), bundle.card, there, outscale, composite)
        except EngineError as error:
            if "no NVRTC here" in str(error) or "nvcc" in str(error):
                pytest.skip(str(error))
            raise
        open_.callback(made.close)
        yield (
            open_.enter_context(Pipeline(OrtSession(bundle, 1), bundle.card, plain, outscale, composite)),
            made,
        )


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


def check_alike(ours, plain):
    """The same result, but for a grey level of the composite."""
    assert (ours.frame is None) == (plain.frame is None)
    if plain.frame is not None:
        assert ours.frame.shape == plain.frame.shape
        assert np.abs(ours.frame.astype(int) - plain.frame.astype(int)).max() <= 1
    assert [f.window_xyxy for f in ours.faces] == [f.window_xyxy for f in plain.faces]
    assert np.array_equal(ours.too_large.boxes_xyxy, plain.too_large.boxes_xyxy)
    assert np.array_equal(ours.source.pixels, plain.source.pixels)
    for one, other in zip(ours.faces, plain.faces, strict=True):
        assert np.array_equal(one.original, other.original) and np.array_equal(one.pixels, other.pixels)
        assert (one.score, one.consistency_db) == (other.score, other.consistency_db)
        assert np.array_equal(one.box_xyxy, other.box_xyxy) and np.array_equal(one.landmarks, other.landmarks)


def uploaded(gpu, host, stream, gap=0):
    """An array on the GPU, with so many bytes behind each row, that is only queued."""
    rows = np.zeros((len(host), host[0].size + gap), np.uint8)
    rows[:, : host[0].size] = host.reshape(len(host), -1)
    whole = gpu.empty(rows.shape, np.uint8)
    gpu.upload(rows, whole, stream)
    return whole, Surface(whole, host.shape, (rows.shape[1], *host.strides[1:]), stream)


class Surface:
    """Memory of another library, described as Numba, CuPy and DeepStream do."""

    def __init__(self, whole, shape, strides, stream):
        self.whole = whole
        seen = {"shape": shape, "strides": strides, "typestr": "|u1", "version": 3, "stream": stream.handle}
        self.__cuda_array_interface__ = {**seen, "data": (whole.pointer, False)}


SCENES = {  # faces found and super-resolved, too large
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


@pytest.mark.parametrize("name", SCENES)
def test_a_frame_comes_out_as_it_does_on_the_cpu(gpu, network, name):
    with pipelines(gpu, network) as (plain, ours):
        frame = scene(name)
        wanted = plain(frame)
        assert (len(wanted.faces), len(wanted.too_large)) == SCENES[name]
        check_alike(ours(frame), wanted)
        assert ours.detector.session.calls == 1, "the detector read the frame on the GPU"


@pytest.mark.parametrize("outscale", [1, 2, 3, 4])
def test_the_composite_is_as_large_as_was_asked(gpu, network, outscale):
    with pipelines(gpu, network, outscale) as (plain, ours):
        frame = scene("overlapping")
        result = ours(frame)
        check_alike(result, plain(frame))
        if outscale == 1:
            assert result.frame is result.source.pixels and np.shares_memory(result.frame, frame)


def test_faces_are_enlarged_further_than_the_network_does(gpu, network_x2):
    with pipelines(gpu, network_x2, 3) as (plain, ours):
        check_alike(ours(scene("overlapping")), plain(scene("overlapping")))


def test_without_a_composite_only_the_faces_are_made(gpu, network):
    with pipelines(gpu, network, composite=False) as (plain, ours):
        result = ours(scene("one"))
        check_alike(result, plain(scene("one")))
        assert result.frame is None and "paste" not in result.timings_ms


@pytest.mark.parametrize(("min_face", "kind"), [(20, "reduced"), (5, "enlarged")])
def test_a_frame_shown_at_another_size_is_looked_at_by_the_host(gpu, network, min_face, kind):
    with pipelines(gpu, network, min_face=min_face) as (plain, ours):
        frame, stream = scene("one"), gpu.stream()
        assert ours.detector.plan(320, 256).kind == kind
        wanted = plain(frame)
        check_alike(ours(frame), wanted)
        check_alike(ours(uploaded(gpu, frame, stream)[1]), wanted)
        assert ours.detector.session.calls == 0


def test_a_frame_in_tiles_is_looked_at_by_the_host(gpu, network):
    with pipelines(gpu, network) as (plain, ours):
        for pipeline in (plain, ours):
            session = pipeline.detector.session
            session.io_spec = replace(session.io_spec, sizes_hw=((256, 256),))
        assert ours.detector.plan(512, 352).kind == "tiles"
        check_alike(ours(scene("many")), plain(scene("many")))


@pytest.mark.parametrize("name", ["one", "padded", "upright", "overview"])
@pytest.mark.parametrize("protocol", ["dlpack", "interface", "gaps"])
def test_a_frame_on_the_gpu_is_taken_where_it_lies(gpu, network, name, protocol):
    with pipelines(gpu, network) as (plain, ours):
        frame, stream = scene(name), gpu.stream()
        if protocol == "dlpack":
            there = gpu.empty(frame.shape, np.uint8)
            gpu.upload(frame, there, stream)
        else:
            _, there = uploaded(gpu, frame, stream, gap=24 if protocol == "gaps" else 0)
        result = ours(there)
        check_alike(result, plain(frame))
        assert result.timings_ms["detect.download"] > 0


@pytest.mark.parametrize("name", ["one", "upright", "many"])
def test_an_nv12_frame_is_the_picture_that_opencv_makes_of_it(gpu, network, name):
    with pipelines(gpu, network) as (plain, ours):
        frame, stream = scene(name), gpu.stream()
        height, width = frame.shape[:2]
        planar = cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420)
        chroma = planar[height:].reshape(2, -1).T.reshape(height // 2, width)
        picture = cv2.cvtColor(np.vstack((planar[:height], chroma)), cv2.COLOR_YUV2BGR_NV12)
        views = [gpu.view(uploaded(gpu, plane, stream, gap=16)[1], stream) for plane in (planar[:height], chroma)]
        for view in views:
            view.stream = stream
        result = ours(Nv12(*views, "bt601"))
        apart = np.abs(result.source.pixels.astype(int) - picture.astype(int))
        assert apart.mean() < 1.5 and np.percentile(apart, 99) <= 12  # OpenCV repeats chroma, the kernel interpolates
        wanted = plain(result.source.pixels)
        assert len(wanted.faces) == SCENES[name][0]
        check_alike(result, wanted)


def test_a_later_frame_of_another_size_leaves_nothing_behind(gpu, network):
    with pipelines(gpu, network) as (plain, ours):
        stream = gpu.stream()
        for name in ("many", "one", "padded", "too large", "one", "many", "none"):
            frame = scene(name)
            check_alike(ours(frame), plain(frame))
            shorter = np.ascontiguousarray(frame[:-7])
            check_alike(ours(uploaded(gpu, shorter, stream)[1]), plain(shorter))


def test_results_are_the_callers_own(gpu, network):
    with pipelines(gpu, network) as (plain, ours):
        result, wanted = ours(scene("many")), plain(scene("many"))
        ours(np.zeros_like(scene("many")))
        ours(scene("many")[::-1, ::-1])
        check_alike(result, wanted)


def test_memory_stays_flat_over_many_frames(gpu, machine, network):
    with pipelines(gpu, network) as (_, ours):
        stream = gpu.stream()
        frames = [scene(name) for name in ("upright", "one", "overlapping")]
        frames += [uploaded(gpu, frame, stream)[1] for frame in frames]
        for frame in frames:
            ours(frame)
        gc.collect()
        held, before = machine.held(), 0
        for n in range(50):
            ours(frames[n % len(frames)])
            if n == 20:
                before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert machine.held() == held
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 4096  # KiB


PARTS = {
    *("detect", "detect.upload", "detect.network", "crop", "super_resolve", "super_resolve.network"),
    *("paste", "paste.enlarge", "paste.download", "total"),
}


def test_every_stage_is_timed_and_parts_lie_within_their_stage(gpu, network):
    with pipelines(gpu, network) as (_, ours):
        ours(scene("many"))
        start = time.perf_counter_ns()
        result = ours(scene("many"))
        end = time.perf_counter_ns()
    ms = result.timings_ms
    assert set(ms) == PARTS and min(ms.values()) > 0
    assert ms["total"] == pytest.approx(sum(v for k, v in ms.items() if "." not in k and k != "total"))
    assert ms["total"] <= (end - start) / 1e6
    slack = 1000  # ns, of events whose times are rounded
    stages = [span for span in result.spans if "." not in span.name]
    for part in (span for span in result.spans if "." in span.name):
        assert any(
            part.name.split(".")[0] == stage.name
            and stage.start_ns - slack <= part.start_ns
            and part.start_ns + part.duration_ns <= stage.start_ns + stage.duration_ns + slack
            for stage in stages
        ), part
    stages.sort(key=lambda span: span.start_ns)
    for one, then in pairwise(stages):
        assert one.start_ns + one.duration_ns <= then.start_ns + slack, "stages do not overlap"
    assert start <= stages[0].start_ns + slack and stages[-1].start_ns + stages[-1].duration_ns <= end


def test_a_stream_of_frames_keeps_their_order(gpu, network):
    with pipelines(gpu, network) as (plain, ours):
        frames = [Frame(scene(name), index=n) for n, name in enumerate(("one", "many"))]
        for ours_, wanted in zip(ours.stream(frames), plain.stream(frames), strict=True):
            assert ours_.source is wanted.source and ours_.timings_ms["decode"] > 0
            check_alike(ours_, wanted)


def test_grey_pictures_and_networks_alone_work_as_on_the_cpu(gpu, network):
    with pipelines(gpu, network) as (plain, ours):
        grey = scene("one")[..., 1]
        check_alike(ours(grey), plain(grey))
        crops = scene("one")[None, :30, :40]
        assert np.array_equal(ours.upscale(crops), plain.upscale(crops))


def test_a_frame_that_fails_is_told_and_the_next_one_works(gpu, network):
    with pipelines(gpu, network) as (plain, ours):
        for session in (ours.session, ours.detector.session):
            session.fails = True
            with pytest.raises(EngineError, match="the network failed"):
                ours(scene("one"))
            session.fails = False
            check_alike(ours(scene("one")), plain(scene("one")))


@pytest.mark.parametrize("shape", [(9, 9), (9, 9, 4), (0, 9, 3), (1, 9, 9, 3)])
def test_a_frame_on_the_gpu_of_another_shape_is_told(gpu, network, shape):
    with pipelines(gpu, network) as (_, ours), pytest.raises(InputError, match=r"expected a frame of \(H, W, 3\)"):
        ours(gpu.empty(shape, np.uint8))


def test_a_closed_pipeline_says_so_and_holds_nothing(gpu, machine, network):
    empty = machine.held()
    with pipelines(gpu, network) as (_, ours):
        ours(scene("one"))
        ours.close()
        ours.close()
        with pytest.raises(EngineError, match="the pipeline is closed; load it again"):
            ours(scene("one"))
        ours.session = ours.detector.session = ours._finder = None
        gc.collect()
        assert machine.held() == empty
        ours.session = ours.detector.session = OrtSession(open_bundle(network), 1)


def test_engines_that_are_not_on_one_gpu_are_refused(gpu, played, network):
    played.make(gpus=2)
    bundle, finder = open_bundle(network), catalogue.find(catalogue.DEFAULT_DETECTOR)
    there = OrtBehindGpu(bundle, gpu)
    with pytest.raises(EngineError, match=r"expected two engines on a GPU, got ONNX .* and ONNX .*; compile both"):
        GpuPipeline(there, bundle.card, Detector(OrtSession(finder, 1)))
    with Gpu(1) as other, pytest.raises(EngineError, match="on one GPU, got 0 and 1"):
        GpuPipeline(there, bundle.card, Detector(OrtBehindGpu(finder, other)))
    with pytest.raises(UsageError, match="outscale is 5"):
        GpuPipeline(there, bundle.card, Detector(OrtBehindGpu(finder, gpu)), 5)


@pytest.mark.parametrize(("engines", "kind"), [("both", "GpuPipeline"), ("network", "Pipeline"), ("none", "Pipeline")])
def test_load_stays_on_the_gpu_where_both_networks_are_there(gpu, network, engines, kind):
    usual = ENGINES["onnxruntime"]
    try:
        on_cpu = load_detector(threads=1)
        if engines != "none":
            ENGINES["onnxruntime"] = lambda bundle, threads: OrtBehindGpu(bundle, gpu)
        detector = load_detector() if engines == "both" else on_cpu
        with load(network, detector=detector, threads=1) as made:
            assert type(made).__name__ == kind
            assert len(made(scene("one")).faces) == 1
    finally:
        ENGINES["onnxruntime"] = usual
