"""Tables of the matrix: kinds of input by kinds of output, one for each property."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .matrix import OUTPUTS, Cell
from .properties import PROPERTIES

_MANY = 6
_NUMBER = re.compile(r"([+-]?\d+(?:\.\d+)?)(?: ms)?$")


@dataclass(frozen=True)
class Table:
    """A table of one property.

    Args:
        name: of the property.
        header: "input" and the kinds of output.
        rows: kinds of input with the same states, and these states.
        largest: largest measured value of what is kept; "" if the property has no measure.
        notes: what the command says about the other cells.
    """

    name: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    largest: str
    notes: tuple[str, ...]


def counts(cells: Sequence[Cell]) -> str:
    """Number of cells in each state."""
    return ", ".join(f"{number} {state}" for state, number in Counter(cell.state for cell in cells).most_common())


def tables(cells: Sequence[Cell]) -> Iterator[Table]:
    """Tables in the order of `PROPERTIES`, those of pictures before those of videos; runs without an output last."""
    for name in (*(one.name for one in PROPERTIES), "run"):
        named = [cell for cell in cells if cell.name == name]
        for same_outputs in _by_outputs(cells):
            group = [cell for cell in named if cell.kind in same_outputs]
            if group:
                yield _table(name, group)


def _by_outputs(cells: Sequence[Cell]) -> list[list[str]]:
    """Kinds of input, those together that are written to the same first output."""
    first: dict[str, str] = {}
    for cell in cells:
        first.setdefault(cell.kind, cell.output)
    return [[kind for kind in first if first[kind] == output] for output in dict.fromkeys(first.values())]


def _table(name: str, cells: Sequence[Cell]) -> Table:
    outputs = sorted({cell.output for cell in cells}, key=OUTPUTS.index)
    states: dict[str, dict[str, str]] = {}
    for cell in cells:
        faulty = f" ({cell.value})" if cell.faulty and cell.value else ""
        states.setdefault(cell.kind, {})[cell.output] = cell.state + faulty
    merged: dict[tuple[str, ...], list[str]] = {}
    for kind, found in states.items():
        merged.setdefault(tuple(found.get(output, "") for output in outputs), []).append(kind)
    rows = tuple((_names(kinds, len(states)), *row) for row, kinds in merged.items())
    notes = dict.fromkeys(note for cell in cells for note in cell.notes)
    return Table(name, ("input", *outputs), rows, _largest(cells), tuple(notes))


def _names(kinds: list[str], total: int) -> str:
    return f"the other {len(kinds)}" if _MANY < len(kinds) < total and 2 * len(kinds) > total else "; ".join(kinds)


def _largest(cells: Sequence[Cell]) -> str:
    kept = [cell for cell in cells if cell.state == "kept"]
    measured = [(abs(float(number[1])), cell) for cell in kept if (number := _NUMBER.match(cell.value))]
    if not measured or measured[0][1].name == "tags":
        return ""
    _, worst = max(measured, key=lambda pair: pair[0])
    unit = "" if worst.value.endswith("ms") else " levels"
    return f"{worst.value}{unit} ({worst.kind} → {worst.output})"


def markdown(cells: Sequence[Cell]) -> str:
    """All tables."""
    parts: list[str] = []
    last = ""
    for table in tables(cells):
        if table.name != last:
            parts.append(f"### {table.name[0].upper()}{table.name[1:]}")
        last = table.name
        if len(table.rows) == 1 and set(table.rows[0][1:]) == {"kept"}:
            parts.append(f"Kept in {', '.join(table.header[1:])}: {table.rows[0][0]}.")
            continue
        lines = [table.header, ("---",) * len(table.header), *table.rows]
        parts.append("\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in lines))
        if table.largest:
            parts.append(f"Largest difference where it is kept: {table.largest}.")
        if table.notes:
            parts.append("Notes:\n" + "\n".join(f"- `{note}`" for note in table.notes))
    return "\n\n".join(parts)
