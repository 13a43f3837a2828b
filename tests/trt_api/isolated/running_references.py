"""TensorRT sessions of a network that takes references: named inputs, and slots for any number of them."""

from dataclasses import replace

import numpy as np
import pytest
from facesr_edge.engines.bundle.bundle import Bundle
from facesr_edge.engines.errors import EngineError
from facesr_edge.engines.onnxruntime.session import OrtSession
from facesr_edge.engines.tensorrt.session import TrtSession
from inputs import images


@pytest.fixture
def with_references(compiled, simulation, msrnet):
    session = TrtSession(compiled(msrnet), simulation.gpu)
    yield session
    session.close()


def agree(outputs, expected):
    for output, other in zip(outputs, expected, strict=True):
        np.testing.assert_array_equal(output.tensor, other.tensor)
        np.testing.assert_allclose(output.residual, other.residual, rtol=1e-4)


def test_named_inputs_equal_onnx_runtime_whatever_ran_before(with_references, msrnet, references):
    batches, reference = [images(3, 16, 16), images(1, 16, 16)], OrtSession(msrnet, threads=1)
    for slots in (2, 2, None, 1, None, 2):  # direct, as a CUDA graph, without, with as many slots as without, again
        inputs = [references(len(batch), slots) for batch in batches] if slots else []
        agree(with_references.infer_batches(batches, inputs), reference.infer_batches(batches, inputs))


def test_a_number_of_references_is_allocated_once(with_references, simulation, references):
    allocated = []
    for slots in (2, 2, 3, 3):
        with_references.infer_batches([images(3, 16, 16)], [references(3, slots)])
        allocated.append(simulation.gpu.empty.call_count)
    assert allocated[0] == allocated[1] < allocated[2] == allocated[3]


def test_output_on_device_runs_with_empty_slots_for_references(with_references, simulation, references):
    batch = images(3, 16, 16)
    with_references.infer_batches([batch], [references(3, 1)])
    (expected,) = with_references.infer_batches([batch])
    with_references.infer_batches([batch], [references(3, 1)])
    on_gpu = simulation.empty(batch.shape, batch.dtype)
    simulation.memory[on_gpu.pointer][:] = batch.reshape(-1)
    output = with_references.output_on_device(on_gpu)
    simulation.run()
    actual = simulation.at(output.tensor.pointer, output.tensor.nbytes).reshape(output.tensor.shape)
    np.testing.assert_array_equal(actual, expected.tensor)


@pytest.mark.parametrize(
    ("slots", "changes", "message"),
    [
        (6, {}, r"cannot run keys of \(1, 6, 1024, 144\): .* is outside of the profile"),
        (2, {"present": np.ones((1, 1), np.float32)}, r"expected present of \(1, 2\) float32, got \(1, 1\)"),
        (2, {"other": np.ones((1, 2))}, "among keys, values, present, got other"),
    ],
)
def test_unsuitable_named_inputs_raise_and_the_session_still_runs(
    with_references, msrnet, references, slots, changes, message
):
    batch = images(1, 16, 16)
    with pytest.raises(EngineError, match=message):
        with_references.infer_batches([batch], [references(1, slots) | changes])
    agree(with_references.infer_batches([batch]), OrtSession(msrnet, 1).infer_batches([batch]))


def test_layer_times_take_named_inputs(with_references, references):
    times = with_references.layer_times(images(2, 16, 16), 1, references(2, 3))
    assert [layer.name for layer in times] == ["first", "last"]


def test_an_engine_without_the_inputs_of_the_card_raises(compiled, simulation, tiny):
    bundle = compiled(tiny)
    other = Bundle(bundle.folder, replace(bundle.card, io_spec=replace(bundle.card.io_spec, references=4)))
    with pytest.raises(
        EngineError, match=r"one uint8 input, keys, values, present, and one output .* compile it again"
    ):
        TrtSession(other, simulation.gpu)
