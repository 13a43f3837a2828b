"""Mutated files of every kind end the command with success or with one line; and the harness finds faults."""

import os
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest
from fuzz.isolate import Case, Limits, run_isolated
from fuzz.minimize import minimized
from fuzz.mutate import mutated
from fuzz.outcome import outcome_of

CAMPAIGN = Path(__file__).with_name("campaign.py")


def test_300_mutated_files_cause_no_fault():
    # In a process of its own, since this one has threads, which do not survive a fork.
    command = [sys.executable, str(CAMPAIGN), "--inputs", "300", "--kind", "all", "--seed", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


def raise_error():
    raise SystemError("broken")


def fail_twice():
    sys.stderr.write("facesr-edge: error: a\nfacesr-edge: error: b\n")
    sys.exit(1)


def write_control_character():
    sys.stderr.write("facesr-edge: error: \x1b[31mred\n")
    sys.exit(1)


def leave_temporary_file():
    Path("out/.o.png-1234.part").write_bytes(b"")
    sys.exit(0)


def write_beside_output():
    Path("elsewhere.png").write_bytes(b"")
    sys.exit(0)


def remove_input():
    Path("in/a").unlink()
    sys.exit(0)


def take_memory():
    # Step by step: the child of a large process starts with fewer resident pages than its parent has.
    kept = []
    while len(kept) < 100:
        kept.append(b"x" * (64 << 20))
        time.sleep(0.05)
    sys.exit(0)


def refuse():
    sys.stderr.write("facesr-edge: error: not an image; give one\n")
    sys.exit(1)


@pytest.mark.parametrize(
    ("name", "main"),
    [
        ("signal", os.abort),
        ("traceback", raise_error),
        ("not one line", fail_twice),
        ("control character", write_control_character),
        ("temporary file", leave_temporary_file),
        ("stray file", write_beside_output),
        ("removed input", remove_input),
        ("memory", take_memory),
        ("time", lambda: time.sleep(60)),
        ("refused", refuse),
    ],
)
def test_fault_is_named(tmp_path, monkeypatch, name, main):
    monkeypatch.setattr("facesr_edge.sdk.cli.main.main", lambda arguments: main())
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") + (128 << 20)
    limits = Limits(resident_bytes=resident, wall_s=2.0 if name == "time" else 30.0)
    for ended in run_isolated([Case("none", 0, with_input)], tmp_path, limits=limits):
        assert outcome_of(ended).name == name, ended.err.decode()


def with_input(folder):
    (folder / "work/in/a").write_bytes(bytes(100) + b"bad" + bytes(100))
    return ["in/a"]


def test_input_of_a_fault_is_minimized(tmp_path, monkeypatch):
    def main(arguments):
        sys.exit(3 if b"bad" in Path(arguments[0]).read_bytes() else 0)

    monkeypatch.setattr("facesr_edge.sdk.cli.main.main", main)
    for ended in run_isolated([Case("none", 0, with_input)], tmp_path / "first"):
        assert minimized(ended, tmp_path / "again") == {"a": b"bad"}


def test_mutation_depends_on_the_seed_only():
    data = bytes(range(256)) * 8
    assert mutated(data, [], Random("5")) == mutated(data, [], Random("5"))
    assert len({mutated(data, [], Random(str(seed))) for seed in range(50)}) > 40
