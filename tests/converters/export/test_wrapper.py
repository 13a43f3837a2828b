"""The projection: to the camera's every pixel, or to its low frequencies alone where pixels are noise."""

from collections import Counter

import numpy as np
import onnx
import pytest
import torch
from facesr_edge.calibration.data.faces import low_resolution, sample_faces
from facesr_edge.converters.export.onnx import onnx_from_network, simplified
from facesr_edge.converters.export.wrapper import CAMERA_SMOOTH, Uint8SRWrapper, gaussian_matrix, projection_of
from facesr_edge.engines.onnxruntime.session import OrtGraph
from facesr_edge.networks import build_network
from facesr_edge.networks.layers.bicubic import resize_batch
from facesr_edge.networks.weights import network_from, read_weights
from facesr_edge.training.recipes import camera, idrn
from torch import nn


class Smooth(nn.Module):
    """A network that removes all that is fine, as one made for noisy cameras does; tinted by a tenth if asked."""

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


def estimate(network, pixels, smooth=0.0, scale=4):
    """(N, kH, kW, 3) RGB in levels, before rounding."""
    with torch.inference_mode():
        sr = Uint8SRWrapper(network, scale, smooth=smooth).estimate(torch.from_numpy(pixels))
    return 255 * sr.permute(0, 2, 3, 1).numpy()


def shrunken(sr, like):
    return resize_batch(sr, *like.shape[1:3])


def rgb_of(pixels):
    return pixels[..., ::-1].astype(np.float32)


def test_without_smoothing_every_pixel_of_the_camera_counts(tiny, crops):
    alone = tiny(torch.from_numpy(rgb_of(crops)).permute(0, 3, 1, 2) / 255).detach().permute(0, 2, 3, 1).numpy() * 255
    expected = alone + resize_batch(rgb_of(crops) - shrunken(alone, crops), *alone.shape[1:3])
    np.testing.assert_allclose(estimate(tiny, crops), expected, atol=2e-3)
    np.testing.assert_array_equal(estimate(tiny, crops), estimate(tiny, crops, 0.0))


@pytest.mark.parametrize("smooth", [0.0, 1.0, CAMERA_SMOOTH, 4.0])
def test_a_tint_of_the_network_is_undone_at_any_smoothness(crops, smooth):
    tinted = estimate(Smooth(tint=0.1), crops, smooth)
    untinted = estimate(Smooth(), crops, smooth)
    np.testing.assert_allclose(tinted, untinted, atol=0.02)
    mean = shrunken(tinted, crops).mean((1, 2)) - rgb_of(crops).mean((1, 2))
    assert np.abs(mean).max() < 0.5  # of 255, each face and channel


def test_noise_of_the_camera_comes_back_or_hardly_does():
    noise = np.random.default_rng(0).normal(0, 8, (4, 32, 32, 3))
    crops = np.rint(128 + noise).astype(np.uint8)
    still = np.full_like(crops, 128)
    left = {
        smooth: shrunken(estimate(Smooth(), crops, smooth) - estimate(Smooth(), still, smooth), crops).std() / 8
        for smooth in (0.0, 1.0, 2.0)
    }
    assert left[0.0] > 0.65  # of white noise, U and D in turn leave so much
    assert left[1.0] < 0.4 and left[2.0] < 0.25 and left[2.0] < left[1.0]


@pytest.mark.parametrize(("side", "sigma"), [(8, 2.0), (32, 0.5), (32, 2.0), (33, 4.0)])
def test_smoothing_keeps_the_mean_of_any_signal_and_mirrors_it_at_the_ends(side, sigma):
    matrix = gaussian_matrix(side, sigma).numpy().astype(float)
    np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(matrix.sum(0), 1, atol=1e-4)
    signal = np.random.default_rng(0).normal(size=side)
    mirrored = np.concatenate([signal[::-1], signal, signal[::-1]])
    offset = np.arange(-side, side + 1)
    kernel = np.exp(-0.5 * (offset / sigma) ** 2)
    by_hand = np.convolve(mirrored, kernel / kernel.sum(), "same")[side : 2 * side]
    np.testing.assert_allclose(matrix @ signal, by_hand, atol=1e-3)


def test_the_exported_graph_equals_pytorch_in_every_window(crops, tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tiny = nn.Sequential(nn.Conv2d(3, 48, 3, padding=1), nn.PixelShuffle(4))
    wrapped = Uint8SRWrapper(tiny, 4, smooth=CAMERA_SMOOTH)
    graph = simplified(onnx_from_network(wrapped, square=True))
    onnx.save(graph, tmp_path / "g.onnx")
    session = OrtGraph(tmp_path / "g.onnx")
    wider = np.pad(crops[:2], ((0, 0), (0, 32), (0, 32), (0, 0)), mode="wrap")
    for pixels in (crops, crops[:1, :24, :24], wider, np.tile(wider, (1, 2, 2, 1))[:, :96, :96]):
        with torch.inference_mode():
            expected = wrapped(torch.from_numpy(np.ascontiguousarray(pixels))).numpy()
        got = session.run(np.ascontiguousarray(pixels))[0]
        assert got.shape == expected.shape
        assert np.abs(got.astype(int) - expected).max() <= 1 and np.mean(got != expected) < 0.01


def test_a_graph_of_squares_has_the_weights_of_both_ways_and_both_sides_once(crops, tmp_path):
    network = build_network("edge", {"width": 8, "depth": 1, "scale": 4})
    wrapped = Uint8SRWrapper(network, 4)
    nodes = {}
    for square in (False, True):
        graph = simplified(onnx_from_network(wrapped, square=square))
        nodes[square] = Counter(node.op_type for node in graph.graph.node)
    assert nodes[False]["Abs"] == 2 and nodes[True]["Abs"] == 1
    assert sum(nodes[True].values()) < sum(nodes[False].values()) - 20
    onnx.save(graph, tmp_path / "g.onnx")
    with torch.inference_mode():
        expected = wrapped(torch.from_numpy(crops)).numpy()
    assert np.abs(OrtGraph(tmp_path / "g.onnx").run(crops)[0].astype(int) - expected).max() <= 1


@pytest.mark.parametrize("smooth", [0.0, CAMERA_SMOOTH])
@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_one_enlargement_for_the_bicubic_picture_and_the_projection_gives_what_two_give(crops, scale, smooth):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network("edge", {"width": 8, "depth": 2, "scale": scale})
        nn.init.normal_(network.tail.weight, std=0.05)  # a picture that the projection has something to add to
        nn.init.normal_(network.tail.bias, std=0.05)
    as_others = nn.Sequential(network)  # which has no residual to ask for
    np.testing.assert_allclose(
        estimate(network, crops, smooth, scale)[..., ::-1], estimate(as_others, crops, smooth, scale), atol=2e-3
    )
    x = torch.rand(1, 3, 8, 8)
    with torch.inference_mode():
        ours, theirs = (
            Uint8SRWrapper(one, scale, smooth=smooth)(torch.from_numpy(crops)) for one in (network, as_others)
        )
        torch.testing.assert_close(network.in_bgr()(x.flip(1)).flip(1), network(x))
    assert (ours.int() - theirs.int()).abs().max() <= 1 and (ours != theirs).float().mean() < 1e-3


def test_a_graph_of_the_edge_network_turns_no_colours():
    network = build_network("edge", {"width": 8, "depth": 1, "scale": 4})
    turning = [
        sum(node.op_type == "Slice" for node in simplified(onnx_from_network(Uint8SRWrapper(one, 4))).graph.node)
        for one in (network, nn.Sequential(network))
    ]
    assert turning == [0, 2]


def test_the_recipe_in_the_weights_decides_how_smooth():
    said = {
        recipe.degradation: projection_of({"degradation": recipe.degradation})
        for recipe in (camera.camera(), idrn.cpu())
    }
    assert said == {"camera": CAMERA_SMOOTH, "bicubic": 0.0}
    assert projection_of({}) == 0.0  # weights that say nothing of their training
