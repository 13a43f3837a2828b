"""Run each input in a process of its own, forked from this one, with limits of memory, time, file size and open files.

This process has imported what the commands import, but owns no session, decoder or thread of theirs: threads do not
survive a fork.
"""

from __future__ import annotations

import gc
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

MODULES = (
    *("cli.run", "cli.inspect", "cli.build", "cli.eval", "cli.references", "cli.train", "load", "pipeline.run"),
    *("media.sources", "media.sinks", "profiling.json_writer", "pipeline.references", "evaluation.detectors"),
)
HARNESS_FAILED = 99


@dataclass(frozen=True)
class Limits:
    """Limits of one input: address space beyond that of the parent, resident memory, seconds, file size and files."""

    address_bytes: int = 8 << 30
    resident_bytes: int = 3 << 30
    cpu_s: int = 40
    wall_s: float = 120.0
    file_bytes: int = 256 << 20
    files: int = 256


@dataclass(frozen=True)
class Case:
    """An input.

    Args:
        kind, seed: what makes it anew.
        prepare: writes the input into the folder ``in`` of a working folder and returns the arguments of the command.
    """

    kind: str
    seed: int
    prepare: Callable[[Path], list[str]]


@dataclass(frozen=True)
class Ended:
    """How the process of a case ended.

    Args:
        case: the input.
        code: exit code; negative for a signal.
        stopped: "" unless the limit of wall time or memory was reached: then the name of the limit.
        out, err: standard output and error.
        arguments: of the command.
        folder: the working folder, removed after the result is consumed.
        seconds, peak_bytes: wall time, and the largest resident size seen.
        before: the files before the run: path -> size and modification time.
    """

    case: Case
    code: int
    stopped: str
    out: bytes
    err: bytes
    arguments: list[str]
    folder: Path
    seconds: float
    peak_bytes: int
    before: dict[str, tuple[int, int]] = field(default_factory=dict)


def import_everything(torch: bool = True) -> None:
    """Import what the commands import when they run."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    from importlib import import_module

    import av  # noqa: F401
    import cv2
    import onnxruntime  # noqa: F401
    import openvino
    import openvino.frontend  # noqa: F401

    cv2.setNumThreads(1)
    for name in MODULES:
        import_module(f"facesr_edge.sdk.{name}")
    import_module("rich._emoji_codes")
    detectors = import_module("facesr_edge.sdk.evaluation.detectors")
    detectors.SIZES_WH, detectors.benchmark_detectors.__kwdefaults__["runs"] = ((96, 64),), 1  # no time for latencies
    if torch:
        import safetensors.torch  # noqa: F401
        import torch as pytorch

        pytorch.set_num_threads(1)
    gc.collect()
    gc.freeze()


def run_isolated(cases: Iterable[Case], base: Path, jobs: int = 2, limits: Limits | None = None) -> Iterator[Ended]:
    """Run cases, `jobs` at once, in folders below `base`; yields each as it ends."""
    limits, running, waiting, count = limits or Limits(), [], iter(cases), 0
    try:
        while True:
            while len(running) < jobs and (case := next(waiting, None)) is not None:
                running.append(_Process(case, base / str(count), limits))
                count += 1
            if not running:
                return
            time.sleep(0.002)
            for process in [process for process in running if process.ended()]:
                running.remove(process)
                yield process.result()
                shutil.rmtree(process.folder, ignore_errors=True)
    finally:
        for process in running:
            process.kill()


def in_child(function: Callable[[], None]) -> None:
    """Call a function in a process of its own, so that the threads it starts do not live in this one."""
    if (pid := os.fork()) == 0:
        try:
            function()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if os.waitpid(pid, 0)[1]:
        raise RuntimeError(f"{function} failed, see above")


class _Process:
    """The process of one case."""

    def __init__(self, case: Case, folder: Path, limits: Limits) -> None:
        self.case, self.folder, self._limits = case, folder, limits
        for name in ("work/in", "work/out", "home", "tmp"):
            (folder / name).mkdir(parents=True)
        self._start, self._peak, self._stopped, self._code = time.monotonic(), 0, "", 0
        self._pid = os.fork()
        if self._pid == 0:
            _child(case, folder, limits)

    def ended(self) -> bool:
        pid, status, _ = os.wait4(self._pid, os.WNOHANG)
        if pid:
            self._code = os.waitstatus_to_exitcode(status)
            self._kill_group()  # what the process started must not outlive it
            return True
        self._peak = max(self._peak, _resident_bytes(self._pid))
        if self._peak > self._limits.resident_bytes:
            self._stop("memory")
        elif time.monotonic() - self._start > self._limits.wall_s:
            self._stop("time")
        return False

    def _stop(self, reason: str) -> None:
        if not self._stopped:
            self._stopped = reason
            self._kill_group()

    def _kill_group(self) -> None:
        try:
            os.killpg(self._pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return

    def kill(self) -> None:
        self._kill_group()
        os.waitpid(self._pid, 0)
        shutil.rmtree(self.folder, ignore_errors=True)

    def result(self) -> Ended:
        def text(name: str) -> bytes:
            path = self.folder / name
            return path.read_bytes()[: 1 << 20] if path.exists() else b""

        before = eval(text("before") or b"{}")
        arguments = text("arguments").decode("utf-8", "surrogateescape").split("\0")
        seconds = time.monotonic() - self._start
        return Ended(
            self.case, self._code, self._stopped, text("stdout"), text("stderr"), arguments, self.folder, seconds,
            self._peak, before,
        )  # fmt: skip


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, IndexError):
        return 0


def files_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file below a folder: path relative to it -> size and modification time."""
    found = {}
    for path in folder.rglob("*"):
        if not path.is_dir():
            status = path.lstat()
            found[str(path.relative_to(folder))] = (status.st_size, status.st_mtime_ns)
    return found


def _child(case: Case, folder: Path, limits: Limits) -> None:
    """Prepare the input, apply the limits and run the command; does not return."""
    code = HARNESS_FAILED
    try:
        os.setpgid(0, 0)
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", 1, "utf-8", "backslashreplace") for number in (1, 2))
        os.chdir(folder / "work")
        home = str(folder / "home")
        os.environ.update(HOME=home, XDG_CACHE_HOME=f"{home}/.cache", TMPDIR=str(folder / "tmp"))
        import tempfile

        tempfile.tempdir = None
        arguments = case.prepare(folder)
        (folder / "arguments").write_bytes("\0".join(arguments).encode("utf-8", "surrogateescape"))
        (folder / "before").write_text(repr(files_of(folder)))
        address = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + limits.address_bytes
        for name, value in (
            *(("AS", address), ("CPU", limits.cpu_s), ("FSIZE", limits.file_bytes), ("NOFILE", limits.files)),
            ("CORE", 0),
        ):
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
        from facesr_edge.sdk.cli.main import main

        code = 1
        try:
            main(arguments)
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)
