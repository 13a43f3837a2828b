"""`facesr-edge run` in this process or in one of its own, with what it says."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facesr_edge.sdk.cli.main import main

# The smallest network and one runtime, so that no time is spent on choosing; the pictures have no faces.
OPTIONS = ("--model", "edge-nano-x4", "--engine", "onnxruntime", "--precision", "fp32", "--threads", "1")
_STYLES = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Run:
    """A finished command.

    Args:
        code: exit code.
        messages: standard error.
        notes: the lines of it that tell a loss or conversion.
        json_notes: the same, from the JSON document.
        faces: number of faces in the JSON document.
    """

    code: int
    messages: str
    notes: tuple[str, ...]
    json_notes: tuple[str, ...]
    faces: int

    @property
    def error(self) -> str:
        """The message of a command that failed, in one line; "" if it did not."""
        return self.messages.strip().splitlines()[-1] if self.code and self.messages.strip() else ""


def run(source: Path, output: Path, *options: str) -> Run:
    """Run in this process."""
    document = output.with_name("run.json")
    document.unlink(missing_ok=True)
    errors, code = io.StringIO(), 0
    with redirect_stdout(io.StringIO()), redirect_stderr(errors):
        try:
            main(["run", str(source), "-o", str(output), "--json", str(document), *OPTIONS, *options])
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1 if stop.code else 0
            if isinstance(stop.code, str):
                errors.write(stop.code)
    return _finished(code, errors.getvalue(), document)


def run_piped(source: Path | None, arguments: list[str], output: Path, stdin: Path | None = None) -> Run:
    """Run in a process of its own, standard input and output connected to files.

    Args:
        source: the input; None for standard input.
        arguments: after the input.
        output: receives standard output, if it is not empty.
        stdin: file that is written into standard input by another process.
    """
    document = output.with_name("run.json")
    document.unlink(missing_ok=True)
    command = [sys.executable, "-m", "facesr_edge", "run", str(source or "-"), *arguments, "--json", str(document)]
    feed = subprocess.Popen(["cat", str(stdin)], stdout=subprocess.PIPE) if stdin else None
    done = subprocess.run(
        [*command, *OPTIONS],
        stdin=feed.stdout if feed else subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=120,
    )
    if feed:
        feed.terminate()
        feed.wait()
        assert feed.stdout
        feed.stdout.close()
    if done.stdout and "-" in arguments:
        output.write_bytes(done.stdout)
    return _finished(done.returncode, done.stderr.decode("utf-8", "replace"), document)


def _finished(code: int, messages: str, document: Path) -> Run:
    plain = _STYLES.sub("", messages)
    notes = tuple(line.removeprefix("note: ") for line in plain.splitlines() if line.startswith("note: "))
    written: dict[str, Any] = json.loads(document.read_text("utf-8")) if document.is_file() else {}
    faces = sum(len(frame.get("faces", ())) for frame in written.get("frames", ()))
    return Run(code, plain, notes, tuple(written.get("notes", ())), faces)
