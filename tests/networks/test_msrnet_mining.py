"""Stage 2 of MSRNet: window attention, equation 8, self-mining."""

import torch
from facesr_edge.networks.msrnet.self_mining import SelfMining, cosine_attention
from facesr_edge.networks.msrnet.swin import GlobalFeatures, SwinBlock, WindowAttention
from torch.nn import functional as F


def influence(layer, row, column, side=16):
    """Rows and columns whose output depends on the input at one position."""
    x = torch.randn(1, side, side, 16)
    y = x.clone()
    y[0, row, column] = torch.randn(16)
    with torch.no_grad():
        changed = (layer(x) - layer(y)).abs().amax(-1)[0] > 1e-6
    return set(changed.any(1).nonzero().flatten().tolist()), set(changed.any(0).nonzero().flatten().tolist())


def test_attention_is_limited_to_the_window():
    assert influence(WindowAttention(16, 2, 8, 0), 3, 12) == (set(range(8)), set(range(8, 16)))


def test_shifted_windows_overlap_the_regular_ones():
    assert influence(WindowAttention(16, 2, 8, 4), 6, 9) == (set(range(4, 12)), set(range(4, 12)))


def test_shifted_windows_do_not_connect_opposite_borders():
    assert influence(WindowAttention(16, 2, 8, 4), 1, 14) == (set(range(4)), set(range(12, 16)))


def test_attention_is_a_softmax_with_relative_position_bias():
    layer = WindowAttention(8, 1, 2, 0)
    layer.bias.data.normal_()
    x = torch.randn(1, 2, 2, 8)
    with torch.no_grad():
        query, key, value = layer.mixed(x.reshape(4, 8)).chunk(3, -1)
        positions = [(0, 0), (0, 1), (1, 0), (1, 1)]
        bias = torch.stack(
            [torch.stack([layer.bias[(y - v + 1) * 3 + x - u + 1, 0] for v, u in positions]) for y, x in positions]
        )
        expected = layer.out(torch.softmax(query @ key.T / 8**0.5 + bias, -1) @ value).reshape(1, 2, 2, 8)
        assert torch.allclose(layer(x), expected, atol=1e-5)


def test_two_blocks_reach_beyond_a_window():
    layer = torch.nn.Sequential(SwinBlock(16, 1, 8, 0), SwinBlock(16, 1, 8, 4))
    assert influence(layer, 3, 3) == (set(range(12)), set(range(12)))


def test_global_features_have_full_and_half_size():
    whole, halved = GlobalFeatures(16)(torch.rand(2, 3, 16, 32))
    assert whole.shape == (2, 16, 16, 32) and halved.shape == (2, 32, 8, 16)


def test_equation_8_is_a_softmax_over_all_positions():
    queries, keys, values = torch.randn(1, 3, 2, 2), torch.randn(1, 3, 3, 4), torch.randn(1, 5, 3, 4)
    result = cosine_attention(queries, keys, values, torch.tensor(7.0))
    for y in range(2):
        for x in range(2):
            cosines = F.cosine_similarity(queries[0, :, y, x, None], keys[0].flatten(1), 0)
            weights = torch.softmax(7 * cosines, 0)
            assert torch.allclose(result[0, :, y, x], values[0].flatten(1) @ weights, atol=1e-5)


def test_self_mining_copies_detail_of_the_most_similar_position():
    mining = SelfMining(coarse=4, fine=3, global_channels=4, width=4)
    mining.sharpness.data.fill_(1e4)
    mining.query.weight.data.copy_(torch.eye(4)[:, :, None, None] / 4 * torch.ones(2, 2))
    mining.key.weight.data.copy_(torch.eye(4)[:, :, None, None])
    mining.query.bias.data.zero_(), mining.key.bias.data.zero_()
    coarse, fine, mined_inputs = torch.randn(1, 4, 4, 4), torch.randn(1, 3, 8, 8), []
    mining.double_mined.register_forward_pre_hook(lambda _, inputs: mined_inputs.append(inputs[0]))
    global_features = F.interpolate(coarse.flip(3), scale_factor=2)  # the mirrored coarse features
    with torch.no_grad():
        doubled, mined = mining(global_features, coarse, fine)
    assert doubled.shape == mined.shape == (1, 3, 16, 16)
    assert torch.allclose(mined_inputs[0][..., 2:4, 0:2], fine[..., 2:4, 6:8], atol=1e-3)
