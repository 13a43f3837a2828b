"""Timing tables of the IDRN paper on this machine: all networks, runtimes and precisions, interleaved in one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ...calibration.timing import LatencyStats, interleaved, latency_stats
from ...engines.session import Session
from ..doctor.machine import Machine, busy, load_now, this_machine
from .configs import (
    Backend,
    PreparedNetwork,
    available_backends,
    open_backend,
    parse_precisions,
    prepare_network,
    slower_fp16,
)
from .paper import PAPER, SCALE, SIDE, TABLES, PaperRow, PaperTable, sizes

ROUNDS, QUICK_ROUNDS = 50, 10
STATS = ("best", "p10", "p50", "p90")
"""Latency statistics in the JSON documents of benchmarks."""
RunProgress = Callable[[str, int, int], None]
"""Called with the current step, the number of completed items and their total."""


@dataclass(frozen=True)
class NetworkLatency:
    """Latencies of one network."""

    weights: str  # zoo model of the weights, or "random"
    macs: int  # multiply-adds of its convolutions per face
    latencies_ms: dict[Backend, LatencyStats]  # of a call, with all faces of the batch


@dataclass(frozen=True)
class TableTimings:
    """Tables of the paper, measured on this machine."""

    machine: Machine
    when: str  # start, ISO 8601 with time zone
    load: float | None  # load average of the last minute at the start; None if the system does not report it
    batch: int  # faces per call
    threads: int  # CPU threads per call; 0 for one per core
    rounds: int
    runtimes: dict[str, str]  # engine -> name and version
    tables: tuple[PaperTable, ...]
    networks: dict[tuple[int, int], NetworkLatency]  # by depth and width
    notes: tuple[str, ...]

    @property
    def backends(self) -> tuple[Backend, ...]:
        """All backends of all rows, without repetition."""
        return tuple(dict.fromkeys(backend for network in self.networks.values() for backend in network.latencies_ms))

    def ratio(self, table: PaperTable, row: PaperRow, backend: Backend) -> float | None:
        """Median latency relative to the table's first row, comparable across machines; none if one is missing."""
        first, this = (self.networks[r.size].latencies_ms.get(backend) for r in (table.rows[0], row))
        return this.p50 / first.p50 if first and this else None

    def to_dict(self) -> dict[str, Any]:
        """For JSON; ms are rounded to 1 µs."""
        return {
            "machine": self.machine.to_dict(),
            "when": self.when,
            "load": self.load,
            "side": SIDE,
            "scale": SCALE,
            "batch": self.batch,
            "threads": self.threads,
            "rounds": self.rounds,
            "runtimes": self.runtimes,
            "paper": PAPER,
            "notes": list(self.notes),
            "tables": [
                {"varies": t.varies, "title": t.title, "rows": [self._row(t, row) for row in t.rows]}
                for t in self.tables
            ],
        }

    def _row(self, table: PaperTable, row: PaperRow) -> dict[str, Any]:
        network = self.networks[row.size]
        return {
            "depth": row.depth,
            "width": row.width,
            "weights": network.weights,
            "gmac_per_face": round(network.macs / 1e9, 4),
            "gmac_ratio": round(network.macs / self.networks[table.rows[0].size].macs, 4),
            "paper_ms": row.paper_ms,
            "paper_ratio": round(row.paper_ms / table.rows[0].paper_ms, 4),
            "measured": [self._measured(table, row, backend) for backend in network.latencies_ms],
        }

    def _measured(self, table: PaperTable, row: PaperRow, backend: Backend) -> dict[str, Any]:
        latency, ratio = self.networks[row.size].latencies_ms[backend], self.ratio(table, row, backend)
        return {
            "engine": backend.engine,
            "precision": backend.precision,
            **{f"{name}_ms": ms for name, ms in latency.to_dict(STATS).items()},
            "p50_ms_per_face": round(latency.p50 / self.batch, 3),
            "ratio": None if ratio is None else round(ratio, 4),
        }


def measure_tables(
    tables: Sequence[PaperTable] = TABLES,
    *,
    precision: str | None = None,
    batch: int = 1,
    threads: int = 0,
    rounds: int = ROUNDS,
    report: RunProgress = lambda step, done, total: None,
) -> TableTimings:
    """Time the networks of the tables, all of them interleaved.

    Args:
        tables: to measure; a network in both tables is timed once.
        precision: such as "fp32,int8"; none for all, with FP16 only if it is no slower than FP32 on the first network.
        batch: faces per call.
        threads: CPU threads per call; 0 for one per core.
        rounds: measured rounds.
        report: see `RunProgress`.

    Raises:
        UnknownNameError, UsageError: an invalid precision.
        BuildError, EngineError, MissingDependencyError: a network cannot be converted or run.
    """
    backends = available_backends(parse_precisions(precision))
    machine, load, when = this_machine(), load_now(), datetime.now().astimezone().isoformat(timespec="seconds")
    notes = list(busy(machine, load))
    network_sizes = sizes(tables)
    networks: list[PreparedNetwork] = []
    runs: list[tuple[PreparedNetwork, Backend, Session]] = []
    with TemporaryDirectory() as folder, ExitStack() as stack:
        for number, size in enumerate(network_sizes):
            report(f"preparing depth {size[0]}, width {size[1]}", number, len(network_sizes))
            network = prepare_network(size, dict.fromkeys(b.graph_kind for b in backends), Path(folder))
            opened = {b: open_backend(network.bundles[b.graph_kind], b, threads, Path(folder)) for b in backends}
            sessions = {backend: session for backend, session in opened.items() if session}
            for session in sessions.values():
                stack.callback(session.close)
            notes += [f"{b} at {size[0]}x{size[1]}: FP16 is faster" for b in opened if b not in sessions]
            if precision is None and not networks:
                skipped = slower_fp16(network, sessions)
                notes += skipped.values()
                backends = [backend for backend in backends if backend not in skipped]
            networks.append(network)
            runs += [(network, backend, session) for backend, session in sessions.items() if backend in backends]
        calls = [_call(session, network, batch) for network, _, session in runs]
        samples = interleaved(calls, rounds, report=lambda done: report("timing", done, rounds))
        runtimes = {backend.engine: session.runtime for _, backend, session in runs}
    latencies = {
        network.size: NetworkLatency(
            network.weights,
            network.macs,
            {b: latency_stats(ms) for (timed, b, _), ms in zip(runs, samples, strict=True) if timed is network},
        )
        for network in networks
    }
    return TableTimings(machine, when, load, batch, threads, rounds, runtimes, tuple(tables), latencies, tuple(notes))


def _call(session: Session, network: PreparedNetwork, batch: int) -> Callable[[], object]:
    faces = np.ascontiguousarray(network.faces[np.arange(batch) % len(network.faces)])
    return lambda: session.infer(faces)
