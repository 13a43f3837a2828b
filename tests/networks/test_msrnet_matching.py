"""Patch matching and fusion of MSRNet: similarity, search windows, gradients, equations 5 to 7."""

import pytest
import torch
from facesr_edge.networks.layers.resample import enlarge, resample
from facesr_edge.networks.msrnet.fusion import CrossScaleFusion, ReferenceShares
from facesr_edge.networks.msrnet.patch_matching import gather_rows, match_patches, patches
from torch.nn import functional as F


def test_a_patch_has_a_position_and_its_eight_neighbors():
    features = torch.randn(2, 3, 8, 8)
    centered = F.pad(features - features.mean((2, 3), keepdim=True), (1, 1, 1, 1))
    expected = F.normalize(centered[:, :, 4:7, 2:5].permute(0, 2, 3, 1).flatten(1), dim=1)  # around row 4, column 2
    assert torch.allclose(patches(features)[:, 4 * 8 + 2], expected, atol=1e-5)


def test_patches_have_norm_1_and_are_invariant_to_tint_and_contrast():
    features = torch.randn(2, 3, 8, 8)
    keys = patches(features)
    assert torch.allclose(keys.norm(dim=-1), torch.ones(2, 64), atol=1e-4)
    assert torch.allclose(patches(3 * features + torch.randn(1, 3, 1, 1)), keys, atol=1e-4)


def test_a_uniform_map_gives_no_nan():
    assert (patches(torch.full((1, 2, 8, 8), 5.0)) == 0).all()


@pytest.mark.parametrize("grid", [8, 12, 32])
def test_every_patch_matches_itself(grid):
    keys = patches(torch.randn(1, 4, grid, grid))
    assert match_patches(keys, keys[:, None], grid).flatten().tolist() == list(range(grid * grid))


def test_shifted_patches_are_found():
    features = torch.randn(1, 4, 32, 32)
    moved = torch.roll(features, (5, -7), (2, 3))
    rows = match_patches(patches(features), patches(moved)[:, None], 32).reshape(32, 32)
    inner = torch.arange(32)[12:20]
    expected = (inner[:, None] + 5) * 32 + inner - 7
    assert torch.equal(rows[12:20, 12:20], expected)


def test_a_window_of_all_positions_finds_the_global_best():
    queries, keys = patches(torch.randn(2, 4, 8, 8)), patches(torch.randn(6, 4, 8, 8)).unflatten(0, (2, 3))
    best = (queries[:, None] @ keys.transpose(2, 3)).argmax(-1)  # (2, 3, 64)
    first = torch.arange(6).reshape(2, 3, 1) * 64
    assert torch.equal(match_patches(queries, keys, 8), best + first)


def test_the_fine_pass_improves_the_coarse_match():
    queries, keys = patches(torch.randn(1, 4, 32, 32)), patches(torch.randn(1, 4, 32, 32))[:, None]
    scores = queries[:, None] @ keys.transpose(2, 3)  # (1, 1, L, L)
    matched = scores.gather(-1, match_patches(queries, keys, 32)[..., None])[..., 0]
    centers = (torch.arange(2, 32, 4)[:, None] * 32 + torch.arange(2, 32, 4)).flatten()
    assert torch.equal(matched[0, 0, centers], scores[0, 0, centers].amax(-1))  # the patches of the coarse pass
    assert matched.mean() > 0.6 * scores.amax(-1).mean() > 10 * scores.mean().abs()


def test_gradients_go_to_the_gathered_rows():
    tensor = torch.randn(1, 2, 4, 3, requires_grad=True)
    rows = torch.tensor([[[0, 0, 3, 1], [4, 5, 5, 5]]])
    gathered = gather_rows(rows, tensor)
    assert torch.equal(gathered[0, 0, 2], tensor[0, 0, 3]) and torch.equal(gathered[0, 1, 3], tensor[0, 1, 1])
    gathered.sum().backward()
    assert tensor.grad[..., 0].tolist() == [[[2, 1, 0, 1], [1, 3, 0, 0]]]


def test_reference_weights_follow_similarity_and_ignore_empty_slots():
    shares, values = ReferenceShares(), torch.tensor([1.0, 10, 100]).reshape(1, 3, 1, 1)
    similarity = torch.tensor([0.9, 0.8, 0.99]).reshape(1, 3, 1)
    e = torch.exp(10 * (similarity.flatten() - 0.5))
    expected = (e[0] * 0.9 * 1 + e[1] * 0.8 * 10) / (e[0] + e[1] + 1)
    with torch.no_grad():
        assert torch.allclose(shares(values, similarity, torch.tensor([[1.0, 1, 0]])), expected, rtol=1e-5)
        assert (shares(values, similarity, torch.zeros(1, 3)) == 0).all()
        assert shares(values, similarity - 2, torch.ones(1, 3)).abs().max() < 1e-4  # no similar reference, no detail


def test_cross_scale_fusion_follows_equations_5_to_7():
    fusion = CrossScaleFusion(low=6, hi=4)
    hi, low, reference = torch.randn(2, 4, 8, 8), torch.randn(2, 6, 4, 4), torch.randn(2, 4, 8, 8)
    with torch.no_grad():
        reference_residual = reference + fusion.to_hi(fusion.to_low(resample(reference, 4, 4)) - low)
        face_residual = fusion.face(hi - fusion.narrow(enlarge(low, 2)) + reference)
        expected = fusion.both(torch.cat((reference_residual, face_residual.relu()), 1))
        assert torch.allclose(fusion(hi, low, reference), expected, atol=1e-4)
