"""ONNX Runtime sessions: batches of any size, constant memory, errors in one line."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from facesr_edge.engines.batching import MAX_THREADS
from facesr_edge.engines.bundle.bundle import Bundle
from facesr_edge.engines.bundle.io_spec import IOSpec
from facesr_edge.engines.errors import EngineError, UsageError
from facesr_edge.engines.onnxruntime.session import OrtGraph, OrtSession


@pytest.fixture(scope="module")
def session(tiny_bundle):
    session = OrtSession(tiny_bundle(), threads=1)
    yield session
    session.close()


@pytest.fixture
def small_session(tiny_bundle):
    """A session of two crop sizes."""
    bundle = tiny_bundle()
    io_spec = replace(bundle.card.io_spec, crop_sizes=(32, 48))
    session = OrtSession(Bundle(bundle.folder, replace(bundle.card, io_spec=io_spec)), threads=1)
    yield session
    session.close()


@pytest.mark.parametrize("side", [32, 48, 64, 80, 96, 112, 128])
@pytest.mark.parametrize("count", [1, 2, 3, 8, 13])
def test_batch_equals_single_crops(session, crops, side, count):
    batch = crops(side, count)
    output = session.infer(batch)
    single = np.concatenate([session.infer(crop[None]) for crop in batch])
    assert output.shape == (count, 4 * side, 4 * side, 3) and output.dtype == np.uint8
    assert np.abs(output.astype(int) - single).max() <= 1  # rounding of ties may differ
    assert (output == single).mean() > 0.999


def test_fixed_and_symbolic_shapes_give_the_same_result(session, tiny_bundle, crops):
    batch = crops(48, 3)
    symbolic = OrtGraph(tiny_bundle().onnx, threads=1).run(batch)[0]
    assert np.abs(symbolic.astype(int) - session.infer(batch)).max() <= 1


def test_non_contiguous_input_equals_its_copy(session, crops):
    mirrored = crops(32, 2)[:, :, ::-1]
    assert not mirrored.flags.c_contiguous
    assert (session.infer(mirrored) == session.infer(mirrored.copy())).all()


def test_result_is_not_overwritten_and_input_not_modified(session, crops):
    batch = crops(32, 1)
    before, first = batch.copy(), session.infer(batch)
    kept = first.copy()
    session.infer(255 - batch)
    assert (first == kept).all() and (batch == before).all() and first.flags.writeable


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        (np.zeros((1, 33, 33, 3), np.uint8), "square crops of 32, 48, 64, 80, 96, 112, 128 px, got 33x33"),
        (np.zeros((1, 32, 48, 3), np.uint8), "got 48x32"),
        (np.zeros((1, 256, 256, 3), np.uint8), "got 256x256"),
        (np.zeros((0, 32, 32, 3), np.uint8), r"\(N, H, W, 3\) uint8, got \(0, 32, 32, 3\)"),
        (np.zeros((32, 32, 3), np.uint8), r"got \(32, 32, 3\)"),
        (np.zeros((1, 32, 32, 4), np.uint8), r"got \(1, 32, 32, 4\)"),
        (np.zeros((1, 3, 32, 32), np.uint8), r"got \(1, 3, 32, 32\)"),
        (np.zeros((1, 32, 32, 3), np.float32), r"got \(1, 32, 32, 3\) float32"),
        (np.zeros((1, 32, 32, 3), np.int8), "int8"),
    ],
)
def test_unsupported_batch_is_rejected(session, batch, expected):
    with pytest.raises(EngineError, match=expected):
        session.infer(batch)


@pytest.mark.parametrize(
    ("io_spec", "shape", "expected"),
    [
        (IOSpec("face-detection", multiple=32), (1, 64, 80, 3), "multiple of 32, got 80x64"),
        (IOSpec("face-detection", multiple=32), (1, 0, 32, 3), "multiple of 32, got 32x0"),
        (IOSpec("face-detection", multiple=32, sizes_hw=((64, 96),)), (1, 96, 64, 3), "expected 96x64 px, got 64x96"),
    ],
)
def test_unsupported_detector_input_is_rejected(tiny_bundle, io_spec, shape, expected):
    bundle = tiny_bundle()
    session = OrtSession(Bundle(bundle.folder, replace(bundle.card, io_spec=io_spec)))
    with pytest.raises(EngineError, match=expected):
        session.infer(np.zeros(shape, np.uint8))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the resident memory from /proc")
def test_memory_is_constant_over_batch_and_crop_sizes(small_session, crops, memory_bytes):
    rng = np.random.default_rng(0)

    def calls(number):
        for _ in range(number):
            small_session.infer(crops(int(rng.choice([32, 48])), int(rng.integers(1, 20))))

    small_session.warm_up()
    calls(30)
    before = memory_bytes()
    calls(120)
    assert memory_bytes() - before < 8 << 20


def test_no_graph_is_created_after_warm_up(small_session, crops, monkeypatch):
    small_session.warm_up()
    monkeypatch.setattr("facesr_edge.engines.onnxruntime.session.OrtGraph", None)
    assert small_session.infer(crops(32, 3)).shape[0] == small_session.infer(crops(48, 3)).shape[0] == 3


def test_closed_session_raises(tiny_bundle, crops):
    session = OrtSession(tiny_bundle(), threads=1)
    session.infer(crops(32, 1))
    session.close()
    session.close()
    with pytest.raises(EngineError, match="is closed"):
        session.infer(crops(32, 1))


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")
def test_threads_do_not_spin_after_a_call(tiny_bundle):
    graph, pixels = OrtGraph(tiny_bundle().onnx, threads=2), np.zeros((4, 64, 64, 3), np.uint8)
    cpu_seconds = []
    for _ in range(9):
        graph.run(pixels)
        before = time.process_time()
        time.sleep(0.05)
        cpu_seconds.append(time.process_time() - before)
    assert min(cpu_seconds) < 0.01


def test_closed_graph_raises_an_engine_error(tiny_bundle):
    graph = OrtGraph(tiny_bundle().onnx)
    graph.close()
    with pytest.raises(EngineError, match="closed"):
        graph.run(np.zeros((1, 32, 32, 3), np.uint8))


@pytest.mark.parametrize("content", [b"", b"not a graph\n", b"\x08\x07" + bytes(100)])
def test_invalid_file_is_rejected_in_one_line(tmp_path, content, capfd):
    path = tmp_path / "text.onnx"
    path.write_bytes(content)
    with pytest.raises(EngineError, match=r"text\.onnx cannot be loaded by ONNX Runtime") as caught:
        OrtGraph(path)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_runtime_error_is_reported_once_in_one_line(shared, capfd):
    graph = OrtGraph(shared / "models" / "yunet_n_dynamic.onnx")
    with pytest.raises(EngineError, match=r"failed on an input of \(1, 3, 33, 47\)") as caught:
        graph.run(np.zeros((1, 3, 33, 47), np.float32))
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("threads", [-1, MAX_THREADS + 1, 10**6])
def test_invalid_number_of_threads_is_rejected(tiny_bundle, threads):
    with pytest.raises(UsageError, match=f"to {MAX_THREADS} threads, got {threads}"):
        OrtSession(tiny_bundle(), threads)
    with pytest.raises(UsageError, match=f"got {threads}"):
        OrtGraph(tiny_bundle().onnx, threads)


@pytest.mark.parametrize(("threads", "expected"), [(0, os.cpu_count()), (1, 1), (2, 2)])
def test_runtime_name_has_the_number_of_threads(tiny_bundle, threads, expected):
    assert OrtSession(tiny_bundle(), threads).runtime.endswith(f" (CPU, {expected} threads)")


def test_missing_runtime_is_reported_with_the_install_command():
    program = (
        "import sys; sys.modules['onnxruntime'] = None\n"
        "from facesr_edge.engines.onnxruntime import session\n"
        "try: session.version()\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("MissingDependencyError") and "pip install facesr-edge\n" in done.stdout


def test_layer_times_cover_every_node_in_execution_order(session, crops):
    times = session.layer_times(crops(48, 2), runs=3)
    assert {"Conv", "Cast"} <= {layer.kind for layer in times} and all(layer.ms >= 0 for layer in times)
    assert len({(layer.name, layer.kind) for layer in times}) == len(times) > 10
    kinds = [layer.kind for layer in times]
    assert kinds.index("Cast") < kinds.index("Conv")  # the cast of the pixels comes first
    once = session.layer_times(crops(48, 2), runs=1)
    assert sum(layer.ms for layer in times) < 20 * sum(layer.ms for layer in once)  # a mean, not a sum


def test_layer_times_checks_the_batch_and_leaves_no_file(session, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EngineError, match="expected square crops"):
        session.layer_times(np.zeros((1, 40, 40, 3), np.uint8))
    session.layer_times(np.zeros((1, 32, 32, 3), np.uint8), runs=1)
    assert list(tmp_path.iterdir()) == []
