"""Faces with references: nearest neighbors, batches, loss and scores."""

import cv2
import numpy as np
import pytest
import torch
from facesr_edge.calibration.data.faces import low_resolution, sample_faces
from facesr_edge.calibration.metrics.evaluate import upscale_bicubic
from facesr_edge.calibration.metrics.image import mean_db, psnr_y
from facesr_edge.engines.errors import InputError, UsageError
from facesr_edge.networks.layers.bicubic import resize_batch
from facesr_edge.networks.layers.pixels import to_rgb
from facesr_edge.networks.msrnet.network import MSRNet
from facesr_edge.training.data.references import FacesWithReferences, ablation, nearest, neighbors
from facesr_edge.training.recipe import Recipe
from facesr_edge.training.recipes.msrnet import RECIPES
from torch import nn

CONFIG = {"width": 4, "trunk": 1, "match_width": 4, "global_channels": 16}


def recipe(scale=8, crop=64, **changes):
    config = {**CONFIG, "scale": scale, "side": crop // scale}
    return Recipe("msrnet", config, **{"steps": 1, "batch": 4, "crop": crop, "learning_rate": 1e-3, **changes})


def network(plan):
    torch.manual_seed(0)
    return MSRNet(**plan.config).eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Eight views of 72×72."""
    made = tmp_path_factory.mktemp("faces")
    for n, face in enumerate(sample_faces()):
        cv2.imwrite(str(made / f"{n}.png"), cv2.resize(face, (72, 72), interpolation=cv2.INTER_AREA))
    return made


def contains(picture, crop):
    match = cv2.matchTemplate(picture, np.ascontiguousarray(crop), cv2.TM_SQDIFF)
    y, x = np.unravel_index(match.argmin(), match.shape)
    return (picture[y : y + 64, x : x + 64] == crop).all()


def test_a_batch_has_similar_faces_and_their_low_resolution_versions(folder):
    task = FacesWithReferences(recipe(), folder, None)
    batch = task.batch(np.random.default_rng(0))
    assert batch.hr.shape == (4, 3, 64, 64) and batch.lr.shape == (4, 3, 8, 8)
    hr = (batch.hr * 255).round().byte().permute(0, 2, 3, 1).flip(-1).numpy()
    assert torch.equal(to_rgb(torch.from_numpy(low_resolution(hr, 8))), batch.lr)
    pictures = [cv2.imread(str(path)) for path in sorted(folder.iterdir())]
    sources = [{n for n, p in enumerate(pictures) for v in (crop, crop[:, ::-1]) if contains(p, v)} for crop in hr]
    first, *others = (next(iter(of)) for of in sources)
    assert set(others) <= {int(n) % 8 for n in task.neighbors[first]} and first not in others


def test_no_face_is_its_own_reference_and_the_nearest_come_first(folder):
    task = FacesWithReferences(recipe(), folder, None)
    for seed in range(5):
        batch = task.batch(np.random.default_rng(seed))
        small = batch.lr.flatten(1)
        for n, references in enumerate(batch.references.tolist()):
            assert n not in references and len(set(references)) == len(references)
            distances = [float((small[n] - small[other]).abs().sum()) for other in references]
            assert distances == sorted(distances)


def test_the_number_of_references_varies_and_some_faces_have_none(folder):
    task = FacesWithReferences(recipe(batch=6), folder, None)
    counts = [task.batch(np.random.default_rng(seed)).present.sum(1) for seed in range(40)]
    numbers = torch.cat(counts).int().tolist()
    assert set(numbers) == {0, 1, 2, 3, 4, 5} and 15 < numbers.count(0) < 70  # 40 of 240 expected


def test_batches_are_reproducible(folder):
    task = FacesWithReferences(recipe(), folder, None)
    one, same, other = (task.batch(np.random.default_rng((1, n))) for n in (5, 5, 6))
    assert torch.equal(one.hr, same.hr) and torch.equal(one.present, same.present)
    assert not torch.equal(one.hr, other.hr)


def test_neighbors_are_the_nearest_other_faces_mirrored_where_nearer():
    straight = torch.tensor([[0.0], [10], [3], [-50]])
    mirrored = torch.tensor([[100.0], [1], [60], [4]])
    assert neighbors(torch.cat((straight, mirrored)), 3).tolist()[0] == [1 + 4, 2, 3 + 4]
    indices = neighbors(torch.rand(12, 5), 5) % 6
    assert all(sorted([n, *row]) == list(range(6)) for n, row in enumerate(indices.tolist()))


@pytest.mark.parametrize(("scale", "crop"), [(8, 64), (16, 64)])
def test_the_loss_equals_that_of_forward_with_encoded_references(folder, scale, crop):
    plan = recipe(scale, crop, batch=3)
    task, net = FacesWithReferences(plan, folder, None), network(plan)
    net.tail.weight.data.mul_(100)
    batch = task.batch(np.random.default_rng(3))
    with torch.inference_mode():
        references = batch.hr if scale == 8 else resize_tensor(batch.hr, 32)
        keys, values = net.encode(references)
        sr = net(batch.lr, keys[batch.references], values[batch.references], batch.present)
        assert float(task.loss(net, batch)) == pytest.approx(float((sr - batch.hr).abs().mean()), rel=1e-2)


def resize_tensor(pictures, side):
    resized = resize_batch(pictures.permute(0, 2, 3, 1).numpy(), side, side)
    return torch.from_numpy(resized).permute(0, 3, 1, 2)


def test_the_loss_decreases(folder):
    plan = recipe()
    task, net = FacesWithReferences(plan, folder, None), network(plan)
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    batch = task.batch(np.random.default_rng(0))
    losses = []
    for _ in range(25):
        loss = task.loss(net, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]


def test_gain_is_relative_to_opencvs_bicubic(folder):
    plan = recipe()
    task, net = FacesWithReferences(plan, folder, folder), network(plan)
    nn.init.zeros_(net.tail.weight)
    scores, (hr, _) = task.evaluate(net), task.validation
    small = low_resolution(hr, 8)
    actual = np.clip(np.rint(resize_batch(small, *hr.shape[1:3])), 0, 255).astype(np.uint8)
    expected = mean_db(psnr_y(actual, hr)) - mean_db(psnr_y(upscale_bicubic(small, 8), hr))
    assert scores["gain_db"] == pytest.approx(expected, abs=0.02)
    assert scores["gain_without_references_db"] == pytest.approx(expected, abs=0.02)
    net.tail.bias.data += 0.1
    assert task.evaluate(net)["gain_db"] < -1


def test_the_ablation_gives_the_psnr_for_each_number_of_references(folder):
    plan = recipe()
    faces = FacesWithReferences(plan, folder, None).crops
    net = network(plan)
    net.tail.weight.data.mul_(100)
    psnr_db = ablation(net, faces[:3], faces[3:], (0, 2))
    small = low_resolution(faces[:3], 8)
    both = np.concatenate((faces[3:], faces[3:, :, ::-1]))
    with torch.inference_mode():
        for count in (0, 2):
            pictures = []
            for n, face in enumerate(small):
                references = ()
                if count:
                    distances = np.abs(low_resolution(both, 8) / 255 - face / 255).sum((1, 2, 3))
                    references = [
                        t[None] for t in net.encode(to_rgb(torch.from_numpy(both[distances.argsort()[:count]])))
                    ]
                sr = net(to_rgb(torch.from_numpy(small[n : n + 1])), *references)
                pictures.append((sr.clamp(0, 1) * 255).round()[0].permute(1, 2, 0).flip(-1).byte().numpy())
            assert psnr_db[count] == pytest.approx(mean_db(psnr_y(np.stack(pictures), faces[:3])), abs=1e-3)
    assert psnr_db[0] != pytest.approx(psnr_db[2], abs=1e-3)


def test_references_can_be_chosen_by_the_networks_embedding(folder):
    faces = FacesWithReferences(recipe(), folder, None).crops
    small = low_resolution(faces, 8)
    with torch.inference_mode():
        indices = nearest(small, small, 2, network(recipe()).embedding)
    assert indices[:, 0].tolist() == list(range(8)) and (indices[:, 1] != indices[:, 0]).all()


def test_a_single_face_raises(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), sample_faces()[0])
    with pytest.raises(InputError, match="expected 2 or more faces"):
        FacesWithReferences(recipe(), tmp_path, None)


@pytest.mark.parametrize(("scale", "side"), [(8, 16), (16, 8)])
def test_the_recipe_uses_whole_faces_of_128_pixels(scale, side):
    plan = RECIPES["cpu"](scale=scale)
    assert plan.crop == 128 and plan.config["side"] == side and plan.config["scale"] == scale
    assert RECIPES["paper"]().config["width"] == 64 and RECIPES["paper"]().learning_rate == 2e-4


def test_a_batch_of_one_face_raises(folder):
    with pytest.raises(UsageError, match="expected a batch of 2 or more, got 1"):
        FacesWithReferences(recipe(batch=1), folder, None)
