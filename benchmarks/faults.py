"""Kill runs at random moments, resume them, and compare the outputs with those of uninterrupted runs.

    python -m facesr_edge.benchmarks.faults CLIP --kills 100

Each trial runs ``facesr-edge run`` in a process of its own, kills it (SIGKILL) one or more times, and resumes it until
it is complete. A kill comes at a random moment or inside of a step: while a line of the journal is half written,
between two copied packets of a resumed run, at the end of a chunk, before and after the rename of the output. Compared
are the packets of all streams with their timestamps, the decoded frames, the images, the JSON without timings, and the
names in the folder, among which no temporary file may be left.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import av
from facesr_edge.sdk.cli import main as cli
from facesr_edge.sdk.cli.run import jobs
from facesr_edge.sdk.media import journal, journal_file
from facesr_edge.sdk.media.images import sink as image_sinks
from facesr_edge.sdk.media.video import writer
from facesr_edge.sdk.media.video.encoding import encoder
from facesr_edge.sdk.pipeline import chunks
from facesr_edge.sdk.profiling import json_writer

TIMEOUT_S = 120.0
POINTS: dict[str, tuple[Any, str, bool]] = {
    "encode": (encoder.VideoEncoder, "write", False),
    "copy of a packet": (encoder.VideoEncoder, "copy", False),
    "end of a chunk": (writer.VideoSink, "_add_chunk", False),
    "chunk in the journal": (writer.VideoSink, "_add_chunk", True),
    "before the rename": (writer.VideoSink, "_rename", False),
    "after the rename": (writer.VideoSink, "_rename", True),
    "image in the journal": (image_sinks.FolderSink, "_record", False),
    "end of the JSON": (json_writer.JsonWriter, "__exit__", False),
    "end of the output": (journal.Journal, "close", True),
    "end of a source": (jobs.Jobs, "_end", False),
}
"""Name → class, method, and whether the process dies after it instead of before."""
TORN_LINE = "half a line of the journal"


@dataclass(frozen=True)
class Kill:
    """When a process dies.

    Args:
        point: key of `POINTS`, `TORN_LINE`, or "" for a moment.
        count: at the n-th time, from 1.
        after_s: of a moment, seconds from the start.
    """

    point: str = ""
    count: int = 1
    after_s: float = 0.0


def run_once(
    arguments: Sequence[str], log: Path, chunk: int, kill: Kill | None = None, limits: Mapping[int, int] | None = None
) -> int:
    """Run ``facesr-edge`` in a process.

    Args:
        arguments: of the command.
        log: receives its output.
        chunk: frames of a chunk.
        kill: when it dies; None to let it end.
        limits: resource limit of the process, e.g. ``resource.RLIMIT_FSIZE``, and its value.

    Returns:
        Exit code, negative for a signal.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "facesr_edge.sdk.load"])
    process = context.Process(target=_child, args=(list(arguments), str(log), chunk, kill, dict(limits or {})))
    process.start()
    timed = kill is not None and not kill.point
    process.join(kill.after_s if kill and timed else TIMEOUT_S)
    if process.exitcode is None:
        process.kill()
        process.join()
        return int(process.exitcode or 0) if timed else -signal.SIGALRM
    return int(process.exitcode)


def _child(arguments: list[str], log: str, chunk: int, kill: Kill | None, limits: dict[int, int]) -> None:
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    for limit, value in limits.items():
        resource.setrlimit(limit, (value, resource.getrlimit(limit)[1]))
    chunks.CHUNK_FRAMES = chunk
    if kill and kill.point == TORN_LINE:
        _tear(kill.count)
    elif kill and kill.point:
        _arm(*POINTS[kill.point], kill.count)
    cli.main(arguments)


def _arm(owner: Any, name: str, after: bool, count: int) -> None:
    """Replace a method by one that kills the process at its n-th call."""
    method, calls = getattr(owner, name), Counter[str]()

    def deadly(*arguments: Any, **options: Any) -> Any:
        calls[name] += 1
        if calls[name] == count and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = method(*arguments, **options)
        if calls[name] == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, deadly)


def _tear(count: int) -> None:
    """Kill the process when it has written half of the n-th line of a journal."""
    add, calls = journal_file.JournalFile.add, Counter[str]()

    def deadly(self: Any, record: Any) -> int:
        calls["add"] += 1
        if calls["add"] < count:
            return add(self, record)
        line = json.dumps(record, separators=(",", ":")).encode()
        os.lseek(self._lock.descriptor, 0, os.SEEK_END)
        os.write(self._lock.descriptor, line[: len(line) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    journal_file.JournalFile.add = deadly  # type: ignore[method-assign]


@dataclass(frozen=True)
class Scenario:
    """A command.

    Args:
        name: of the output; no suffix for a folder, "" for JSON only.
        source: input.
        options: further options.
        json: write ``f.json`` and ``f.jsonl``.
    """

    name: str
    source: Path
    options: tuple[str, ...] = ()
    json: bool = False

    def arguments(self, folder: Path) -> list[str]:
        """Command line for outputs in a folder."""
        output = ["-o", str(folder / self.name)] if self.name else []
        results = ["--json", str(folder / "f.json"), "--jsonl", str(folder / "f.jsonl")] if self.json else []
        return ["run", str(self.source), *output, *results, *self.options]


def scenarios(video: Path, images: Path, options: Sequence[str]) -> list[Scenario]:
    """Videos in three containers, a folder, and JSON only."""
    common = (*options, "--engine", "onnxruntime", "--threads", "1")
    return [
        Scenario("o.mp4", video, common, json=True),
        Scenario("o.mkv", video, (*common, "--detect-every", "auto")),
        Scenario("o.webm", video, common, json=True),
        Scenario("o", images, common, json=True),
        Scenario("", video, (*common, "--detect-every", "3"), json=True),
    ]


def contents(folder: Path) -> dict[str, Any]:
    """What the files of a folder hold, without timings."""
    return {str(path.relative_to(folder)): _content(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def _content(path: Path) -> Any:
    if path.suffix == ".json":
        return _without_timings(json.loads(path.read_text("utf-8")))
    if path.suffix == ".jsonl":
        return [_without_timings(json.loads(line)) for line in path.read_text("utf-8").splitlines()]
    if path.suffix in (".mp4", ".mkv", ".webm"):
        return _video(path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _without_timings(document: dict[str, Any]) -> dict[str, Any]:
    """The document without timings; of the summary the notes, as frames of a stopped run are counted apart."""
    if document.get("type") == "summary":
        return {"notes": document["notes"]}
    for frame in (document, *document.get("frames", ())):
        frame.pop("timings_ms", None)
    document.pop("summary", None)
    return document


def _video(path: Path) -> dict[str, Any]:
    with av.open(str(path)) as container:
        packets = [
            (packet.stream_index, packet.pts, packet.dts, hashlib.sha256(bytes(packet)).hexdigest())
            for packet in container.demux()
            if packet.size
        ]
    with av.open(str(path)) as container:
        frames = [(f.time, hashlib.sha256(f.to_ndarray().tobytes()).hexdigest()) for f in container.decode(video=0)]
    return {"packets": sorted(packets), "frames": frames}


@dataclass
class Trial:
    """A run that was killed and resumed.

    Attributes:
        kills: that took place.
        problems: differences from the uninterrupted run, one line each.
    """

    kills: list[Kill]
    problems: list[str]


def kill_and_resume(
    scenario: Scenario, expected: dict[str, Any], folder: Path, kills: Sequence[Kill], chunk: int
) -> Trial:
    """Kill a run as often as told, resume it until it ends, and compare.

    Args:
        scenario: to run.
        expected: contents of the outputs of an uninterrupted run.
        folder: empty, for the outputs.
        kills: in turn.
        chunk: frames of a chunk.
    """
    trial, log = Trial([], []), folder.parent / f"{folder.name}.log"
    command = scenario.arguments(folder)
    for kill in [*kills, None]:
        code = run_once([*command, "--resume"] if trial.kills else command, log, chunk, kill)
        trial.problems += _half_written(folder, scenario)
        if code != -signal.SIGKILL:
            break
        if kill:
            trial.kills.append(kill)
    if code != 0:
        trial.problems.append(f"exit code {code}: {log.read_text('utf-8').strip()[-300:]}")
    elif (found := contents(folder)) != expected:
        names = [name for name in {**found, **expected} if found.get(name) != expected.get(name)]
        trial.problems.append(f"differs: {', '.join(names)}")
    return trial


def _half_written(folder: Path, scenario: Scenario) -> Iterator[str]:
    """Files with final names that are not whole, after a kill."""
    for path in folder.rglob("*"):
        try:
            if path.name == "f.jsonl":
                lines = path.read_bytes().split(b"\n")
                [json.loads(line) for line in lines[:-1]]
            elif path.name in ("f.json", scenario.name) and path.is_file():
                _content(path)
        except (ValueError, av.FFmpegError) as error:
            yield f"{path.name} is not whole: {error}"


def random_kills(rng: random.Random, duration_s: float, chunk: int) -> list[Kill]:
    """One to three kills: at moments up to `duration_s`, or at points; packets are copied from the second run on."""
    counts = {"encode": 4 * chunk, "copy of a packet": 2 * chunk, TORN_LINE: 4 * chunk}
    counts |= {"end of a chunk": 4, "chunk in the journal": 4, "image in the journal": 5}
    kills: list[Kill] = []
    for _ in range(rng.choice((1, 2, 2, 3))):
        if rng.random() < 0.4:
            kills.append(Kill(after_s=rng.uniform(0.0, duration_s)))
        else:
            points = [point for point in (*POINTS, TORN_LINE) if kills or point != "copy of a packet"]
            point = rng.choice([*points, *(["copy of a packet"] * 3 if kills else [])])
            kills.append(Kill(point, rng.randint(1, counts.get(point, 1))))
    return kills


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; the exit code is 1 if an output differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path, metavar="CLIP", help="short video with faces and sound")
    parser.add_argument("--images", type=Path, metavar="FOLDER", required=True, help="a few images")
    parser.add_argument("--kills", type=int, default=100, metavar="N")
    parser.add_argument("--chunk", type=int, default=10, metavar="N", help="frames of a chunk (default: 10)")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    options = parser.parse_args(arguments)
    rng, done, problems, points = random.Random(options.seed), 0, 0, Counter[str]()
    with tempfile.TemporaryDirectory() as temporary:
        trial_of = [prepare(s, Path(temporary), options.chunk) for s in scenarios(options.clip, options.images, ())]
        for number in range(10 * options.kills):
            scenario, trial = trial_of[number % len(trial_of)](rng)
            done, problems = done + len(trial.kills), problems + len(trial.problems)
            points.update(kill.point or "a moment" for kill in trial.kills)
            print(f"{done} of {options.kills} kills, {problems} problems", end="\r", file=sys.stderr, flush=True)
            for problem in trial.problems:
                print(f"{scenario.name or 'JSON'} after {trial.kills}: {problem}", flush=True)
            if done >= options.kills:
                break
    for point, count in sorted(points.items()):
        print(f"{count:5} at {point}")
    print(f"{done} kills in {number + 1} runs, {problems} problems")
    return 1 if problems else 0


def prepare(scenario: Scenario, temporary: Path, chunk: int) -> Callable[[random.Random], tuple[Scenario, Trial]]:
    """Run a scenario without a kill; returns a function that makes a trial of it.

    Raises:
        RuntimeError: the run fails.
    """
    reference = temporary / f"reference-{scenario.name or 'json'}"
    reference.mkdir()
    start = time.monotonic()
    code = run_once(scenario.arguments(reference), temporary / "reference.log", chunk)
    duration_s = time.monotonic() - start
    if code != 0:
        raise RuntimeError((temporary / "reference.log").read_text("utf-8"))
    expected = contents(reference)
    return partial(_try, scenario, expected, temporary / "trial", duration_s, chunk)


def _try(
    scenario: Scenario, expected: dict[str, Any], folder: Path, duration_s: float, chunk: int, rng: random.Random
) -> tuple[Scenario, Trial]:
    folder.mkdir()
    kills = random_kills(rng, 1.1 * duration_s, chunk)
    trial = kill_and_resume(scenario, expected, folder, kills, chunk)
    shutil.rmtree(folder)
    return scenario, trial


if __name__ == "__main__":
    sys.exit(main())
