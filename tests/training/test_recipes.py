"""Recipes: each builds its network, "paper" recipes have the papers' settings, unknown options raise."""

from dataclasses import replace

import pytest
import torch
from facesr_edge.benchmarks.edge_ablation import BASELINE, variants
from facesr_edge.engines.errors import UsageError
from facesr_edge.networks import build_network
from facesr_edge.networks.perceptual import LAYERS
from facesr_edge.networks.weights import read_weights
from facesr_edge.sdk.cli.main import main
from facesr_edge.training.losses.losses import FEATURE_LOSSES
from facesr_edge.training.recipe import Recipe
from facesr_edge.training.recipes import cpu, crl, idrn, msrnet, sisn
from facesr_edge.training.tasks import build_criterion
from facesr_edge.training.train import RECIPES, build_recipe, train_model
from facesr_edge.zoo import catalogue

NAMED = [(model, name) for model, recipes in RECIPES.items() for name in recipes]
FACES = [(model, name) for model, name in NAMED if model != "detector"]


@pytest.mark.parametrize(("model", "name"), NAMED)
def test_every_recipe_builds_its_network(model, name):
    plan = RECIPES[model][name]()
    assert plan.network == model and plan.steps > 0 and sum(plan.losses.values()) > 0
    with torch.device("meta"):
        assert sum(weight.numel() for weight in build_network(plan.network, plan.config).parameters()) > 5_000


@pytest.mark.parametrize(("model", "name"), FACES)
def test_the_network_upscales_inputs_of_the_recipes_crop(model, name):
    plan = RECIPES[model][name]()
    sizes = {"width": 8, "depth": 2, "groups": 1, "blocks": 1}
    network = build_network(model, {key: sizes.get(key, value) for key, value in plan.config.items()})
    for scale in plan.scales or (plan.config["scale"],):
        small = plan.crop // scale
        scale_argument = (scale,) if plan.scales else ()
        with torch.inference_mode():
            output = network(torch.rand(1, 3, small, small), *scale_argument)
        assert output.shape == (1, 3, small * scale, small * scale)
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
def test_size_options_reach_the_network(model, options):
    for recipe in RECIPES[model].values():
        assert options.items() <= recipe(**options).config.items()


@pytest.mark.parametrize(("model", "name"), FACES)
def test_deviations_name_the_only_loss(model, name):
    plan = RECIPES[model][name]()
    assert ("L1 only" in plan.deviations) <= (plan.losses == {"l1": 1.0})
    assert ("L2 only" in plan.deviations) <= (plan.losses == {"l2": 1.0})


PAPERS = ("idrn", "mffcn", "crl", "sisn", "msrnet")


@pytest.mark.parametrize("model", PAPERS)
@pytest.mark.parametrize("name", ["paper", "cpu"])
def test_every_recipe_of_a_paper_states_its_deviations(model, name):
    stated = "; ".join(RECIPES[model][name]().deviations)
    words = {
        "idrn": ("shallow features X0", "sub-pixel", "mirrored"),
        "mffcn": ("mirrored",),
        "crl": ("sub-pixel", "mirrored", "auxiliary tasks", "fusion network"),
        "sisn": ("between the two 1x1", "sub-pixel", "rotation"),
        "msrnet": ("equation 7", "mirrored", "Up and Down"),
    }
    assert [word for word in words[model] if word not in stated] == []
    of_paper = {"idrn": ("equation 2",), "sisn": ("equation 5",), "msrnet": ("neither batch nor loss",)}.get(model, ())
    assert name != "paper" or [word for word in of_paper if word not in stated] == []


DEVIATIONS = {
    "idrn": idrn.DEVIATIONS,
    "crl": (crl.FLIPS, crl.NO_ATTRIBUTES, *crl.DEVIATIONS),
    "sisn": sisn.DEVIATIONS,
    "msrnet": msrnet.DEVIATIONS,
    **dict.fromkeys(("mffcn", "srcnn", "srresnet"), (cpu.MIRRORED,)),
}


@pytest.mark.parametrize("name", catalogue.names())
def test_the_card_of_a_model_states_the_deviations_of_its_network(name):
    card = catalogue.find(name).card
    stated = card.training["deviations"]
    assert [one for one in DEVIATIONS.get(card.network, ()) if one not in stated] == []
    assert len(stated) == len(set(stated)) and stated


def test_idrn_takes_the_sizes_of_the_papers_tables():
    plan = RECIPES["idrn"]["paper"](depth=8, width=64)
    assert plan.config == {"depth": 8, "width": 64, "scale": 4, "bicubic_skip": False}


def test_msrnet_has_the_papers_settings():
    plan = RECIPES["msrnet"]["paper"]()
    assert has(plan, learning_rate=2e-4, beta1=0.9, crop=128) and plan.config["width"] == 64
    assert plan.steps == 50 * 14_000 // plan.batch
    assert plan.lr_scale(0) == plan.lr_scale(plan.steps - 1) == 1  # the paper has no schedule


def test_edge_uses_32_pixel_inputs_and_fine_tunes_at_a_fraction_of_the_rates():
    edge = RECIPES["edge"]
    first, x8 = edge["tiny"](), edge["finetune"](scale=8)
    assert first.crop == 128 and x8.crop == edge["tiny"](scale=8).crop == 128
    for plan, divisor in ((edge["finetune"](), 4), (edge["int8"](), 50)):
        assert plan.finetune and (plan.crop, plan.losses) == (first.crop, first.losses)
        assert first.muon / plan.muon == pytest.approx(divisor) and plan.muon_decay == first.muon_decay
        assert first.learning_rate / plan.learning_rate == pytest.approx(divisor)


def test_ablation_variants_differ_from_the_baseline_as_named():
    rows = variants()
    baseline = rows.pop(BASELINE)
    differ = {name: [k for k, v in vars(recipe).items() if v != vars(baseline)[k]] for name, recipe in rows.items()}
    assert differ["no branches"] == ["config"] and differ["Adam only"] == ["muon"]
    assert differ["L1 instead of PSNR"] == ["losses"] and differ["no moving average"] == ["ema"]
    assert all(differ.values()) and len({recipe.identity for recipe in rows.values()}) == len(rows)


def has(plan: Recipe, **values):
    return {name: getattr(plan, name) for name in values} == values


def test_mffcn_has_the_papers_settings():
    plan = RECIPES["mffcn"]["paper"]()
    assert has(plan, batch=10, learning_rate=1e-4, beta1=0.5, scales=(2, 3, 4), vgg_layer="conv5_4", muon=0.0)
    assert plan.losses == {"l2": 10.0, "perceptual_l1": 1.0, "texture": 1.0, "variation": 1e-4}
    assert plan.lr_scale(0) == plan.lr_scale(plan.steps - 1) == 1


def test_crl_has_the_papers_settings():
    plan = RECIPES["crl"]["paper"]()
    assert has(plan, batch=64, crop=41, learning_rate=1e-4, beta1=0.9, weight_decay=1e-3)
    alpha, beta = plan.losses["perceptual_l2"], plan.losses["adversarial"]
    assert alpha > 0 and beta > 0 and alpha + beta < 1  # equation 12
    assert plan.losses["l1"] == pytest.approx(1 - alpha - beta)
    assert plan.config["depth"] == 16
    assert [plan.lr_scale(n) for n in (0, plan.steps // 2 - 1, plan.steps // 2)] == pytest.approx([1, 1, 0.1])


def test_baselines_have_their_papers_settings():
    plan = RECIPES["srresnet"]["paper"]()
    assert has(plan, batch=16, crop=96, learning_rate=1e-4, beta1=0.9, steps=10**6, losses={"l2": 1.0})
    plan = RECIPES["vdsr"]["paper"]()
    assert has(plan, batch=64, crop=41, weight_decay=1e-4, steps=9_960, losses={"l2": 1.0})
    assert [plan.lr_scale(n * plan.steps // 4) for n in range(4)] == pytest.approx([1, 0.1, 0.01, 0.001])


@pytest.mark.parametrize(("model", "name"), FACES)
def test_vgg_weights_are_required_by_perceptual_losses_only(model, name, vgg_file):
    plan = RECIPES[model][name]()
    if FEATURE_LOSSES.keys() & plan.losses.keys():
        assert plan.vgg_layer in LAYERS
        with pytest.raises(UsageError, match="needs VGG-19; give its weights with --perceptual-weights FILE"):
            build_criterion(plan, None)
    else:
        assert plan.vgg_layer == "" and build_criterion(plan, None).adversary is None
        with pytest.raises(UsageError, match="omit --perceptual-weights"):
            build_criterion(plan, vgg_file)


@pytest.mark.parametrize("model", ["mffcn", "crl"])
def test_the_papers_losses_train_and_are_recorded(model, faces, vgg_file, tmp_path, monkeypatch):
    paper = RECIPES[model]["paper"](width=8)
    small = {"steps": 5, "batch": 2, "crop": 24, "vgg_layer": "conv2_1", "config": {**paper.config, "depth": 1}}
    if model == "mffcn":
        small["config"] = paper.config
    monkeypatch.setitem(RECIPES[model], "small", lambda: Recipe(**{**vars(paper), **small}))
    options = {"recipe": "small", "perceptual_weights": vgg_file, "threads": 1}
    training = read_weights(train_model(model, faces, tmp_path / "run", **options)).origin.training
    assert training["losses"] == paper.losses and training["deviations"] == list(paper.deviations)
    with pytest.raises(UsageError, match="--perceptual-weights"):
        train_model(model, faces, tmp_path / "other", recipe="small")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("model", "sizes", "options", "message"),
    [
        ("idrn", {}, {"groups": 5}, "recipe cpu of idrn has the options depth, width, scale; omit --set groups"),
        ("srcnn", {"width": 8}, {}, "recipe cpu of srcnn has the options scale; omit --width"),
        ("sisn", {"width": 8}, {"width": 8}, "width is given twice"),
    ],
)
def test_unknown_recipe_options_raise(model, sizes, options, message):
    with pytest.raises(UsageError, match=message):
        build_recipe(model, "cpu", {"depth": None, **sizes}, options)


def command(capfd, *arguments):
    with pytest.raises(SystemExit) as exit_info:
        main(["train", *map(str, arguments)])
    return exit_info.value.code, capfd.readouterr().err


def test_set_gives_further_recipe_options(faces, tmp_path, capfd):
    sizes = ["--width", 8, "--scale", 2, "--set", "groups=1", "--set", "blocks=2", "--steps", 1, "--threads", 1]
    code, _ = command(capfd, "--model", "sisn", "--faces", faces, "-o", tmp_path, *sizes)
    config = read_weights(tmp_path / "weights.safetensors").config
    assert code == 0 and config == {"groups": 1, "blocks": 2, "width": 8, "scale": 2, "bicubic_skip": True}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["groups"], "expected NAME=NUMBER with a whole number, e.g. groups=5, got groups"),
        (["groups=many"], "got groups=many"),
        (["=3"], "got =3"),
        (["groups=1", "groups=2"], "groups is set twice"),
        (["sides=3"], "recipe cpu of sisn has the options groups, blocks, width, scale; omit --set sides"),
        (["groups=0"], "groups must be 1 or more, not 0"),
    ],
)
def test_an_invalid_setting_is_a_usage_error(faces, tmp_path, capfd, settings, message):
    arguments = [argument for setting in settings for argument in ("--set", setting)]
    code, err = command(capfd, "--model", "sisn", "--faces", faces, "-o", tmp_path / "out", *arguments)
    assert code == 2 and message in " ".join(err.split()) and "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_identity_ignores_the_wording_of_deviations():
    recipe = RECIPES["sisn"]["cpu"]()
    assert replace(recipe, deviations=("reworded",)).identity == recipe.identity
    assert replace(recipe, learning_rate=2e-4).identity != recipe.identity
