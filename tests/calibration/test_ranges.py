"""Activation ranges: what each method finds, and that a second time costs nothing."""

import json

import numpy as np
import pytest
from facesr_edge.calibration import ranges
from facesr_edge.calibration.ranges import activation_ranges, cache_folder, calibration_hash
from facesr_edge.engines.errors import BuildError, UnknownNameError
from onnx import TensorProto, helper, save

KINDS = ["Relu"]


@pytest.fixture
def network(tmp_path):
    """Pixels less 100, and what is above 0 of it."""
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", "h", "w", 3])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    nodes = [
        helper.make_node("Cast", ["pixels"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["x", "hundred"], ["shifted"]),
        helper.make_node("Relu", ["shifted"], ["y"]),
    ]
    hundred = helper.make_tensor("hundred", TensorProto.FLOAT, [], [100.0])
    graph = helper.make_graph(nodes, "g", [pixels], [out], [hundred])
    path = tmp_path / "network.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


@pytest.fixture
def batches():
    """Of unlike sizes, nearly all values from 90 to 110, a few of them far out."""
    seed = np.random.default_rng(0)
    made = [seed.integers(90, 111, (1, side, side, 3)).astype(np.uint8) for side in (150, 200, 100)]
    made[0][0, 0, 0], made[2][0, 0, 0] = 0, 250
    return made


@pytest.fixture
def measured(monkeypatch):
    """How often ranges were really measured."""
    times = []
    real = ranges.measured_ranges

    def counted(*given):
        times.append(given)
        return real(*given)

    monkeypatch.setattr(ranges, "measured_ranges", counted)
    return times


def test_the_least_and_the_largest_value_of_all_inputs_are_the_range(network, batches, tmp_path):
    found = activation_ranges(network, KINDS, batches, folder=tmp_path)
    assert found == {"shifted": (-100.0, 150.0), "y": (0.0, 150.0)}


@pytest.mark.parametrize("method", ["entropy", "percentile"])
def test_other_methods_leave_out_what_is_rare(network, batches, tmp_path, method, capsys):
    low, high = activation_ranges(network, KINDS, batches, method, tmp_path)["shifted"]
    assert -100 <= low <= -9 and 9 <= high < 150
    assert capsys.readouterr() == ("", "")


def test_the_same_a_second_time_is_not_measured(network, batches, tmp_path, measured):
    first = activation_ranges(network, KINDS, batches, folder=tmp_path / "new")
    assert activation_ranges(network, KINDS, batches, folder=tmp_path / "new") == first and len(measured) == 1


@pytest.mark.parametrize("change", ["network", "kinds", "inputs", "order", "method"])
def test_what_is_new_is_measured(network, batches, tmp_path, measured, change):
    given = {"network": network, "kinds": KINDS, "batches": batches, "method": "minmax"}
    activation_ranges(**given, folder=tmp_path / "new")
    if change == "network":
        network.write_bytes(network.read_bytes() + b"\x32\x01a")  # a producer's name, of no meaning
    given["batches"] = {"inputs": batches[1:], "order": batches[::-1]}.get(change, batches)
    given["method"] = "percentile" if change == "method" else "minmax"
    given["kinds"] = ["Relu", "Sub"] if change == "kinds" else KINDS
    activation_ranges(**given, folder=tmp_path / "new")
    assert len(measured) == 2 and len(list((tmp_path / "new").iterdir())) == 2


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"key": "other", "ranges": {}}', "nan", "key"])
def test_a_damaged_file_is_thrown_away_and_measured_again(network, batches, tmp_path, measured, damage):
    first = activation_ranges(network, KINDS, batches, folder=tmp_path / "new")
    (file,) = (tmp_path / "new").iterdir()
    content = json.loads(file.read_text())
    if damage == "nan":
        content["ranges"]["y"] = [0, float("nan")]
    if damage == "key":
        content["key"] = content["key"][::-1]
    file.write_text(json.dumps(content) if damage in ("nan", "key") else damage)
    assert activation_ranges(network, KINDS, batches, folder=tmp_path / "new") == first and len(measured) == 2
    assert activation_ranges(network, KINDS, batches, folder=tmp_path / "new") == first and len(measured) == 2


def test_a_folder_that_cannot_be_written_costs_time_only(network, batches, tmp_path, measured):
    (tmp_path / "file").write_text("")
    for _ in range(2):
        assert activation_ranges(network, KINDS, batches, folder=tmp_path / "file" / "x")["y"] == (0.0, 150.0)
    assert len(measured) == 2


def test_a_full_disk_costs_time_only_and_leaves_nothing(network, batches, tmp_path, monkeypatch):
    def full(*given, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ranges.json, "dump", full)
    assert activation_ranges(network, KINDS, batches, folder=tmp_path / "new")["y"] == (0.0, 150.0)
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize("home", ["", "relative"])
def test_ranges_lie_in_the_users_cache(tmp_path, monkeypatch, home):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", home)
    assert cache_folder() == tmp_path / ".cache" / "facesr-edge" / "ranges"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine" / "facesr-edge" / "ranges"


def test_the_hash_is_of_values_shapes_and_order(batches):
    known = calibration_hash(batches)
    assert len(known) == 64 and calibration_hash([batch.copy() for batch in batches]) == known
    touched = [batch.copy() for batch in batches]
    touched[1][0, 5, 5, 1] += 1
    turned = [batch.reshape(1, -1, 1, 3) for batch in batches]
    assert len({known, *(calibration_hash(other) for other in (touched, turned, batches[::-1], batches[:2]))}) == 5


def test_a_method_that_is_none_is_told(network, batches, tmp_path):
    with pytest.raises(UnknownNameError, match=r"unknown calibration 'min-max'; did you mean 'minmax'\? known:"):
        activation_ranges(network, KINDS, batches, "min-max", tmp_path)


def test_a_network_that_cannot_be_run_is_one_line(tmp_path, batches):
    (tmp_path / "network.onnx").write_bytes(b"no network")
    with pytest.raises(BuildError, match=r"cannot quantise the network: .*--fp16 or --fp32") as caught:
        activation_ranges(tmp_path / "network.onnx", KINDS, batches, folder=tmp_path / "new")
    assert "\n" not in str(caught.value) and not (tmp_path / "new").exists()
