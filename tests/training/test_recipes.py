"""Each recipe builds its network, "paper" says what the paper says, and none takes what it does not know."""

from dataclasses import replace

import cv2
import pytest
import torch
from facesr_edge.benchmarks.edge_ablation import FIRST, variants
from facesr_edge.calibration.data.faces import sample_faces
from facesr_edge.engines.errors import UsageError
from facesr_edge.networks import build_network
from facesr_edge.networks.perceptual import LAYERS, VGG
from facesr_edge.networks.weights import read_weights
from facesr_edge.sdk.cli.main import main
from facesr_edge.training.losses.losses import FEATURE_LOSSES
from facesr_edge.training.recipe import Recipe
from facesr_edge.training.recipes import edge
from facesr_edge.training.tasks import criterion_of
from facesr_edge.training.train import RECIPES, plan_of, train_model
from safetensors.torch import save_file

NAMED = [(model, name) for model, recipes in RECIPES.items() for name in recipes]
FACES = [(model, name) for model, name in NAMED if model != "detector"]


@pytest.fixture(scope="session")
def faces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    for n, face in enumerate(sample_faces()[:3]):
        cv2.imwrite(str(folder / f"{n}.png"), face)
    return folder


@pytest.fixture(scope="session")
def vgg_file(tmp_path_factory):
    """The first layers of VGG-19 as torchvision names them, of random weights."""
    path = tmp_path_factory.mktemp("vgg") / "vgg19.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_file(VGG("conv2_1").state_dict(), path)
    return path


@pytest.mark.parametrize(("model", "name"), NAMED)
def test_every_recipe_builds_its_network(model, name):
    plan = RECIPES[model][name]()
    assert plan.network == model and plan.steps > 0 and sum(plan.losses.values()) > 0
    with torch.device("meta"):
        assert sum(weight.numel() for weight in build_network(plan.network, plan.config).parameters()) > 5_000


@pytest.mark.parametrize(("model", "name"), FACES)
def test_what_the_recipe_crops_its_network_can_enlarge(model, name):
    plan = RECIPES[model][name]()
    sizes = {"width": 8, "depth": 2, "groups": 1, "blocks": 1}
    network = build_network(model, {key: sizes.get(key, value) for key, value in plan.config.items()})
    for scale in plan.scales or (plan.config["scale"],):
        small = plan.crop // scale
        factor = (scale,) if plan.scales else ()
        with torch.inference_mode():
            assert network(torch.rand(1, 3, small, small), *factor).shape == (1, 3, small * scale, small * scale)
        assert plan.crop - small * scale < scale


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("crl", {"depth": 3, "width": 16, "scale": 8}),
        ("mffcn", {"width": 8, "scale": 3}),
        ("sisn", {"groups": 2, "blocks": 1, "width": 16, "scale": 8}),
        ("srcnn", {"scale": 3}),
        ("srresnet", {"depth": 2, "width": 16, "scale": 2}),
        ("vdsr", {"depth": 4, "width": 16, "scale": 2}),
    ],
)
def test_sizes_that_are_asked_for_reach_the_network(model, options):
    for recipe in RECIPES[model].values():
        assert options.items() <= recipe(**options).config.items()


@pytest.mark.parametrize(("model", "name"), FACES)
def test_a_card_says_l1_alone_where_that_is_so(model, name):
    plan = RECIPES[model][name]()
    assert ("L1 alone" in plan.deviations) <= (plan.losses == {"l1": 1.0})
    assert ("L2 alone" in plan.deviations) <= (plan.losses == {"l2": 1.0})


def test_edge_learns_whole_faces_and_is_finished_at_a_fraction_of_the_rates():
    first, last, small = edge.tiny(), edge.finish(), edge.finish(scale=8)
    assert first.crop == 128 and small.crop == edge.tiny(scale=8).crop == 128
    for plan, part in ((last, 4), (edge.int8(), 50)):
        assert plan.finetune and (plan.crop, plan.losses) == (first.crop, first.losses)
        assert first.muon / plan.muon == pytest.approx(part) and plan.muon_decay == first.muon_decay
        assert first.learning_rate / plan.learning_rate == pytest.approx(part)


def test_rows_of_the_ablation_differ_from_the_first_as_they_say():
    rows = variants()
    first = rows.pop(FIRST)
    differ = {name: [k for k, v in vars(recipe).items() if v != vars(first)[k]] for name, recipe in rows.items()}
    assert differ["no branches"] == ["config"] and differ["Adam alone"] == ["muon"]
    assert differ["L1 instead of PSNR"] == ["losses"] and differ["no moving average"] == ["ema"]
    assert all(differ.values()) and len({recipe.identity for recipe in rows.values()}) == len(rows)


def said(plan: Recipe, **values):
    return {name: getattr(plan, name) for name in values} == values


def test_mffcns_is_the_papers():
    plan = RECIPES["mffcn"]["paper"]()
    assert said(plan, batch=10, learning_rate=1e-4, beta1=0.5, scales=(2, 3, 4), vgg_layer="conv5_4", muon=0.0)
    assert plan.losses == {"l2": 10.0, "perceptual_l1": 1.0, "texture": 1.0, "variation": 1e-4}
    assert plan.share(0) == plan.share(plan.steps - 1) == 1


def test_crls_is_the_papers():
    plan = RECIPES["crl"]["paper"]()
    assert said(plan, batch=64, crop=41, learning_rate=1e-4, beta1=0.9, weight_decay=1e-3)
    alpha, beta = plan.losses["perceptual_l2"], plan.losses["adversarial"]
    assert alpha > 0 and beta > 0 and alpha + beta < 1  # equation 12
    assert plan.losses["l1"] == pytest.approx(1 - alpha - beta)
    assert plan.config["depth"] == 16
    assert [plan.share(n) for n in (0, plan.steps // 2 - 1, plan.steps // 2)] == pytest.approx([1, 1, 0.1])


def test_the_baselines_are_their_papers():
    plan = RECIPES["srresnet"]["paper"]()
    assert said(plan, batch=16, crop=96, learning_rate=1e-4, beta1=0.9, steps=10**6, losses={"l2": 1.0})
    plan = RECIPES["vdsr"]["paper"]()
    assert said(plan, batch=64, crop=41, weight_decay=1e-4, steps=9_960, losses={"l2": 1.0})
    assert [plan.share(n * plan.steps // 4) for n in range(4)] == pytest.approx([1, 0.1, 0.01, 0.001])


@pytest.mark.parametrize(("model", "name"), FACES)
def test_a_recipe_that_needs_vgg_says_so_and_one_that_does_not_refuses_it(model, name, vgg_file):
    plan = RECIPES[model][name]()
    if FEATURE_LOSSES.keys() & plan.losses.keys():
        assert plan.vgg_layer in LAYERS
        with pytest.raises(UsageError, match="features of VGG-19; give its weights with --perceptual-weights FILE"):
            criterion_of(plan, None)
    else:
        assert plan.vgg_layer == "" and criterion_of(plan, None).adversary is None
        with pytest.raises(UsageError, match="leave --perceptual-weights out"):
            criterion_of(plan, vgg_file)


@pytest.mark.parametrize("model", ["mffcn", "crl"])
def test_the_papers_losses_train_a_network_and_go_to_its_card(model, faces, vgg_file, tmp_path, monkeypatch):
    paper = RECIPES[model]["paper"](width=8)
    small = {"steps": 5, "batch": 2, "crop": 24, "vgg_layer": "conv2_1", "config": {**paper.config, "depth": 1}}
    if model == "mffcn":
        small["config"] = paper.config
    monkeypatch.setitem(RECIPES[model], "small", lambda: Recipe(**{**vars(paper), **small}))
    options = {"recipe": "small", "perceptual_weights": vgg_file, "threads": 1}
    told = read_weights(train_model(model, faces, tmp_path / "run", **options)).origin.training
    assert told["losses"] == paper.losses and told["deviations"] == list(paper.deviations)
    with pytest.raises(UsageError, match="--perceptual-weights"):
        train_model(model, faces, tmp_path / "other", recipe="small")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("model", "sizes", "options", "told"),
    [
        ("idrn", {}, {"groups": 5}, "recipe cpu of idrn takes depth, width, scale; leave --set groups out"),
        ("srcnn", {"width": 8}, {}, "recipe cpu of srcnn takes scale; leave --width out"),
        ("sisn", {"width": 8}, {"width": 8}, "width is given twice"),
    ],
)
def test_what_a_recipe_does_not_take_is_told_in_one_line(model, sizes, options, told):
    with pytest.raises(UsageError, match=told):
        plan_of(model, "cpu", {"depth": None, **sizes}, options)


def command(capfd, *arguments):
    with pytest.raises(SystemExit) as left:
        main(["train", *map(str, arguments)])
    return left.value.code, capfd.readouterr().err


def test_the_command_line_sets_what_has_no_option_of_its_own(faces, tmp_path, capfd):
    sizes = ["--width", 8, "--scale", 2, "--set", "groups=1", "--set", "blocks=2", "--steps", 1, "--threads", 1]
    code, _ = command(capfd, "--model", "sisn", "--faces", faces, "-o", tmp_path, *sizes)
    config = read_weights(tmp_path / "weights.safetensors").config
    assert code == 0 and config == {"groups": 1, "blocks": 2, "width": 8, "scale": 2, "bicubic_skip": True}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["groups"], "expected NAME=NUMBER with a whole number, e.g. groups=5, got groups"),
        (["groups=many"], "got groups=many"),
        (["=3"], "got =3"),
        (["groups=1", "groups=2"], "groups is set twice"),
        (["sides=3"], "recipe cpu of sisn takes groups, blocks, width, scale; leave --set sides out"),
        (["groups=0"], "groups must be 1 or more, not 0"),
    ],
)
def test_a_setting_that_cannot_be_is_wrong_usage(faces, tmp_path, capfd, settings, told):
    words = [word for setting in settings for word in ("--set", setting)]
    code, err = command(capfd, "--model", "sisn", "--faces", faces, "-o", tmp_path / "out", *words)
    assert code == 2 and told in " ".join(err.split()) and "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_outlives_other_words_but_no_other_rate():
    recipe = RECIPES["sisn"]["cpu"]()
    assert replace(recipe, deviations=("said otherwise",)).identity == recipe.identity
    assert replace(recipe, learning_rate=2e-4).identity != recipe.identity
