"""Export wrapper: consistency projection of all frequencies, or of low frequencies only for noisy cameras."""

from collections import Counter

import cv2
import numpy as np
import onnx
import pytest
import torch
from facesr_edge.calibration.data.faces import low_resolution, sample_faces
from facesr_edge.converters.export.onnx import onnx_from_network, simplify
from facesr_edge.converters.export.projection import PEAK, gaussian_matrix
from facesr_edge.converters.export.wrapper import Uint8SRWrapper
from facesr_edge.engines.bundle.projection import BY_DEGRADATION, FULL, Projection
from facesr_edge.engines.onnxruntime.session import OrtGraph
from facesr_edge.networks import build_network
from facesr_edge.networks.layers.bicubic import resize_batch
from facesr_edge.networks.weights import network_from, read_weights
from torch import nn

CAMERA, RECORDED = BY_DEGRADATION["camera"], BY_DEGRADATION["recorded"]


def low_pass(sigma):
    return Projection("low-pass", sigma) if sigma else FULL


class Blur(nn.Module):
    """A network that removes high frequencies, as one trained on noisy cameras does, and adds a constant tint."""

    def __init__(self, scale=4, tint=0.0):
        super().__init__()
        self.scale, self.tint = scale, tint

    def forward(self, x):
        low = nn.functional.avg_pool2d(nn.functional.pad(x, (2, 2, 2, 2), "replicate"), 5, 1)
        return nn.functional.interpolate(low, scale_factor=self.scale) + self.tint


@pytest.fixture(scope="module")
def crops():
    return low_resolution(np.stack(sample_faces()), 4)


@pytest.fixture(scope="module")
def tiny(tiny_weights):
    weights = read_weights(tiny_weights())
    return network_from(weights, weights.network, weights.config)


@pytest.fixture(scope="module")
def edge():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_network("edge", {"width": 8, "depth": 1, "scale": 4})


def estimate(network, pixels, projected=FULL, scale=4):
    """(N, kH, kW, 3) RGB in 0..255, before rounding."""
    wrapper = Uint8SRWrapper(network, scale, projected=projected)
    with torch.inference_mode():
        sr = PEAK * wrapper.estimate(torch.from_numpy(pixels)).numpy()
    if not wrapper.sub_pixel:
        return sr.transpose(0, 2, 3, 1)
    n, _, h, w = sr.shape
    blocks = sr.reshape(n, scale, scale, 3, h, w)  # row and column of the block, color
    return blocks.transpose(0, 4, 1, 5, 2, 3).reshape(n, scale * h, scale * w, 3)[..., ::-1]


def downscaled(sr, like):
    return resize_batch(sr, *like.shape[1:3])


def rgb_of(pixels):
    return pixels[..., ::-1].astype(np.float32)


def test_without_low_pass_all_frequencies_are_projected(tiny, crops):
    sr = tiny(torch.from_numpy(rgb_of(crops)).permute(0, 3, 1, 2) / 255).detach().permute(0, 2, 3, 1).numpy() * 255
    expected = sr + resize_batch(rgb_of(crops) - downscaled(sr, crops), *sr.shape[1:3])
    np.testing.assert_allclose(estimate(tiny, crops), expected, atol=2e-3)
    np.testing.assert_array_equal(estimate(tiny, crops), estimate(tiny, crops, FULL))


@pytest.mark.parametrize("projected", [*map(low_pass, (0.0, 1.0, 2.0, 4.0)), RECORDED], ids=str)
def test_projection_removes_a_tint_of_the_network(crops, projected):
    tinted = estimate(Blur(tint=0.1), crops, projected)
    untinted = estimate(Blur(), crops, projected)
    np.testing.assert_allclose(tinted, untinted, atol=0.02)
    mean = downscaled(tinted, crops).mean((1, 2)) - rgb_of(crops).mean((1, 2))
    assert np.abs(mean).max() < 0.5  # of 255, each face and channel


def test_low_pass_suppresses_camera_noise():
    noise = np.random.default_rng(0).normal(0, 8, (4, 32, 32, 3))
    crops = np.rint(128 + noise).astype(np.uint8)
    flat = np.full_like(crops, 128)
    remaining = {
        sigma: downscaled(
            estimate(Blur(), crops, low_pass(sigma)) - estimate(Blur(), flat, low_pass(sigma)), crops
        ).std()
        / 8
        for sigma in (0.0, 1.0, 2.0)
    }
    assert remaining[0.0] > 0.65  # what U followed by D leaves of white noise
    assert remaining[1.0] < 0.4 and remaining[2.0] < 0.25 and remaining[2.0] < remaining[1.0]


@pytest.mark.parametrize(("side", "sigma"), [(8, 2.0), (32, 0.5), (32, 2.0), (33, 4.0)])
def test_gaussian_matrix_preserves_the_mean_and_mirrors_at_the_borders(side, sigma):
    matrix = gaussian_matrix(side, sigma).numpy().astype(float)
    np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(matrix.sum(0), 1, atol=1e-4)
    signal = np.random.default_rng(0).normal(size=side)
    mirrored = np.concatenate([signal[::-1], signal, signal[::-1]])
    offset = np.arange(-side, side + 1)
    kernel = np.exp(-0.5 * (offset / sigma) ** 2)
    expected = np.convolve(mirrored, kernel / kernel.sum(), "same")[side : 2 * side]
    np.testing.assert_allclose(matrix @ signal, expected, atol=1e-3)


@pytest.mark.parametrize("projected", [CAMERA, RECORDED], ids=str)
def test_exported_graph_equals_pytorch_at_every_crop_size(crops, tmp_path, projected):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tiny = nn.Sequential(nn.Conv2d(3, 48, 3, padding=1), nn.PixelShuffle(4))
    wrapped = Uint8SRWrapper(tiny, 4, projected=projected)
    graph = simplify(onnx_from_network(wrapped, square=True))
    onnx.save(graph, tmp_path / "g.onnx")
    session = OrtGraph(tmp_path / "g.onnx")
    wider = np.pad(crops[:2], ((0, 0), (0, 32), (0, 32), (0, 0)), mode="wrap")
    for pixels in (crops, crops[:1, :24, :24], wider, np.tile(wider, (1, 2, 2, 1))[:, :96, :96]):
        with torch.inference_mode():
            expected, residual = (part.numpy() for part in wrapped(torch.from_numpy(np.ascontiguousarray(pixels))))
        actual, actual_residual = session.run(np.ascontiguousarray(pixels))
        np.testing.assert_allclose(actual_residual, residual, rtol=0.01)
        assert actual.shape == expected.shape
        assert np.abs(actual.astype(int) - expected).max() <= 1 and np.mean(actual != expected) < 0.01


def test_square_graph_computes_its_matrices_once(edge, crops, tmp_path):
    wrapped = Uint8SRWrapper(edge, 4)
    nodes = {}
    for square in (False, True):
        graph = simplify(onnx_from_network(wrapped, square=square))
        nodes[square] = Counter(node.op_type for node in graph.graph.node)
    assert nodes[False]["Abs"] == 2 and nodes[True]["Abs"] == 1
    assert sum(nodes[True].values()) < sum(nodes[False].values()) - 20
    onnx.save(graph, tmp_path / "g.onnx")
    with torch.inference_mode():
        expected = wrapped(torch.from_numpy(crops))[0].numpy()
    assert np.abs(OrtGraph(tmp_path / "g.onnx").run(crops)[0].astype(int) - expected).max() <= 1


@pytest.mark.parametrize("projected", [FULL, CAMERA, RECORDED], ids=str)
@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_one_upscaling_for_residual_and_projection_equals_two(crops, scale, projected):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network("edge", {"width": 8, "depth": 2, "scale": scale})
        nn.init.normal_(network.tail.weight, std=0.05)  # a residual for the projection to change
        nn.init.normal_(network.tail.bias, std=0.05)
    opaque = nn.Sequential(network)  # hides `sub_pixels` from the wrapper
    np.testing.assert_allclose(
        estimate(network, crops, projected, scale), estimate(opaque, crops, projected, scale), atol=2e-3
    )
    with torch.inference_mode():
        (fused, residual), (plain, plain_residual) = (
            Uint8SRWrapper(one, scale, projected=projected)(torch.from_numpy(crops)) for one in (network, opaque)
        )
    assert (fused.int() - plain.int()).abs().max() <= 1 and (fused != plain).float().mean() < 1e-3
    torch.testing.assert_close(residual, plain_residual, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("projected", [FULL, CAMERA, RECORDED], ids=str)
@pytest.mark.parametrize(("side", "scale"), [(32, 4), (48, 2), (16, 8), (40, 3)])
def test_residual_is_that_of_the_output_pixels(crops, side, scale, projected):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network("edge", {"width": 8, "depth": 1, "scale": scale})
    bright = np.clip(crops.astype(int) * 2, 0, 255).astype(np.uint8)  # the output is clipped
    pixels = np.stack([cv2.resize(crop, (side, side)) for crop in (*crops[:4], *bright[:4])])
    for one in (network, nn.Sequential(network)):
        with torch.inference_mode():
            sr, residual = Uint8SRWrapper(one, scale, projected=projected)(torch.from_numpy(pixels))
        expected = np.square(pixels - resize_batch(sr.numpy(), side, side)).mean((1, 2, 3))
        np.testing.assert_allclose(residual.numpy(), expected, rtol=2e-3)


def test_low_pass_has_no_denormal_weights():
    for side in (32, 64, 96, 128):
        weights = gaussian_matrix(side, CAMERA.sigma).numpy()
        assert weights[weights > 0].min() > np.finfo(np.float32).tiny


def test_edge_graph_does_not_reorder_color_channels(edge):
    slices = [
        sum(node.op_type == "Slice" for node in simplify(onnx_from_network(Uint8SRWrapper(one, 4))).graph.node)
        for one in (edge, nn.Sequential(edge))
    ]
    assert slices == [0, 2]
