"""Tables of ``facesr-edge eval`` under several conditions: models by degradation, degradations by crop size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from .console import note, results
from .eval_tables import HEADINGS, new_table, print_comparison

if TYPE_CHECKING:
    from ..evaluation.compare import ModelRow, ScaleGroup
    from ..evaluation.conditions import Conditions

MAX_WIDTH = 84
"""Characters of the columns of one table; further columns follow in another one."""
OPTIONAL = ("lpips", "identity", "identity_distance")
"""Metrics that are shown if they were measured, with that of bicubic in brackets."""


class Section(NamedTuple):
    """Rows of one metric."""

    name: str
    value: Callable[[ModelRow, ModelRow], str]  # of a model's row and bicubic's


class Line(NamedTuple):
    """One row of a table: its label and what its cells show."""

    label: str
    cell: Callable[[str, Section], str]  # of the column's name


def print_conditions(conditions: Conditions) -> None:
    """Print one table for a single condition, models by degradation, or for each model degradations by crop size."""
    note(conditions.notes)
    if len(conditions.comparisons) == 1:
        print_comparison(conditions.comparisons[0])
        return
    for number in range(len(conditions.comparisons[0].groups)):
        groups = {(one.degradation, one.crop): one.groups[number] for one in conditions.comparisons}
        if conditions.crops == (None,):
            _print_by_degradation(conditions, groups)
        else:
            _print_by_crop(conditions, groups)


Groups = dict[tuple[str, "int | None"], "ScaleGroup"]
"""Degradation and crop size -> results at one scale."""


def _print_by_degradation(conditions: Conditions, groups: Groups) -> None:
    first = next(iter(groups.values()))

    def line(degradation: str) -> Line:
        group = groups[degradation, None]
        return Line(degradation, lambda model, section: section.value(group.row(model), group.rows[0]))

    title = f"x{first.scale}, {first.faces} faces"
    lines = list(map(line, conditions.degradations))
    _print_chunks(title, _models(conditions, first), lines, _sections(first))


def _print_by_crop(conditions: Conditions, groups: Groups) -> None:
    first = next(iter(groups.values()))
    for model in _models(conditions, first):

        def line(crop: int | None, model: str = model) -> Line:
            def cell(degradation: str, section: Section) -> str:
                group = groups[degradation, crop]
                return section.value(group.row(model), group.rows[0])

            return Line(f"{crop} px, {groups[conditions.degradations[0], crop].faces} faces", cell)

        lines = list(map(line, conditions.crops))
        _print_chunks(f"{model}, x{first.scale}", list(conditions.degradations), lines, _sections(first))


def _models(conditions: Conditions, group: ScaleGroup) -> list[str]:
    """The models of a scale, in the given order."""
    names = {row.name for row in group.rows}
    return [model for model in conditions.models if model in names]


def _sections(group: ScaleGroup) -> list[Section]:
    """The gain, and the measured ones of invented detail and the optional metrics."""
    measured = group.rows[0].metrics
    sections = [Section("gain\ndB", lambda row, bicubic: f"{row.gain_db:+.2f}")]
    if "invented_detail" in measured:
        sections.append(Section(HEADINGS["invented_detail"], lambda row, _: f"{row.metrics['invented_detail']:.2f}"))
    return sections + [_optional(name) for name in OPTIONAL if name in measured]


def _optional(name: str) -> Section:
    def value(row: ModelRow, bicubic: ModelRow) -> str:
        return f"{row.metrics[name]:.3f} ({bicubic.metrics[name]:.3f})"

    return Section(HEADINGS[name], value)


def _print_chunks(title: str, columns: Sequence[str], lines: Sequence[Line], sections: Sequence[Section]) -> None:
    """Print a table with a group of rows for each section, cut into several where it would be too wide."""
    widest = max(map(len, columns)) + 2
    per_table = max(1, MAX_WIDTH // widest)
    for start in range(0, len(columns), per_table):
        chunk = columns[start : start + per_table]
        printed = new_table(title, "")
        for name in chunk:
            printed.add_column(name, justify="right")
        for section in sections:
            for number, line in enumerate(lines):
                name = "" if number else " ".join(section.name.split())
                printed.add_row(name, line.label, *(line.cell(column, section) for column in chunk))
            printed.add_section()
        results().print(printed)
