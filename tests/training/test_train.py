"""Weights to start from: what fits is taken, the rest is random, and the card says so."""

from shutil import copytree

import cv2
import pytest
import torch
from facesr_edge.calibration.data.faces import sample_faces
from facesr_edge.engines.errors import EngineError, InputError, TrainingError, UsageError
from facesr_edge.networks import build_network
from facesr_edge.networks.weights import read_weights
from facesr_edge.training.data.faces import FacePairs
from facesr_edge.training.partial_load import partial_load
from facesr_edge.training.recipe import Recipe
from facesr_edge.training.train import DISTILL_WEIGHT, train_model
from facesr_edge.training.trainer import train
from facesr_edge.zoo import catalogue

CONFIG = {"depth": 2, "width": 8, "scale": 2, "bicubic_skip": True}
PLAN = Recipe("idrn", CONFIG, steps=3, batch=2, crop=32, learning_rate=1e-3)


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    cv2.imwrite(str(folder / "0.png"), sample_faces()[0])
    return folder


class Watched(FacePairs):
    """The real task; keeps what the network was at the first step."""

    first = None

    def loss(self, network, batch):
        self.first = self.first or {name: value.clone() for name, value in network.state_dict().items()}
        return super().loss(network, batch)


def first_weights(faces, folder, start=None):
    task = Watched(PLAN, faces, None)
    train(PLAN, task, folder, lambda _: None, start=start)
    return task.first


def test_what_fits_is_taken_and_the_rest_is_as_chance_would_have_it(faces, tmp_path):
    torch.manual_seed(9)
    shallow = build_network("idrn", {**CONFIG, "depth": 1}).state_dict()
    odd = {**shallow, "tail.weight": torch.zeros(3, 9, 3, 3), "unknown": torch.zeros(1)}
    fresh, started = first_weights(faces, tmp_path / "fresh"), first_weights(faces, tmp_path / "started", odd)
    taken = {name for name in fresh if name in shallow and name != "tail.weight"}
    assert "units.0.first.weight" in taken and not any(name.startswith("units.1") for name in taken)
    assert all(torch.equal(started[name], shallow[name]) for name in taken)
    assert all(torch.equal(started[name], fresh[name]) for name in fresh.keys() - taken)


def test_where_there_is_a_checkpoint_it_counts_and_not_the_weights_to_start_from(faces, tmp_path):
    plain = train(PLAN, Watched(PLAN, faces, None), tmp_path, lambda _: None).state_dict()
    other = build_network("idrn", CONFIG).state_dict()
    again = train(PLAN, Watched(PLAN, faces, None), tmp_path, lambda _: None, start=other).state_dict()
    assert all(torch.equal(plain[name], again[name]) for name in plain)


@pytest.mark.parametrize("start", [{}, {"conv.weight": torch.zeros(1)}, {"head.weight": torch.zeros(9, 3, 3, 3)}])
def test_weights_of_which_nothing_fits_are_refused_before_anything_is_written(faces, tmp_path, start):
    with pytest.raises(TrainingError, match=rf"none of the {len(start)} tensors to start from fits idrn") as caught:
        train(PLAN, FacePairs(PLAN, faces, None), tmp_path / "run", lambda _: None, start=start)
    assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()


def test_a_recipe_is_known_by_what_is_not_default_so_that_later_fields_leave_old_checkpoints_valid():
    assert PLAN.identity == repr(
        {"network": "idrn", "config": CONFIG, "steps": 3, "batch": 2, "crop": 32, "learning_rate": 1e-3}
    )
    assert Recipe("idrn", CONFIG, 3, 2, 32, 1e-3, beta1=0.5).identity != PLAN.identity


def test_a_checkpoint_from_before_tasks_learnt_goes_on(faces, tmp_path):
    whole = train(PLAN, FacePairs(PLAN, faces, None), tmp_path, lambda _: None, save_every=2).state_dict()
    old = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert old.pop("task") == {}
    torch.save(old, tmp_path / "checkpoint.pt")
    again = train(PLAN, FacePairs(PLAN, faces, None), tmp_path, lambda _: None).state_dict()
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_the_card_says_what_it_started_from(faces, tmp_path, tiny_weights):
    sizes = {"depth": 2, "width": 8, "scale": 4, "steps": 1, "threads": 1}
    told = read_weights(train_model("idrn", faces, tmp_path, start=tiny_weights(4), **sizes)).origin.training
    assert told["config"]["depth"] == 2
    assert told["started_from"] == {
        "network": "idrn",
        "tensors_taken": 12,
        "config": {"depth": 1, "width": 8, "scale": 4, "bicubic_skip": True},
        "data": "none: random weights",
    }


def test_branches_are_folded_when_the_training_is_over_and_int8_starts_from_that(faces, tmp_path):
    sizes = {"width": 8, "depth": 2, "steps": 2}
    folded = train_model("edge", faces, tmp_path / "branched", recipe="nano", **sizes)
    told = read_weights(folded)
    assert told.config == {"width": 8, "depth": 2, "scale": 4}
    build_network(told.network, told.config).load_state_dict(told.tensors)
    last = train_model("edge", faces, tmp_path / "int8", recipe="int8", start=folded, held_out=faces, steps=2)
    finished = read_weights(last)
    assert {"int8_psnr_y_db", "int8_gain_db"} <= finished.origin.training["scores"].keys()
    assert finished.tensors.keys() == told.tensors.keys() and finished.origin.training["int8"]
    about = finished.origin.training["started_from"]
    assert about["network"] == "edge" and about["tensors_taken"] == len(told.tensors)
    apart = max(float((finished.tensors[name] - told.tensors[name]).abs().max()) for name in told.tensors)
    assert 0 < apart < 0.05


@pytest.mark.parametrize("recipe", ["finish", "int8"])
def test_what_ships_can_be_finished_in_the_size_that_it_has(faces, tmp_path, recipe):
    shipped = catalogue.FOLDER / "edge-nano-x4" / "weights.safetensors"
    again = read_weights(train_model("edge", faces, tmp_path, recipe=recipe, start=shipped, steps=1, batch=2))
    assert again.config == {"width": 32, "depth": 5, "scale": 4}


@pytest.mark.parametrize("recipe", ["finish", "int8"])
def test_what_finishes_is_learnt_in_the_degradation_that_its_weights_were(faces, tmp_path, recipe):
    sizes = {"width": 8, "depth": 1, "steps": 1}
    seen = train_model("edge", faces, tmp_path / "camera", recipe="camera", batch=2, **sizes)
    finished = read_weights(train_model("edge", faces, tmp_path / "last", recipe=recipe, start=seen, batch=2, **sizes))
    assert finished.origin.training["degradation"] == "camera" and finished.origin.training["batch"] == 2


@pytest.mark.parametrize("start", [None, {"width": 4, "depth": 1}, {"width": 8, "depth": 2}])
@pytest.mark.parametrize("recipe", ["finish", "int8"])
def test_what_finishes_without_trained_weights_of_its_own_size_is_refused(faces, tmp_path, recipe, start):
    weights = start and train_model("edge", faces, tmp_path / "other", recipe="nano", steps=1, **start)
    with pytest.raises(UsageError, match="this recipe comes last, after trained weights of edge with"):
        train_model("edge", faces, tmp_path / "last", recipe=recipe, start=weights, width=8, depth=1, steps=1)
    assert not (tmp_path / "last").exists()


def test_a_network_learns_from_another_ones_pictures_and_the_card_says_so(faces, tmp_path, tiny_bundle):
    sizes = {"width": 8, "depth": 1, "steps": 1}
    bundle = tiny_bundle()
    teacher = tmp_path / "another name"
    copytree(bundle.folder, teacher)
    distill_weight = read_weights(train_model("edge", faces, tmp_path, recipe="nano", teacher=teacher, **sizes))
    assert distill_weight.origin.training["teacher"] == bundle.card.name
    assert distill_weight.origin.training["taught"] == DISTILL_WEIGHT


@pytest.mark.parametrize(
    ("model", "recipe", "told"),
    [
        ("edge", "camera", "the teacher learnt from 'bicubic' faces, this recipe has 'camera'; give another"),
        ("msrnet", "cpu", "msrnet learns from no teacher; leave --teacher out"),
    ],
)
def test_a_teacher_of_something_else_than_the_recipe_is_refused(faces, tmp_path, tiny_bundle, model, recipe, told):
    with pytest.raises(UsageError, match=told):
        train_model(model, faces, tmp_path, recipe=recipe, teacher=tiny_bundle().folder, steps=1)


def test_branches_are_wanted_or_not(faces, tmp_path):
    with pytest.raises(UsageError, match=r"expected branches=1 .* or branches=0 .*, got branches=7"):
        train_model("edge", faces, tmp_path, recipe="nano", options={"branches": 7})


def test_without_branches_it_trains_the_plain_network(faces, tmp_path):
    sizes = {"width": 8, "depth": 1, "steps": 1, "options": {"branches": 0}}
    assert read_weights(train_model("edge", faces, tmp_path, recipe="nano", **sizes)).config == {
        "width": 8,
        "depth": 1,
        "scale": 4,
    }


def test_a_teacher_that_enlarges_otherwise_or_does_something_else_is_refused(faces, tmp_path, tiny_bundle):
    with pytest.raises(EngineError, match="the teacher enlarges ×4, the network ×2; leave --teacher out"):
        train_model("edge", faces, tmp_path, recipe="nano", teacher=tiny_bundle().folder, scale=2, width=8, depth=1)
    detector = catalogue.find(catalogue.DEFAULT_DETECTOR).folder
    with pytest.raises(EngineError, match="face-detection; give one for super-resolution as the teacher"):
        train_model("edge", faces, tmp_path, recipe="nano", teacher=detector, width=8, depth=1)
    with pytest.raises(InputError, match=r"there is no teacher .*none; give the folder of a bundle, or leave"):
        train_model("edge", faces, tmp_path, recipe="nano", teacher=tmp_path / "none", width=8, depth=1)


def test_a_network_with_branches_goes_on_from_folded_weights_as_it_was_left():
    torch.manual_seed(3)
    config = {"width": 8, "depth": 2, "scale": 2}
    folded, branched = build_network("edge", config).eval(), build_network("edge", {**config, "branches": True}).eval()
    plan = Recipe("edge", {**config, "branches": True}, steps=1, batch=1, crop=32, learning_rate=1e-3)
    taken = partial_load(branched, folded.state_dict(), plan)
    assert taken.keys() == branched.state_dict().keys()
    branched.load_state_dict(taken)
    x = torch.rand(2, 3, 8, 8)
    assert torch.allclose(branched(x), folded(x), atol=1e-5)


def test_a_larger_network_goes_on_from_what_a_smaller_one_had_learnt(faces, tmp_path):
    smaller = train_model("edge", faces, tmp_path / "smaller", recipe="nano", width=8, depth=1, steps=2, threads=1)
    trained = read_weights(smaller)
    config = {"width": 12, "depth": 3, "scale": 4}
    torch.manual_seed(3)
    small, large = build_network("edge", trained.config), build_network("edge", {**config, "branches": True})
    small.load_state_dict({name: tensor.float() for name, tensor in trained.tensors.items()})
    plan = Recipe("edge", {**config, "branches": True}, steps=1, batch=1, crop=32, learning_rate=1e-3)
    large.load_state_dict(partial_load(large, trained.tensors, plan))
    x = torch.rand(2, 3, 8, 8)
    assert torch.allclose(large(x), small(x), atol=1e-5)
    sizes = {"width": 12, "depth": 3, "steps": 2, "threads": 1}
    told = read_weights(train_model("edge", faces, tmp_path / "large", recipe="small", start=smaller, **sizes)).origin
    assert told.training["started_from"]["config"]["width"] == 8 and told.training["config"]["width"] == 12


def test_rates_are_the_recipes_times_what_is_given(faces, tmp_path):
    sizes = {"width": 8, "depth": 1, "steps": 1, "batch": 2}
    plain, third = (
        read_weights(train_model("edge", faces, tmp_path / str(n), rate=rate, **sizes)).origin.training
        for n, rate in enumerate((1.0, 0.25))
    )
    assert (third["learning_rate"], third["muon"]) == (plain["learning_rate"] / 4, plain["muon"] / 4)


@pytest.mark.parametrize("rate", [0.0, -1.0, 11.0, float("nan")])
def test_a_rate_that_cannot_be_is_refused(faces, tmp_path, rate):
    with pytest.raises(UsageError, match="expected a rate above 0 and up to 10, got"):
        train_model("edge", faces, tmp_path / "out", rate=rate)
