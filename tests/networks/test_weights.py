"""Weights files, including untrusted ones: tensors are read, code is not executed, damage raises one line."""

import io
import json
import pickle
import random
import zipfile

import pytest
import torch
from facesr_edge.engines.errors import BuildError, InputError
from facesr_edge.networks import build_network
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


@pytest.mark.parametrize("suffix", [".pth", ".pt"])
@pytest.mark.parametrize("key", [None, "params_ema", "params", "state_dict", "model"])
def test_a_state_dict_in_a_pickle_is_read(tmp_path, state, suffix, key):
    path = tmp_path / f"w{suffix}"
    torch.save({key: state} if key else state, path)
    assert all(torch.equal(value, state[name]) for name, value in read_weights(path).tensors.items())


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
        ({"width": 16}, r"do not fit idrn .* check --depth, --width and --scale"),
        ({"depth": 2}, r"units\.1.* is missing, expected \(8, 8, 3, 3\)|units\.1.* is missing, expected \(8,\)"),
        ({"scale": 2}, "do not fit"),
        ({"scale": 7}, "cannot be built with .*: scale 7 is not supported; choose one of 2, 3, 4"),
        ({"colour": "red"}, "cannot be built with"),
    ],
)
def test_weights_of_another_shape_raise(state, config, message):
    with pytest.raises(BuildError, match=message):
        network_from(Weights(state), "idrn", {**CONFIG, **config})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_raise(state, value):
    state["units.0.first.bias"][3] = value
    with pytest.raises(BuildError, match=r"not finite, e\.g\. in units\.0\.first\.bias; train again"):
        network_from(Weights(state), "idrn", CONFIG)


def test_fp16_weights_become_fp32_parameters(state):
    network = network_from(Weights({name: value.half() for name, value in state.items()}), "idrn", CONFIG)
    assert {p.dtype for p in network.parameters()} == {torch.float32}


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
