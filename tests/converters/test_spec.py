"""Build specifications: how model, options and weights are resolved; contradictions are errors."""

import pytest
import torch
from facesr_edge.converters.spec import merge_options, resolve
from facesr_edge.engines.bundle.bundle import WEIGHTS
from facesr_edge.engines.errors import BuildError, InputError, UnknownNameError, UsageError
from facesr_edge.networks import build_network
from facesr_edge.zoo import catalogue


@pytest.mark.parametrize(
    ("model", "config"),
    [("idrn", {}), ("idrn-x4", {}), ("idrn", {"scale": 4}), ("idrn-x4", {"scale": 4, "depth": None}), ("detector", {})],
)
def test_zoo_weights_are_the_default(model, config):
    spec = resolve(model, **config)
    assert spec.name == ("detector" if model == "detector" else "idrn-x4")
    assert spec.weights == catalogue.FOLDER / spec.name / WEIGHTS and spec.weights.is_file()
    assert spec.zoo_card is not None and spec.zoo_card.name == spec.name and spec.config == spec.zoo_card.config


@pytest.mark.parametrize(
    ("model", "config", "message"),
    [
        ("idrn-x4", {"scale": 2}, "model idrn-x4 has scale 4, not 2; remove --scale"),
        ("idrn-x4", {"depth": 16}, "not 16; remove --depth"),
        ("detector", {"scale": 2}, "model detector has no scale, not 2; remove --scale"),
    ],
)
def test_option_that_contradicts_the_zoo_model_is_an_error(model, config, message):
    with pytest.raises(UsageError, match=message):
        resolve(model, **config)


def test_configuration_without_zoo_weights_suggests_training():
    message = r"no weights for idrn with .*depth.*idrn-x4.* facesr-edge train --model idrn"
    with pytest.raises(BuildError, match=message):
        resolve("idrn", depth=20)


@pytest.mark.parametrize(
    ("model", "hint"),
    [("idnr", "did you mean 'idrn'"), ("irdn-x4", "did you mean 'idrn-x4'"), ("detecter", "did you mean 'detector'")],
)
def test_unknown_model_suggests_the_closest_name(model, hint):
    with pytest.raises(UnknownNameError, match=hint):
        resolve(model)


def test_configuration_is_read_from_the_weights(weights):
    config = {"depth": 2, "width": 8, "scale": 3, "bicubic_skip": False}
    spec = resolve("idrn", weights(**config))
    assert (spec.name, spec.network, spec.config, spec.zoo_card) == ("idrn-x3", "idrn", config, None)


def test_detector_of_another_width_than_in_the_zoo(weights):
    spec = resolve("detector", weights("detector", width=8))
    assert spec.config == {"width": 8, "landmark_width": 0} and spec.zoo_card is None


def test_options_complete_weights_without_configuration(tmp_path):
    torch.save(build_network("idrn", {"depth": 2, "width": 8, "scale": 2}).state_dict(), tmp_path / "w.pth")
    spec = resolve("idrn", tmp_path / "w.pth", depth=2, width=8, scale=2)
    assert spec.config == {"depth": 2, "width": 8, "scale": 2, "bicubic_skip": True}


@pytest.mark.parametrize(
    ("config", "message"),
    [({"scale": 4}, "has scale 3, not 4"), ({"width": 64}, "has width 8, not 64; remove --width")],
)
def test_option_that_contradicts_the_weights_is_an_error(weights, config, message):
    with pytest.raises(UsageError, match=message):
        resolve("idrn", weights(depth=2, width=8, scale=3), **config)


def test_weights_of_another_network_are_an_error(weights):
    path = weights("detector", width=8)
    for model in ("idrn", "idrn-x4"):
        with pytest.raises(BuildError, match="holds weights of detector, not of idrn; use --model detector"):
            resolve(model, path)


def test_weights_of_equal_shapes_but_another_configuration_are_an_error(weights):
    other = {**catalogue.find("idrn-x4").card.config, "bicubic_skip": False}
    with pytest.raises(BuildError, match="was trained with bicubic_skip False, not True; build it with --model idrn"):
        resolve("idrn-x4", weights(**other))
    assert resolve("idrn", weights(**other)).config == other


def test_missing_weights_file_is_an_error(tmp_path):
    for model in ("idrn", "idrn-x4", "detector"):
        with pytest.raises(InputError, match="there is no file"):
            resolve(model, tmp_path / "missing.safetensors")


def test_multi_scale_network_is_built_for_its_training_scales(weights):
    path = weights("mffcn", {"scales": [2, 3, 4]}, width=8, scale=4)
    spec = resolve("mffcn", path, scale=3)
    assert (spec.name, spec.config["scale"]) == ("mffcn-x3", 3)
    with pytest.raises(UsageError, match="has scale 4, not 8"):
        resolve("mffcn", path, scale=8)


def test_bundle_name_can_be_given(weights):
    assert resolve("idrn", weights(depth=1, width=8, scale=2), "mine").name == "mine"


def test_option_that_the_network_does_not_have_is_an_error(weights):
    with pytest.raises(UsageError, match=r"idrn has no option groups, only depth, width, .*; remove --set groups"):
        resolve("idrn", weights(depth=1, width=8, scale=2), groups=3)


def test_checkpoint_of_the_papers_size_builds_with_explicit_sizes(tmp_path):
    sizes = {"groups": 2, "blocks": 1, "width": 8, "scale": 8}
    torch.save(build_network("sisn", sizes).state_dict(), tmp_path / "w.pth")
    spec = resolve("sisn", tmp_path / "w.pth", **sizes, bicubic_skip=0)
    assert spec.config == {**sizes, "bicubic_skip": False}


def test_option_given_twice_is_an_error():
    with pytest.raises(UsageError, match="depth is given twice, as an option and with --set; remove one"):
        merge_options({"depth": 8, "scale": None}, {"depth": 8})
    assert merge_options({"depth": 8, "scale": None}, {"groups": 2}) == {"depth": 8, "scale": None, "groups": 2}
