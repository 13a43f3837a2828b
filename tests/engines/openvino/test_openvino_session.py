"""OpenVINO sessions: agreement with ONNX Runtime, constant memory, errors in one line."""

import os
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from facesr_edge.engines.batching import MAX_THREADS
from facesr_edge.engines.bundle.bundle import Bundle
from facesr_edge.engines.errors import BundleError, EngineError, UsageError
from facesr_edge.engines.onnxruntime.session import OrtSession
from facesr_edge.engines.openvino import session as module
from facesr_edge.engines.openvino.session import MAX_GRAPHS, RECURRING_CALLS, OvSession, installed
from facesr_edge.zoo import catalogue

pytest.importorskip("openvino", reason="needs OpenVINO; pip install 'facesr-edge[openvino]'")


@pytest.fixture(scope="module")
def session(tiny_bundle):
    session = OvSession(tiny_bundle(), threads=1)
    yield session
    session.close()


def with_io_spec(bundle, **changes):
    return Bundle(bundle.folder, replace(bundle.card, io_spec=replace(bundle.card.io_spec, **changes)))


def draft(folder, card):
    """A bundle whose files are not verified."""
    return Bundle(folder, replace(card, files={}))


def compare(output, expected):
    """Maximum absolute difference, and the fraction of values that differ."""
    difference = np.abs(output.astype(float) - expected)
    return difference.max(), (difference > 0).mean()


@pytest.mark.parametrize("side", [32, 48, 64, 80, 96, 112, 128])
@pytest.mark.parametrize("count", [1, 8, 9])
def test_crops_agree_with_onnx_runtime(session, tiny_bundle, crops, side, count):
    batch = crops(side, count)
    output = session.infer(batch)
    assert output.shape == (count, 4 * side, 4 * side, 3) and output.dtype == np.uint8
    max_error, fraction = compare(output, OrtSession(tiny_bundle(), 1).infer(batch))
    assert max_error <= 1 and fraction < 0.001  # rounding of ties may differ


@pytest.mark.parametrize(("precision", "tolerance"), [("fp16", 1), ("int8", 2)])  # one INT8 step may be 2 of 255
def test_fp16_and_int8_agree_with_onnx_runtime(tiny_bundle, crops, precision, tolerance):
    bundle, batch = tiny_bundle(precision=precision), crops(32, 9)
    max_error, fraction = compare(OvSession(bundle, 1).infer(batch), OrtSession(bundle, 1).infer(batch))
    assert max_error <= tolerance and fraction < 0.1


def test_default_model_agrees_with_onnx_runtime(crops):
    bundle, batch = catalogue.find(catalogue.DEFAULT_MODEL), crops(32, 3)
    max_error, fraction = compare(OvSession(bundle, 1).infer(batch), OrtSession(bundle, 1).infer(batch))
    assert max_error <= 1 and fraction < 0.001


def test_detector_agrees_with_onnx_runtime_at_any_size(astronaut):
    bundle = catalogue.find(catalogue.DEFAULT_DETECTOR)
    session, reference = OvSession(bundle, 1), OrtSession(bundle, 1)
    for height, width in [(256, 288), (96, 64), (256, 288)]:
        frames = np.stack([astronaut[:height, :width], astronaut[-height:, -width:]])
        np.testing.assert_allclose(session.infer(frames), reference.infer(frames), atol=1e-4)
    assert reference.infer(frames)[..., 0].max() > 0.5  # one of the frames has a face


def test_detector_of_a_fixed_size_is_compiled_for_it(astronaut):
    bundle = with_io_spec(catalogue.find(catalogue.DEFAULT_DETECTOR), sizes_hw=((96, 64),))
    frame = astronaut[None, :96, :64]
    np.testing.assert_allclose(OvSession(bundle, 1).infer(frame), OrtSession(bundle, 1).infer(frame), atol=1e-4)
    with pytest.raises(EngineError, match="expected 64x96 px, got 64x64"):
        OvSession(bundle, 1).infer(frame[:, :64])


def test_result_is_not_overwritten_and_input_not_modified(session, crops):
    batch = crops(32, 1)
    before, first = batch.copy(), session.infer(batch)
    kept = first.copy()
    session.infer(255 - batch)
    assert (first == kept).all() and (batch == before).all() and first.flags.writeable


def test_detector_output_is_not_overwritten(astronaut):
    session = OvSession(catalogue.find(catalogue.DEFAULT_DETECTOR), 1)
    first = session.infer(astronaut[None, :64, :64])
    kept = first.copy()
    session.infer(astronaut[None, 100:164, 200:264])
    assert (first == kept).all() and first.flags.writeable


def test_non_contiguous_or_read_only_input_equals_its_copy(session, crops):
    mirrored = crops(32, 2)[:, :, ::-1]
    assert not mirrored.flags.c_contiguous
    read_only = mirrored.copy()
    read_only.flags.writeable = False
    assert (session.infer(mirrored) == session.infer(mirrored.copy())).all()
    assert (session.infer(mirrored) == session.infer(read_only)).all()


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        (np.zeros((1, 33, 33, 3), np.uint8), "square crops of 32, 48, 64, 80, 96, 112, 128 px, got 33x33"),
        (np.zeros((0, 32, 32, 3), np.uint8), r"\(N, H, W, 3\) uint8, got \(0, 32, 32, 3\)"),
        (np.zeros((1, 32, 32, 4), np.uint8), r"got \(1, 32, 32, 4\)"),
        (np.zeros((1, 32, 32, 3), np.float32), r"got \(1, 32, 32, 3\) float32"),
    ],
)
def test_unsupported_batch_is_rejected(session, batch, expected):
    for method in (session.infer, session.layer_times):
        with pytest.raises(EngineError, match=expected):
            method(batch)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the resident memory from /proc")
def test_memory_is_constant_over_batch_and_crop_sizes(tiny_bundle, crops, memory_bytes):
    session, rng = OvSession(with_io_spec(tiny_bundle(), crop_sizes=(32, 48)), 1), np.random.default_rng(0)

    def calls(number):
        for _ in range(number):
            session.infer(crops(int(rng.choice([32, 48])), int(rng.integers(1, 10))))

    session.warm_up()
    calls(20)
    before = memory_bytes()
    calls(200)
    assert memory_bytes() - before < 8 << 20


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the resident memory from /proc")
def test_memory_is_constant_over_frame_sizes(astronaut, memory_bytes):
    session, rng = OvSession(catalogue.find(catalogue.DEFAULT_DETECTOR), 1), np.random.default_rng(0)

    def frames(number):
        for _ in range(number):
            height, width = 32 * rng.integers(1, 7, 2)
            session.infer(astronaut[None, :height, :width])

    for side in range(32, 32 * (MAX_GRAPHS + 1), 32):  # as many graphs as are kept
        for _ in range(RECURRING_CALLS):
            session.infer(np.ascontiguousarray(astronaut[None, :side, :side]))
    frames(100)
    before = memory_bytes()
    frames(200)
    assert memory_bytes() - before < 8 << 20


def test_nothing_is_compiled_after_warm_up(tiny_bundle, crops, monkeypatch):
    session = OvSession(with_io_spec(tiny_bundle(), crop_sizes=(32,)), 1)
    session.warm_up()
    monkeypatch.setattr("facesr_edge.engines.openvino.session.CompiledGraph", None)
    assert [len(session.infer(crops(32, count))) for count in range(1, 18)] == list(range(1, 18))


def test_closed_session_raises(tiny_bundle, crops):
    session = OvSession(tiny_bundle(), threads=1)
    session.infer(crops(32, 1))
    session.close()
    session.close()
    with pytest.raises(EngineError, match="is closed"):
        session.infer(crops(32, 1))


@pytest.mark.parametrize("content", [b"", b"not a graph\n", b"\x08\x07" + bytes(100), "truncated"])
def test_invalid_file_is_rejected_in_one_line(tiny_bundle, tmp_path, content, capfd):
    bundle = tiny_bundle()
    (tmp_path / "model.onnx").write_bytes(bundle.onnx.read_bytes()[:9000] if content == "truncated" else content)
    expected = r"model\.onnx (cannot be loaded by OpenVINO \d|is not an ONNX file)"
    with pytest.raises((EngineError, BundleError), match=expected) as caught:
        OvSession(draft(tmp_path, bundle.card))
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_runtime_error_is_reported_in_one_line(astronaut):
    detector = with_io_spec(catalogue.find(catalogue.DEFAULT_DETECTOR), multiple=1)  # its I/O spec rejects it
    with pytest.raises(EngineError, match=r"OpenVINO failed on an input of \(1, 33, 47, 3\): .+") as caught:
        OvSession(detector).infer(astronaut[None, :33, :47])
    assert "\n" not in str(caught.value)


def test_matching_of_references_is_not_run_in_bf16(monkeypatch):
    monkeypatch.setattr(module, "supports_bf16", lambda: True)
    with pytest.raises(EngineError, match="msrnet-x8 matches references, which needs FP32"):
        OvSession(catalogue.find("msrnet-x8"), 1, "bf16")


def test_graph_of_several_inputs_is_rejected(tiny_bundle, tmp_path):
    onnx = pytest.importorskip("onnx", reason="needs onnx to create a graph; pip install 'facesr-edge[build]'")
    a, b, c = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "abc")
    graph = onnx.helper.make_graph([onnx.helper.make_node("Add", ["a", "b"], ["c"])], "sum", [a, b], [c])
    opset = [onnx.helper.make_opsetid("", 18)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "model.onnx")
    with pytest.raises(EngineError, match="expected a graph of one input, got 2; use --engine onnxruntime"):
        OvSession(draft(tmp_path, tiny_bundle().card))


@pytest.mark.parametrize("threads", [-1, MAX_THREADS + 1])
def test_invalid_number_of_threads_is_rejected(tiny_bundle, threads):
    with pytest.raises(UsageError, match=f"to {MAX_THREADS} threads, got {threads}"):
        OvSession(tiny_bundle(), threads)


@pytest.mark.parametrize(("threads", "expected"), [(0, os.cpu_count()), (1, 1), (2, 2)])
def test_number_of_threads_is_applied_and_in_the_runtime_name(tiny_bundle, crops, threads, expected):
    session = OvSession(tiny_bundle(), threads)
    assert session.runtime.startswith("OpenVINO 20") and session.runtime.endswith(f" (CPU, {expected} threads)")
    session.infer(crops(32, 1))
    (graph,) = session._graphs.values()
    number = graph.compiled.get_property("INFERENCE_NUM_THREADS")
    assert number == min(expected, os.cpu_count()) or threads == 0


def test_layer_times_cover_every_node(session, crops):
    times = session.layer_times(crops(48, 2), runs=3)
    assert "Convolution" in {layer.kind for layer in times} and all(layer.ms >= 0 for layer in times)
    assert len(times) > 10 and sum(layer.ms for layer in times) > 0


def test_missing_runtime_is_reported_with_the_install_command(tiny_bundle):
    program = (
        "import sys; sys.modules['openvino'] = None\n"
        "from facesr_edge.engines import registry\n"
        "from facesr_edge.engines.bundle import bundle\nfrom facesr_edge.engines.openvino import session\n"
        "print(session.installed())\n"
        "try: registry.open_session(bundle.open_bundle(sys.argv[1]), 'openvino')\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tiny_bundle().folder)], capture_output=True, text=True, check=True
    )
    assert done.stdout == (
        "False\n"
        "MissingDependencyError the engine openvino needs OpenVINO, which is not installed; "
        "pip install 'facesr-edge[openvino]'\n"
    )
    assert installed()


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """An empty cache of compiled graphs, also for subprocesses."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    module._cache_settings.cache_clear()
    yield tmp_path / "facesr-edge" / module.CACHE
    module._cache_settings.cache_clear()


def loaded_from_cache(session):
    return [graph.compiled.get_property("LOADED_FROM_CACHE") for graph in session._graphs.values()]


def test_second_session_compiles_nothing(own_cache, tiny_bundle, crops):
    outputs = []
    for cached in (False, True):
        session = OvSession(tiny_bundle(), 2, workers=2)
        outputs.append(session.infer_batches([crops(32, 3), crops(48, 1)]))
        assert set(loaded_from_cache(session)) == {cached}
        session.close()
    for first, second in zip(*outputs, strict=True):
        assert np.array_equal(first.tensor, second.tensor)
    assert len(list(own_cache.rglob("*.blob"))) == 2  # of 32 and of 48 px


def test_changed_graph_is_compiled_again(own_cache, tiny_bundle, tmp_path, crops):
    bundle = tiny_bundle()
    OvSession(bundle, 1).infer(crops(32, 1))
    other = onnx_with_scaled_weights(bundle.onnx, tmp_path / "model.onnx")
    session = OvSession(draft(other.parent, bundle.card), 1)
    output = session.infer(crops(32, 1))
    assert loaded_from_cache(session) == [False]
    assert np.abs(output.astype(int) - OrtSession(draft(other.parent, bundle.card), 1).infer(crops(32, 1))).max() <= 1


def onnx_with_scaled_weights(source, path):
    """A graph that differs from another by the values of its largest weights only."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load(source)
    weights = max(model.graph.initializer, key=lambda tensor: np.prod(tensor.dims))
    weights.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weights) * 2, weights.name))
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("damage", [b"", b"junk", "half"])
def test_damaged_cache_file_is_compiled_again(own_cache, tiny_bundle, crops, damage):
    expected = OvSession(tiny_bundle(), 1).infer(crops(32, 1))
    (path,) = own_cache.rglob("*.blob")
    content = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(content[: len(content) // 2] if damage == "half" else damage)
    assert np.array_equal(OvSession(tiny_bundle(), 1).infer(crops(32, 1)), expected)


def test_cache_that_cannot_be_written_is_not_used(tiny_bundle, tmp_path, monkeypatch, own_cache, crops):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    session = OvSession(tiny_bundle(), 1)
    assert session.infer(crops(32, 1)).shape == (1, 128, 128, 3) and loaded_from_cache(session) == [False]


def test_processes_that_start_at_once_share_the_cache(own_cache, tiny_bundle):
    program = (
        "import sys, numpy\nfrom facesr_edge.engines.bundle.bundle import open_bundle\n"
        "from facesr_edge.engines.openvino.session import OvSession\n"
        "session = OvSession(open_bundle(sys.argv[1]), 1)\n"
        "print(session.infer(numpy.full((1, 32, 32, 3), 99, numpy.uint8)).sum())\n"
    )
    command = [sys.executable, "-c", program, str(tiny_bundle().folder)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
    results = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, results
    assert len({output for output, _ in results}) == 1


def test_recurring_shape_of_a_detector_gets_its_own_graph_with_the_same_result():
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (1, side, 96, 3), np.uint8) for side in (64, 96)]
    with closing(OvSession(catalogue.find("detector"), threads=1)) as session:
        first = [session.infer(frame) for frame in frames]
        for _ in range(RECURRING_CALLS):
            again = [session.infer(frame) for frame in frames]
        assert {shape for (shape,), _ in session._graphs} == {(-1, -1, -1, 3), *(frame.shape for frame in frames)}
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_number_of_graphs_of_a_detector_is_bounded():
    with closing(OvSession(catalogue.find("detector"), threads=1)) as session:
        for width in range(32, 32 * (MAX_GRAPHS + 4), 32):
            for _ in range(RECURRING_CALLS + 1):
                session.infer(np.zeros((1, 32, width, 3), np.uint8))
        assert len(session._graphs) == MAX_GRAPHS and (((1, 32, width, 3),), False) in session._graphs


def test_importing_openvino_sends_no_telemetry(tmp_path):
    """With its telemetry, importing OpenVINO writes an identifier to the home folder and sends an event."""
    pytest.importorskip("openvino_telemetry")
    program = (
        "import socket, sys\n"
        "socket.socket.connect = lambda *address: sys.exit(f'connects to {address}')\n"
        "from facesr_edge.engines.openvino.session import version\n"
        "print(version(), [name for name in sys.modules if name.startswith('openvino_telemetry')])"
    )
    environment = {name: value for name, value in os.environ.items() if name != "CI"} | {"HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0 and done.stdout.endswith(" []\n"), done.stderr
    assert list(tmp_path.iterdir()) == []
