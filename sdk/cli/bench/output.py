"""Progress and output of benchmarks: the JSON document, the chart, and the folder of stored results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..console import progress, put_json, say
from ..options import STDOUT, json_option, path_option

if TYPE_CHECKING:
    from ...bench.tables import RunProgress

F = TypeVar("F", bound=Callable[..., Any])


def output_options(content: str) -> Callable[[F], F]:
    """``--json``, ``--chart``, ``--save`` and ``-o``, see `Output`; `content` describes the JSON document."""

    def add(function: F) -> F:
        for option in (
            path_option("-o", "--output", metavar="DIR", help="Write JSON and chart to DIR."),
            click.option("--save", is_flag=True, help="Write JSON and chart to benchmarks/results/MACHINE-DATE."),
            path_option("--chart", metavar="FILE", help="Draw the chart into FILE (NAME.png)."),
            json_option(content),
        ):
            function = option(function)
        return function

    return add


@dataclass(frozen=True)
class Output:
    """Where the results of a benchmark go.

    Args:
        name: of the files in `folder`.
        json_file: "-" for stdout, without tables; None for no JSON.
        chart: PNG file; None for no chart.
        folder: for JSON and chart; None for neither.
    """

    name: str
    json_file: str | None
    chart: Path | None
    folder: Path | None

    @staticmethod
    def prepare(name: str, json_file: str | None, chart: Path | None, save: bool, output: Path | None) -> Output:
        """Check and create what is written, before the measurement; the arguments are those of `output_options`.

        Raises:
            UsageError, OutputError, MissingDependencyError: see the message.
        """
        from ...bench.chart_style import check_chart_path
        from ...bench.results import default_folder, make_folder
        from ...doctor.machine import this_machine

        if save and not output:
            machine = this_machine()
            output = default_folder(machine.cpu, machine.cores, datetime.now().astimezone().isoformat())
        if output:
            make_folder(output)
        for path in (chart, output and output / f"{name}.png"):
            if path:
                check_chart_path(path)
        return Output(name, json_file, chart, output)

    @property
    def prints_tables(self) -> bool:
        """Whether tables are printed: not if stdout is a JSON document."""
        return self.json_file != STDOUT

    def write(self, document: dict[str, Any], draw: Callable[[Path], None]) -> None:
        """Write the results.

        Args:
            document: for JSON.
            draw: draws the chart into a file.

        Raises:
            OutputError: a file cannot be written.
        """
        from ...bench.results import save_results

        if self.json_file:
            put_json(document, self.json_file)
        if self.folder:
            save_results(self.folder, self.name, document, draw)
        if self.chart:
            draw(self.chart)
        for path in (self.chart, self.folder):
            if path:
                say(f"{path}: written")


@contextmanager
def run_progress() -> Iterator[RunProgress]:
    """Progress bar of the current step; without a terminal, one line per step."""
    printed = set[str]()
    with progress("steps") as bar:
        task = bar.add_task("preparing")

        def report(step: str, done: int, total: int) -> None:
            bar.update(task, description=step, completed=done, total=total)
            if bar.disable and step not in printed:
                printed.add(step)
                say(step)

        yield report
