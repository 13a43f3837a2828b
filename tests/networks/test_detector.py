"""Detector network: size, order of the outputs, decoding."""

from __future__ import annotations

import math

import pytest
import torch
from facesr_edge.networks import build_network
from facesr_edge.networks.detector import (
    CELLS,
    SIZE_LIMIT,
    STRIDES,
    Detector,
    decode,
    grid,
    on_pixels,
    on_planes,
    with_landmark_heads,
)
from facesr_edge.networks.weights import Weights, network_from
from torch import Tensor


def test_detector_stays_within_its_parameter_budget() -> None:
    network = build_network("detector", {"landmark_width": 32})
    assert sum(p.numel() for p in network.parameters()) <= 100_000


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 96), (160, 32), (224, 352)])
def test_output_has_a_row_for_every_cell_of_every_stride(height: int, width: int) -> None:
    maps = Detector(width=8).eval()(torch.zeros(2, 3, height, width))
    assert maps.shape == (2, sum((height // s) * (width // s) for s in STRIDES), 15)
    assert grid(height, width).shape == (maps.shape[1], 3)


def test_grid_runs_through_strides_then_rows_then_columns() -> None:
    cells = grid(32, 64).tolist()
    assert cells[:9] == [[x, 0, 8] for x in range(8)] + [[0, 1, 8]]
    assert cells[32:37] == [[0, 0, 16], [1, 0, 16], [2, 0, 16], [3, 0, 16], [0, 1, 16]]
    assert cells[-2:] == [[0, 0, 32], [1, 0, 32]]


def test_output_rows_are_the_head_maps_in_the_order_of_the_grid() -> None:
    network, maps = Detector(width=8).eval(), {}
    for stride, head, landmarks in zip(STRIDES, network.heads, network.landmarks, strict=True):
        head[1].register_forward_hook(lambda _, __, y, stride=stride: maps.update({("box", stride): y}))
        landmarks.register_forward_hook(lambda _, __, y, stride=stride: maps.update({("points", stride): y}))
    with torch.inference_mode():
        output = network(torch.rand(1, 3, 64, 96))[0]
    for row, (column, line, stride) in zip(output, grid(64, 96).int().tolist(), strict=True):
        expected = [maps[part, stride][0, :, line, column] for part in ("box", "points")]
        assert torch.equal(row, torch.cat(expected))


def test_decode_follows_the_documented_formula() -> None:
    maps = torch.zeros(15)
    maps[1:5] = torch.tensor([0.25, 0.5, math.log(2), math.log(4)])
    maps[5:7] = torch.tensor([0.5, -0.5])
    boxes, points = decode(maps, torch.tensor([3.0, 5.0, 16.0]))
    assert boxes.tolist() == pytest.approx([52 - 16, 88 - 32, 52 + 16, 88 + 32])
    assert points.tolist() == pytest.approx([56, 72, *[48, 80] * 4])


def test_initial_scores_are_low_and_boxes_have_the_size_for_their_stride() -> None:
    with torch.inference_mode():
        maps = Detector().eval()(torch.rand(1, 3, 64, 64))
    assert float(maps[..., 0].sigmoid().max()) < 0.1
    boxes, _ = decode(maps, grid(64, 64))
    sides = (boxes[0, :, 2] - boxes[0, :, 0]) / grid(64, 64)[:, 2]
    assert sides.tolist() == pytest.approx([CELLS] * len(sides), rel=0.3)


def test_sizes_are_limited_to_the_range_of_fp16() -> None:
    network = Detector(width=8).eval()
    for head in network.heads:
        head[1].bias.data[3:5] = torch.tensor([99.0, -99.0])  # type: ignore[index]  # ModuleList is untyped
    with torch.inference_mode():
        sizes = network(torch.zeros(1, 3, 32, 32))[..., 3:5]
    assert float(sizes.max()) == SIZE_LIMIT
    assert float(sizes.min()) == -SIZE_LIMIT
    assert math.exp(SIZE_LIMIT) * STRIDES[-1] < 65_504


def test_the_result_does_not_depend_on_the_batch() -> None:
    network, images = Detector(width=16).eval(), torch.rand(3, 3, 64, 32)
    batch: Tensor = network(images)
    torch.testing.assert_close(network(images[1:2]), batch[1:2], atol=1e-5, rtol=1e-4)


def test_weights_whose_box_heads_wrote_the_landmarks_give_the_same_output() -> None:
    network, images = Detector(width=8).eval(), torch.rand(1, 3, 64, 96)
    for layer in (*(head[1] for head in network.heads), *network.landmarks):
        torch.nn.init.normal_(layer.weight)
    old = dict(network.state_dict())
    for level in range(len(STRIDES)):
        for part in ("weight", "bias"):
            points = old.pop(f"landmarks.{level}.{part}")
            old[f"heads.{level}.1.{part}"] = torch.cat((old[f"heads.{level}.1.{part}"], points))
    loaded = network_from(Weights(old), "detector", {"width": 8})
    with torch.inference_mode():
        assert torch.equal(loaded(images), network(images))


def test_weights_of_other_networks_with_heads_are_left_as_they_are() -> None:
    tensors = {"heads.0.weight": torch.zeros(15, 4), "heads.0.1.running_mean": torch.zeros(15)}
    assert with_landmark_heads(tensors) == tensors


def test_the_landmark_branch_starts_without_an_effect() -> None:
    plain, images = Detector(width=16).eval(), torch.rand(1, 3, 64, 96)
    branched = Detector(width=16, landmark_width=8).eval()
    branched.load_state_dict(plain.state_dict(), strict=False)
    with torch.inference_mode():
        assert torch.equal(branched(images), plain(images))
        branched.landmark_branch.ends[0].bias.fill_(1)  # type: ignore[union-attr, operator]  # ModuleList is untyped
        changed = (branched(images) != plain(images))[0]
    assert changed.any(1).tolist() == (grid(64, 96)[:, 2] == 16).tolist()
    assert changed.any(0).tolist() == [False] * 5 + [True] * 10


def test_a_negative_landmark_width_raises() -> None:
    with pytest.raises(ValueError, match="0 or more"):
        Detector(landmark_width=-1)


@pytest.mark.parametrize("width", [0, 4, 30])
def test_a_width_that_is_not_a_multiple_of_4_raises(width: int) -> None:
    with pytest.raises(ValueError, match="multiple of 4"):
        Detector(width)


@pytest.mark.parametrize("size_hw", [(32, 32), (64, 96), (96, 32)])
def test_first_convolution_on_pixels_gives_the_same_result(size_hw):
    network = build_network("detector", {"width": 8}).eval()
    pixels = torch.randint(0, 256, (2, *size_hw, 3), generator=torch.Generator().manual_seed(0)).float()
    with torch.inference_mode():
        expected = network(pixels.flip(-1).permute(0, 3, 1, 2) / 255)
        assert (on_pixels(network)(pixels) - expected).abs().max() < 1e-5
        assert (on_planes(network)(pixels.permute(0, 3, 1, 2)) - expected).abs().max() < 1e-5
    assert network.stem[0].weight.shape[1:] == (3, 3, 3)  # only the copy was changed
