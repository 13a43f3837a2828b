"""The timing tables of the IDRN paper: which networks, and what they took there.

Source: the IDRN paper, table 1 (depth, section 4.3) and table 2 (width, section 4.4), rows "Time/ms".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

SIDE, SCALE = 32, 4
"""Side of the crops in pixels, and their enlargement."""
PAPER = "the paper: GeForce GTX 1060, TensorFlow, one face of 32x32 px, x4"
"""What its milliseconds were measured on."""


@dataclass(frozen=True)
class PaperRow:
    """One network of a table.

    Args:
        depth: residual units.
        width: channels.
        paper_ms: what the paper reports for one face.
    """

    depth: int
    width: int
    paper_ms: float

    @property
    def size(self) -> tuple[int, int]:
        """Depth and width."""
        return self.depth, self.width


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper.

    Args:
        varies: what differs between the rows.
        title: for people.
        rows: from the smallest network to the largest; ratios are to the first.
    """

    varies: Literal["depth", "width"]
    title: str
    rows: tuple[PaperRow, ...]


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
    """Keyword arguments of the network of a depth and width, as this package builds it."""
    return {"depth": size[0], "width": size[1], "scale": SCALE, "bicubic_skip": True}


def sizes(tables: Iterable[PaperTable]) -> list[tuple[int, int]]:
    """Depth and width of every network, each once: the tables share their first row."""
    return list(dict.fromkeys(row.size for table in tables for row in table.rows))
