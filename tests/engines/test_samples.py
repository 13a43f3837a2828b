"""Networks that read several frames: their samples in the CPU runtimes, with workers, in calls of several sizes."""

from contextlib import closing

import numpy as np
import pytest
import torch
from facesr_edge.calibration.data.faces import sample_faces
from facesr_edge.calibration.data.tracks import moved_tracks
from facesr_edge.engines.errors import EngineError
from facesr_edge.engines.onnxruntime.session import OrtGraph
from facesr_edge.engines.openvino.session import installed, supports_bf16
from facesr_edge.engines.registry import ENGINES as ENGINE_OF

needs_openvino = pytest.mark.skipif(not installed(), reason="needs OpenVINO; pip install 'facesr-edge[openvino]'")
ENGINES = ["onnxruntime", pytest.param("openvino", marks=needs_openvino)]


@pytest.fixture(scope="module")
def tracks():
    """Side -> newest crops of eight tracks, and their samples."""

    def of(side):
        small = np.stack(sample_faces())
        faces = np.tile(small, (1, -(-side // 32), -(-side // 32), 1))[:, : 4 * side, : 4 * side]
        found = moved_tracks(faces, 4, 7)
        return found.newest, found.inputs(7)["samples"]

    return of


@pytest.fixture(scope="module")
def in_pytorch(track_bundle):
    """Pixels and samples -> output of PyTorch."""
    from facesr_edge.converters.export.wrapper import Uint8SRWrapper
    from facesr_edge.networks.weights import bundle_weights, network_from

    bundle = track_bundle()
    network = network_from(bundle_weights(bundle), bundle.card.network, bundle.card.config)
    wrapped = Uint8SRWrapper(network, 4, projected=bundle.card.projection)

    def run(pixels, samples):
        with torch.inference_mode():
            return wrapped(torch.from_numpy(pixels), samples=torch.from_numpy(samples))[0].numpy()

    return run


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("workers", [1, 2])
def test_samples_of_every_size_agree_with_pytorch(track_bundle, tracks, in_pytorch, engine, workers):
    crops = [
        (pixels[:count], samples[:count])
        for side, count in [(32, 7), (48, 1), (64, 2)]
        for pixels, samples in [tracks(side)]
    ]
    inputs = [{"samples": samples} for _, samples in crops]
    with closing(ENGINE_OF[engine](track_bundle(), workers, "fp32", workers)) as session:
        outputs = session.infer_batches([pixels for pixels, _ in crops], inputs)
        alone = session.infer_batches([pixels for pixels, _ in crops])
    for (pixels, samples), output, without in zip(crops, outputs, alone, strict=True):
        differences = np.abs(output.tensor.astype(int) - in_pytorch(pixels, samples))
        assert differences.max() <= 1 and (differences > 0).mean() < 0.001  # rounding of ties
        assert (np.abs(output.tensor.astype(int) - without.tensor) > 1).mean() > 0.01  # the samples have an effect


@pytest.mark.parametrize("engine", ENGINES)
def test_int8_agrees_with_fp32_on_samples(track_bundle, tracks, in_pytorch, engine):
    pixels, samples = tracks(32)
    with closing(ENGINE_OF[engine](track_bundle("int8"), 1, "int8")) as session:
        output = session.infer_batches([pixels], [{"samples": samples}])[0].tensor
    assert 0 < np.abs(output.astype(int) - in_pytorch(pixels, samples)).mean() < 1


@needs_openvino
@pytest.mark.skipif(not installed() or not supports_bf16(), reason="needs a processor with bfloat16")
def test_bf16_agrees_with_fp32_on_samples(track_bundle, tracks, in_pytorch):
    pixels, samples = tracks(32)
    with closing(ENGINE_OF["openvino"](track_bundle(), 1, "bf16")) as session:
        output = session.infer_batches([pixels], [{"samples": samples}])[0].tensor
    assert 0 < np.abs(output.astype(int) - in_pytorch(pixels, samples)).mean() < 1


@pytest.mark.parametrize("engine", ENGINES)
def test_no_samples_are_samples_of_zero(track_bundle, tracks, engine):
    pixels, samples = tracks(32)
    with closing(ENGINE_OF[engine](track_bundle(), 1)) as session:
        output = session.infer_batches([pixels], [{"samples": np.zeros_like(samples)}])[0].tensor
        assert np.array_equal(output, session.infer(pixels))
    assert np.array_equal(OrtGraph(track_bundle().onnx, 1).run(pixels)[0].shape, output.shape)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"keys": np.zeros((2, 1))}, "besides the pixels among samples, got keys"),
        ({"samples": np.zeros((1, 32, 32, 32), np.float32)}, r"samples of \(2, 32, 32, 32\) float32, got \(1, 32, 32"),
        ({"samples": np.zeros((2, 32, 48, 48), np.float32)}, r"samples of \(2, 32, 32, 32\) float32, got \(2, 32, 48"),
        ({"samples": np.zeros((2, 32, 32, 32))}, r"samples of \(2, 32, 32, 32\) float32, got .* float64"),
    ],
)
def test_unsuitable_samples_are_rejected(track_bundle, crops, engine, inputs, message):
    with closing(ENGINE_OF[engine](track_bundle(), 1)) as session, pytest.raises(EngineError, match=message):
        session.infer_batches([crops(32, 2)], [inputs])


@pytest.mark.parametrize("engine", ENGINES)
def test_layer_times_cover_the_convolution_of_the_samples(track_bundle, tracks, engine):
    pixels, samples = tracks(32)
    with closing(ENGINE_OF[engine](track_bundle(), 1)) as session:
        times = session.layer_times(pixels[:1], 1, {"samples": samples[:1]})
    assert sum("conv" in layer.kind.lower() for layer in times) >= 5 and sum(layer.ms for layer in times) > 0
