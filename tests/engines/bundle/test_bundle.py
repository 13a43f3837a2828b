"""Bundles: written whole or not at all, and opened only as they were written."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
from facesr_edge.engines.bundle.bundle import CARD, ENGINE, LAYERS, ONNX, WEIGHTS, open_bundle, write_bundle
from facesr_edge.engines.bundle.card import Card
from facesr_edge.engines.bundle.engine_info import EngineInfo
from facesr_edge.engines.bundle.io_spec import super_resolution
from facesr_edge.engines.errors import BundleError, OutputError

SMALL = {ONNX: b"graph", WEIGHTS: b"weights"}


@pytest.fixture
def card():
    return Card("tiny", super_resolution(4), "fp32", "idrn", {"scale": 4})


@pytest.fixture
def bundle(tmp_path, card):
    return write_bundle(tmp_path / "here" / "tiny", card, SMALL)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_bundle_is_opened_as_it_was_written(bundle):
    again = open_bundle(bundle.folder)
    assert again == bundle and again.onnx.read_bytes() == b"graph"
    assert set(again.card.files) == {ONNX, WEIGHTS}
    assert set(contents(bundle.folder)) == {CARD, ONNX, WEIGHTS}


def test_a_bundle_is_opened_by_a_path_in_text(bundle):
    assert open_bundle(str(bundle.folder)) == bundle


def test_others_may_read_a_bundle(bundle):
    assert bundle.folder.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("name", [ONNX, WEIGHTS])
def test_an_altered_file_is_refused(bundle, name):
    (bundle.folder / name).write_bytes(b"graf")
    with pytest.raises(BundleError, match=rf"{name} was altered: SHA-256 .* copy the bundle again, or rebuild it"):
        open_bundle(bundle.folder)


@pytest.mark.parametrize("name", [ONNX, WEIGHTS])
def test_a_missing_file_is_refused(bundle, name):
    (bundle.folder / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing or unreadable"):
        open_bundle(bundle.folder)


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "sub/model.onnx", "..", ".", ""])
def test_a_card_that_names_a_file_elsewhere_is_refused(bundle, name):
    (bundle.folder.parent / "secret").write_bytes(b"secret")
    path = bundle.folder / CARD
    values = json.loads(path.read_text("utf-8"))
    values["files"][name] = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"  # of "secret"
    path.write_text(json.dumps(values), "utf-8")
    with pytest.raises(BundleError, match="outside of its folder"):
        open_bundle(bundle.folder)


def test_a_card_that_lists_no_graph_is_refused(tmp_path, card):
    write_bundle(tmp_path / "b", card, {WEIGHTS: b"weights"})
    with pytest.raises(BundleError, match=f"lists no {ONNX}"):
        open_bundle(tmp_path / "b")


@pytest.fixture
def compiled(bundle, card):
    key = EngineInfo("TensorRT", "10.3.0", "Orin", "8.7", "12.6", bundle.card.files[ONNX])
    return write_bundle(bundle.folder, replace(card, engine=key), {**SMALL, ENGINE: b"plan", LAYERS: b"{}"})


def test_a_compiled_bundle_keeps_its_engine_and_what_it_was_made_for(compiled):
    again = open_bundle(compiled.folder)
    assert again == compiled and again.engine.read_bytes() == b"plan" and again.card.engine.gpu == "Orin"


@pytest.mark.parametrize("name", [ENGINE, LAYERS])
def test_an_altered_engine_is_refused_before_anything_reads_it(compiled, name):
    (compiled.folder / name).write_bytes(b"plam")
    with pytest.raises(BundleError, match=f"{name} was altered"):
        open_bundle(compiled.folder)


def test_a_card_that_tells_of_an_engine_it_does_not_list_is_refused(tmp_path, compiled):
    write_bundle(tmp_path / "b", compiled.card, SMALL)
    with pytest.raises(BundleError, match=r"lists no model.engine; compile it: facesr-edge build"):
        open_bundle(tmp_path / "b")


@pytest.mark.parametrize("kind", ["missing", "empty", "file"])
def test_what_has_no_card_is_no_bundle(tmp_path, kind):
    path = tmp_path / "thing"
    if kind == "empty":
        path.mkdir()
    if kind == "file":
        path.write_text("text")
    with pytest.raises(BundleError, match=f"thing is not a bundle: it has no {CARD}"):
        open_bundle(path)


@pytest.mark.parametrize("junk", [b"", b"\xff\xfe", b"junk"])
def test_a_broken_card_is_refused(bundle, junk):
    (bundle.folder / CARD).write_bytes(junk)
    with pytest.raises(BundleError, match="build the bundle again"):
        open_bundle(bundle.folder)


def test_an_older_bundle_is_replaced_and_nothing_is_left_beside_it(bundle, card):
    write_bundle(bundle.folder, card, {ONNX: b"newer"})
    assert open_bundle(bundle.folder).onnx.read_bytes() == b"newer"
    assert set(contents(bundle.folder)) == {CARD, ONNX}
    assert [path.name for path in bundle.folder.parent.iterdir()] == ["tiny"]


def test_a_bundle_behind_a_link_is_replaced_where_it_lies(bundle, card, tmp_path):
    link = tmp_path / "current"
    link.symlink_to(bundle.folder)
    write_bundle(link, card, {ONNX: b"newer"})
    assert link.is_symlink() and open_bundle(bundle.folder).onnx.read_bytes() == b"newer"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["current", "here"]


def test_an_empty_folder_is_filled(tmp_path, card):
    (tmp_path / "empty").mkdir()
    assert write_bundle(tmp_path / "empty", card, SMALL).folder == tmp_path / "empty"


@pytest.mark.parametrize("stranger", ["notes.txt", "holiday.jpg", ".git"])
@pytest.mark.parametrize("with_card", [False, True])
def test_a_folder_with_anything_else_in_it_is_left_alone(tmp_path, card, stranger, with_card):
    folder = tmp_path / "mine"
    if with_card:
        write_bundle(folder, card, SMALL)
    folder.mkdir(exist_ok=True)
    (folder / stranger).write_bytes(b"mine")
    before = contents(folder)
    with pytest.raises(OutputError, match=r"choose another folder with -o"):
        write_bundle(folder, card, {ONNX: b"newer"})
    assert contents(folder) == before and len(list(tmp_path.iterdir())) == 1


def test_somebody_elses_card_is_left_alone(tmp_path, card):
    (tmp_path / "game").mkdir()
    (tmp_path / "game" / CARD).write_text('{"suit": "hearts"}')
    with pytest.raises(OutputError, match="is not a bundle"):
        write_bundle(tmp_path / "game", card, SMALL)
    assert contents(tmp_path / "game") == {CARD: b'{"suit": "hearts"}'}


def test_a_file_in_the_way_is_left_alone(tmp_path, card):
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(OutputError, match="is not a bundle"):
        write_bundle(tmp_path / "file", card, SMALL)
    with pytest.raises(OutputError, match=r"cannot write .*file.below: .*choose another folder"):
        write_bundle(tmp_path / "file" / "below", card, SMALL)
    assert contents(tmp_path) == {"file": b"mine"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_told(tmp_path, card):
    (tmp_path / "locked").mkdir(mode=0o555)
    with pytest.raises(OutputError, match=r"cannot write .*Permission denied"):
        write_bundle(tmp_path / "locked" / "tiny", card, SMALL)


@pytest.mark.parametrize("older", [False, True])
def test_a_disk_that_fills_up_leaves_what_was_there(tmp_path, card, no_file_larger_than, older):
    folder = tmp_path / "tiny"
    if older:
        write_bundle(folder, card, SMALL)
    with no_file_larger_than(100_000), pytest.raises(OutputError, match=r"cannot write .*; free some space"):
        write_bundle(folder, card, {ONNX: b"x" * 200_000})
    assert [path.name for path in tmp_path.iterdir()] == (["tiny"] if older else [])
    if older:
        assert open_bundle(folder).onnx.read_bytes() == b"graph"


@pytest.mark.parametrize("older", [False, True])
def test_a_write_that_is_killed_leaves_no_half_bundle(tmp_path, card, older):
    folder = tmp_path / "tiny"
    if older:
        write_bundle(folder, card, SMALL)
    program = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from facesr_edge.engines.bundle.bundle import write_bundle\n"
        "from facesr_edge.engines.bundle.card import card_from_json\n"
        "card = card_from_json(sys.stdin.read())\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # the kernel ends the process in the middle of a file\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "write_bundle(Path(sys.argv[1]), card, {'model.onnx': b'x' * 200_000})\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(folder)], input=card.to_json(), text=True, check=False)
    assert killed.returncode == -signal.SIGXFSZ
    if older:
        assert open_bundle(folder).onnx.read_bytes() == b"graph"
    else:
        assert not folder.exists()
    write_bundle(folder, card, {ONNX: b"after"})
    assert open_bundle(folder).onnx.read_bytes() == b"after"
