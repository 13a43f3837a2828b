"""OpenVINO: what ONNX Runtime gives, of every window and number of crops, in memory that stays flat."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from facesr_edge.engines.batching import MAX_THREADS
from facesr_edge.engines.bundle.bundle import Bundle
from facesr_edge.engines.errors import EngineError, UsageError
from facesr_edge.engines.onnxruntime.session import OrtSession
from facesr_edge.engines.openvino.session import OvSession, installed
from facesr_edge.engines.registry import open_session
from facesr_edge.zoo import catalogue

pytest.importorskip("openvino", reason="needs OpenVINO; pip install 'facesr-edge[openvino]'")


@pytest.fixture(scope="module")
def session(tiny_bundle):
    session = OvSession(tiny_bundle(), threads=1)
    yield session
    session.close()


def with_contract(bundle, **changes):
    return Bundle(bundle.folder, replace(bundle.card, io_spec=replace(bundle.card.io_spec, **changes)))


def apart(one, other):
    """The largest difference, and the share of values that differ."""
    difference = np.abs(one.astype(float) - other)
    return difference.max(), (difference > 0).mean()


@pytest.mark.parametrize("side", [32, 48, 64, 96, 128])
@pytest.mark.parametrize("count", [1, 8, 9])
def test_crops_come_out_as_in_onnx_runtime(session, tiny_bundle, crops, side, count):
    batch = crops(side, count)
    there = session.infer(batch)
    assert there.shape == (count, 4 * side, 4 * side, 3) and there.dtype == np.uint8
    most, share = apart(there, OrtSession(tiny_bundle(), 1).infer(batch))
    assert most <= 1 and share < 0.001  # a tie of the rounding may fall either way


@pytest.mark.parametrize(("precision", "steps"), [("fp16", 1), ("int8", 2)])  # one of 8 bits may be two of a pixel
def test_fewer_bits_come_out_as_in_onnx_runtime(tiny_bundle, crops, precision, steps):
    bundle, batch = tiny_bundle(precision=precision), crops(32, 9)
    most, share = apart(OvSession(bundle, 1).infer(batch), OrtSession(bundle, 1).infer(batch))
    assert most <= steps and share < 0.1


def test_the_model_that_ships_comes_out_as_in_onnx_runtime(crops):
    bundle, batch = catalogue.find(catalogue.DEFAULT_MODEL), crops(32, 3)
    most, share = apart(OvSession(bundle, 1).infer(batch), OrtSession(bundle, 1).infer(batch))
    assert most <= 1 and share < 0.001


def test_a_detectors_maps_come_out_as_in_onnx_runtime_at_any_size(astronaut):
    bundle = catalogue.find(catalogue.DEFAULT_DETECTOR)
    session, other = OvSession(bundle, 1), OrtSession(bundle, 1)
    for height, width in [(256, 288), (96, 64), (256, 288)]:
        frames = np.stack([astronaut[:height, :width], astronaut[-height:, -width:]])
        np.testing.assert_allclose(session.infer(frames), other.infer(frames), atol=1e-4)
    assert other.infer(frames)[..., 0].max() > 0.5  # there is a face in it


def test_a_detector_of_one_size_is_compiled_for_it(astronaut):
    bundle = with_contract(catalogue.find(catalogue.DEFAULT_DETECTOR), sizes_hw=((96, 64),))
    frame = astronaut[None, :96, :64]
    np.testing.assert_allclose(OvSession(bundle, 1).infer(frame), OrtSession(bundle, 1).infer(frame), atol=1e-4)
    with pytest.raises(EngineError, match="expected 64x96 px, got 64x64"):
        OvSession(bundle, 1).infer(frame[:, :64])


def test_results_and_input_belong_to_the_caller(session, crops):
    batch = crops(32, 1)
    before, first = batch.copy(), session.infer(batch)
    kept = first.copy()
    session.infer(255 - batch)
    assert (first == kept).all() and (batch == before).all() and first.flags.writeable


def test_maps_belong_to_the_caller(astronaut):
    session = OvSession(catalogue.find(catalogue.DEFAULT_DETECTOR), 1)
    first = session.infer(astronaut[None, :64, :64])
    kept = first.copy()
    session.infer(astronaut[None, 100:164, 200:264])
    assert (first == kept).all() and first.flags.writeable


def test_pixels_that_lie_otherwise_or_must_not_be_written_come_out_alike(session, crops):
    mirrored = crops(32, 2)[:, :, ::-1]
    assert not mirrored.flags.c_contiguous
    locked = mirrored.copy()
    locked.flags.writeable = False
    assert (session.infer(mirrored) == session.infer(mirrored.copy())).all()
    assert (session.infer(mirrored) == session.infer(locked)).all()


@pytest.mark.parametrize(
    ("batch", "told"),
    [
        (np.zeros((1, 33, 33, 3), np.uint8), "square crops of 32, 48, 64, 96, 128 px, got 33x33"),
        (np.zeros((0, 32, 32, 3), np.uint8), r"\(N, H, W, 3\) uint8, got \(0, 32, 32, 3\)"),
        (np.zeros((1, 32, 32, 4), np.uint8), r"got \(1, 32, 32, 4\)"),
        (np.zeros((1, 32, 32, 3), np.float32), r"got \(1, 32, 32, 3\) float32"),
    ],
)
def test_a_batch_outside_of_the_contract_is_refused(session, batch, told):
    for refused in (session.infer, session.layer_times):
        with pytest.raises(EngineError, match=told):
            refused(batch)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's count of a process's memory")
def test_memory_stays_flat_over_any_counts_and_windows(tiny_bundle, crops, memory_bytes):
    session, rng = OvSession(with_contract(tiny_bundle(), windows=(32, 48)), 1), np.random.default_rng(0)

    def calls(number):
        for _ in range(number):
            session.infer(crops(int(rng.choice([32, 48])), int(rng.integers(1, 10))))

    session.warm_up()
    calls(20)
    before = memory_bytes()
    calls(200)
    assert memory_bytes() - before < 8 << 20


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's count of a process's memory")
def test_memory_stays_flat_over_frames_of_any_size(astronaut, memory_bytes):
    session, rng = OvSession(catalogue.find(catalogue.DEFAULT_DETECTOR), 1), np.random.default_rng(0)

    def frames(number):
        for _ in range(number):
            height, width = 32 * rng.integers(1, 7, 2)
            session.infer(astronaut[None, :height, :width])

    frames(100)
    before = memory_bytes()
    frames(200)
    assert memory_bytes() - before < 8 << 20


def test_after_warm_up_nothing_is_compiled_any_more(tiny_bundle, crops, monkeypatch):
    session = OvSession(with_contract(tiny_bundle(), windows=(32,)), 1)
    session.warm_up()
    monkeypatch.setattr("facesr_edge.engines.openvino.session.CompiledGraph", None)
    assert [len(session.infer(crops(32, count))) for count in range(1, 18)] == list(range(1, 18))


def test_closing_twice_is_harmless_and_a_closed_session_runs_again(tiny_bundle, crops):
    session = OvSession(tiny_bundle(), threads=1)
    before = session.infer(crops(32, 1))
    session.close()
    session.close()
    assert (session.infer(crops(32, 1)) == before).all()


@pytest.mark.parametrize("content", [b"", b"this is no graph\n", b"\x08\x07" + bytes(100), "a half"])
def test_a_file_that_is_no_graph_is_refused_in_one_line(tiny_bundle, tmp_path, content, capfd):
    whole = tiny_bundle()
    (tmp_path / "model.onnx").write_bytes(whole.onnx.read_bytes()[:9000] if content == "a half" else content)
    with pytest.raises(EngineError, match=r"model\.onnx cannot be loaded by OpenVINO \d") as caught:
        OvSession(Bundle(tmp_path, whole.card))
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_graph_that_cannot_run_on_a_size_says_so_in_one_line(astronaut):
    detector = with_contract(catalogue.find(catalogue.DEFAULT_DETECTOR), multiple=1)  # its card would refuse it
    with pytest.raises(EngineError, match=r"OpenVINO failed on an input of \(1, 33, 47, 3\): .+") as caught:
        OvSession(detector).infer(astronaut[None, :33, :47])
    assert "\n" not in str(caught.value)


def test_a_network_that_borrows_from_references_is_refused_in_one_line(tiny_bundle):
    with pytest.raises(EngineError, match="borrows from references, which runs in ONNX Runtime; leave --engine out"):
        open_session(with_contract(tiny_bundle(), references=4), "openvino")


def test_a_graph_of_several_inputs_is_refused_in_one_line(tiny_bundle, tmp_path):
    onnx = pytest.importorskip("onnx", reason="needs onnx to make a graph; pip install 'facesr-edge[build]'")
    a, b, c = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "abc")
    graph = onnx.helper.make_graph([onnx.helper.make_node("Add", ["a", "b"], ["c"])], "sum", [a, b], [c])
    opset = [onnx.helper.make_opsetid("", 18)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "model.onnx")
    with pytest.raises(EngineError, match="expected a graph of one input, got 2; use --engine onnxruntime"):
        OvSession(Bundle(tmp_path, tiny_bundle().card))


@pytest.mark.parametrize("threads", [-1, MAX_THREADS + 1])
def test_a_number_of_threads_that_cannot_be_meant_is_refused(tiny_bundle, threads):
    with pytest.raises(UsageError, match=f"to {MAX_THREADS} threads, got {threads}"):
        OvSession(tiny_bundle(), threads)


@pytest.mark.parametrize(("threads", "told"), [(0, os.cpu_count()), (1, 1), (2, 2)])
def test_the_session_names_its_runtime_and_has_the_threads_asked_for(tiny_bundle, crops, threads, told):
    session = open_session(tiny_bundle(), "openvino", threads)
    assert session.runtime.startswith("OpenVINO 20") and session.runtime.endswith(f" (CPU, {told} threads)")
    session.infer(crops(32, 1))
    (compiled,) = session._compiled.values()
    number = compiled._request.get_compiled_model().get_property("INFERENCE_NUM_THREADS")
    assert number == min(told, os.cpu_count()) or threads == 0


def test_every_layer_of_a_call_is_timed(session, crops):
    times = session.layer_times(crops(48, 2), runs=3)
    assert "Convolution" in {layer.kind for layer in times} and all(layer.ms >= 0 for layer in times)
    assert len(times) > 10 and sum(layer.ms for layer in times) > 0


def test_without_the_runtime_the_remedy_is_told(tiny_bundle):
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
