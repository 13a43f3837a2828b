"""Each term of the losses against numbers reckoned by hand or by numpy, and VGG-19's layers as the papers want them."""

import numpy as np
import pytest
import torch
from facesr_edge.engines.errors import InputError, UnknownNameError, UsageError
from facesr_edge.networks.perceptual import DEVIATION, LAYERS, MEAN, VGG, read_vgg
from facesr_edge.training.losses.discriminator import Adversary
from facesr_edge.training.losses.losses import FEATURE_LOSSES, PIXEL_LOSSES, Criterion, gram
from safetensors.torch import save_file
from torch import nn

TORCHVISION = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)
"""Numbers of the convolutions of torchvision's vgg19."""


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


class Halved(nn.Module):
    """Features that can be reckoned by hand, and how often they were asked for."""

    def __init__(self):
        super().__init__()
        self.asked = 0

    def forward(self, x):
        self.asked += 1
        return x / 2


def pair(shape=(2, 3, 5, 4)):
    return torch.rand(shape), torch.rand(shape)


def test_pixels_are_compared_by_mean_absolute_and_mean_square_difference():
    sr, hr = torch.tensor([[[[0.5, 0.25]]]]), torch.tensor([[[[0.0, 1.0]]]])
    assert float(PIXEL_LOSSES["l1"](sr, hr)) == pytest.approx((0.5 + 0.75) / 2)
    assert float(PIXEL_LOSSES["l2"](sr, hr)) == pytest.approx((0.25 + 0.5625) / 2)


def test_total_variation_is_of_neighbours_in_the_estimate_whatever_the_truth():
    sr = torch.tensor([[[[0.0, 0.5], [1.0, 0.0]]]])
    down, across = (1.0 + 0.25) / 2, (0.25 + 1.0) / 2
    for hr in pair((1, 1, 2, 2)):
        assert float(PIXEL_LOSSES["variation"](sr, hr)) == pytest.approx(down + across)
    assert float(PIXEL_LOSSES["variation"](torch.full((1, 3, 4, 4), 0.7), sr)) == 0


def test_frequencies_are_compared_by_the_mean_absolute_difference_of_their_coefficients():
    sr, hr = pair()
    found = np.fft.rfft2((sr - hr).double().numpy(), norm="ortho")
    expected = (np.abs(found.real) + np.abs(found.imag)).mean() / 2
    assert float(PIXEL_LOSSES["frequency"](sr, hr)) == pytest.approx(expected, rel=1e-5)


def test_psnr_counts_a_face_by_its_decibels_mostly_those_of_its_luma():
    sr, hr = pair((3, 3, 6, 6))
    apart = (sr - hr).double().numpy()
    luma = np.einsum("c,ncyx->nyx", (0.299, 0.587, 0.114), apart)
    errors = 0.75 * (luma**2).mean((1, 2)) + 0.25 * (apart**2).mean((1, 2, 3))
    assert float(PIXEL_LOSSES["psnr"](sr, hr)) == pytest.approx(np.log(errors + 1e-6).mean(), rel=1e-5)
    closer = hr + (sr - hr) * torch.tensor([0.1, 1.0, 1.0]).view(3, 1, 1, 1)
    gained = float(PIXEL_LOSSES["psnr"](sr, hr) - PIXEL_LOSSES["psnr"](closer, hr))
    assert 10 / np.log(10) * gained == pytest.approx(20 / 3, rel=1e-3)  # 20 dB for one face of three
    grey, orange = (hr + torch.tensor(shift).view(3, 1, 1) for shift in ([0.1] * 3, [0.1 / 0.299, 0.0, 0.0]))
    assert PIXEL_LOSSES["psnr"](grey, hr) < PIXEL_LOSSES["psnr"](orange, hr)  # of one luma
    assert np.isfinite(float(PIXEL_LOSSES["psnr"](hr, hr)))


def test_features_are_compared_as_the_papers_write_it():
    a, b = pair((2, 6, 5, 4))
    difference = a.double().numpy() - b.double().numpy()
    assert float(FEATURE_LOSSES["perceptual_l1"](a, b)) == pytest.approx(np.abs(difference).mean(), rel=1e-5)
    n, channels, height, width = difference.shape
    by_position = sum((difference[:, :, y, x] ** 2).sum() for y in range(height) for x in range(width))
    assert float(FEATURE_LOSSES["perceptual_l2"](a, b)) == pytest.approx(
        by_position / (width * height) / channels / n, rel=1e-5
    )


def test_the_gram_matrix_is_the_product_of_channels_over_positions():
    x = torch.rand(2, 3, 4, 5)
    got = gram(x)
    assert got.shape == (2, 3, 3)
    for n in range(2):
        for i in range(3):
            for j in range(3):
                by_hand = (x[n, i].double() * x[n, j].double()).sum() / (3 * 4 * 5)
                assert float(got[n, i, j]) == pytest.approx(float(by_hand), rel=1e-5)


def test_texture_does_not_mind_where_things_are_but_which_go_together():
    x = torch.rand(1, 4, 6, 6)
    moved = x.flatten(2)[..., torch.randperm(36)].view_as(x)
    assert float(FEATURE_LOSSES["texture"](x, moved)) == pytest.approx(0, abs=1e-6)
    assert float(FEATURE_LOSSES["perceptual_l1"](x, moved)) > 0.1
    one_channel_moved = torch.cat((x[:, :1].flip(-1, -2), x[:, 1:]), dim=1)
    assert float(FEATURE_LOSSES["texture"](x, one_channel_moved)) > 1e-3
    expected = np.abs(gram(x).numpy() - gram(one_channel_moved).numpy()).mean()
    assert float(FEATURE_LOSSES["texture"](x, one_channel_moved)) == pytest.approx(float(expected), rel=1e-5)


def test_the_sum_counts_each_term_as_it_was_told():
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
    assert halved.asked == 2  # once for the estimate, once for the truth, however many terms there are


def test_no_gradient_flows_to_the_truth():
    sr, hr = (x.requires_grad_() for x in pair())
    Criterion({"perceptual_l1": 1.0, "texture": 1.0}, Halved())(sr, hr).backward()
    assert hr.grad is None and float(sr.grad.abs().sum()) > 0


def test_terms_that_are_not_there_or_lack_something_are_told():
    with pytest.raises(UnknownNameError, match=r"unknown loss 'l3'; .*known: adversarial, frequency, l1, l2"):
        Criterion({"l3": 1.0})
    for name in FEATURE_LOSSES:
        with pytest.raises(UsageError, match=f"'{name}' compares features of VGG-19; .*--perceptual-weights FILE"):
            Criterion({"l1": 1.0, name: 1.0})
    for losses, adversary in (({"adversarial": 1.0}, None), ({"l1": 1.0}, Adversary(1e-4, width=4))):
        with pytest.raises(UsageError, match="give both, or neither"):
            Criterion(losses, adversary=adversary)


@pytest.fixture(scope="session")
def vgg_file(tmp_path_factory):
    """A file as torchvision would write it, of random weights, up to the fourth block."""
    path = tmp_path_factory.mktemp("vgg") / "vgg19.safetensors"
    tensors = {f"features.{key}": value for key, value in VGG("conv3_1").features.state_dict().items()}
    save_file({**tensors, "classifier.6.bias": torch.zeros(1000)}, path)
    return path


def test_the_convolutions_have_torchvisions_numbers_and_vgg_19s_sizes():
    with torch.device("meta"):
        network = VGG("conv5_4")
    convolutions = {n: layer for n, layer in enumerate(network.features) if isinstance(layer, nn.Conv2d)}
    assert tuple(convolutions) == TORCHVISION and len(LAYERS) == 16
    assert sum(p.numel() for p in network.parameters()) == 20_024_384  # all of VGG-19 but its three linear layers
    assert isinstance(network.features[-1], nn.Conv2d)  # before its activation
    assert sum(isinstance(layer, nn.MaxPool2d) for layer in network.features) == 4  # before the fifth pooling
    assert set(network.state_dict()) == {f"features.{n}.{kind}" for n in TORCHVISION for kind in ("weight", "bias")}


@pytest.mark.parametrize(
    ("layer", "shape"), [("conv1_2", (64, 32, 48)), ("conv2_2", (128, 16, 24)), ("conv3_1", (256, 8, 12))]
)
def test_a_layers_features_have_its_channels_and_its_poolings(layer, shape, vgg_file):
    with torch.inference_mode():
        assert read_vgg(vgg_file, layer)(torch.rand(2, 3, 32, 48)).shape == (2, *shape)


def test_features_are_the_convolutions_of_the_normalised_picture(vgg_file):
    network, x = read_vgg(vgg_file, "conv2_1"), torch.rand(1, 3, 8, 8)
    given = read_vgg(vgg_file, "conv3_1").state_dict()
    y = (x - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(DEVIATION).view(1, 3, 1, 1)

    def convolved(y, n):
        return nn.functional.conv2d(y, given[f"features.{n}.weight"], given[f"features.{n}.bias"], padding=1)

    expected = convolved(nn.functional.max_pool2d(convolved(convolved(y, 0).relu(), 2).relu(), 2), 5)
    assert torch.allclose(network(x), expected, atol=1e-5)
    assert float(expected.min()) < 0


def test_the_perceptual_network_does_not_learn_but_hands_gradients_on(vgg_file):
    network, x = read_vgg(vgg_file, "conv2_1"), torch.rand(1, 3, 8, 8, requires_grad=True)
    network(x).square().mean().backward()
    assert all(p.grad is None for p in network.parameters()) and float(x.grad.abs().sum()) > 0
    assert not network.training


def test_files_of_other_networks_are_refused_in_one_line(tmp_path, vgg_file, tiny_weights):
    odd = tmp_path / "odd.pth"
    torch.save({"features.0.weight": torch.zeros(64, 3, 5, 5)}, odd)
    for path, told in (
        (tiny_weights(2), r"holds no VGG-19: features\.0\.weight is missing, expected \(64, 3, 3, 3\)"),
        (odd, r"features\.0\.weight is \(64, 3, 5, 5\), expected \(64, 3, 3, 3\); give torchvision's vgg19"),
        (vgg_file, r"features\.12\.weight is missing, expected \(256, 256, 3, 3\)"),
        (tmp_path / "none.pth", r"there is no file .*none\.pth; give torchvision's vgg19"),
    ):
        with pytest.raises(InputError, match=told) as caught:
            read_vgg(path, "conv3_2")
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="has no layer 'conv5_5'; it has conv1_1"):
        VGG("conv5_5")
