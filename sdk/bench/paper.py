"""Timing tables of the IDRN paper: networks and reported latencies.

Source: the IDRN paper, table 1 (depth, section 4.3) and table 2 (width, section 4.4), rows "Time/ms".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

SIDE, SCALE = 32, 4
"""Side of the input crops in pixels, and scale."""
PAPER = "the paper: GeForce GTX 1060, TensorFlow, one face of 32x32 px, x4"
"""Hardware and input of the paper's latencies."""


@dataclass(frozen=True)
class PaperRow:
    """One network of a table."""

    depth: int  # residual units
    width: int  # channels
    paper_ms: float  # latency of one face that the paper reports

    @property
    def size(self) -> tuple[int, int]:
        """Depth and width."""
        return self.depth, self.width


@dataclass(frozen=True)
class PaperTable:
    """One table of the paper."""

    varies: Literal["depth", "width"]
    title: str
    rows: tuple[PaperRow, ...]  # in ascending order of size; ratios are relative to the first


TABLES = (
    PaperTable(
        "depth",
        "Table 1: depth, at width 64",
        (PaperRow(8, 64, 4.4), PaperRow(12, 64, 4.8), PaperRow(16, 64, 5.0), PaperRow(20, 64, 5.7)),
    ),
    PaperTable(
        "width", "Table 2: width, at depth 8", (PaperRow(8, 64, 4.35), PaperRow(8, 128, 6.29), PaperRow(8, 192, 7.96))
    ),
)


def config(size: tuple[int, int]) -> dict[str, Any]:
    """Network configuration for a depth and width."""
    return {"depth": size[0], "width": size[1], "scale": SCALE, "bicubic_skip": True}


def sizes(tables: Iterable[PaperTable]) -> list[tuple[int, int]]:
    """Unique depth and width of all networks: the tables share their first row."""
    return list(dict.fromkeys(row.size for table in tables for row in table.rows))
