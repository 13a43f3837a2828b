"""Weights files, including untrusted ones: tensors are read, code is not executed, damage raises one line."""

import io
import json
import pickle
import random
import time
import zipfile

import pytest
import torch
from facesr_edge.engines.errors import BuildError, InputError
from facesr_edge.networks import NETWORKS, build_network, defaults
from facesr_edge.networks.checkpoint import CONTAINERS, PREFIXES
from facesr_edge.networks.fit import fitting_network
from facesr_edge.networks.weights import Provenance, Weights, network_from, read_weights, weights_bytes
from safetensors import safe_open
from safetensors.torch import save_file

CONFIG = {"depth": 1, "width": 8, "scale": 4, "bicubic_skip": True}


@pytest.fixture
def state(tiny_weights):
    return read_weights(tiny_weights()).tensors


class CodeOnUnpickle:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_weights_and_metadata_survive_a_round_trip(tmp_path):
    network = build_network("idrn", CONFIG)
    origin = Provenance({"data": "faces", "scores": {"gain_db": 2.5}}, "Apache-2.0", ("faces from 8 px",))
    path = tmp_path / "w.safetensors"
    path.write_bytes(weights_bytes(network, "idrn", CONFIG, origin))
    weights = read_weights(path)
    assert (weights.network, weights.config, weights.origin) == ("idrn", CONFIG, origin)
    assert weights.tensors.keys() == network.state_dict().keys()
    again = network_from(weights, "idrn", CONFIG)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), network.parameters(), strict=True))
    assert not again.training


def test_weights_without_metadata_are_read(tmp_path, state):
    save_file(state, tmp_path / "w.safetensors")
    weights = read_weights(tmp_path / "w.safetensors")
    assert (weights.network, weights.config, weights.origin) == ("", None, Provenance())
    assert network_from(weights, "idrn", CONFIG)


def equal(tensors, state):
    return tensors.keys() == state.keys() and all(torch.equal(value, state[name]) for name, value in tensors.items())


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".PTH", ".ckpt", ".pth.tar", ".bin"])
def test_a_state_dict_in_a_pickle_is_read(tmp_path, state, suffix):
    torch.save(state, tmp_path / f"w{suffix}")
    assert equal(read_weights(tmp_path / f"w{suffix}").tensors, state)


@pytest.mark.parametrize("keys", [(key,) for key in CONTAINERS] + [("state_dict", "net"), ("ema", "module")])
def test_a_state_dict_in_a_checkpoint_is_read(tmp_path, state, keys):
    content = state
    for key in reversed(keys):
        content = {key: content, "epoch": 3, "optimizer": {"state": {0: {"step": torch.ones(1)}}}}
    torch.save(content, tmp_path / "w.pth")
    assert equal(read_weights(tmp_path / "w.pth").tensors, state)


@pytest.mark.parametrize(
    "prefix", [*PREFIXES, "_orig_mod.", "module._orig_mod.", "model.net.", "_orig_mod.module.model."]
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_prefixes_of_wrappers_are_removed(tmp_path, state, prefix, suffix):
    wrapped = {f"{prefix}{name}": value for name, value in state.items()}
    if prefix != "_orig_mod.":
        wrapped |= {"loss.vgg.weight": torch.ones(2), "n_averaged": torch.tensor(7)}  # beside the network
    (save_file if suffix == ".safetensors" else torch.save)(wrapped, tmp_path / f"w{suffix}")
    assert equal(read_weights(tmp_path / f"w{suffix}").tensors, state)


def test_what_wrappers_of_pytorch_save_is_read(tmp_path):
    network = build_network("edge", {"width": 8, "depth": 2, "scale": 2})
    wrapped = (
        torch.nn.DataParallel(network),
        torch.compile(network),
        torch.optim.swa_utils.AveragedModel(network),
        torch.nn.ModuleDict({"generator": network, "discriminator": torch.nn.Conv2d(3, 1, 3)}),
    )
    for module in wrapped:
        torch.save({"model_state_dict": module.state_dict(), "epoch": 1}, tmp_path / "w.pth")
        assert equal(read_weights(tmp_path / "w.pth").tensors, network.state_dict())


def test_a_part_that_torch_compiled_is_read(tmp_path):
    network = build_network("edge", {"width": 8, "depth": 2, "scale": 2})
    names = list(network.state_dict())
    network.body[0] = torch.compile(network.body[0])
    assert any("_orig_mod" in name for name in network.state_dict())
    torch.save(network.state_dict(), tmp_path / "w.pth")
    assert list(read_weights(tmp_path / "w.pth").tensors) == names


def test_a_checkpoint_that_contains_itself_raises(tmp_path):
    content = {}
    content["model"] = content
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(InputError, match="contains no state dict"):
        read_weights(tmp_path / "w.pth")


DTYPES = ("int8", "uint8", "int32", "int64", "bool", "float8_e4m3fn", "float8_e5m2", "complex64", "complex128")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_tensors_of_types_that_are_no_weights_raise(tmp_path, state, dtype, suffix):
    state["units.0.first.bias"] = state["units.0.first.bias"].to(getattr(torch, dtype))
    try:
        (save_file if suffix == ".safetensors" else torch.save)(state, tmp_path / f"w{suffix}")
    except KeyError:
        pytest.skip("safetensors does not store this type")
    with pytest.raises(InputError, match=f"units.0.first.bias is {dtype}; expected dense tensors of float16"):
        read_weights(tmp_path / f"w{suffix}")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("kind", "convert"),
    [
        ("sparse", lambda value: value.to_sparse()),
        ("sparse", lambda value: value.flatten(1).to_sparse_csr()),
        ("quantized", lambda value: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8)),
        ("nested", lambda value: torch.nested.nested_tensor(list(value))),
        ("without values", lambda value: value.to("meta")),
    ],
)
def test_tensors_of_layouts_that_are_no_weights_raise(tmp_path, state, kind, convert):
    state["head.weight"] = convert(state["head.weight"])
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(InputError, match=f"head.weight is {kind}; expected dense tensors") as caught:
        read_weights(tmp_path / "w.pth")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_other_floats_become_fp32_parameters(tmp_path, state, dtype, suffix):
    converted = {name: value.to(dtype) for name, value in state.items()}
    (save_file if suffix == ".safetensors" else torch.save)(converted, tmp_path / f"w{suffix}")
    network = network_from(read_weights(tmp_path / f"w{suffix}"), "idrn", CONFIG)
    assert all(torch.equal(value, converted[name].float()) for name, value in network.state_dict().items())


def test_fp64_weights_beyond_fp32_raise(state):
    state = {name: value.double() for name, value in state.items()}
    state["head.bias"][0] = 1e300
    with pytest.raises(BuildError, match=r"not finite, e\.g\. in head\.bias"):
        network_from(Weights(state), "idrn", CONFIG)


SIZES = {
    "crl": {"depth": 2, "width": 8, "scale": 8},
    "edge": {"width": 12, "depth": 3, "scale": 3, "branches": True},
    "edge-track": {"width": 12, "depth": 3, "scale": 2, "branches": False},
    "idrn": {"depth": 3, "width": 8, "scale": 3},
    "mffcn": {"width": 8},
    "msrnet": {},
    "sisn": {"groups": 2, "blocks": 3, "width": 8, "scale": 8},
    "srcnn": {},
    "srresnet": {"depth": 2, "width": 8, "scale": 2},
    "vdsr": {"depth": 5, "width": 8},
    "detector": {"width": 16, "landmark_width": 8},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_network_that_weights_fit_is_found_by_the_shapes(name):
    assert fitting_network(build_network(name, SIZES[name]).state_dict()) == (name, SIZES[name])


def test_weights_of_no_network_name_the_known_ones():
    with pytest.raises(BuildError, match=r"they fit no network of this package \(crl, edge, "):
        network_from(Weights({"conv_first.weight": torch.zeros(64, 3, 3, 3)}), "idrn", CONFIG)


@pytest.mark.parametrize("name", NETWORKS)
def test_sizes_of_metadata_are_compared_without_building_the_network(name):
    state = build_network(name, SIZES[name]).state_dict()
    started = time.monotonic()
    for key, value in defaults(name).items():
        if not isinstance(value, bool) and key not in ("scale", "side", "global_channels"):
            with pytest.raises(BuildError, match=f"{key} of {name} must be at most|do not fit|cannot be built"):
                network_from(Weights(state), name, {**SIZES[name], key: 2**16})
            with pytest.raises(BuildError, match="at most"):
                network_from(Weights(state), name, {**SIZES[name], key: 10**8})
    assert time.monotonic() - started < 20


def test_the_moving_average_is_preferred(tmp_path, state):
    torch.save({"params": {"a": torch.zeros(1)}, "params_ema": state}, tmp_path / "w.pth")
    assert read_weights(tmp_path / "w.pth").tensors.keys() == state.keys()


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_raises_and_is_not_executed(tmp_path, state, zipped):
    marker, path = tmp_path / "executed", tmp_path / "w.pth"
    torch.save({**state, "extra": CodeOnUnpickle(marker)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError, match=r"w\.pth contains more than tensors") as caught:
        read_weights(path)
    assert not marker.exists() and "\n" not in str(caught.value)
    torch.load(path, weights_only=False)["extra"].close()
    assert marker.exists()  # the code works


def test_code_in_a_bare_pickle_raises_and_is_not_executed(tmp_path):
    (tmp_path / "w.pth").write_bytes(pickle.dumps(CodeOnUnpickle(tmp_path / "executed"), 2))
    with pytest.raises(InputError, match=r"save its state_dict as \.safetensors"):
        read_weights(tmp_path / "w.pth")
    assert not (tmp_path / "executed").exists()


def test_a_pickle_named_safetensors_raises_and_is_not_executed(tmp_path):
    torch.save({"extra": CodeOnUnpickle(tmp_path / "executed")}, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match="not a safetensors file"):
        read_weights(tmp_path / "w.safetensors")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "value", [{}, {"a": 1}, [torch.zeros(1)], torch.zeros(1), {"model": {"a": "b"}}, {0: torch.zeros(1)}]
)
def test_a_pickle_without_a_state_dict_raises(tmp_path, value):
    torch.save(value, tmp_path / "w.pth")
    with pytest.raises((InputError, BuildError)):
        network_from(read_weights(tmp_path / "w.pth"), "idrn", CONFIG)


@pytest.mark.parametrize("content", [b"", b"hello world\n", b"<html>404</html>", b"\x80\x02}", b"I1\n.", bytes(500)])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_of_another_format_raises(tmp_path, content, suffix):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"w\.") as caught:
        read_weights(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["safetensors", "zip", "legacy"])
def test_damaged_files_raise_or_are_read(tmp_path, kind):
    state, buffer = {"a": torch.ones(4, 4), "b": torch.ones(50)}, io.BytesIO()
    if kind == "safetensors":
        save_file(state, tmp_path / "complete")
        buffer.write((tmp_path / "complete").read_bytes())
    else:
        torch.save(state, buffer, _use_new_zipfile_serialization=kind == "zip")
    content, rng = buffer.getvalue(), random.Random(0)
    path, rejected = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pth"), 0
    for n in range(200):
        data = bytearray(content)
        if n % 2:
            data = data[: rng.randrange(len(data))]
        else:
            data[rng.randrange(min(len(data), 1500))] = rng.randrange(256)
        path.write_bytes(data)
        try:
            read_weights(path)
        except InputError as error:
            assert "\n" not in str(error)
            rejected += 1
    assert rejected >= 100  # all truncated files


def test_a_zip_of_another_format_raises(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        archive.writestr("hello.txt", "hello")
    with pytest.raises(InputError, match="damaged"):
        read_weights(tmp_path / "w.pth")


def test_a_missing_file_raises(tmp_path):
    with pytest.raises(InputError, match=r"there is no file .*w\.pth"):
        read_weights(tmp_path / "w.pth")
    with pytest.raises(InputError, match="there is no file"):
        read_weights(tmp_path)


@pytest.mark.parametrize(
    "metadata",
    [
        {"config": "not json"},
        {"config": "[1]"},
        {"origin": "7"},
        {"origin": '{"limits": 7}'},
        {"origin": '{"training": "much"}'},
        {"origin": '{"licence": null}'},
        {"origin": '{"training": {"loss": NaN}}'},
    ],
)
def test_invalid_metadata_raises(tmp_path, state, metadata):
    save_file(state, tmp_path / "w.safetensors", metadata=metadata)
    with pytest.raises(InputError, match=f"invalid metadata '{next(iter(metadata))}'"):
        read_weights(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"width": 16},
            r"do not fit idrn with .*width 16.*is \(8,\), expected \(16,\); they fit idrn with depth 1, width 8",
        ),
        (
            {"depth": 2},
            "they have only 12 tensors; they fit idrn with depth 1, .*: --model idrn --depth 1 --width 8 --scale 4",
        ),
        ({"scale": 2}, "do not fit"),
        ({"scale": 3}, "do not fit"),
        ({"scale": 7}, "cannot be built with .*: scale 7 is not supported; choose one of 2, 3, 4"),
        ({"colour": "red"}, "idrn has no option colour; upgrade facesr-edge"),
        *[({key: 10**8}, f"{key} of idrn must be at most 65536, got 100000000") for key in ("depth", "width", "scale")],
        *[({key: 2**16}, "do not fit") for key in ("depth", "width")],
        *[({"width": value}, "width of idrn must be int") for value in (8.0, "8", None, True, [8], {"a": 8})],
        ({"bicubic_skip": 2}, "bicubic_skip of idrn must be bool"),
        ({"depth": -1}, "depth must be 1 or more"),
    ],
)
def test_weights_of_another_shape_raise(state, config, message):
    with pytest.raises(BuildError, match=message):
        network_from(Weights(state), "idrn", {**CONFIG, **config})


@pytest.mark.parametrize(
    ("name", "config", "command"),
    [
        ("vdsr", {"depth": 2, "width": 8, "scale": 3}, "--model vdsr --depth 2 --width 8 --scale N, the scale"),
        ("srcnn", {"scale": 3}, "--model srcnn --scale N, the scale"),
        ("mffcn", {"width": 8, "scale": 3}, "--model mffcn --width 8 --scale N, the scale"),
        ("srresnet", {"depth": 1, "width": 8, "scale": 2}, "--model srresnet --depth 1 --width 8 --scale 2$"),
    ],
)
def test_the_network_that_fits_is_named_with_a_scale(name, config, command):
    tensors = build_network(name, config).state_dict()
    with pytest.raises(BuildError, match=command):
        network_from(Weights(tensors), "idrn", CONFIG)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_raise(state, value):
    state["units.0.first.bias"][3] = value
    with pytest.raises(BuildError, match=r"not finite, e\.g\. in units\.0\.first\.bias; train again"):
        network_from(Weights(state), "idrn", CONFIG)


def test_the_metadata_is_json(tiny_weights):
    with safe_open(tiny_weights(), framework="pt") as file:
        metadata = file.metadata()
    assert json.loads(metadata["config"]) == CONFIG and json.loads(metadata["origin"])["licence"] == "CC0-1.0"


def test_equal_weights_give_equal_bytes():
    torch.manual_seed(0)
    network = build_network("edge", {"width": 8, "depth": 1, "scale": 2})
    origin = Provenance({"data": "ä"})
    contents = {weights_bytes(network, "edge", {"width": 8}, origin, torch.float16) for _ in range(12)}
    assert len(contents) == 1


def test_a_renamed_configuration_key_of_older_files_is_read_and_not_written(tmp_path):
    config = {"width": 8, "scale": 4, "side": 8, "global_channels": 16}
    old = {**config, "seeing": config["global_channels"]}
    del old["global_channels"]
    network = build_network("msrnet", old)
    path = tmp_path / "w.safetensors"
    save_file(network.state_dict(), path, metadata={"network": "msrnet", "config": json.dumps(old)})
    weights = read_weights(path)
    assert weights.config == config and network_from(weights, "msrnet", old)
    path.write_bytes(weights_bytes(network, "msrnet", old, Provenance()))
    with safe_open(path, framework="pt") as file:
        assert json.loads(file.metadata()["config"]) == config
