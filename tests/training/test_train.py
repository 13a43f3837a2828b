"""Training from initial weights and with a teacher, and the training record."""

import re
from dataclasses import replace
from shutil import copytree

import pytest
import torch
from facesr_edge.engines.errors import EngineError, InputError, TrainingError, UsageError
from facesr_edge.networks import build_network
from facesr_edge.networks.weights import Provenance, read_weights, weights_bytes
from facesr_edge.training.data.cameras.cache import PairCache
from facesr_edge.training.data.faces import FacePairs
from facesr_edge.training.data.recorded import VALIDATED
from facesr_edge.training.partial_load import partial_load
from facesr_edge.training.recipe import Recipe
from facesr_edge.training.train import DISTILL_WEIGHT, train_model
from facesr_edge.training.trainer import train
from facesr_edge.zoo import catalogue

CONFIG = {"depth": 2, "width": 8, "scale": 2, "bicubic_skip": True}
PLAN = Recipe("idrn", CONFIG, steps=3, batch=2, crop=32, learning_rate=1e-3)


class RecordingPairs(FacePairs):
    """The real task; records the weights of the first step."""

    first = None

    def loss(self, network, batch):
        self.first = self.first or {name: value.clone() for name, value in network.state_dict().items()}
        return super().loss(network, batch)


def first_weights(faces, folder, init_weights=None):
    task = RecordingPairs(PLAN, faces, None)
    train(PLAN, task, folder, lambda _: None, init_weights=init_weights)
    return task.first


def test_matching_tensors_are_used_and_the_others_are_random(faces, tmp_path):
    torch.manual_seed(9)
    shallow = build_network("idrn", {**CONFIG, "depth": 1}).state_dict()
    partial = {**shallow, "tail.weight": torch.zeros(3, 9, 3, 3), "unknown": torch.zeros(1)}
    fresh = first_weights(faces, tmp_path / "fresh")
    started = first_weights(faces, tmp_path / "started", partial)
    loaded = {name for name in fresh if name in shallow and name != "tail.weight"}
    assert "units.0.first.weight" in loaded and not any(name.startswith("units.1") for name in loaded)
    assert all(torch.equal(started[name], shallow[name]) for name in loaded)
    assert all(torch.equal(started[name], fresh[name]) for name in fresh.keys() - loaded)


def test_a_checkpoint_takes_precedence_over_initial_weights(faces, tmp_path):
    plain = train(PLAN, RecordingPairs(PLAN, faces, None), tmp_path, lambda _: None).state_dict()
    other = build_network("idrn", CONFIG).state_dict()
    again = train(PLAN, RecordingPairs(PLAN, faces, None), tmp_path, lambda _: None, init_weights=other).state_dict()
    assert all(torch.equal(plain[name], again[name]) for name in plain)


@pytest.mark.parametrize("weights", [{}, {"conv.weight": torch.zeros(1)}, {"head.weight": torch.zeros(9, 3, 3, 3)}])
def test_initial_weights_without_matching_tensors_raise_before_anything_is_written(faces, tmp_path, weights):
    with pytest.raises(TrainingError, match=rf"none of the {len(weights)} initial tensors fits idrn") as caught:
        train(PLAN, FacePairs(PLAN, faces, None), tmp_path / "run", lambda _: None, init_weights=weights)
    assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()


def test_identity_contains_non_default_fields_only():
    fields = {"network": "idrn", "config": CONFIG, "steps": 3, "batch": 2, "crop": 32, "learning_rate": 1e-3}
    assert PLAN.identity == repr(fields)
    assert Recipe("idrn", CONFIG, 3, 2, 32, 1e-3, beta1=0.5).identity != PLAN.identity


def test_the_training_record_has_the_initial_weights(faces, tmp_path, tiny_weights):
    sizes = {"depth": 2, "width": 8, "scale": 4, "steps": 1, "threads": 1}
    training = read_weights(train_model("idrn", faces, tmp_path, init_weights=tiny_weights(4), **sizes)).origin.training
    assert training["config"]["depth"] == 2
    assert training["init_from"] == {
        "network": "idrn",
        "tensors_loaded": 12,
        "config": {"depth": 1, "width": 8, "scale": 4, "bicubic_skip": True},
        "data": "none: random weights",
    }


def test_branches_are_fused_after_training_and_int8_continues_from_the_result(faces, tmp_path):
    sizes = {"width": 8, "depth": 2, "steps": 2}
    fused_path = train_model("edge", faces, tmp_path / "branched", recipe="nano", **sizes)
    fused = read_weights(fused_path)
    assert fused.config == {"width": 8, "depth": 2, "scale": 4}
    build_network(fused.network, fused.config).load_state_dict(fused.tensors)
    last = train_model(
        "edge", faces, tmp_path / "int8", recipe="int8", init_weights=fused_path, val_faces=faces, steps=2
    )
    finished = read_weights(last)
    assert {"int8_psnr_y_db", "int8_gain_db"} <= finished.origin.training["scores"].keys()
    assert finished.tensors.keys() == fused.tensors.keys() and finished.origin.training["int8"]
    init_from = finished.origin.training["init_from"]
    assert init_from["network"] == "edge" and init_from["tensors_loaded"] == len(fused.tensors)
    change = max(float((finished.tensors[name] - fused.tensors[name]).abs().max()) for name in fused.tensors)
    assert 0 < change < 0.05


@pytest.mark.parametrize("recipe", ["finetune", "int8"])
def test_shipped_weights_are_fine_tuned_in_their_own_size(faces, tmp_path, recipe):
    shipped = catalogue.FOLDER / "edge-nano-x4" / "weights.safetensors"
    again = read_weights(train_model("edge", faces, tmp_path, recipe=recipe, init_weights=shipped, steps=1, batch=2))
    assert again.config == {"width": 32, "depth": 5, "scale": 4}


@pytest.mark.parametrize("recipe", ["finetune", "int8"])
def test_fine_tuning_keeps_the_degradation_of_the_weights(faces, tmp_path, recipe):
    sizes = {"width": 8, "depth": 1, "steps": 1, "batch": 2, "pairs": tmp_path / "pairs"}
    options = {"recipe": "camera", "options": {"shards": 1}, "val_faces": faces}
    camera = train_model("edge", faces, tmp_path / "camera", **options, **sizes)
    finished = read_weights(train_model("edge", faces, tmp_path / "last", recipe=recipe, init_weights=camera, **sizes))
    record = finished.origin.training
    assert (record["degradation"], record["shards"], record["batch"]) == ("recorded", 1, 2)
    scores = read_weights(camera).origin.training["scores"]
    assert scores.keys() == {f"gain_db_{name}" for name in VALIDATED}
    assert min(scores.values()) > -20 and max(scores.values()) < 3


@pytest.mark.parametrize(
    "wrong",
    [
        *({"degradation": value} for value in ("camera-2", None, ["recorded"])),
        *({"clean": value} for value in (-0.1, 1.5, "0.1", True)),
        *({"shards": value} for value in (-1, 10_000, 1.0, "96", None)),
        *({"bf16": value} for value in (1, "yes")),
    ],
)
def test_fine_tuning_weights_with_an_invalid_training_record_raises(faces, tmp_path, wrong):
    config = {"width": 8, "depth": 1, "scale": 4}
    path = tmp_path / "weights.safetensors"
    path.write_bytes(weights_bytes(build_network("edge", config), "edge", config, Provenance(wrong)))
    ((name, value),) = wrong.items()
    with pytest.raises(InputError, match=re.escape(f"{name} = {value!r}, which this release cannot continue")):
        train_model("edge", faces, tmp_path / "run", recipe="finetune", init_weights=path)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("given", [{"faces": 2}, {"scenes": True}, {"pairs": True}])
def test_recipes_without_recorded_pairs_take_one_folder_no_scenes_and_no_cache(faces, tmp_path, given):
    folders = [faces] * given.get("faces", 1)
    options = {name: faces for name in ("scenes", "pairs") if name in given}
    with pytest.raises(UsageError, match="only camera recipes"):
        train_model("edge", folders, tmp_path, recipe="nano", width=8, depth=1, steps=1, **options)


def test_no_folder_of_faces_and_an_invalid_number_of_shards_raise(faces, tmp_path):
    with pytest.raises(UsageError, match="there is no folder of faces"):
        train_model("edge", [], tmp_path, recipe="nano", width=8, depth=1, steps=1)
    for shards in (-1, 10_000):
        with pytest.raises(UsageError, match=f"shards must be 0 to 9999, got {shards}"):
            train_model("edge", faces, tmp_path, recipe="camera", options={"shards": shards})


@pytest.mark.parametrize("init_weights", [None, {"width": 4, "depth": 1}, {"width": 8, "depth": 2}])
@pytest.mark.parametrize("recipe", ["finetune", "int8"])
def test_fine_tuning_without_trained_weights_of_its_size_raises(faces, tmp_path, recipe, init_weights):
    weights = init_weights and train_model("edge", faces, tmp_path / "other", recipe="nano", steps=1, **init_weights)
    with pytest.raises(UsageError, match="this recipe fine-tunes trained weights of edge with"):
        train_model("edge", faces, tmp_path / "last", recipe=recipe, init_weights=weights, width=8, depth=1, steps=1)
    assert not (tmp_path / "last").exists()


def test_a_teacher_is_recorded_by_the_name_on_its_card(faces, tmp_path, tiny_bundle):
    sizes = {"width": 8, "depth": 1, "steps": 1}
    bundle = tiny_bundle()
    teacher = tmp_path / "another name"
    copytree(bundle.folder, teacher)
    weights = read_weights(train_model("edge", faces, tmp_path, recipe="nano", teacher=teacher, **sizes))
    assert weights.origin.training["teacher"] == bundle.card.name
    assert weights.origin.training["distill_weight"] == DISTILL_WEIGHT


@pytest.mark.parametrize(
    ("model", "recipe", "message"),
    [
        ("edge", "camera", "trained on degradation 'bicubic', this recipe has 'recorded'; give another teacher"),
        ("msrnet", "cpu", "msrnet does not support a teacher; omit --teacher"),
    ],
)
def test_an_unsuitable_teacher_raises(faces, tmp_path, tiny_bundle, model, recipe, message):
    with pytest.raises(UsageError, match=message):
        train_model(model, faces, tmp_path, recipe=recipe, teacher=tiny_bundle().folder, steps=1)


@pytest.fixture
def no_recording(monkeypatch):
    """Recording pairs fails the test."""

    def fill(*arguments):
        pytest.fail("pairs were recorded")

    monkeypatch.setattr(PairCache, "fill", fill)


@pytest.fixture
def camera_bundle(tiny_bundle, monkeypatch):
    """Folder of a ×4 bundle whose card says that it was trained on recordings."""
    bundle = tiny_bundle()
    card = replace(bundle.card, training={"degradation": "recorded"})
    monkeypatch.setattr("facesr_edge.training.tasks.open_bundle", lambda path: replace(bundle, card=card))
    return bundle.folder


def test_a_teacher_of_another_scale_raises_before_pairs_are_recorded(faces, tmp_path, camera_bundle, no_recording):
    with pytest.raises(EngineError, match="the teacher's scale is ×4, the network's ×2; omit --teacher"):
        train_model("edge", faces, tmp_path, recipe="camera", teacher=camera_bundle, scale=2, width=8, depth=1)


def test_unreadable_validation_faces_raise_before_pairs_are_recorded(faces, tmp_path, no_recording):
    with pytest.raises(InputError, match="is not a folder"):
        train_model("edge", faces, tmp_path, recipe="camera", val_faces=tmp_path / "none", width=8, depth=1)


def test_a_checkpoint_of_another_recipe_raises_before_pairs_are_recorded(faces, tmp_path, no_recording):
    train(PLAN, FacePairs(PLAN, faces, None), tmp_path, lambda _: None)
    with pytest.raises(TrainingError, match="belongs to another recipe"):
        train_model("edge", faces, tmp_path, recipe="camera", width=8, depth=1)
    assert not (tmp_path / "pairs").exists()


def test_branches_other_than_0_or_1_raise(faces, tmp_path):
    with pytest.raises(UsageError, match=r"branches must be 1 .* or 0 .*, got 7"):
        train_model("edge", faces, tmp_path, recipe="nano", options={"branches": 7})


def test_the_plain_network_trains_without_branches(faces, tmp_path):
    sizes = {"width": 8, "depth": 1, "steps": 1, "options": {"branches": 0}}
    assert read_weights(train_model("edge", faces, tmp_path, recipe="nano", **sizes)).config == {
        "width": 8,
        "depth": 1,
        "scale": 4,
    }


def test_a_teacher_of_another_scale_or_task_raises(faces, tmp_path, tiny_bundle):
    with pytest.raises(EngineError, match="the teacher's scale is ×4, the network's ×2; omit --teacher"):
        train_model("edge", faces, tmp_path, recipe="nano", teacher=tiny_bundle().folder, scale=2, width=8, depth=1)
    detector = catalogue.find(catalogue.DEFAULT_DETECTOR).folder
    with pytest.raises(EngineError, match="face-detection; give one for super-resolution as the teacher"):
        train_model("edge", faces, tmp_path, recipe="nano", teacher=detector, width=8, depth=1)
    with pytest.raises(InputError, match=r"teacher .*none does not exist; give a bundle folder, or omit"):
        train_model("edge", faces, tmp_path, recipe="nano", teacher=tmp_path / "none", width=8, depth=1)


def test_a_network_with_branches_continues_from_fused_weights():
    torch.manual_seed(3)
    config = {"width": 8, "depth": 2, "scale": 2}
    fused, branched = build_network("edge", config).eval(), build_network("edge", {**config, "branches": True}).eval()
    plan = Recipe("edge", {**config, "branches": True}, steps=1, batch=1, crop=32, learning_rate=1e-3)
    matching = partial_load(branched, fused.state_dict(), plan)
    assert matching.keys() == branched.state_dict().keys()
    branched.load_state_dict(matching)
    x = torch.rand(2, 3, 8, 8)
    assert torch.allclose(branched(x), fused(x), atol=1e-5)


def test_a_larger_network_continues_from_a_smaller_one(faces, tmp_path):
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
    weights = train_model("edge", faces, tmp_path / "large", recipe="small", init_weights=smaller, **sizes)
    training = read_weights(weights).origin.training
    assert training["init_from"]["config"]["width"] == 8 and training["config"]["width"] == 12


def test_lr_scale_multiplies_all_learning_rates(faces, tmp_path):
    sizes = {"width": 8, "depth": 1, "steps": 1, "batch": 2}
    full, quarter = (
        read_weights(train_model("edge", faces, tmp_path / str(n), lr_scale=lr_scale, **sizes)).origin.training
        for n, lr_scale in enumerate((1.0, 0.25))
    )
    assert (quarter["learning_rate"], quarter["muon"]) == (full["learning_rate"] / 4, full["muon"] / 4)


@pytest.mark.parametrize("lr_scale", [0.0, -1.0, 11.0, float("nan")])
def test_an_invalid_lr_scale_raises(faces, tmp_path, lr_scale):
    with pytest.raises(UsageError, match="lr_scale must be above 0 and at most 10, got"):
        train_model("edge", faces, tmp_path / "out", lr_scale=lr_scale)
