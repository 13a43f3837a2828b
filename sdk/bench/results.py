"""What a run of the tables found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ...calibration.timing import LatencyStats
from ..doctor.machine import Machine
from .configs import Backend
from .paper import PAPER, SCALE, SIDE, PaperRow, PaperTable


@dataclass(frozen=True)
class Network:
    """A network that was timed.

    Args:
        weights: the model of the zoo that they are of, or "random".
        macs: multiply-adds of its convolutions for one face.
        taken: contestant -> ms of a call, with all the faces of the batch.
    """

    weights: str
    macs: int
    taken: dict[Backend, LatencyStats]


@dataclass(frozen=True)
class Timing:
    """Tables of a paper, timed on a machine.

    Args:
        machine: that it was measured on.
        when: it began, ISO 8601 with its zone.
        load: processes that wanted a core when it began, mean of a minute; none where the system does not say.
        batch: faces of a call.
        threads: CPU threads of a call; 0 for one a core.
        rounds: that were counted.
        runtimes: engine -> its name and version.
        tables: of the paper.
        networks: depth and width -> what was found.
        notes: what there is to say besides.
    """

    machine: Machine
    when: str
    load: float | None
    batch: int
    threads: int
    rounds: int
    runtimes: dict[str, str]
    tables: tuple[PaperTable, ...]
    networks: dict[tuple[int, int], Network]
    notes: tuple[str, ...]

    @property
    def contestants(self) -> tuple[Backend, ...]:
        """All that took part in any row, in one order."""
        return tuple(dict.fromkeys(who for network in self.networks.values() for who in network.taken))

    def ratio(self, table: PaperTable, row: PaperRow, who: Backend) -> float | None:
        """Median over that of the table's first row, to compare across machines; none where one is missing."""
        first, this = (self.networks[r.size].taken.get(who) for r in (table.rows[0], row))
        return this.p50 / first.p50 if first and this else None

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: ms to the microsecond."""
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
            "measured": [self._measured(table, row, who) for who in network.taken],
        }

    def _measured(self, table: PaperTable, row: PaperRow, who: Backend) -> dict[str, Any]:
        taken, ratio = self.networks[row.size].taken[who], self.ratio(table, row, who)
        figures = {f"{name}_ms": round(ms, 3) for name, ms in asdict(taken).items()}
        return {
            "engine": who.engine,
            "precision": who.precision,
            **figures,
            "p50_ms_per_face": round(taken.p50 / self.batch, 3),
            "ratio": None if ratio is None else round(ratio, 4),
        }
