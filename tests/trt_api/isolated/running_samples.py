"""TensorRT sessions of a network that reads several frames: the samples of a track as a named input."""

from dataclasses import replace

import numpy as np
import pytest
from facesr_edge.engines.bundle.bundle import Bundle
from facesr_edge.engines.errors import EngineError
from facesr_edge.engines.onnxruntime.session import OrtSession
from facesr_edge.engines.tensorrt.session import TrtSession
from inputs import images


@pytest.fixture
def with_samples(compiled, simulation, track):
    session = TrtSession(compiled(track), simulation.gpu)
    yield session
    session.close()


def samples(count, side):
    rng = np.random.default_rng((count, side))
    return {"samples": rng.normal(0, 0.1, (count, 32, side, side)).astype(np.float32)}


def test_samples_equal_onnx_runtime_whatever_ran_before(with_samples, track):
    batches, reference = [images(11, 32, 32), images(1, 48, 48)], OrtSession(track, threads=1)
    named = [samples(11, 32), samples(1, 48)]
    for inputs in (named, named, [], named[:0], named):  # direct, as a CUDA graph, without, again
        outputs, expected = (one.infer_batches(batches, inputs) for one in (with_samples, reference))
        for output, other in zip(outputs, expected, strict=True):
            np.testing.assert_array_equal(output.tensor, other.tensor)


def test_samples_of_another_size_raise_and_the_session_still_runs(with_samples):
    with pytest.raises(EngineError, match=r"expected samples of \(1, 32, 32, 32\) float32, got \(1, 32, 48, 48\)"):
        with_samples.infer_batches([images(1, 32, 32)], [samples(1, 48)])
    assert with_samples.infer(images(1, 32, 32)).shape == (1, 128, 128, 3)


def test_layer_times_take_samples(with_samples):
    times = with_samples.layer_times(images(2, 32, 32), 1, samples(2, 32))
    assert [layer.name for layer in times] == ["first", "last"]


def test_an_engine_without_samples_raises_for_a_card_of_several_frames(compiled, simulation, tiny):
    bundle = compiled(tiny)
    other = Bundle(bundle.folder, replace(bundle.card, io_spec=replace(bundle.card.io_spec, frames=7)))
    with pytest.raises(EngineError, match=r"one uint8 input, samples, and one output .* compile it again"):
        TrtSession(other, simulation.gpu)
