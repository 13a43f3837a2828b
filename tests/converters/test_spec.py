"""What is to be built, from what the user said; what contradicts itself is refused, never chosen."""

import pytest
import torch
from facesr_edge.converters.spec import build_spec, merge_options
from facesr_edge.engines.bundle.bundle import WEIGHTS
from facesr_edge.engines.errors import BuildError, InputError, UnknownNameError, UsageError
from facesr_edge.networks import build_network
from facesr_edge.networks.weights import Provenance, weights_bytes
from facesr_edge.zoo import catalogue


@pytest.fixture
def weights(tmp_path):
    """Network and configuration -> a file of fresh weights that say so."""

    def made(network="idrn", **config):
        path = tmp_path / "w.safetensors"
        path.write_bytes(weights_bytes(build_network(network, config), network, config, Provenance()))
        return path

    return made


@pytest.mark.parametrize(
    ("model", "options"),
    [("idrn", {}), ("idrn-x4", {}), ("idrn", {"scale": 4}), ("idrn-x4", {"scale": 4, "depth": None}), ("detector", {})],
)
def test_without_weights_those_of_the_zoo_are_taken(model, options):
    plan = build_spec(model, **options)
    assert plan.name == ("detector" if model == "detector" else "idrn-x4")
    assert plan.weights == catalogue.FOLDER / plan.name / WEIGHTS and plan.weights.is_file()
    assert plan.known is not None and plan.known.name == plan.name and plan.config == plan.known.config


@pytest.mark.parametrize(
    ("model", "options", "told"),
    [
        ("idrn-x4", {"scale": 2}, "model idrn-x4 has scale 4, not 2; leave --scale out"),
        ("idrn-x4", {"depth": 16}, "not 16; leave --depth out"),
        ("detector", {"scale": 2}, "model detector has no scale, not 2; leave --scale out"),
    ],
)
def test_an_option_that_contradicts_the_model_is_refused(model, options, told):
    with pytest.raises(UsageError, match=told):
        build_spec(model, **options)


def test_a_configuration_that_nobody_trained_names_the_remedy():
    with pytest.raises(BuildError, match=r"no weights for idrn with .*depth.*idrn-x4.* facesr-edge train --model idrn"):
        build_spec("idrn", depth=20)


@pytest.mark.parametrize(
    ("model", "hint"),
    [("idnr", "did you mean 'idrn'"), ("irdn-x4", "did you mean 'idrn-x4'"), ("detecter", "did you mean 'detector'")],
)
def test_an_unknown_model_offers_the_one_close_by(model, hint):
    with pytest.raises(UnknownNameError, match=hint):
        build_spec(model)


def test_the_configuration_is_read_from_the_weights(weights):
    config = {"depth": 2, "width": 8, "scale": 3, "bicubic_skip": False}
    plan = build_spec("idrn", weights(**config))
    assert (plan.name, plan.network, plan.config, plan.known) == ("idrn-x3", "idrn", config, None)


def test_a_detector_of_another_width_than_the_zoos_can_be_built(weights):
    plan = build_spec("detector", weights("detector", width=8))
    assert plan.config == {"width": 8} and plan.known is None


def test_options_fill_in_what_a_file_does_not_say(tmp_path):
    torch.save(build_network("idrn", {"depth": 2, "width": 8, "scale": 2}).state_dict(), tmp_path / "w.pth")
    plan = build_spec("idrn", tmp_path / "w.pth", depth=2, width=8, scale=2)
    assert plan.config == {"depth": 2, "width": 8, "scale": 2, "bicubic_skip": True}


@pytest.mark.parametrize(
    ("options", "told"), [({"scale": 4}, "has scale 3, not 4"), ({"width": 64}, "has width 8, not 64; leave --width")]
)
def test_an_option_that_contradicts_the_weights_is_refused(weights, options, told):
    with pytest.raises(UsageError, match=told):
        build_spec("idrn", weights(depth=2, width=8, scale=3), **options)


def test_weights_of_another_network_are_refused(weights):
    path = weights("detector", width=8)
    for model in ("idrn", "idrn-x4"):
        with pytest.raises(BuildError, match="holds weights of detector, not of idrn; say --model detector"):
            build_spec(model, path)


def test_weights_whose_shapes_fit_but_that_were_trained_otherwise_are_refused(weights):
    other = {**catalogue.find("idrn-x4").card.config, "bicubic_skip": False}
    with pytest.raises(BuildError, match="was trained with bicubic_skip False, not True; say --model idrn"):
        build_spec("idrn-x4", weights(**other))
    assert build_spec("idrn", weights(**other)).config == other


def test_weights_that_are_not_there_are_told_before_anything_is_done(tmp_path):
    for model in ("idrn", "idrn-x4", "detector"):
        with pytest.raises(InputError, match="there is no file"):
            build_spec(model, tmp_path / "missing.safetensors")


def test_a_network_for_any_scale_is_built_for_those_it_was_trained_for(tmp_path):
    config = {"width": 8, "scale": 4}
    origin = Provenance({"scales": [2, 3, 4]})
    (path := tmp_path / "w.safetensors").write_bytes(
        weights_bytes(build_network("mffcn", config), "mffcn", config, origin)
    )
    plan = build_spec("mffcn", path, scale=3)
    assert (plan.name, plan.config["scale"]) == ("mffcn-x3", 3)
    with pytest.raises(UsageError, match="has scale 4, not 8"):
        build_spec("mffcn", path, scale=8)


def test_a_bundle_is_called_as_the_user_says(weights):
    assert build_spec("idrn", weights(depth=1, width=8, scale=2), "mine").name == "mine"


def test_an_option_that_the_network_has_not_is_refused(weights):
    with pytest.raises(UsageError, match=r"idrn has no groups, it has depth, width, .*; leave --set groups out"):
        build_spec("idrn", weights(depth=1, width=8, scale=2), groups=3)


def test_a_checkpoint_of_the_papers_size_builds_with_its_sizes_said(tmp_path):
    sizes = {"groups": 2, "blocks": 1, "width": 8, "scale": 8}
    torch.save(build_network("sisn", sizes).state_dict(), tmp_path / "w.pth")
    plan = build_spec("sisn", tmp_path / "w.pth", **sizes, bicubic_skip=0)
    assert plan.config == {**sizes, "bicubic_skip": False}


def test_an_option_given_twice_is_told():
    with pytest.raises(UsageError, match="depth is given twice, by an option and by --set; leave one out"):
        merge_options({"depth": 8, "scale": None}, {"depth": 8})
    assert merge_options({"depth": 8, "scale": None}, {"groups": 2}) == {"depth": 8, "scale": None, "groups": 2}
