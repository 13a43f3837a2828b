"""Activation ranges of each calibration method, and their cache."""

import json

import numpy as np
import pytest
from facesr_edge.calibration import ranges
from facesr_edge.calibration.ranges import activation_ranges, calibration_hash
from facesr_edge.engines.errors import BuildError, UnknownNameError
from onnx import TensorProto, helper, save

KINDS = ["Relu"]


@pytest.fixture
def network(tmp_path):
    """A graph: ReLU of the pixels minus 100."""
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
    """Batches of different sizes, values from 90 to 110 with two outliers."""
    rng = np.random.default_rng(0)
    made = [rng.integers(90, 111, (1, side, side, 3)).astype(np.uint8) for side in (150, 200, 100)]
    made[0][0, 0, 0], made[2][0, 0, 0] = 0, 250
    return made


@pytest.fixture
def measured(monkeypatch):
    """List of the calls that measured ranges."""
    calls = []
    real = ranges.measured_ranges

    def record(*args):
        calls.append(args)
        return real(*args)

    monkeypatch.setattr(ranges, "measured_ranges", record)
    return calls


def test_minmax_is_the_range_of_all_inputs(network, batches, tmp_path):
    assert activation_ranges(network, KINDS, batches, folder=tmp_path) == {
        "shifted": (-100.0, 150.0),
        "y": (0.0, 150.0),
    }


@pytest.mark.parametrize("method", ["entropy", "percentile"])
def test_entropy_and_percentile_exclude_outliers(network, batches, tmp_path, method, capsys):
    low, high = activation_ranges(network, KINDS, batches, method, tmp_path)["shifted"]
    assert -100 <= low <= -9 and 9 <= high < 150
    assert capsys.readouterr() == ("", "")


def test_second_call_reads_the_cache(network, batches, tmp_path, measured):
    first = activation_ranges(network, KINDS, batches, folder=tmp_path / "new")
    assert activation_ranges(network, KINDS, batches, folder=tmp_path / "new") == first and len(measured) == 1


@pytest.mark.parametrize("change", ["network", "kinds", "inputs", "order", "method"])
def test_any_other_argument_is_measured(network, batches, tmp_path, measured, change):
    args = {"network": network, "kinds": KINDS, "batches": batches, "method": "minmax"}
    activation_ranges(**args, folder=tmp_path / "new")
    if change == "network":
        network.write_bytes(network.read_bytes() + b"\x32\x01a")  # producer name
    args["batches"] = {"inputs": batches[1:], "order": batches[::-1]}.get(change, batches)
    args["method"] = "percentile" if change == "method" else "minmax"
    args["kinds"] = ["Relu", "Sub"] if change == "kinds" else KINDS
    activation_ranges(**args, folder=tmp_path / "new")
    assert len(measured) == 2 and len(list((tmp_path / "new").iterdir())) == 2


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"key": "other", "ranges": {}}', "nan", "key"])
def test_damaged_cache_file_is_replaced(network, batches, tmp_path, measured, damage):
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


def test_unwritable_cache_folder_is_ignored(network, batches, tmp_path, measured):
    (tmp_path / "file").write_text("")
    for _ in range(2):
        assert activation_ranges(network, KINDS, batches, folder=tmp_path / "file" / "x")["y"] == (0.0, 150.0)
    assert len(measured) == 2


def test_full_disk_is_ignored_and_leaves_no_file(network, batches, tmp_path, monkeypatch):
    def no_space(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ranges, "write_atomic", no_space)
    assert activation_ranges(network, KINDS, batches, folder=tmp_path / "new")["y"] == (0.0, 150.0)
    assert list((tmp_path / "new").iterdir()) == []


def test_default_folder_is_in_the_users_cache(network, batches, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    activation_ranges(network, KINDS, batches)
    assert len(list((tmp_path / "cache" / "facesr-edge" / "ranges").iterdir())) == 1


def test_hash_depends_on_values_shapes_and_order(batches):
    known = calibration_hash(batches)
    assert len(known) == 64 and calibration_hash([batch.copy() for batch in batches]) == known
    changed = [batch.copy() for batch in batches]
    changed[1][0, 5, 5, 1] += 1
    reshaped = [batch.reshape(1, -1, 1, 3) for batch in batches]
    assert len({known, *(calibration_hash(other) for other in (changed, reshaped, batches[::-1], batches[:2]))}) == 5


def test_unknown_method_suggests_the_closest_name(network, batches, tmp_path):
    with pytest.raises(UnknownNameError, match=r"unknown calibration 'min-max'; did you mean 'minmax'\? known:"):
        activation_ranges(network, KINDS, batches, "min-max", tmp_path)


def test_invalid_network_is_a_one_line_error(tmp_path, batches):
    (tmp_path / "network.onnx").write_bytes(b"no network")
    with pytest.raises(BuildError, match=r"cannot quantize the network: .*--fp16 or --fp32") as caught:
        activation_ranges(tmp_path / "network.onnx", KINDS, batches, folder=tmp_path / "new")
    assert "\n" not in str(caught.value) and not (tmp_path / "new").exists()
