"""Patches found again in references: what counts as alike, where they are looked for, where gradients go."""

import pytest
import torch
from facesr_edge.networks.layers.resample import enlarge, resample
from facesr_edge.networks.msrnet.fusion import CrossScaleFusion, ReferenceShares
from facesr_edge.networks.msrnet.patch_matching import matches, patches, taken
from torch.nn import functional as F


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def test_a_patch_is_a_position_and_the_eight_round_it():
    features = torch.randn(2, 3, 8, 8)
    centred = F.pad(features - features.mean((2, 3), keepdim=True), (1, 1, 1, 1))
    by_hand = F.normalize(centred[:, :, 4:7, 2:5].permute(0, 2, 3, 1).flatten(1), dim=1)  # round row 4, column 2
    assert torch.allclose(patches(features)[:, 4 * 8 + 2], by_hand, atol=1e-5)


def test_patches_have_norm_one_and_do_not_see_tints_or_contrast():
    features = torch.randn(2, 3, 8, 8)
    seen = patches(features)
    assert torch.allclose(seen.norm(dim=-1), torch.ones(2, 64), atol=1e-4)
    assert torch.allclose(patches(3 * features + torch.randn(1, 3, 1, 1)), seen, atol=1e-4)


def test_a_flat_map_gives_no_nan():
    assert (patches(torch.full((1, 2, 8, 8), 5.0)) == 0).all()


@pytest.mark.parametrize("grid", [8, 12, 32])
def test_every_patch_finds_itself(grid):
    seen = patches(torch.randn(1, 4, grid, grid))
    assert matches(seen, seen[:, None], grid).flatten().tolist() == list(range(grid * grid))


def test_patches_are_found_where_they_were_moved_to():
    features = torch.randn(1, 4, 32, 32)
    moved = torch.roll(features, (5, -7), (2, 3))
    rows = matches(patches(features), patches(moved)[:, None], 32).reshape(32, 32)
    inner = torch.arange(32)[12:20]
    wanted = (inner[:, None] + 5) * 32 + inner - 7
    assert torch.equal(rows[12:20, 12:20], wanted)


def test_where_the_window_holds_all_positions_the_best_of_all_is_found():
    queries, keys = patches(torch.randn(2, 4, 8, 8)), patches(torch.randn(6, 4, 8, 8)).unflatten(0, (2, 3))
    best = (queries[:, None] @ keys.transpose(2, 3)).argmax(-1)  # (2, 3, 64)
    first = torch.arange(6).reshape(2, 3, 1) * 64
    assert torch.equal(matches(queries, keys, 8), best + first)


def test_the_second_pass_betters_the_first():
    queries, keys = patches(torch.randn(1, 4, 32, 32)), patches(torch.randn(1, 4, 32, 32))[:, None]
    scores = queries[:, None] @ keys.transpose(2, 3)  # (1, 1, L, L)
    found = scores.gather(-1, matches(queries, keys, 32)[..., None])[..., 0]
    middle = (torch.arange(2, 32, 4)[:, None] * 32 + torch.arange(2, 32, 4)).flatten()
    assert torch.equal(found[0, 0, middle], scores[0, 0, middle].amax(-1))  # the patches of the first pass
    assert found.mean() > 0.6 * scores.amax(-1).mean() > 10 * scores.mean().abs()


def test_gradients_go_to_the_rows_that_were_copied():
    among = torch.randn(1, 2, 4, 3, requires_grad=True)
    rows = torch.tensor([[[0, 0, 3, 1], [4, 5, 5, 5]]])
    copied = taken(rows, among)
    assert torch.equal(copied[0, 0, 2], among[0, 0, 3]) and torch.equal(copied[0, 1, 3], among[0, 1, 1])
    copied.sum().backward()
    assert among.grad[..., 0].tolist() == [[[2, 1, 0, 1], [1, 3, 0, 0]]]


def test_shares_favour_what_is_alike_and_leave_out_what_is_absent():
    shares, values = ReferenceShares(), torch.tensor([1.0, 10, 100]).reshape(1, 3, 1, 1)
    similarity = torch.tensor([0.9, 0.8, 0.99]).reshape(1, 3, 1)
    e = torch.exp(10 * (similarity.flatten() - 0.5))
    by_hand = (e[0] * 0.9 * 1 + e[1] * 0.8 * 10) / (e[0] + e[1] + 1)
    with torch.no_grad():
        assert float(shares(values, similarity, torch.tensor([[1.0, 1, 0]]))) == pytest.approx(float(by_hand), rel=1e-5)
        assert (shares(values, similarity, torch.zeros(1, 3)) == 0).all()
        assert shares(values, similarity - 2, torch.ones(1, 3)).abs().max() < 1e-4  # nothing alike: nothing is lent


def test_the_fusion_across_scales_is_that_of_equations_5_to_7():
    fusion = CrossScaleFusion(low=6, hi=4)
    hi, low, reference = torch.randn(2, 4, 8, 8), torch.randn(2, 6, 4, 4), torch.randn(2, 4, 8, 8)
    with torch.no_grad():
        of_reference = reference + fusion.to_hi(fusion.to_low(resample(reference, 4, 4)) - low)
        of_face = fusion.face(hi - fusion.narrow(enlarge(low, 2)) + reference)
        by_hand = fusion.both(torch.cat((of_reference, of_face.relu()), 1))
        assert torch.allclose(fusion(hi, low, reference), by_hand, atol=1e-4)
