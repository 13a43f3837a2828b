"""Bundles: atomic writing, and verification of every file on opening."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
from facesr_edge.engines.bundle.bundle import (
    CARD,
    LAYERS,
    ONNX,
    WEIGHTS,
    engine_file,
    open_bundle,
    read_card,
    write_bundle,
)
from facesr_edge.engines.bundle.card import Card
from facesr_edge.engines.bundle.engine_info import EngineInfo
from facesr_edge.engines.bundle.io_spec import super_resolution
from facesr_edge.engines.bundle.projection import Projection
from facesr_edge.engines.errors import BundleError, OutputError

ENGINE = engine_file(32, 48)
SMALL = {ONNX: b"graph", WEIGHTS: b"weights"}


@pytest.fixture
def card():
    return Card("tiny", super_resolution(4), "fp32", "idrn", {"scale": 4}, projection=Projection())


@pytest.fixture
def bundle(tmp_path, card):
    return write_bundle(tmp_path / "parent" / "tiny", card, SMALL)


def read_files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_written_bundle_is_opened_unchanged(bundle):
    opened = open_bundle(bundle.folder)
    assert opened == bundle and opened.onnx.read_bytes() == b"graph"
    assert set(opened.card.files) == {ONNX, WEIGHTS}
    assert set(read_files(bundle.folder)) == {CARD, ONNX, WEIGHTS}


def test_open_bundle_accepts_a_string(bundle):
    assert open_bundle(str(bundle.folder)) == bundle


def test_bundle_is_readable_by_other_users(bundle):
    assert bundle.folder.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("name", [ONNX, WEIGHTS])
def test_read_card_does_not_hash_the_files(bundle, name):
    (bundle.folder / name).write_bytes(b"graf")
    assert read_card(bundle.folder) == bundle.card


@pytest.mark.parametrize("name", [ONNX, WEIGHTS])
def test_altered_file_is_rejected(bundle, name):
    (bundle.folder / name).write_bytes(b"graf")
    with pytest.raises(BundleError, match=rf"{name} was altered: SHA-256 .* copy the bundle again, or rebuild it"):
        open_bundle(bundle.folder)


@pytest.mark.parametrize("name", [ONNX, WEIGHTS])
def test_missing_file_is_rejected(bundle, name):
    (bundle.folder / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing or unreadable"):
        open_bundle(bundle.folder)


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "sub/model.onnx", "..", ".", ""])
def test_file_outside_of_the_folder_is_rejected(bundle, name):
    (bundle.folder.parent / "secret").write_bytes(b"secret")
    path = bundle.folder / CARD
    values = json.loads(path.read_text("utf-8"))
    values["files"][name] = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"  # of "secret"
    path.write_text(json.dumps(values), "utf-8")
    with pytest.raises(BundleError, match="outside of its folder"):
        open_bundle(bundle.folder)


def test_card_without_a_graph_is_rejected(tmp_path, card):
    write_bundle(tmp_path / "b", card, {WEIGHTS: b"weights"})
    with pytest.raises(BundleError, match=f"lists no {ONNX}"):
        open_bundle(tmp_path / "b")


@pytest.fixture
def compiled(bundle, card):
    info = EngineInfo("TensorRT", "10.3.0", "Orin", "8.7", "12.6", bundle.card.files[ONNX])
    return write_bundle(bundle.folder, replace(card, engine=info), {**SMALL, ENGINE: b"plan", LAYERS: b"{}"})


def test_compiled_bundle_has_engine_and_engine_info(compiled):
    opened = open_bundle(compiled.folder)
    assert opened == compiled and opened.read(ENGINE) == b"plan" and opened.card.engine.gpu == "Orin"


@pytest.mark.parametrize("name", [ENGINE, LAYERS])
def test_altered_engine_is_rejected_before_it_is_deserialized(compiled, name):
    (compiled.folder / name).write_bytes(b"plam")
    with pytest.raises(BundleError, match=f"{name} was altered"):
        open_bundle(compiled.folder)


def test_engine_info_without_an_engine_file_is_rejected(tmp_path, compiled):
    write_bundle(tmp_path / "b", compiled.card, SMALL)
    with pytest.raises(BundleError, match=r"lists no engine; compile it: facesr-edge build"):
        open_bundle(tmp_path / "b")


@pytest.mark.parametrize("kind", ["missing", "empty", "file"])
def test_folder_without_a_card_is_not_a_bundle(tmp_path, kind):
    path = tmp_path / "other"
    if kind == "empty":
        path.mkdir()
    if kind == "file":
        path.write_text("text")
    with pytest.raises(BundleError, match=f"other is not a bundle: it has no {CARD}"):
        open_bundle(path)


@pytest.mark.parametrize("junk", [b"", b"\xff\xfe", b"junk"])
def test_broken_card_is_rejected(bundle, junk):
    (bundle.folder / CARD).write_bytes(junk)
    with pytest.raises(BundleError, match="rebuild the bundle"):
        open_bundle(bundle.folder)


def test_existing_bundle_is_replaced_and_no_temporary_folder_remains(bundle, card):
    write_bundle(bundle.folder, card, {ONNX: b"newer"})
    assert open_bundle(bundle.folder).onnx.read_bytes() == b"newer"
    assert set(read_files(bundle.folder)) == {CARD, ONNX}
    assert [path.name for path in bundle.folder.parent.iterdir()] == ["tiny"]


def test_symbolic_link_to_a_bundle_is_followed(bundle, card, tmp_path):
    link = tmp_path / "current"
    link.symlink_to(bundle.folder)
    write_bundle(link, card, {ONNX: b"newer"})
    assert link.is_symlink() and open_bundle(bundle.folder).onnx.read_bytes() == b"newer"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["current", "parent"]


def test_bundle_is_written_to_an_empty_folder(tmp_path, card):
    (tmp_path / "empty").mkdir()
    assert write_bundle(tmp_path / "empty", card, SMALL).folder == tmp_path / "empty"


@pytest.mark.parametrize("other", ["notes.txt", "holiday.jpg", ".git"])
@pytest.mark.parametrize("with_card", [False, True])
def test_folder_with_other_files_is_not_replaced(tmp_path, card, other, with_card):
    folder = tmp_path / "mine"
    if with_card:
        write_bundle(folder, card, SMALL)
    folder.mkdir(exist_ok=True)
    (folder / other).write_bytes(b"mine")
    before = read_files(folder)
    with pytest.raises(OutputError, match=r"choose another folder with -o"):
        write_bundle(folder, card, {ONNX: b"newer"})
    assert read_files(folder) == before and len(list(tmp_path.iterdir())) == 1


def test_folder_with_another_card_json_is_not_replaced(tmp_path, card):
    (tmp_path / "game").mkdir()
    (tmp_path / "game" / CARD).write_text('{"suit": "hearts"}')
    with pytest.raises(OutputError, match="is not a bundle"):
        write_bundle(tmp_path / "game", card, SMALL)
    assert read_files(tmp_path / "game") == {CARD: b'{"suit": "hearts"}'}


def test_existing_file_is_not_replaced(tmp_path, card):
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(OutputError, match="is not a bundle"):
        write_bundle(tmp_path / "file", card, SMALL)
    with pytest.raises(OutputError, match=r"cannot write .*file.below: .*choose another folder"):
        write_bundle(tmp_path / "file" / "below", card, SMALL)
    assert read_files(tmp_path) == {"file": b"mine"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to any folder")
def test_missing_write_permission_is_reported(tmp_path, card):
    (tmp_path / "locked").mkdir(mode=0o555)
    with pytest.raises(OutputError, match=r"cannot write .*Permission denied"):
        write_bundle(tmp_path / "locked" / "tiny", card, SMALL)


@pytest.mark.parametrize("existing", [False, True])
def test_full_disk_leaves_the_existing_bundle(tmp_path, card, no_file_larger_than, existing):
    folder = tmp_path / "tiny"
    if existing:
        write_bundle(folder, card, SMALL)
    with no_file_larger_than(100_000), pytest.raises(OutputError, match=r"cannot write .*; free some space"):
        write_bundle(folder, card, {ONNX: b"x" * 200_000})
    assert [path.name for path in tmp_path.iterdir()] == (["tiny"] if existing else [])
    if existing:
        assert open_bundle(folder).onnx.read_bytes() == b"graph"


@pytest.mark.parametrize("existing", [False, True])
def test_killed_process_leaves_no_partial_bundle(tmp_path, card, existing):
    folder = tmp_path / "tiny"
    if existing:
        write_bundle(folder, card, SMALL)
    program = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from facesr_edge.engines.bundle.bundle import write_bundle\n"
        "from facesr_edge.engines.bundle.card import card_from_json\n"
        "card = card_from_json(sys.stdin.read())\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # the kernel kills the process while it writes a file\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "write_bundle(Path(sys.argv[1]), card, {'model.onnx': b'x' * 200_000})\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(folder)], input=card.to_json(), text=True, check=False)
    assert killed.returncode == -signal.SIGXFSZ
    if existing:
        assert open_bundle(folder).onnx.read_bytes() == b"graph"
    else:
        assert not folder.exists()
    write_bundle(folder, card, {ONNX: b"after"})
    assert open_bundle(folder).onnx.read_bytes() == b"after"
