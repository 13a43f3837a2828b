"""TensorRT on a real GPU against ONNX Runtime. `pytest -m tensorrt` runs only these tests."""

import threading
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from facesr_edge.converters.parity import consistency_parity
from facesr_edge.converters.static_graph import static_graph
from facesr_edge.engines.bundle.bundle import REFERENCES, write_bundle
from facesr_edge.engines.cuda.device import Gpu
from facesr_edge.engines.errors import BuildError, EngineError, MissingDependencyError
from facesr_edge.engines.onnxruntime.session import OrtGraph, OrtSession
from facesr_edge.engines.tensorrt.api import tensorrt
from facesr_edge.engines.tensorrt.builder import compile_engine
from facesr_edge.engines.tensorrt.loader import current_engine_info
from facesr_edge.engines.tensorrt.options import CompileOptions
from facesr_edge.engines.tensorrt.session import TrtSession
from facesr_edge.zoo.catalogue import find

pytestmark = pytest.mark.tensorrt

MIN_PSNR_DB = 50
"""Both run in FP32; differences are the order of summation and ties in rounding."""
SIZES = ((384, 640), (64, 96))


@pytest.fixture(scope="module")
def gpu():
    try:
        tensorrt()
        gpu = Gpu()
    except (MissingDependencyError, EngineError) as error:
        pytest.skip(str(error))
    with gpu:
        yield gpu


@pytest.fixture(scope="module")
def compiled(gpu, tmp_path_factory):
    """Model name -> its bundle with engine, the build result and its progress reports."""
    folder = tmp_path_factory.mktemp("compiled")

    def compile_model(name):
        bundle, reports = find(name), []
        options = CompileOptions(builder_level=1, sizes_hw=SIZES, timing_cache=folder / "timing")
        result = compile_engine(bundle, graphs(bundle), options, reports.append)
        card = replace(bundle.card, engine=current_engine_info(bundle, gpu))
        contents = {"model.onnx": bundle.onnx.read_bytes(), **result.files}
        return write_bundle(folder / name, card, contents), result, reports

    return compile_model


@pytest.fixture(scope="module")
def idrn(compiled):
    return compiled("idrn-x4")


@pytest.fixture(scope="module")
def session(idrn, gpu):
    session = TrtSession(idrn[0], gpu)
    yield session
    session.close()


def graphs(bundle):
    return partial(static_graph, bundle.onnx.read_bytes())


def psnr_db(one, other):
    error = np.mean((one.astype(float) - other) ** 2)
    return np.inf if error == 0 else 10 * np.log10(255**2 / error)


def test_a_build_reports_progress_and_layers(idrn):
    _, result, reports = idrn
    fractions = [progress.fraction for progress in reports]
    assert len(fractions) > 3 and fractions == sorted(fractions) and fractions[-1] > 0.5
    assert result.seconds > 0 and all(plan.layers for plan in result.plans.values())


@pytest.mark.parametrize("side", [32, 48, 64, 80, 96, 112, 128])
@pytest.mark.parametrize("count", [1, 3, 9])
def test_idrn_equals_onnx_runtime(idrn, session, crops, side, count):
    batch = crops(side, count)
    expected = OrtSession(idrn[0]).infer(batch)
    first = session.infer(batch)
    assert psnr_db(first, expected) >= MIN_PSNR_DB
    np.testing.assert_array_equal(session.infer(batch), first)  # as a CUDA graph, if supported


def test_the_detector_equals_onnx_runtime(compiled, gpu, astronaut):
    bundle, _, _ = compiled("detector")
    session = TrtSession(bundle, gpu)
    assert set(session.io_spec.sizes_hw) == set(SIZES)
    for height, width in SIZES:
        frame = np.ascontiguousarray(np.resize(astronaut, (1, height, width, 3)))
        expected = OrtSession(bundle).infer(frame)
        np.testing.assert_allclose(session.infer(frame), expected, atol=0.02)
    session.close()


@pytest.mark.parametrize("slots", [1, 3, 5])
def test_a_network_with_references_equals_onnx_runtime(compiled, gpu, crops, slots):
    bundle, _, _ = compiled("msrnet-x8")
    keys, values = OrtGraph(find("msrnet-x8").folder / REFERENCES).run(crops(128, 5))
    index = (np.arange(3)[:, None] + np.arange(slots)) % 5
    inputs = {"keys": keys.astype(np.float16)[index], "values": values.astype(np.float16)[index]}
    inputs["present"] = np.ones((3, slots), np.float32)
    session, batch = TrtSession(bundle, gpu), crops(16, 3)
    for given in ([inputs], [], [inputs]):
        (expected,) = OrtSession(bundle).infer_batches([batch], given)
        for _ in range(2):  # direct, then as a CUDA graph
            (output,) = session.infer_batches([batch], given)
            assert psnr_db(output.tensor, expected.tensor) >= MIN_PSNR_DB
    session.close()


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_output_on_device_equals_infer_batches(session, gpu, crops, count):
    batch = crops(32, count)
    (expected,), stream = session.infer_batches([batch]), gpu.stream()
    array = gpu.empty(batch.shape, np.uint8)
    gpu.upload(batch, array, stream)
    for result, values in zip(session.output_on_device(array), expected, strict=True):
        out = gpu.pinned(values.shape, values.dtype)
        gpu.download(result, out, result.stream)
        result.stream.synchronize()
        np.testing.assert_array_equal(out, values)


@pytest.mark.parametrize("count", [1, 3, 9])
def test_the_residual_is_that_of_the_pixels(session, crops, count):
    batches = [crops(side, count) for side in (32, 80)]
    for batch, output in zip(batches, session.infer_batches(batches), strict=True):
        consistency_parity("engine", batch, *output)


def test_cuda_graphs_are_used_if_the_bindings_support_them(session, gpu):
    session.warm_up()
    assert ("no CUDA graphs" in session.runtime) == (not gpu.graphs), session.runtime


def test_layer_times_cover_the_engine(session, crops):
    times = session.layer_times(crops(64, 2))
    assert (
        len(times) > 3 and all(layer.ms >= 0 and layer.name for layer in times) and any(layer.kind for layer in times)
    )


def test_a_cancelled_build_raises(gpu):
    stop, bundle = threading.Event(), find("idrn-x4")
    with pytest.raises(BuildError, match="was cancelled"):
        compile_engine(bundle, graphs(bundle), CompileOptions(), lambda progress: stop.set(), stop=stop)


def test_an_invalid_engine_raises(gpu):
    with pytest.raises(EngineError, match="cannot be loaded by TensorRT"):
        TrtSession(find("idrn-x4"), gpu, engines={(32, 32): b"invalid" * 100})
