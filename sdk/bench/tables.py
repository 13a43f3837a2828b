"""The timing tables of a paper, run on this machine: every network in every runtime and precision, all in one run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ...calibration.timing import interleaved, latency_stats
from ...engines.errors import OutputError
from ...engines.session import Session
from ..doctor.machine import busy, load_now, this_machine
from .configs import Backend, Prepared, backends, opened, prepare, select_backends, slow_halves
from .paper import TABLES, PaperTable, sizes
from .results import Network, Timing
from .table_chart import draw

ROUNDS, QUICK_ROUNDS = 50, 10
Watch = Callable[[str, int, int], None]


def measure(
    tables: Sequence[PaperTable] = TABLES,
    *,
    precision: str | None = None,
    batch: int = 1,
    threads: int = 0,
    rounds: int = ROUNDS,
    watch: Watch = lambda what, done, total: None,
) -> Timing:
    """Time the networks of tables, all of them in turn.

    Args:
        tables: what is timed; a network that stands in two of them is timed once.
        precision: such as "fp32,int8"; none for all, but FP16 only where, on the first network, it is no slower than
            FP32.
        batch: faces of a call.
        threads: CPU threads of a call; 0 for one a core.
        rounds: that are counted; each network has one turn in each.
        watch: told what is going on, how much of it is done, and of how much.

    Raises:
        UnknownNameError, UsageError: a precision that is none.
        BuildError, EngineError, MissingDependencyError: a network cannot be made or run here.
    """
    who = backends(select_backends(precision))
    machine, load, when = this_machine(), load_now(), datetime.now().astimezone().isoformat(timespec="seconds")
    notes = list(busy(machine, load))
    wanted = sizes(tables)
    made: list[Prepared] = []
    turns: list[tuple[Prepared, Backend, Session]] = []
    with TemporaryDirectory() as folder, ExitStack() as open_ones:
        for number, size in enumerate(wanted):
            watch(f"preparing depth {size[0]}, width {size[1]}", number, len(wanted))
            network = prepare(size, dict.fromkeys(one.kind for one in who), Path(folder))
            sessions = {one: opened(network.bundles[one.kind], one, threads, Path(folder)) for one in who}
            running = {one: session for one, session in sessions.items() if session}
            for session in running.values():
                open_ones.callback(session.close)
            notes += [f"{one} at {size[0]}x{size[1]}: FP16 is faster" for one in sessions if one not in running]
            if precision is None and not made:
                slow = slow_halves(network, running)
                notes += slow.values()
                who = [one for one in who if one not in slow]
            made.append(network)
            turns += [(network, one, session) for one, session in running.items() if one in who]
        calls = [_call(session, network, batch) for network, _, session in turns]
        taken = interleaved(calls, rounds, watch=lambda done: watch("timing", done, rounds))
        runtimes = {one.engine: session.runtime for _, one, session in turns}
    found = {
        network.size: Network(
            network.weights,
            network.macs,
            {one: latency_stats(ms) for (whose, one, _), ms in zip(turns, taken, strict=True) if whose is network},
        )
        for network in made
    }
    return Timing(machine, when, load, batch, threads, rounds, runtimes, tuple(tables), found, tuple(notes))


def _call(session: Session, network: Prepared, batch: int) -> Callable[[], object]:
    faces = np.ascontiguousarray(network.faces[np.arange(batch) % len(network.faces)])
    return lambda: session.infer(faces)


RESULTS = Path("benchmarks/results")
JSON, PNG = "tables.json", "tables.png"


def default_folder(cpu: str, cores: int, when: str) -> Path:
    """``benchmarks/results/MACHINE-DATE``.

    Args:
        cpu: name of the processor.
        cores: that the process may use.
        when: ISO 8601; its day counts.
    """
    name = re.sub(r"[^a-z0-9]+", "-", re.sub(r"\((r|tm)\)", "", cpu.lower())).strip("-")
    return RESULTS / f"{name or 'machine'}-{cores}-{'core' if cores == 1 else 'cores'}-{when[:10]}"


def make_folder(folder: Path) -> None:
    """Make it, for those who would find out after minutes that it cannot be made.

    Raises:
        OutputError: it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make {folder}: {error.strerror or error}; choose another folder with -o") from None


def save(timing: Timing, folder: Path) -> None:
    """Write figures and chart; those of an earlier run there are replaced.

    Raises:
        OutputError: they cannot be written.
        MissingDependencyError: matplotlib is not installed.
    """
    make_folder(folder)
    try:
        (folder / JSON).write_text(json.dumps(timing.to_dict(), indent=2, allow_nan=False) + "\n", "utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {folder / JSON}: {error.strerror or error}; choose another folder") from None
    draw(timing, folder / PNG)
