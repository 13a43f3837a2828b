"""What sessions of all CPU runtimes have in common: batches of one frame, the residual, several precisions."""

from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from facesr_edge.engines.bundle.bundle import REFERENCES, Bundle
from facesr_edge.engines.errors import EngineError, UnknownNameError
from facesr_edge.engines.onnxruntime.session import OrtGraph
from facesr_edge.engines.openvino.session import installed, supports_bf16
from facesr_edge.engines.registry import ENGINES as ENGINE_OF
from facesr_edge.engines.registry import open_session
from facesr_edge.zoo import catalogue

needs_openvino = pytest.mark.skipif(not installed(), reason="needs OpenVINO; pip install 'facesr-edge[openvino]'")
ENGINES = ["onnxruntime", pytest.param("openvino", marks=needs_openvino)]


@pytest.fixture
def opened():
    """Open a session that is closed at the end of the test."""
    sessions = []

    def open_once(*arguments, **options):
        sessions.append(open_session(*arguments, **options))
        return sessions[-1]

    yield open_once
    for session in sessions:
        session.close()


@pytest.mark.parametrize("engine", ENGINES)
def test_batches_of_a_frame_equal_single_calls(opened, tiny_bundle, crops, engine):
    session = opened(tiny_bundle(), engine, 2)
    batches = [crops(side, count) for side, count in [(32, 7), (48, 1), (64, 3), (32, 2)]]
    outputs = session.infer_batches(batches)
    for output, batch in zip(outputs, batches, strict=True):
        (alone,) = session.infer_batches([batch])
        np.testing.assert_allclose(output.residual, alone.residual, rtol=1e-4)
        assert output.tensor.dtype == np.uint8 and np.array_equal(output.tensor, session.infer(batch))


@pytest.mark.parametrize("engine", ENGINES)
def test_residual_is_the_second_output(opened, residual_bundle, crops, engine):
    session = opened(residual_bundle, engine, 2)
    batches = [crops(32, 11), crops(48, 1)]
    for output, batch in zip(session.infer_batches(batches), batches, strict=True):
        assert output.residual.dtype == np.float32 and output.residual.shape == (len(batch),)
        np.testing.assert_allclose(output.residual, batch.reshape(len(batch), -1).mean(1), rtol=1e-4)
        assert np.array_equal(session.infer(batch), output.tensor)


@pytest.mark.parametrize("engine", ENGINES)
def test_outputs_are_not_overwritten_by_later_calls(opened, residual_bundle, crops, engine):
    session, batches = opened(residual_bundle, engine, 2), [crops(32, 3), crops(48, 2)]
    outputs = session.infer_batches(batches)
    kept = [(tensor.copy(), residual.copy()) for tensor, residual in outputs]
    session.infer_batches([255 - batch for batch in batches])
    for output, copies in zip(outputs, kept, strict=True):
        assert all(np.array_equal(array, copy) for array, copy in zip(output, copies, strict=True))
        assert all(array.flags.writeable for array in output)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_do_not_change_the_result(residual_bundle, crops, engine, workers):
    batches = [crops(side, count) for side, count in [(32, 5), (64, 2), (48, 1), (32, 1)]]
    with closing(ENGINE_OF[engine](residual_bundle, workers, "fp32", workers)) as session:
        first = session.infer_batches(batches)
        single = [[session.infer_batches([face[None]])[0] for face in batch] for batch in batches]
        for _ in range(5):  # whichever worker runs a face
            for output, before in zip(session.infer_batches(batches), first, strict=True):
                assert all(np.array_equal(array, same) for array, same in zip(output, before, strict=True))
    for output, faces in zip(first, single, strict=True):
        differences = np.abs(output.tensor.astype(int) - np.concatenate([face.tensor for face in faces]))
        assert differences.max() <= 1 and (differences > 0).mean() < 0.001  # rounding of ties
        np.testing.assert_allclose(output.residual, np.concatenate([face.residual for face in faces]), rtol=1e-4)


@pytest.mark.parametrize("engine", ENGINES)
def test_warm_up_prepares_every_number_of_faces(two_precisions, crops, engine, monkeypatch):
    bundle = two_precisions()
    small = Bundle(bundle.folder, replace(bundle.card, io_spec=replace(bundle.card.io_spec, crop_sizes=(32, 48))))
    with closing(ENGINE_OF[engine](small, 2, "int8", 2)) as session:
        session.warm_up()
        for name in ("openvino.session.CompiledGraph", "onnxruntime.session.OrtGraph"):
            monkeypatch.setattr(f"facesr_edge.engines.{name}", None)
        for count in range(1, 10):
            outputs = session.infer_batches([crops(32, count), crops(48, 1)])
            assert [len(output.tensor) for output in outputs] == [count, 1]


@pytest.mark.parametrize("engine", ENGINES)
def test_unsupported_batch_is_rejected_by_workers(residual_bundle, crops, engine):
    with closing(ENGINE_OF[engine](residual_bundle, 2, "fp32", 2)) as session:
        with pytest.raises(EngineError, match="expected square crops"):
            session.infer_batches([crops(32, 2), np.zeros((1, 33, 33, 3), np.uint8)])
        assert len(session.infer(crops(32, 2))) == 2


@pytest.mark.parametrize("engine", ENGINES)
def test_no_batches_give_no_outputs(opened, tiny_bundle, engine):
    assert opened(tiny_bundle(), engine, 2).infer_batches([]) == []


@pytest.mark.parametrize("engine", ENGINES)
def test_each_precision_runs_its_graph(opened, two_precisions, tiny_bundle, crops, engine):
    batch = crops(32, 2)
    for precision in ("fp32", "int8"):
        expected = opened(tiny_bundle(precision=precision), engine, 1).infer(batch)
        assert np.array_equal(opened(two_precisions(), engine, 1, precision).infer(batch), expected)


@pytest.mark.parametrize("engine", ENGINES)
def test_missing_graph_is_rejected_with_the_precisions_of_the_bundle(opened, tiny_bundle, two_precisions, engine):
    with pytest.raises(EngineError, match=r"no graph in int8; use --precision auto, or fp32$"):
        opened(tiny_bundle(), engine, 1, "int8")
    with pytest.raises(EngineError, match=r"no graph in fp16; use --precision auto, or fp32 and int8$"):
        opened(two_precisions(), engine, 1, "fp16")


@needs_openvino
def test_bf16_runs_where_the_processor_has_it(opened, tiny_bundle, crops):
    if not supports_bf16():
        with pytest.raises(EngineError, match="no bfloat16 instructions; use --precision auto, or fp32"):
            opened(tiny_bundle(), "openvino", 1, "bf16")
        return
    fp32, bf16 = (opened(tiny_bundle(), "openvino", 1, precision).infer(crops(32, 4)) for precision in ("fp32", "bf16"))
    assert 0 < np.abs(fp32.astype(int) - bf16).max() < 16


def test_bf16_is_rejected_by_onnx_runtime(opened, tiny_bundle):
    with pytest.raises(EngineError, match="runs no network in bf16; use --engine openvino"):
        opened(tiny_bundle(), "onnxruntime", 1, "bf16")


def test_unknown_precision_is_rejected_with_the_known_names(opened, tiny_bundle):
    with pytest.raises(UnknownNameError, match="did you mean 'fp16'"):
        opened(tiny_bundle(), precision="fp61")


@pytest.fixture(scope="module")
def msrnet():
    return catalogue.find("msrnet-x8")


@pytest.fixture(scope="module")
def references(msrnet, crops):
    """Number of faces -> features of three references per face, of which the last face has one only."""
    encoded = OrtGraph(msrnet.folder / REFERENCES).run(crops(128, 4))

    def features(count):
        index = (np.arange(count)[:, None] + np.arange(3)) % 4
        keys, values = (part.astype(np.float16)[index] for part in encoded)
        present = np.ones((count, 3), np.float32)
        present[-1, 1:] = 0
        return {"keys": keys, "values": values, "present": present}

    return features


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("workers", [1, 2])
def test_named_inputs_agree_with_one_call_of_the_graph(msrnet, references, crops, engine, workers):
    batches = [crops(16, 5), crops(16, 2)]
    inputs = [references(len(batch)) for batch in batches]
    with closing(ENGINE_OF[engine](msrnet, workers, "fp32", workers)) as session:
        outputs = session.infer_batches(batches, inputs)
        without = session.infer_batches(batches)
    for batch, named, output, other in zip(batches, inputs, outputs, without, strict=True):
        expected, residual = OrtGraph(msrnet.onnx, 1).run(batch, *named.values())
        differences = np.abs(output.tensor.astype(int) - expected)
        assert differences.max() <= 1 and (differences > 0).mean() < 0.001  # rounding of ties
        np.testing.assert_allclose(output.residual, residual, rtol=1e-3, atol=1e-3)
        assert (np.abs(other.tensor.astype(int) - expected) > 1).mean() > 0.01  # the references have an effect


@pytest.mark.parametrize("engine", ENGINES)
def test_faces_between_others_in_memory_give_the_same_result(opened, msrnet, references, crops, engine):
    session, faces = opened(msrnet, engine, 1), np.repeat(crops(16, 4)[:, None], 3, 1)[:, 1]  # not contiguous
    for _ in range(3):
        (output,) = session.infer_batches([faces], [references(4)])
        (expected,) = session.infer_batches([faces.copy()], [references(4)])
        assert np.array_equal(output.tensor, expected.tensor)


@pytest.mark.parametrize("engine", ENGINES)
def test_slots_without_a_reference_have_no_effect(opened, msrnet, references, crops, engine):
    session, batch = opened(msrnet, engine, 1), crops(16, 1)
    absent = {**references(1), "present": np.zeros((1, 3), np.float32)}
    (output,), expected = session.infer_batches([batch], [absent]), session.infer(batch)
    assert np.abs(output.tensor.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"other": np.zeros(1)}, r"among keys, values, present, got other"),
        ({"present": np.ones((1, 2), np.float32)}, r"expected present of \(1, 3\) float32, got \(1, 2\)"),
        ({"present": np.ones((1, 3))}, r"expected present of \(1, 3\) float32, got \(1, 3\) float64"),
        (
            {"keys": np.zeros((1, 3, 9, 9), np.float16)},
            r"keys of \(1, 3, 1024, 144\) float16, got \(1, 3, 9, 9\)",
        ),
    ],
)
def test_unsuitable_named_input_is_rejected(opened, msrnet, references, crops, engine, changes, message):
    session = opened(msrnet, engine, 1)
    for call in (
        lambda inputs: session.infer_batches([crops(16, 1)], [inputs]),
        lambda inputs: session.layer_times(crops(16, 1), 1, inputs),
    ):
        with pytest.raises(EngineError, match=message):
            call(references(1) | changes)


@pytest.mark.parametrize("engine", ENGINES)
def test_network_of_one_input_rejects_named_inputs(opened, tiny_bundle, crops, engine):
    with pytest.raises(EngineError, match="besides the pixels among none, got keys"):
        opened(tiny_bundle(), engine, 1).infer_batches([crops(32, 1)], [{"keys": np.zeros((1, 1))}])


@pytest.mark.parametrize("engine", ENGINES)
def test_layer_times_of_a_call_with_references_cover_the_graph(opened, msrnet, references, crops, engine):
    times = opened(msrnet, engine, 1).layer_times(crops(16, 1), 1, references(1))
    assert {layer.kind for layer in times} >= {"MatMul"} and sum(layer.ms for layer in times) > 0
