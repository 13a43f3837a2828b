"""Training loop and checkpoints: resuming is exact, errors are one line."""

import math

import numpy as np
import pytest
import torch
from facesr_edge.converters.build import build
from facesr_edge.converters.options import BuildOptions
from facesr_edge.engines.errors import InputError, OutputError, TrainingError, UnknownNameError, UsageError
from facesr_edge.networks import build_network
from facesr_edge.networks.weights import read_weights
from facesr_edge.training.data.faces import FacePairs
from facesr_edge.training.recipe import Recipe
from facesr_edge.training.train import RECIPES, train_model
from facesr_edge.training.trainer import Trainer, train

CONFIG = {"depth": 1, "width": 8, "scale": 2, "bicubic_skip": True}


def recipe(**changes):
    values = {"steps": 8, "batch": 2, "crop": 32, "learning_rate": 1e-3, "clip": 1.0, "ema": 0.9, **changes}
    return Recipe(network="idrn", config=CONFIG, **values)


def silent(progress):
    pass


class RecordingPairs(FacePairs):
    """The real task; records the weights at each step, and can interrupt a step or scale its loss."""

    def __init__(self, plan, faces, stop_at=None, scale_at=None, factor=math.nan):
        super().__init__(plan, faces, None)
        self.stop_at, self.scale_at, self.factor, self.weights, self.batches = stop_at, scale_at, factor, [], []

    def loss(self, network, batch):
        if len(self.weights) == self.stop_at:
            raise KeyboardInterrupt
        self.weights.append({name: value.clone() for name, value in network.state_dict().items()})
        self.batches.append(batch)
        loss = super().loss(network, batch)
        return loss * self.factor if len(self.weights) - 1 == self.scale_at else loss


def assert_same(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("changes", [{}, {"ema": 0.0, "clip": 0.0}, {"bf16": True, "warmup": 4}, {"int8": True}])
@pytest.mark.parametrize("stop_at", [1, 5, 7])
def test_an_interrupted_run_equals_an_uninterrupted_one(tmp_path, faces, changes, stop_at):
    plan = recipe(**changes)
    uninterrupted = train(plan, RecordingPairs(plan, faces), tmp_path / "whole", silent, save_every=2)
    with pytest.raises(KeyboardInterrupt):
        train(plan, RecordingPairs(plan, faces, stop_at), tmp_path / "parts", silent, save_every=2)
    remaining = RecordingPairs(plan, faces)
    resumed = train(plan, remaining, tmp_path / "parts", silent, save_every=2)
    assert len(remaining.weights) == 8 - stop_at // 2 * 2
    assert_same(resumed.state_dict(), uninterrupted.state_dict())


def test_training_lowers_the_loss_and_reports_progress(tmp_path, faces):
    plan = recipe(steps=60, ema=0.0)
    reports, task = [], RecordingPairs(plan, faces)
    trained = train(plan, task, tmp_path, reports.append)
    with torch.inference_mode():
        losses = [[float(FacePairs.loss(task, n, b)) for b in task.batches] for n in (first_network(task), trained)]
    assert np.mean(losses[1]) < 0.8 * np.mean(losses[0])
    assert [report.step for report in reports] == [20, 40, 60, 60]
    assert all(report.steps == 60 and report.loss > 0 and report.steps_per_second > 0 for report in reports)
    assert not trained.training


def first_network(task):
    network = build_network("idrn", CONFIG)
    network.load_state_dict(task.weights[0])
    return network


def test_training_is_reproducible_and_depends_on_the_seed(tmp_path, faces):
    runs = [
        train(plan, RecordingPairs(plan, faces), tmp_path / str(n), silent).state_dict()
        for n, plan in enumerate((recipe(), recipe(), recipe(seed=7)))
    ]
    assert_same(runs[0], runs[1])
    assert not torch.equal(runs[0]["head.weight"], runs[2]["head.weight"])


def test_the_result_is_the_moving_average_of_the_weights(tmp_path, faces):
    plain, averaged = recipe(ema=0.0), recipe(ema=0.3)
    task = RecordingPairs(plain, faces)
    last = train(plain, task, tmp_path / "plain", silent).state_dict()
    expected = task.weights[0]
    for step, weights in enumerate([*task.weights[1:], last]):
        decay = min(0.3, (1 + step) / (10 + step))
        expected = {name: decay * expected[name] + (1 - decay) * weights[name] for name in expected}
    got = train(averaged, RecordingPairs(averaged, faces), tmp_path / "averaged", silent).state_dict()
    assert all(torch.allclose(got[name], expected[name], atol=1e-6) for name in expected)
    assert not torch.allclose(got["head.weight"], last["head.weight"], atol=1e-6)


def test_frozen_modules_stay_in_evaluation_mode_after_an_evaluation():
    class Nothing:
        """A task without data."""

        def to(self, device):
            pass

        def evaluate(self, network):
            return {}

    plan = Recipe("detector", {"width": 8}, steps=1, batch=1, crop=64, learning_rate=1e-3, frozen=("stem",))
    trainer = Trainer(plan, Nothing(), None, torch.device("cpu"))
    trainer.evaluate()
    assert trainer.network.training and not any(module.training for module in trainer.network.stem.modules())
    assert not any(weight.requires_grad for weight in trainer.network.stem.parameters())


def test_a_complete_run_is_not_trained_again(tmp_path, faces):
    plan = recipe()
    first = train(plan, RecordingPairs(plan, faces), tmp_path, silent)
    again, reports = RecordingPairs(plan, faces), []
    assert_same(train(plan, again, tmp_path, reports.append).state_dict(), first.state_dict())
    assert again.weights == [] and [report.step for report in reports] == [8]


@pytest.mark.parametrize("changes", [{"steps": 9}, {"learning_rate": 2e-3}, {"batch": 3}, {"seed": 1}])
def test_a_checkpoint_of_another_recipe_raises_and_is_kept(tmp_path, faces, changes):
    plan, other = recipe(), recipe(**changes)
    train(plan, RecordingPairs(plan, faces), tmp_path, silent)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with pytest.raises(TrainingError, match=r"checkpoint\.pt belongs to another recipe; give another output folder"):
        train(other, RecordingPairs(other, faces), tmp_path, silent)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"text", b"\x80\x02}q\x00.", bytes(4000)])
def test_a_damaged_checkpoint_raises(tmp_path, faces, content):
    (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(TrainingError, match=r"checkpoint\.pt is not a checkpoint or is damaged; delete it") as caught:
        train(recipe(), RecordingPairs(recipe(), faces), tmp_path, silent)
    assert "\n" not in str(caught.value)


def test_a_loss_that_is_not_finite_raises_and_keeps_the_last_checkpoint(tmp_path, faces):
    with pytest.raises(TrainingError, match="the loss is nan at step 5; lower the learning rate and start over"):
        train(recipe(), RecordingPairs(recipe(), faces, scale_at=5), tmp_path, silent, save_every=2)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert state["step"] == 4 and all(torch.isfinite(value).all() for value in state["network"].values())


@pytest.mark.parametrize("factor", [math.nan, math.inf])
def test_a_loss_that_was_not_finite_once_raises_at_the_next_report(tmp_path, faces, factor):
    plan = recipe(steps=20, learning_rate=0.0, clip=0.0)  # the next losses are finite again
    with pytest.raises(TrainingError, match=r"the loss is .* at step 19; lower the learning rate"):
        train(plan, RecordingPairs(plan, faces, scale_at=3, factor=factor), tmp_path, silent)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": None}, r"written by another release .* --init-weights FILE, or finish the run with that release"),
        ({"average": {"other": torch.zeros(1)}}, "does not fit idrn; delete it to start over"),
    ],
)
def test_a_checkpoint_of_another_release_or_network_raises(tmp_path, faces, change, message):
    train(recipe(), RecordingPairs(recipe(), faces), tmp_path, silent)
    state = {**torch.load(tmp_path / "checkpoint.pt", weights_only=True), **change}
    torch.save({key: value for key, value in state.items() if value is not None}, tmp_path / "checkpoint.pt")
    with pytest.raises(TrainingError, match=message) as caught:
        train(recipe(), RecordingPairs(recipe(), faces), tmp_path, silent)
    assert "\n" not in str(caught.value)


def test_a_full_disk_raises_and_the_last_checkpoint_is_kept(tmp_path, faces, no_file_larger_than):
    with pytest.raises(KeyboardInterrupt):
        train(recipe(), RecordingPairs(recipe(), faces, stop_at=5), tmp_path, silent, save_every=2)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with no_file_larger_than(len(before) // 2), pytest.raises(OutputError, match="the previous checkpoint is kept"):
        train(recipe(), RecordingPairs(recipe(), faces), tmp_path, silent, save_every=2)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "rates"),
    [
        ({"steps": 100}, {0: 1, 50: 0.5, 25: 0.5 + 0.25 * 2**0.5, 100: 0, 150: 0}),
        ({"steps": 100, "warmup": 10}, {0: 0.1, 4: 0.5 * 0.5 * (1 + math.cos(0.04 * math.pi)), 50: 0.5}),
        ({"schedule": "steps", "decay": 0.9, "decay_every": 30}, {0: 1, 29: 1, 30: 0.9, 59: 0.9, 60: 0.81, 119: 0.729}),
        ({"schedule": "steps", "decay": 0.5, "decay_every": 2, "warmup": 4}, {0: 0.25, 2: 0.375, 4: 0.25}),
    ],
)
def test_the_learning_rate_follows_its_schedule(changes, rates):
    plan = recipe(**changes)
    assert {step: plan.lr_scale(step) for step in rates} == pytest.approx(rates)


def test_the_idrn_paper_recipe_has_the_papers_settings():
    plan = RECIPES["idrn"]["paper"]()
    assert (plan.config["depth"], plan.config["width"]) == (16, 128)  # sections 4.3 and 4.4
    assert (plan.batch, plan.crop, plan.learning_rate, plan.losses) == (16, 128, 1e-4, {"l2": 1.0})
    epoch = plan.steps // 120
    assert epoch == 23_000 // 16
    assert [plan.lr_scale(n * epoch) for n in (0, 29, 30, 60, 90, 119)] == pytest.approx(
        [1, 1, 0.9, 0.81, 0.729, 0.729]
    )


def test_trained_weights_build_a_bundle_with_their_training_record(tmp_path, faces):
    options = {"val_faces": faces, "scale": 3, "depth": 1, "width": 8, "steps": 3}
    reports, lines = [], []
    path = train_model("idrn", faces, tmp_path / "run", report=reports.append, **options)
    assert path == tmp_path / "run" / "weights.safetensors" and reports[-1].scores.keys() == {"psnr_y_db", "gain_db"}
    weights = read_weights(path)
    assert (weights.network, weights.config) == ("idrn", {**CONFIG, "scale": 3})
    assert weights.origin.training["steps"] == 3 and weights.origin.training["data"] == faces.name
    assert weights.origin.training["scores"]["gain_db"] == pytest.approx(reports[-1].scores["gain_db"], abs=1e-4)

    build_options = BuildOptions(faces=faces)
    card = build("idrn", tmp_path / "bundle", build_options, weights=path, report=lines.append).card
    assert (card.name, card.training, card.licence) == ("idrn-x3", weights.origin.training, "Apache-2.0")
    assert card.limitations and card.config == weights.config and card.io_spec.scale == 3
    (evaluation,) = card.evaluations
    assert (evaluation.dataset, evaluation.n) == (faces.name, 3)
    assert [line.split(":")[0] for line in lines][1:4] == ["traced", "simplified", "evaluation"]

    again = train_model("idrn", faces, tmp_path / "run", **options)
    assert_same(read_weights(again).tensors, weights.tensors)


@pytest.mark.parametrize(
    ("model", "options", "error", "message"),
    [
        ("idnr", {}, UnknownNameError, "did you mean 'idrn'"),
        ("idrn", {"recipe": "papers"}, UnknownNameError, "did you mean 'paper'"),
        ("detector", {"recipe": "paper"}, UnknownNameError, "unknown recipe 'paper'"),
        ("detector", {"scale": 4}, UsageError, "recipe cpu of detector has the options width; omit --scale"),
        ("idrn", {"scale": 5}, UsageError, "scale 5 is not supported; choose one of 2, 3, 4"),
        ("idrn", {"scale": 0}, UsageError, "scale 0 is not supported"),
        ("idrn", {"width": 0}, UsageError, "width must be 1 or more, not 0"),
        ("idrn", {"steps": 0}, UsageError, "steps, batch and workers must be 1 or more, got 0, 8 and 1"),
        ("idrn", {"threads": -1}, UsageError, "threads, got -1"),
    ],
)
def test_invalid_options_raise_before_anything_is_written(tmp_path, faces, model, options, error, message):
    with pytest.raises(error, match=message):
        train_model(model, faces, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_a_missing_face_folder_raises(tmp_path):
    with pytest.raises(InputError, match="is not a folder"):
        train_model("idrn", tmp_path / "nowhere", tmp_path / "run", steps=1)


def test_an_output_that_is_a_file_raises(tmp_path, faces):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(OutputError, match=r"cannot write .*run.*; choose another folder"):
        train_model("idrn", faces, tmp_path / "run", depth=1, width=8, steps=1)
    assert (tmp_path / "run").read_text() == "mine"


@pytest.mark.parametrize("workers", [1, 3])
def test_batches_do_not_depend_on_the_number_of_workers(tmp_path, faces, workers):
    plan = recipe()
    alone = train(plan, RecordingPairs(plan, faces), tmp_path / "alone", silent)
    more = train(plan, RecordingPairs(plan, faces), tmp_path / "more", silent, workers=workers)
    assert_same(more.state_dict(), alone.state_dict())


@pytest.mark.parametrize(
    ("device", "message"),
    [("gpu", "unknown device 'gpu'; give cpu, cuda, or cuda:NUMBER"), ("cuda:99", "no device cuda:99: PyTorch finds")],
)
def test_an_unavailable_device_raises(tmp_path, device, message):
    with pytest.raises(UsageError, match=message):
        train_model("idrn", tmp_path, tmp_path / "out", device=device)
    assert not (tmp_path / "out").exists()


def denormal_times_one():
    return float(torch.full((), 1e-40) * 1.0)


def test_denormal_numbers_are_zero_during_training_only(tmp_path, faces, monkeypatch):
    monkeypatch.setattr("facesr_edge.training.trainer.REPORT_EVERY", 1)
    if not torch.set_flush_denormal(False):
        pytest.skip("this CPU cannot treat denormal numbers as zero")
    during = []
    train(plan := recipe(), RecordingPairs(plan, faces), tmp_path, lambda progress: during.append(denormal_times_one()))
    assert during[:-1] and not any(during[:-1]) and denormal_times_one() > 0
