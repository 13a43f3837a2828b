"""Cases of runs that meet, stop or run out of space."""

from __future__ import annotations

import json
import re
import resource
import signal
import time
from pathlib import Path

import av

from .workspace import LONG_FRAMES, Measured, Workspace, document, frames_in, leftovers

_LIMIT_BYTES = 400_000
_KILL_AFTER_S = 120.0


def two_runs_one_output(space: Workspace) -> Measured:
    """A second run into the output of the first."""
    output = space.path("two/x.mp4")
    first = space.start(space.long_clip, "-o", output)
    deadline = time.monotonic() + 60
    while not leftovers(output.parent) and first.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    second = space.run(space.clip, "-o", output)
    printed = first.communicate()[1].decode("utf-8", "replace")
    value = f"first exit {first.returncode}, second exit {second.code}, {frames_in(output)} frames; {second.last[-90:]}"
    right = first.returncode == 0 and second.code != 0 and frames_in(output) == LONG_FRAMES
    return Measured("run long.mp4 -o x.mp4 & run clip.mp4 -o x.mp4", value if second.last else value + printed, right)


def device_full(space: Workspace) -> Measured:
    """A limit of 400 kB for every file."""
    values, right = [], True
    for suffix in (".mp4", ".mkv"):
        folder = space.path(f"full{suffix[1:]}")
        output = folder / f"o{suffix}"
        done = space.run(
            space.clip, "-o", output, "--outscale", 4, "--json", folder / "o.json", preexec_fn=_limit_file_size
        )
        readable = frames_in(output)
        printed = re.findall(r"(\d+)(?: of \d+)? frames? (?:is|are|was|were)", done.text)
        journals = (f".{output.name}.journal", ".o.json.journal")  # for --resume
        extra = leftovers(folder, output.name, "o.json", *journals)
        values.append(
            f"{suffix}: says {', '.join(printed) or 'nothing'}, {readable} readable, left {extra}, exit {done.code}"
        )
        right &= done.code == 1 and not extra and printed == [str(readable)]
    return Measured("ulimit -f 400; run clip.mp4 -o o.mp4 --outscale 4 --json o.json", "; ".join(values), right)


def _limit_file_size() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (_LIMIT_BYTES, _LIMIT_BYTES))


def killed_and_resumed(space: Workspace) -> Measured:
    """SIGKILL in mid-run, then --resume; against a run that was not stopped."""
    whole, output = space.path("resume/whole.mp4"), space.path("resume/out.mp4")
    lines = space.path("resume/out.jsonl")
    space.run(space.long_clip, "-o", whole, "--jsonl", space.path("resume/whole.jsonl"))
    started = space.start(space.long_clip, "-o", output, "--jsonl", lines)
    deadline = time.monotonic() + _KILL_AFTER_S
    while _lines(output.parent) < 300 and started.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    started.kill()
    started.communicate()
    before = "no final name" if not output.exists() else "a final name"
    done = space.run(space.long_clip, "-o", output, "--jsonl", lines, "--resume")
    equal = sum(one == other for one, other in zip(_hashes(whole), _hashes(output), strict=False))
    written = lines.read_text("utf-8").splitlines() if lines.is_file() else ["{}"]
    resumed = json.loads(written[-1]).get("resumed", 0)
    value = f"killed: {before}; resumed after {resumed} frames; {equal} of {LONG_FRAMES} frames equal, "
    listed = sum(json.loads(line).get("type") == "frame" for line in written)
    value += f"{listed} frames in JSON, exit {done.code}"
    right = equal == listed == LONG_FRAMES and resumed > 0 and before == "no final name"
    return Measured("kill -9; run … --resume", value, right)


def _lines(folder: Path) -> int:
    """Most lines in a file of a run that goes on."""
    counts = [path.read_bytes().count(b"\n") for path in folder.iterdir() if "out" in path.name and _is_text(path)]
    return max(counts, default=0)


def _is_text(path: Path) -> bool:
    return path.suffix not in (".mp4", ".lock") and "whole" not in path.name


def _hashes(path: Path) -> list[int]:
    if not path.is_file():
        return []
    with av.open(str(path)) as container:
        return [hash(frame.to_ndarray().tobytes()) for frame in container.decode(video=0)]


def stopped_json(space: Workspace) -> Measured:
    """SIGTERM in mid-run: the JSON document."""
    folder = space.path("stopped")
    running = space.start(space.long_clip, "-o", folder / "o.mp4", "--json", folder / "o.json")
    deadline = time.monotonic() + 60
    while not leftovers(folder) and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1)
    running.terminate()
    running.communicate()
    frames = len(document(folder / "o.json").get("frames", ()))
    readable = frames_in(folder / "o.mp4")
    value = f"{frames} frames in JSON, {readable} in the video, exit {running.returncode}"
    return Measured("kill -TERM during run … --json o.json", value, frames > 0 and abs(frames - readable) <= 3)
