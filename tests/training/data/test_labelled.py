"""Labelled faces and CRL's auxiliary tasks: labels are read and follow the crop, heads and features learn from them."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from facesr_edge.engines.errors import InputError, UsageError
from facesr_edge.networks import build_network
from facesr_edge.networks.weights import read_weights
from facesr_edge.training.data.labelled import LabelledFaces
from facesr_edge.training.data.labels import LABELS, read_labels
from facesr_edge.training.losses.attributes import ATTRIBUTES, AttributeHeads, AuxiliaryTasks
from facesr_edge.training.losses.losses import Criterion
from facesr_edge.training.train import RECIPES, train_model
from facesr_edge.training.trainer import train

SIDE, MARK = 128, 24


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """Twelve pictures of a white square on noise, dark or bright; attribute and landmark say which and where."""
    folder, rng, entries = tmp_path_factory.mktemp("labelled"), np.random.default_rng(0), {}
    for n in range(12):
        bright, (x, y) = n % 2, rng.integers(0, SIDE - MARK, 2).tolist()
        face = rng.integers(0, 60, (SIDE, SIDE, 3), np.uint8) + np.uint8(120 * bright)
        face[y : y + MARK, x : x + MARK] = 255
        cv2.imwrite(str(folder / f"{n:02}.png"), face)
        landmarks = [[x + MARK / 2, y + MARK / 2]]
        entries[f"{n:02}.png"] = {"attributes": {"bright": bright, "always": 1}, "landmarks": landmarks}
    (folder / LABELS).write_text(json.dumps(entries))
    return folder


def small(**changes):
    plan = RECIPES["crl"]["cpu"](depth=1, width=8, attributes=1)
    return replace(plan, **{"steps": 3, "batch": 4, **changes})


def task_of(recipe, folder):
    losses = {name: weight for name, weight in recipe.losses.items() if name != ATTRIBUTES}
    return LabelledFaces(recipe, folder, None, Criterion(losses))


def test_labels_belong_to_their_pictures(labelled):
    labels = read_labels(labelled, ["03.png", "unlabelled.png", "04.png"])
    assert labels.attribute_names == ("always", "bright") and labels.indices.tolist() == [0, 2]
    assert labels.attributes.tolist() == [[1, 1], [1, 0]] and labels.landmarks.shape == (2, 1, 2)
    for name, ((x, y),) in zip(("03.png", "04.png"), labels.landmarks, strict=True):
        half = MARK // 2
        mark = cv2.imread(str(labelled / name))[int(y) - half : int(y) + half, int(x) - half : int(x) + half]
        assert mark.min() == 255 and mark.shape == (MARK, MARK, 3)


@pytest.mark.parametrize(
    ("entries", "kept"),
    [
        ({"a": {"attributes": {"x": 1}}, "b": {"attributes": {}}}, [0]),
        ({"a": {"attributes": {"x": 1}}, "b": {"attributes": {"x": 0, "y": 1}}}, [1]),
        ({"a": {"landmarks": [[1, 2]]}, "b": {"landmarks": [[1, 2], [3, 4]]}}, [1]),
        ({"a": {"attributes": {"x": True}}, "b": {"attributes": {"x": 0.0}}}, [0, 1]),
    ],
)
def test_faces_with_missing_labels_are_left_out(tmp_path, entries, kept):
    (tmp_path / LABELS).write_text(json.dumps(entries))
    assert read_labels(tmp_path, ["a", "b"]).indices.tolist() == kept


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not understood"),
        ("[1]", "no picture has all labels"),
        ("{}", "expected 0 attributes and 0 landmarks"),
        ('{"a": {}}', "expected 0 attributes and 0 landmarks"),
        ('{"a": 3}', "is not understood"),
        ('{"a": {"landmarks": [[1, 1' + "0" * 400 + "]]}}", "is not understood"),
        ('{"a": {"attributes": {"x": 2}}}', "an attribute is neither 0 nor 1"),
        ('{"a": {"attributes": {"x": NaN}}}', "an attribute is neither 0 nor 1"),
        ('{"a": {"landmarks": [[1, 2, 3]]}}', "is not understood"),
        ('{"a": {"landmarks": [[1, Infinity]]}}', "a landmark is not finite"),
        ('{"a": {"attributes": {"x": 1}}, "b": {"landmarks": [[1, 2]]}}', "expected 1 attributes and 1 landmarks"),
        ("[" * 100_000, "is not understood"),
    ],
)
def test_invalid_labels_raise_one_line(tmp_path, text, message):
    (tmp_path / LABELS).write_text(text)
    with pytest.raises(InputError, match=message) as error:
        read_labels(tmp_path, ["a", "b"])
    assert "\n" not in str(error.value)


def test_faces_without_labels_raise(faces, tmp_path):
    with pytest.raises(InputError, match=r"attributes\.json: No such file.*omit --set attributes"):
        train_model("crl", faces, tmp_path / "run", options={"attributes": 1}, depth=1, width=8, steps=1)


def test_landmarks_are_where_the_crop_shows_them(labelled):
    task = task_of(small(crop=112, batch=40), labelled)
    batch = task.batch(np.random.default_rng(1))
    hr, checked = batch.pairs.hr.numpy(), 0
    assert hr.shape == (40, 112, 112, 3) and batch.pairs.lr.shape == (40, 28, 28, 3)
    for face, ((x, y),), (_, bright) in zip(hr, batch.landmarks.numpy() * 112, batch.attributes, strict=True):
        left, top = round(float(x)) - MARK // 2, round(float(y)) - MARK // 2
        if min(left, top) >= 0 and max(left, top) + MARK <= 112:
            checked += 1
            assert face[top : top + MARK, left : left + MARK].min() == 255
        assert (np.median(face) > 90) == bool(bright)
    assert checked > 10


def test_the_heads_learn_attributes_and_landmarks(labelled):
    task, rng = task_of(small(batch=12), labelled), np.random.default_rng(0)
    tasks = AuxiliaryTasks(3, 2, 1, learning_rate=1e-2)
    for _ in range(150):
        batch = task.batch(rng)
        tasks.loss(batch.pairs.lr.permute(0, 3, 1, 2) / 255, batch.attributes, batch.landmarks)
    logits, points = tasks.heads(batch.pairs.lr.permute(0, 3, 1, 2) / 255)
    assert ((logits > 0) == batch.attributes.bool()).all()
    spread = (batch.landmarks - batch.landmarks.mean(0)).square().mean()
    assert (points - batch.landmarks).square().mean() < 0.3 * spread


def test_the_loss_is_cross_entropy_and_square_error():
    heads, features = AttributeHeads(4, 2, 3), torch.rand(5, 4, 8, 8)
    attributes, landmarks = torch.randint(0, 2, (5, 2)).float(), torch.rand(5, 3, 2)
    with torch.inference_mode():
        logits, points = heads(features)
        p = torch.sigmoid(logits)
        entropy = -(attributes * p.log() + (1 - attributes) * (1 - p).log()).mean()
        expected = entropy + (points - landmarks).square().mean()
        assert heads.loss(features, attributes, landmarks) == pytest.approx(float(expected), rel=1e-5)
        only_one = [heads_of.loss(features, *labels) for heads_of, labels in one_kind(features, attributes, landmarks)]
    assert all(torch.isfinite(loss) and loss > 0 for loss in only_one)


def one_kind(features, attributes, landmarks):
    """Heads of attributes only and of landmarks only, with labels."""
    return [
        (AttributeHeads(4, 2, 0), (attributes, landmarks[:, :0])),
        (AttributeHeads(4, 0, 3), (attributes[:, :0], landmarks)),
    ]


def test_the_features_get_a_gradient_of_the_labels_and_the_heads_none(labelled):
    recipe = small()
    task, network = task_of(recipe, labelled), build_network("crl", recipe.config)
    batch = task.batch(np.random.default_rng(0))
    gradients = {}
    for name, weight in (("with", 1.0), ("without", 0.0)):
        task.recipe = replace(recipe, losses={**recipe.losses, ATTRIBUTES: weight})
        network.zero_grad()
        task.loss(network, batch).backward()
        gradients[name] = network.head.weight.grad.clone(), network.tail.weight.grad.clone()
    assert not torch.allclose(gradients["with"][0], gradients["without"][0], rtol=1e-3)
    assert torch.equal(gradients["with"][1], gradients["without"][1])  # the tail follows the features
    assert all(weight.grad is None for weight in task.tasks.heads.parameters())


def test_trained_weights_are_those_of_the_network_alone(labelled, tmp_path):
    options = {"options": {"attributes": 1}, "depth": 1, "width": 8, "steps": 2, "batch": 2, "val_faces": labelled}
    weights = read_weights(train_model("crl", labelled, tmp_path / "run", **options))
    plain = build_network("crl", {"depth": 1, "width": 8})
    assert weights.tensors.keys() == plain.state_dict().keys() and "attributes" not in weights.config
    assert weights.origin.training["losses"] == {"l1": 1.0, "attributes": 0.01}
    assert weights.origin.training["scores"].keys() == {"psnr_y_db", "gain_db"}


def test_an_interrupted_run_continues_bit_for_bit(labelled, tmp_path):
    recipe, (whole, parts) = small(steps=4), (tmp_path / "whole", tmp_path / "parts")
    expected = train(recipe, task_of(recipe, labelled), whole, lambda progress: None)

    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe, task_of(recipe, labelled), parts, stop, save_every=2, evaluate_every=2)
    resumed = train(recipe, task_of(recipe, labelled), parts, lambda progress: None)
    for name, tensor in expected.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_a_teacher_is_refused(labelled, tmp_path):
    with pytest.raises(UsageError, match="auxiliary tasks do not support a teacher"):
        train_model("crl", labelled, tmp_path / "run", options={"attributes": 1}, teacher=tmp_path)


@pytest.mark.parametrize("name", ["cpu", "paper"])
def test_recipes_with_attributes_state_their_deviations(name):
    without, plan = RECIPES["crl"][name](), RECIPES["crl"][name](attributes=1)
    assert plan.losses == {**without.losses, ATTRIBUTES: 0.01} and plan.crop == 128
    stated, before = "; ".join(plan.deviations), "; ".join(without.deviations)
    assert "no auxiliary tasks" in before and "no fusion network" in before
    assert "neither layers nor weight of the auxiliary tasks" in stated and "no fusion network" in stated
    assert "no auxiliary tasks" not in stated and "mirrored" not in stated and "blocks of 41x41 at" not in stated
