"""Folders of cards: complete or absent, never over another one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from facesr_edge.engines.errors import OutputError
from facesr_edge.sdk.evidence.card import utc
from facesr_edge.sdk.evidence.source_facts import FileStamp, file_source
from facesr_edge.sdk.evidence.write import remove_unfinished, write_card
from support.evidence import checked_record, evidence_card, evidence_item

WRITER = """
import sys
from pathlib import Path
from support.evidence import evidence_card, evidence_item
from facesr_edge.sdk.evidence.write import write_card
card = evidence_card(evidence_item())
print("ready", flush=True)
while True:
    write_card(Path(sys.argv[1]) / "card", card)
"""


def test_a_card_is_complete_and_its_hashes_hold(tmp_path):
    files = write_card(tmp_path / "new" / "card", evidence_card(evidence_item(1), evidence_item(2)))
    assert files[0] == tmp_path / "new" / "card" / "card.html" and all(path.is_file() for path in files)
    record = checked_record(tmp_path / "new" / "card")
    assert [face["number"] for face in record["faces"]] == [1, 2] and record["statement"] in record["limits"][0]
    assert record["source"]["sha256"] == "ab" * 32 and record["networks"]["network"]["name"] == "idrn-x4"
    assert (
        subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=files[0].parent, check=False).returncode == 0
    )


def test_only_files_with_pixels_of_a_network_are_signed_and_hashed_as_signed(tmp_path):
    signed = []

    def sign(data, name, item):
        signed.append(name)
        return data + b"signature"

    card = evidence_card(evidence_item(1), evidence_item(2, treatment="bicubic"))
    write_card(tmp_path / "card", card, sign)
    assert signed == ["face-1-estimate.png"]
    assert (tmp_path / "card" / "face-1-estimate.png").read_bytes().endswith(b"signature")
    checked_record(tmp_path / "card")


@pytest.mark.parametrize(
    ("unix_s", "text"), [(1.8e9, "2027-01-15T08:00:00.000Z"), (1e18, "1000000000000000000.000 s since 1970-01-01")]
)
def test_a_clock_may_tell_anything(unix_s, text):
    assert utc(unix_s) == text


@pytest.mark.parametrize("kind", ["card", "file", "dangling link", "empty folder"])
def test_what_is_there_stays(tmp_path, kind):
    path = tmp_path / "card"
    if kind == "card":
        write_card(path, evidence_card(evidence_item()))
    elif kind == "file":
        path.write_text("mine")
    elif kind == "dangling link":
        path.symlink_to(tmp_path / "nowhere")
    else:
        path.mkdir()
    before = path.lstat()
    assert write_card(path, evidence_card(evidence_item(2)))[0].parent == tmp_path / "card-2"
    assert write_card(path, evidence_card(evidence_item(3)))[0].parent == tmp_path / "card-3"
    assert path.lstat() == before
    checked_record(tmp_path / "card-2")


def test_cards_that_are_written_at_the_same_time_get_folders_of_their_own(tmp_path):
    card = evidence_card(evidence_item())
    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(lambda _: write_card(tmp_path / "card", card)[0].parent, range(12)))
    assert len(set(folders)) == 12 == len(list(tmp_path.iterdir()))
    for folder in folders:
        checked_record(folder)


def test_of_a_card_that_fails_nothing_stays(tmp_path, no_file_larger_than):
    with no_file_larger_than(20_000), pytest.raises(OutputError, match="free some space"):
        write_card(tmp_path / "card", evidence_card(evidence_item()))
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_leaves_complete_cards_only(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.Popen([sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE, env=environment)
    assert child.stdout is not None and child.stdout.readline() == b"ready\n"
    time.sleep(0.25)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    cards = list(tmp_path.glob("card*"))
    for folder in cards:
        checked_record(folder)
    assert cards


def test_what_a_killed_run_left_is_removed_once_it_is_old(tmp_path):
    old, new = tmp_path / ".card-old.part", tmp_path / ".card-new.part"
    for folder in (old, new):
        (folder / "new").mkdir(parents=True)
    os.utime(old, (1, 1))
    remove_unfinished(tmp_path)
    assert not old.exists() and new.exists()


def test_a_file_that_changed_since_it_was_read_is_noted(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"one")
    before = FileStamp.of(path)
    assert file_source(path, "a.png", "picture", before).note == ""
    path.write_bytes(b"other")
    changed = file_source(path, "a.png", "picture", before)
    assert "has changed" in changed.note and changed.size_bytes == 5 and changed.sha256
    path.unlink()
    gone = file_source(path, "a.png", "picture", before)
    assert gone.sha256 is None and "there is no hash" in gone.note
