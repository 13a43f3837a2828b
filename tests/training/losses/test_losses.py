"""Loss terms against values computed by hand or numpy; layers and weights of VGG-19."""

import numpy as np
import pytest
import torch
from facesr_edge.engines.errors import InputError, UnknownNameError, UsageError
from facesr_edge.networks.perceptual import LAYERS, MEAN, STD, VGG, read_vgg
from facesr_edge.training.losses.discriminator import Adversary
from facesr_edge.training.losses.losses import FEATURE_LOSSES, PIXEL_LOSSES, Criterion, gram
from torch import nn

TORCHVISION = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)
"""Layer numbers of the convolutions of torchvision's vgg19."""


class Halved(nn.Module):
    """Simple features; counts its calls."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return x / 2


def pair(shape=(2, 3, 5, 4)):
    return torch.rand(shape), torch.rand(shape)


def test_l1_and_l2_are_mean_absolute_and_mean_square_differences():
    sr, hr = torch.tensor([[[[0.5, 0.25]]]]), torch.tensor([[[[0.0, 1.0]]]])
    assert float(PIXEL_LOSSES["l1"](sr, hr)) == pytest.approx((0.5 + 0.75) / 2)
    assert float(PIXEL_LOSSES["l2"](sr, hr)) == pytest.approx((0.25 + 0.5625) / 2)


def test_total_variation_uses_the_estimate_only():
    sr = torch.tensor([[[[0.0, 0.5], [1.0, 0.0]]]])
    down, across = (1.0 + 0.25) / 2, (0.25 + 1.0) / 2
    for hr in pair((1, 1, 2, 2)):
        assert float(PIXEL_LOSSES["variation"](sr, hr)) == pytest.approx(down + across)
    assert float(PIXEL_LOSSES["variation"](torch.full((1, 3, 4, 4), 0.7), sr)) == 0


def test_frequency_is_the_mean_absolute_difference_of_fourier_coefficients():
    sr, hr = pair()
    coefficients = np.fft.rfft2((sr - hr).double().numpy(), norm="ortho")
    expected = (np.abs(coefficients.real) + np.abs(coefficients.imag)).mean() / 2
    assert float(PIXEL_LOSSES["frequency"](sr, hr)) == pytest.approx(expected, rel=1e-5)


def test_psnr_weights_faces_equally_and_the_luma_most():
    sr, hr = pair((3, 3, 6, 6))
    error = (sr - hr).double().numpy()
    luma = np.einsum("c,ncyx->nyx", (0.299, 0.587, 0.114), error)
    errors = 0.75 * (luma**2).mean((1, 2)) + 0.25 * (error**2).mean((1, 2, 3))
    assert float(PIXEL_LOSSES["psnr"](sr, hr)) == pytest.approx(np.log(errors + 1e-6).mean(), rel=1e-5)
    closer = hr + (sr - hr) * torch.tensor([0.1, 1.0, 1.0]).view(3, 1, 1, 1)
    gained = float(PIXEL_LOSSES["psnr"](sr, hr) - PIXEL_LOSSES["psnr"](closer, hr))
    assert 10 / np.log(10) * gained == pytest.approx(20 / 3, rel=1e-3)  # 20 dB for one of three faces
    gray, orange = (hr + torch.tensor(shift).view(3, 1, 1) for shift in ([0.1] * 3, [0.1 / 0.299, 0.0, 0.0]))
    assert PIXEL_LOSSES["psnr"](gray, hr) < PIXEL_LOSSES["psnr"](orange, hr)  # equal in luma
    assert np.isfinite(float(PIXEL_LOSSES["psnr"](hr, hr)))


def test_perceptual_losses_follow_the_papers():
    a, b = pair((2, 6, 5, 4))
    difference = a.double().numpy() - b.double().numpy()
    assert float(FEATURE_LOSSES["perceptual_l1"](a, b)) == pytest.approx(np.abs(difference).mean(), rel=1e-5)
    n, channels, height, width = difference.shape
    by_position = sum((difference[:, :, y, x] ** 2).sum() for y in range(height) for x in range(width))
    assert float(FEATURE_LOSSES["perceptual_l2"](a, b)) == pytest.approx(
        by_position / (width * height) / channels / n, rel=1e-5
    )


def test_the_gram_matrix_is_the_mean_product_of_channels():
    x = torch.rand(2, 3, 4, 5)
    got = gram(x)
    assert got.shape == (2, 3, 3)
    for n in range(2):
        for i in range(3):
            for j in range(3):
                expected = (x[n, i].double() * x[n, j].double()).sum() / (3 * 4 * 5)
                assert float(got[n, i, j]) == pytest.approx(float(expected), rel=1e-5)


def test_texture_depends_on_channel_correlations_not_on_positions():
    x = torch.rand(1, 4, 6, 6)
    moved = x.flatten(2)[..., torch.randperm(36)].view_as(x)
    assert float(FEATURE_LOSSES["texture"](x, moved)) == pytest.approx(0, abs=1e-6)
    assert float(FEATURE_LOSSES["perceptual_l1"](x, moved)) > 0.1
    one_channel_moved = torch.cat((x[:, :1].flip(-1, -2), x[:, 1:]), dim=1)
    assert float(FEATURE_LOSSES["texture"](x, one_channel_moved)) > 1e-3
    expected = np.abs(gram(x).numpy() - gram(one_channel_moved).numpy()).mean()
    assert float(FEATURE_LOSSES["texture"](x, one_channel_moved)) == pytest.approx(float(expected), rel=1e-5)


def test_the_criterion_is_the_weighted_sum_of_its_terms():
    sr, hr = pair()
    halved = Halved()
    losses = {"l2": 10.0, "perceptual_l1": 1.0, "texture": 3.0, "variation": 1e-4}
    expected = (
        10 * PIXEL_LOSSES["l2"](sr, hr)
        + FEATURE_LOSSES["perceptual_l1"](sr / 2, hr / 2)
        + 3 * FEATURE_LOSSES["texture"](sr / 2, hr / 2)
        + 1e-4 * PIXEL_LOSSES["variation"](sr, hr)
    )
    assert float(Criterion(losses, halved)(sr, hr)) == pytest.approx(float(expected), rel=1e-5)
    assert halved.calls == 2  # once for the estimate, once for the target, whatever the number of terms


def test_no_gradient_flows_to_the_target():
    sr, hr = (x.requires_grad_() for x in pair())
    Criterion({"perceptual_l1": 1.0, "texture": 1.0}, Halved())(sr, hr).backward()
    assert hr.grad is None and float(sr.grad.abs().sum()) > 0


def test_unknown_or_incomplete_terms_raise():
    with pytest.raises(UnknownNameError, match=r"unknown loss 'l3'; .*known: adversarial, frequency, l1, l2"):
        Criterion({"l3": 1.0})
    for name in FEATURE_LOSSES:
        with pytest.raises(UsageError, match=f"'{name}' needs VGG-19; .*--perceptual-weights FILE"):
            Criterion({"l1": 1.0, name: 1.0})
    for losses, adversary in (({"adversarial": 1.0}, None), ({"l1": 1.0}, Adversary(1e-4, width=4))):
        with pytest.raises(UsageError, match="give both or neither"):
            Criterion(losses, adversary=adversary)


def test_vgg_has_the_layer_numbers_and_sizes_of_torchvision():
    with torch.device("meta"):
        network = VGG("conv5_4")
    convolutions = {n: layer for n, layer in enumerate(network.features) if isinstance(layer, nn.Conv2d)}
    assert tuple(convolutions) == TORCHVISION and len(LAYERS) == 16
    assert sum(p.numel() for p in network.parameters()) == 20_024_384  # VGG-19 without its three linear layers
    assert isinstance(network.features[-1], nn.Conv2d)  # before its activation
    assert sum(isinstance(layer, nn.MaxPool2d) for layer in network.features) == 4  # before the fifth pooling
    assert set(network.state_dict()) == {f"features.{n}.{kind}" for n in TORCHVISION for kind in ("weight", "bias")}


@pytest.mark.parametrize(
    ("layer", "shape"), [("conv1_2", (64, 32, 48)), ("conv2_2", (128, 16, 24)), ("conv3_1", (256, 8, 12))]
)
def test_features_have_the_channels_and_size_of_their_layer(layer, shape, vgg_file):
    with torch.inference_mode():
        assert read_vgg(vgg_file, layer)(torch.rand(2, 3, 32, 48)).shape == (2, *shape)


def test_features_are_computed_from_the_normalized_picture(vgg_file):
    network, x = read_vgg(vgg_file, "conv2_1"), torch.rand(1, 3, 8, 8)
    weights = read_vgg(vgg_file, "conv3_1").state_dict()
    y = (x - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)

    def convolved(y, n):
        return nn.functional.conv2d(y, weights[f"features.{n}.weight"], weights[f"features.{n}.bias"], padding=1)

    expected = convolved(nn.functional.max_pool2d(convolved(convolved(y, 0).relu(), 2).relu(), 2), 5)
    assert torch.allclose(network(x), expected, atol=1e-5)
    assert float(expected.min()) < 0


def test_vgg_is_frozen_and_passes_gradients_through(vgg_file):
    network, x = read_vgg(vgg_file, "conv2_1"), torch.rand(1, 3, 8, 8, requires_grad=True)
    network(x).square().mean().backward()
    assert all(p.grad is None for p in network.parameters()) and float(x.grad.abs().sum()) > 0
    assert not network.training


def test_weights_of_other_networks_raise(tmp_path, vgg_file, tiny_weights):
    other = tmp_path / "other.pth"
    torch.save({"features.0.weight": torch.zeros(64, 3, 5, 5)}, other)
    for path, message in (
        (tiny_weights(2), r"features\.0\.weight is missing, expected \(64, 3, 3, 3\) of VGG-19"),
        (
            other,
            r"features\.0\.weight is \(64, 3, 5, 5\), expected \(64, 3, 3, 3\) of VGG-19; give torchvision's",
        ),
        (vgg_file, r"features\.12\.weight is missing, expected \(256, 256, 3, 3\)"),
        (tmp_path / "none.pth", r"there is no file .*none\.pth; give torchvision's vgg19"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            read_vgg(path, "conv3_2")
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="has no layer 'conv5_5'; choose one of conv1_1"):
        VGG("conv5_5")
