"""Weights from strangers: tensors are read, code is not run, damage is told in one line."""

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
from safetensors.torch import save_file

CONFIG = {"depth": 1, "width": 8, "scale": 4, "bicubic_skip": True}


@pytest.fixture
def state(tiny_weights):
    return read_weights(tiny_weights()).tensors


class Harmful:
    """Unpickled, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_weights_are_read_as_they_were_written(tmp_path):
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


def test_weights_without_notes_are_read(tmp_path, state):
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


def test_the_moving_average_is_preferred_to_the_weights_beside_it(tmp_path, state):
    torch.save({"params": {"a": torch.zeros(1)}, "params_ema": state}, tmp_path / "w.pth")
    assert read_weights(tmp_path / "w.pth").tensors.keys() == state.keys()


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_is_refused_and_not_run(tmp_path, state, zipped):
    trace, path = tmp_path / "it-ran", tmp_path / "w.pth"
    torch.save({**state, "extra": Harmful(trace)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError, match=r"w\.pth holds more than tensors") as caught:
        read_weights(path)
    assert not trace.exists() and "\n" not in str(caught.value)
    torch.load(path, weights_only=False)["extra"].close()
    assert trace.exists()  # it would have run


def test_a_bare_pickle_with_code_is_refused_and_not_run(tmp_path):
    (tmp_path / "w.pth").write_bytes(pickle.dumps(Harmful(tmp_path / "it-ran"), 2))
    with pytest.raises(InputError, match=r"save its state_dict as \.safetensors"):
        read_weights(tmp_path / "w.pth")
    assert not (tmp_path / "it-ran").exists()


def test_a_pickle_named_safetensors_is_refused_and_not_run(tmp_path):
    torch.save({"extra": Harmful(tmp_path / "it-ran")}, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match="not a safetensors file"):
        read_weights(tmp_path / "w.safetensors")
    assert not (tmp_path / "it-ran").exists()


@pytest.mark.parametrize(
    "value", [{}, {"a": 1}, [torch.zeros(1)], torch.zeros(1), {"model": {"a": "b"}}, {0: torch.zeros(1)}]
)
def test_a_pickle_that_is_no_state_dict_is_refused(tmp_path, value):
    torch.save(value, tmp_path / "w.pth")
    with pytest.raises((InputError, BuildError)):
        network_from(read_weights(tmp_path / "w.pth"), "idrn", CONFIG)


@pytest.mark.parametrize("content", [b"", b"hello world\n", b"<html>404</html>", b"\x80\x02}", b"I1\n.", bytes(500)])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_of_something_else_is_refused(tmp_path, content, suffix):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"w\.") as caught:
        read_weights(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["safetensors", "zip", "legacy"])
def test_damage_anywhere_is_refused_or_does_no_harm(tmp_path, kind):
    state, buffer = {"a": torch.ones(4, 4), "b": torch.ones(50)}, io.BytesIO()
    if kind == "safetensors":
        save_file(state, tmp_path / "whole")
        buffer.write((tmp_path / "whole").read_bytes())
    else:
        torch.save(state, buffer, _use_new_zipfile_serialization=kind == "zip")
    whole, rng = buffer.getvalue(), random.Random(0)
    path, refused = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pth"), 0
    for n in range(200):
        data = bytearray(whole)
        if n % 2:
            data = data[: rng.randrange(len(data))]
        else:
            data[rng.randrange(min(len(data), 1500))] = rng.randrange(256)
        path.write_bytes(data)
        try:
            read_weights(path)
        except InputError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused >= 100  # all that were cut short


def test_a_zip_of_something_else_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        archive.writestr("hello.txt", "hello")
    with pytest.raises(InputError, match="damaged"):
        read_weights(tmp_path / "w.pth")


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(InputError, match=r"there is no file .*w\.pth"):
        read_weights(tmp_path / "w.pth")
    with pytest.raises(InputError, match="there is no file"):
        read_weights(tmp_path)


@pytest.mark.parametrize(
    "notes",
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
def test_odd_notes_in_a_file_are_refused(tmp_path, state, notes):
    save_file(state, tmp_path / "w.safetensors", metadata=notes)
    with pytest.raises(InputError, match=f"odd note of its {next(iter(notes))}"):
        read_weights(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"width": 16}, r"do not fit idrn .* check --depth, --width and --scale"),
        ({"depth": 2}, r"units\.1.* is missing, expected \(8, 8, 3, 3\)|units\.1.* is missing, expected \(8,\)"),
        ({"scale": 2}, "do not fit"),
        ({"scale": 7}, "cannot be built with .*: scale 7 is not to be had; it is one of 2, 3, 4"),
        ({"colour": "red"}, "cannot be built with"),
    ],
)
def test_weights_of_another_shape_are_refused(state, config, told):
    with pytest.raises(BuildError, match=told):
        network_from(Weights(state), "idrn", {**CONFIG, **config})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused(state, value):
    state["units.0.first.bias"][3] = value
    with pytest.raises(BuildError, match=r"not finite, e\.g\. in units\.0\.first\.bias; train again"):
        network_from(Weights(state), "idrn", CONFIG)


def test_weights_in_half_precision_are_taken_as_numbers(state):
    network = network_from(Weights({name: value.half() for name, value in state.items()}), "idrn", CONFIG)
    assert {p.dtype for p in network.parameters()} == {torch.float32}


def test_the_notes_are_plain_json(tiny_weights):
    from safetensors import safe_open

    with safe_open(tiny_weights(), framework="pt") as file:
        said = file.metadata()
    assert json.loads(said["config"]) == CONFIG and json.loads(said["origin"])["licence"] == "CC0-1.0"


def test_the_same_weights_are_the_same_bytes():
    torch.manual_seed(0)
    network = build_network("edge", {"width": 8, "depth": 1, "scale": 2})
    made = {weights_bytes(network, "edge", {"width": 8}, Provenance({"data": "ä"}), torch.float16) for _ in range(12)}
    assert len(made) == 1
