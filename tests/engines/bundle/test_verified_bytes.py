"""What was verified is what runs: altered files, external data, and files that are none."""

import os
import shutil
import signal
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from facesr_edge.calibration.metrics.identity import embedder
from facesr_edge.engines.bundle.bundle import (
    CARD,
    INT8_ONNX,
    MAX_CARD_BYTES,
    ONNX,
    WEIGHTS,
    Bundle,
    open_bundle,
    read_card,
)
from facesr_edge.engines.bundle.external_data import MAX_FILE_BYTES, external_data, read_onnx
from facesr_edge.engines.errors import BundleError, EngineError
from facesr_edge.engines.registry import ENGINES, open_session
from facesr_edge.engines.yunet import YuNetSession
from facesr_edge.zoo import catalogue

MODEL = "edge-tiny-x4-camera"


@contextmanager
def time_limit(seconds=10):
    """Fail instead of waiting forever for a pipe."""

    def expire(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, expire)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def copy(tmp_path):
    """A copy of a bundle of the package."""
    return open_bundle(shutil.copytree(catalogue.locate(MODEL), tmp_path / "copy"))


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_graphs_that_are_built_later_are_those_that_were_verified(copy, crops, engine, precision):
    if engine == "openvino":
        pytest.importorskip("openvino")
    expected = ENGINES[engine](catalogue.find(MODEL), 1, precision, 1).infer(crops(48, 1))
    session = ENGINES[engine](copy, 1, precision, 1)
    session.infer(crops(32, 1))
    for path in copy.folder.glob("*.onnx"):
        shutil.copyfile(catalogue.find("edge-nano-x4").onnx, path)
    assert np.array_equal(session.infer(crops(48, 1)), expected)
    assert session.layer_times(crops(48, 1), 1)
    with pytest.raises(BundleError, match="was altered: SHA-256"):
        ENGINES[engine](copy, 1, precision, 1)
    session.close()


@pytest.mark.parametrize("kind", ["pipe", "link to a pipe", "device", "link to a device", "folder"])
@pytest.mark.parametrize("name", [CARD, ONNX])
def test_file_that_is_not_regular_is_refused_without_reading_it(copy, tmp_path, name, kind):
    path = copy.folder / name
    path.unlink()
    if "pipe" in kind:
        os.mkfifo(path if kind == "pipe" else tmp_path / "pipe")
    if kind == "folder":
        path.mkdir()
    elif kind != "pipe":
        path.symlink_to(tmp_path / "pipe" if "pipe" in kind else "/dev/zero")
    with time_limit(), pytest.raises(BundleError, match="it is not a regular file") as error:
        open_bundle(copy.folder)
    assert "\n" not in str(error.value)


def test_link_to_a_file_of_the_same_content_is_accepted(copy, tmp_path):
    (copy.folder / ONNX).rename(tmp_path / "elsewhere")
    (copy.folder / ONNX).symlink_to(tmp_path / "elsewhere")
    assert open_bundle(copy.folder).card == copy.card


def test_card_of_a_gigabyte_is_refused_by_its_size(copy):
    with (copy.folder / CARD).open("r+b") as file:
        file.truncate(1 << 30)
    with time_limit(2), pytest.raises(BundleError, match=f"more than {MAX_CARD_BYTES >> 20} MiB"):
        read_card(copy.folder)


@pytest.mark.parametrize("name", [ONNX, INT8_ONNX, WEIGHTS])
def test_any_other_file_of_gigabytes_is_refused_by_its_size(copy, name):
    with (copy.folder / name).open("r+b") as file:
        file.truncate(1 << 40)
    with time_limit(2), pytest.raises(BundleError, match=f"more than {MAX_FILE_BYTES >> 20} MiB"):
        open_bundle(copy.folder)


def test_name_with_a_null_character_is_refused_in_one_line(copy):
    card = replace(copy.card, files={**copy.card.files, "a\0b": "0"})
    (copy.folder / CARD).write_text(card.to_json())
    with pytest.raises(BundleError, match=r"a\\x00b is missing or unreadable") as error:
        open_bundle(copy.folder)
    assert "\0" not in str(error.value)


def test_file_that_the_card_does_not_list_is_not_read(copy):
    (copy.folder / "other.onnx").write_bytes(b"")
    with pytest.raises(BundleError, match="is not listed in"):
        copy.read("other.onnx")


@pytest.mark.parametrize("location", ["weights.bin", "../weights.bin", "/weights.bin", ""])
@pytest.mark.parametrize("place", ["initializer", "attribute", "subgraph", "sparse", "function"])
def test_external_data_is_found_wherever_it_is(location, place):
    onnx = pytest.importorskip("onnx")
    tensor = onnx.TensorProto(name="w", dims=[1], data_type=1, data_location=1)
    tensor.external_data.add(key="location", value=location)
    node = onnx.helper.make_node("Constant", [], ["c"], value=tensor)
    model = onnx.ModelProto(ir_version=8)
    if place == "initializer":
        model.graph.initializer.append(tensor)
    elif place == "attribute":
        model.graph.node.append(node)
    elif place == "sparse":
        model.graph.sparse_initializer.add().values.CopyFrom(tensor)
    elif place == "function":
        model.functions.add(name="f").node.append(node)
    else:
        inner = onnx.helper.make_graph([node], "inner", [], [])
        model.graph.node.append(onnx.helper.make_node("If", ["x"], ["y"], then_branch=inner))
    assert location in external_data(model.SerializeToString())


def test_shipped_graphs_have_no_external_data():
    for name in catalogue.names():
        for path in catalogue.locate(name).glob("*.onnx"):
            assert external_data(path.read_bytes()) == ()


@pytest.mark.parametrize("outside", [False, True])
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_graph_with_external_data_is_refused(copy, tmp_path, engine, outside):
    onnx = pytest.importorskip("onnx")
    if engine == "openvino":
        pytest.importorskip("openvino")
    model = onnx.load(copy.onnx)
    onnx.save(model, copy.onnx, save_as_external_data=True, location="weights.bin", size_threshold=0)
    if outside:
        (copy.folder / "weights.bin").rename(tmp_path / "weights.bin")
        (copy.folder / "weights.bin").symlink_to(tmp_path / "weights.bin")
    draft = Bundle(copy.folder, replace(copy.card, files={}))
    with pytest.raises(BundleError, match=r"has weights in another file \('weights.bin'\)"):
        ENGINES[engine](draft, 1, "fp32", 1)


def test_onnx_file_of_the_user_with_external_data_is_refused(copy):
    onnx = pytest.importorskip("onnx")
    path = copy.folder / "recognizer.onnx"
    onnx.save(onnx.load(copy.onnx), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    for load in (read_onnx, YuNetSession, embedder):
        with pytest.raises(EngineError, match=r"has weights in another file \('weights.bin'\)"):
            load(path)


@pytest.mark.parametrize("data", [b"text\n", b"\x3a\xff", b"\x3b", b"\x08"])
def test_what_cannot_be_parsed_is_not_taken_for_complete(data):
    with pytest.raises(ValueError, match=r"wire type|longer|does not end"):
        external_data(data)


@pytest.mark.parametrize("scale", [2, 5])
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_scale_that_is_not_that_of_the_graph_is_refused_at_load(copy, engine, scale):
    if engine == "openvino":
        pytest.importorskip("openvino")
    other = Bundle(copy.folder, replace(copy.card, io_spec=replace(copy.card.io_spec, scale=scale)))
    with pytest.raises(EngineError):
        open_session(other, engine, 1, "fp32")
