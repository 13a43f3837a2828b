"""Stage 2 of MSRNet: what windows see, and what is mined from where."""

import pytest
import torch
from facesr_edge.networks.msrnet.self_mining import SelfMining, attended
from facesr_edge.networks.msrnet.swin import GlobalFeatures, SwinBlock, WindowAttention
from torch.nn import functional as F


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def reach(layer, row, column, side=16):
    """Positions whose output changes with the input at one: a set of rows and one of columns."""
    x = torch.randn(1, side, side, 16)
    y = x.clone()
    y[0, row, column] = torch.randn(16)
    with torch.no_grad():
        changed = (layer(x) - layer(y)).abs().amax(-1)[0] > 1e-6
    return set(changed.any(1).nonzero().flatten().tolist()), set(changed.any(0).nonzero().flatten().tolist())


def test_without_a_shift_a_position_is_seen_in_its_window_alone():
    assert reach(WindowAttention(16, 2, 8, 0), 3, 12) == (set(range(8)), set(range(8, 16)))


def test_with_a_shift_windows_lie_across_the_others():
    assert reach(WindowAttention(16, 2, 8, 4), 6, 9) == (set(range(4, 12)), set(range(4, 12)))


def test_a_shifted_window_never_joins_opposite_edges():
    assert reach(WindowAttention(16, 2, 8, 4), 1, 14) == (set(range(4)), set(range(12, 16)))


def test_attention_is_softmax_over_the_window_with_a_bias_for_the_places():
    layer = WindowAttention(8, 1, 2, 0)
    layer.bias.data.normal_()
    x = torch.randn(1, 2, 2, 8)
    with torch.no_grad():
        query, key, value = layer.mixed(x.reshape(4, 8)).chunk(3, -1)
        places = [(0, 0), (0, 1), (1, 0), (1, 1)]
        bias = torch.stack(
            [torch.stack([layer.bias[(y - v + 1) * 3 + x - u + 1, 0] for v, u in places]) for y, x in places]
        )
        by_hand = layer.out(torch.softmax(query @ key.T / 8**0.5 + bias, -1) @ value).reshape(1, 2, 2, 8)
        assert torch.allclose(layer(x), by_hand, atol=1e-5)


def test_two_blocks_see_beyond_a_window():
    layer = torch.nn.Sequential(SwinBlock(16, 1, 8, 0), SwinBlock(16, 1, 8, 4))
    assert reach(layer, 3, 3) == (set(range(12)), set(range(12)))


def test_global_features_come_at_the_whole_and_at_half_the_side():
    whole, halved = GlobalFeatures(16)(torch.rand(2, 3, 16, 32))
    assert whole.shape == (2, 16, 16, 32) and halved.shape == (2, 32, 8, 16)


def test_the_weights_of_equation_8_are_a_softmax_over_all_positions():
    queries, keys, values = torch.randn(1, 3, 2, 2), torch.randn(1, 3, 3, 4), torch.randn(1, 5, 3, 4)
    found = attended(queries, keys, values, torch.tensor(7.0))
    for y in range(2):
        for x in range(2):
            alike = [F.cosine_similarity(queries[0, :, y, x], keys[0, :, v, u], 0) for v in range(3) for u in range(4)]
            weights = torch.softmax(7 * torch.stack(alike), 0)
            assert torch.allclose(found[0, :, y, x], values[0].flatten(1) @ weights, atol=1e-5)


def test_what_is_mined_is_the_detail_of_the_place_that_is_most_alike():
    mining = SelfMining(coarse=4, fine=3, seeing=4, width=4)
    mining.sharpness.data.fill_(1e4)
    mining.query.weight.data.copy_(torch.eye(4)[:, :, None, None] / 4 * torch.ones(2, 2))
    mining.key.weight.data.copy_(torch.eye(4)[:, :, None, None])
    mining.query.bias.data.zero_(), mining.key.bias.data.zero_()
    coarse, fine, fed = torch.randn(1, 4, 4, 4), torch.randn(1, 3, 8, 8), []
    mining.double_mined.register_forward_pre_hook(lambda _, inputs: fed.append(inputs[0]))
    seen = F.interpolate(coarse.flip(3), scale_factor=2)  # looks like the coarse features mirrored
    with torch.no_grad():
        doubled, mined = mining(seen, coarse, fine)
    assert doubled.shape == mined.shape == (1, 3, 16, 16)
    assert torch.allclose(fed[0][..., 2:4, 0:2], fine[..., 2:4, 6:8], atol=1e-3)
