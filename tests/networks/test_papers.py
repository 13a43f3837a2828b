"""Networks of the papers and their baselines: shapes, sizes, initialization, equations against plain loops."""

import math

import pytest
import torch
from facesr_edge.networks import build_network
from facesr_edge.networks.crl import Attention
from facesr_edge.networks.layers.resample import enlarge
from facesr_edge.networks.mffcn import MFFCN, FeatureFusion
from facesr_edge.networks.sisn import SplitAttention, SplitAttentionGroup
from torch import nn

SMALL = {
    "crl": {"depth": 2, "width": 16},
    "idrn": {"depth": 2, "width": 16},
    "mffcn": {"width": 8},
    "sisn": {"groups": 2, "blocks": 2, "width": 16},
    "srcnn": {},
    "srresnet": {"depth": 2, "width": 16},
    "vdsr": {"depth": 4, "width": 16},
}
SCALES = {"crl": (2, 3, 4, 8), "idrn": (2, 3, 4), "mffcn": (2, 3, 4, 5, 8), "sisn": (2, 3, 4, 8), "srcnn": (2, 3, 4)}
SCALES |= {"srresnet": (2, 3, 4, 8), "vdsr": (2, 3, 4, 5)}


def parameters(name, **config):
    with torch.device("meta"):
        return sum(p.numel() for p in build_network(name, config).parameters())


@pytest.mark.parametrize(("name", "scale"), [(name, scale) for name, scales in SCALES.items() for scale in scales])
def test_the_output_is_larger_by_the_scale(name, scale):
    network = build_network(name, {**SMALL[name], "scale": scale}).eval()
    height, width = (8, 12) if name == "mffcn" else (9, 14)
    with torch.inference_mode():
        assert network(torch.rand(2, 3, height, width)).shape == (2, 3, height * scale, width * scale)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_every_weight_has_gradients(name):
    network = build_network(name, SMALL[name])
    for module in network.modules():
        if isinstance(module, Attention):
            module.gamma.data.fill_(0.5)  # at its initial 0, no other weight has a gradient
    network(torch.rand(2, 3, 8, 8)).square().mean().backward()
    unused = [key for key, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert unused == []


@pytest.mark.parametrize("name", sorted(SMALL))
def test_the_initial_output_is_near_the_bicubic_image(name, astronaut):
    face = torch.from_numpy(astronaut[100:124, 200:232].copy()).permute(2, 0, 1)[None] / 255
    differences = []
    for _ in range(5):  # small networks vary much with the random weights
        network = build_network(name, SMALL[name])
        with torch.inference_mode():
            differences.append(float((network(face) - enlarge(face, 4)).square().mean().sqrt()))
    assert 0 < sum(differences) / 5 < 0.4


@pytest.mark.parametrize("name", ["crl", "idrn", "sisn", "srcnn", "srresnet"])
def test_the_skip_adds_the_bicubic_image_only(name):
    config = {**SMALL[name], "scale": 2}
    plain, with_skip = (build_network(name, {**config, "bicubic_skip": skip}).eval() for skip in (False, True))
    with_skip.load_state_dict(plain.state_dict())
    x = torch.rand(1, 3, 8, 8)
    with torch.inference_mode():
        assert torch.allclose(with_skip(x) - plain(x), enlarge(x, 2), atol=1e-5)


def test_srcnn_is_9_1_5_with_64_and_32_channels():
    layers = [layer for layer in build_network("srcnn", {}).modules() if isinstance(layer, nn.Conv2d)]
    assert [(layer.kernel_size[0], layer.out_channels) for layer in layers] == [(9, 64), (1, 32), (5, 3)]
    assert parameters("srcnn") == 3 * 81 * 64 + 64 + 64 * 32 + 32 + 32 * 25 * 3 + 3


def test_vdsr_has_twenty_convolutions_of_64_channels():
    layers = [layer for layer in build_network("vdsr", {}).modules() if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in layers] == [64] * 19 + [3]
    assert {layer.kernel_size for layer in layers} == {(3, 3)}
    assert parameters("vdsr") == (27 * 64 + 64) + 18 * (9 * 64 * 64 + 64) + (9 * 64 * 3 + 3)


def conv(c_in, c_out, side, bias=True):
    return c_in * c_out * side * side + (c_out if bias else 0)


@pytest.mark.parametrize("scale", [4, 8])
def test_the_papers_sizes_have_the_expected_number_of_parameters(scale):
    steps = int(math.log2(scale)) * conv(64, 256, 3)
    block = 2 * conv(64, 64, 3) + 2 * conv(64, 8, 1) + conv(64, 64, 1) + 1
    ends = conv(3, 64, 3) + conv(64, 3, 3)
    assert parameters("crl", scale=scale) == ends + 16 * block + conv(64, 64, 3) + steps
    split = conv(64, 128, 3) + conv(64, 32, 1) + conv(32, 128, 1)
    group = 10 * (conv(64, 64, 3) + split) + conv(64, 64, 3) + split
    assert parameters("sisn", scale=scale) == ends + 10 * group + steps
    block = 2 * (conv(64, 64, 3, bias=False) + 2 * 64) + 1
    ends = conv(3, 64, 9) + 1 + conv(64, 3, 9)
    steps += int(math.log2(scale))
    assert parameters("srresnet", scale=scale) == ends + 16 * block + conv(64, 64, 3, bias=False) + 128 + steps


def test_mffcn_has_the_expected_number_of_parameters_at_any_scale():
    def fusion(c_in, c_out):
        return sum(conv(c_in, c_out // 2, side) for side in (1, 3, 5)) + conv(3 * (c_out // 2), c_out, 1)

    pairs = ((3, 24), (24, 48), (48, 96), (96, 96), (144, 48), (72, 24))
    assert parameters("mffcn") == parameters("mffcn", scale=3) == sum(fusion(*p) for p in pairs) + conv(24, 3, 3)


def test_mffcn_upscales_by_any_factor_with_the_same_weights():
    network, x = MFFCN(8, scale=4).eval(), torch.rand(1, 3, 8, 12)
    nn.init.normal_(network.tail.weight)
    for scale in (2, 3, 5, 7):
        other = MFFCN(8, scale=scale).eval()
        other.load_state_dict(network.state_dict())
        with torch.inference_mode():
            assert torch.equal(network(x, scale), other(x))
        for side in range(1, 9):
            assert (scale * side % 4 == 0) == (side % other.multiple == 0)


def test_feature_fusion_has_three_kernel_sizes_and_a_1x1_convolution():
    module, x = FeatureFusion(4, 6), torch.randn(1, 4, 9, 9)
    assert [branch.kernel_size for branch in module.branches] == [(1, 1), (3, 3), (5, 5)]
    expected = torch.cat([branch(x).relu() for branch in module.branches], 1)
    assert torch.allclose(module(x), module.fuse(expected).relu(), atol=1e-6)
    assert module(x).shape == (1, 6, 9, 9)


def test_initial_attention_is_the_identity():
    module, x = Attention(16), torch.randn(2, 16, 4, 5)
    assert module.gamma.tolist() == [0]
    assert torch.equal(module(x), x)


def test_attention_is_the_papers_sum_over_positions():
    module, image = Attention(16), torch.randn(2, 16, 3, 4)
    module.gamma.data.fill_(0.7)

    def mapped(layer, x):
        return layer.weight[:, :, 0, 0] @ x + layer.bias

    with torch.inference_mode():
        output = module(image).flatten(2)
        for n in range(2):
            x = [image[n].flatten(1)[:, position] for position in range(12)]
            for j in range(12):
                scores = [float(mapped(module.f, xi) @ mapped(module.g, x[j])) for xi in x]  # S_ij
                total = sum(math.exp(score) for score in scores)  # over i: equation 13
                weights = [math.exp(score) / total for score in scores]
                attended = sum(
                    weight * mapped(module.h, xi) for weight, xi in zip(weights, x, strict=True)
                )  # 14 and 15
                assert torch.allclose(output[n, :, j], 0.7 * attended + x[j], atol=1e-4)  # equation 16


def test_split_attention_is_the_papers_sum_of_weighted_splits():
    module, x = SplitAttention(16), torch.randn(2, 16, 5, 4)
    with torch.inference_mode():
        wide = module.widen(x)
        splits = [wide[:, 16 * r : 16 * (r + 1)] for r in range(2)]
        fused = sum(splits)  # equation 6
        pooled = fused.mean((2, 3), keepdim=True)
        weights = module.excite(module.squeeze(pooled).relu()).view(2, 2, 16).softmax(dim=1)  # over the splits
        expected = sum(split * weights[:, r, :, None, None] for r, split in enumerate(splits))  # equation 7
        assert torch.allclose(module(x), expected, atol=1e-5)


def test_a_group_adds_its_texture_and_structure_paths():
    group, x = SplitAttentionGroup(2, 8), torch.randn(1, 8, 6, 6)
    with torch.inference_mode():
        texture = x
        for layer in group.texture:
            texture = layer(texture)
        assert torch.allclose(group(x), group.gather(texture) + group.structure(x), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("crl", {"depth": 0}, "depth must be 1 or more"),
        ("crl", {"scale": 5}, "scale 5 is not supported; choose one of 2, 3, 4, 8"),
        ("idrn", {"scale": 1}, "scale 1 is not supported; choose one of 2, 3, 4"),
        ("idrn", {"scale": 8}, "scale 8 is not supported; choose one of 2, 3, 4"),
        ("idrn", {"depth": -1}, "depth must be 1 or more, not -1"),
        ("mffcn", {"width": 0}, "width must be 1 or more"),
        ("sisn", {"groups": 0}, "groups must be 1 or more"),
        ("sisn", {"blocks": 0}, "blocks must be 1 or more"),
        ("srresnet", {"scale": 6}, "scale 6 is not supported"),
        ("vdsr", {"depth": 1}, "depth must be 2 or more, not 1"),
    ],
)
def test_an_invalid_size_raises(name, config, message):
    with pytest.raises(ValueError, match=message):
        build_network(name, config)
