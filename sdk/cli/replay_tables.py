"""Tables of ``facesr-edge replay``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..media.reasons import plural
from .console import results

if TYPE_CHECKING:
    from rich.table import Table

    from ...calibration.timing import LatencyStats
    from ..live.replay.capacity import Capacity
    from ..live.replay.measure import Measured
    from ..live.replay.outcome import Outcome
    from ..live.replay.summary import Summary

MAX_STATES = 8
"""Changes of state that are printed of each camera, the last ones."""
MAX_REASONS = 8
TREATMENTS = ("network", "reused", "small network", "bicubic", "skipped")


def show_summary(summary: Summary) -> None:
    """Print what happened."""
    from rich.markup import escape

    console, about = results(), summary.head["about"]
    facts = [f"{name} {about[name]}" for name in ("model", "precision", "engine") if name in about]
    budget = [f"budget {about['budget_ms']} ms"] if "budget_ms" in about else []
    lost = [f"{summary.lost} events lost"] if summary.lost else []
    machine = summary.head["machine"]
    console.print(escape(", ".join([f"{machine.get('cpu', '')}, {machine.get('cores', '?')} cores", *facts, *budget])))
    console.print(
        f"{summary.duration_s:.0f} s, {summary.turns} turns of the scheduler" + "".join(f", {x}" for x in lost)
    )
    table = _table(
        "camera", "fps in", "fps out", "dropped", "age p50", "p90", "p99", "queue", "compute", "faces", "late"
    )
    for camera in (*summary.cameras, summary.total):
        dropped = ", ".join(f"{count} {cause}" for cause, count in camera.dropped.items() if count)
        ages = [_ms(camera.age, name) for name in ("p50", "p90", "p99")]
        late = f"{camera.over_budget / camera.faces:.0%}" if camera.faces else ""
        table.add_row(
            escape(camera.name),
            *(f"{camera.arrival_fps:.1f}", f"{camera.result_fps:.1f}", escape(dropped)),
            *(*ages, _ms(camera.queue, "p50"), _ms(camera.compute, "p50"), str(camera.faces), late),
            style="bold" if camera is summary.total else "",
        )
    console.print(table)
    for heading, counts in (("treatment", summary.total.treatments), ("reason", summary.reasons)):
        if counts:
            console.print(_counts(heading, counts))
    stages = _table("stage", "p50", "p90", "p99")
    for name, stats in summary.stages.items():
        stages.add_row(escape(name), *(_ms(stats, p) for p in ("p50", "p90", "p99")))
    console.print(stages)
    if any(camera.states for camera in summary.cameras):
        console.print(_states(summary))


def _states(summary: Summary) -> Table:
    from rich.markup import escape
    from rich.table import Table

    states = Table("camera", "at s", "state", "why", box=None, padding=(0, 1), header_style="dim")
    for camera in summary.cameras:
        for change in camera.states[-MAX_STATES:]:
            states.add_row(escape(camera.name), f"{change.at_s:.1f}", escape(change.state), escape(change.error))
    return states


def show_replay(recorded: Outcome, simulated: Outcome) -> None:
    """Print how well the simulation fits the recording."""
    console = results()
    console.print("[bold]simulation of the recorded run[/bold]")
    table = _outcomes()
    for name, outcome in (("recorded", recorded), ("simulated", simulated)):
        table.add_row(name, *_cells(outcome))
    console.print(table)
    errors = [f"{p} {getattr(simulated.age, p) / getattr(recorded.age, p) - 1:+.0%}" for p in ("p50", "p99")]
    console.print(
        f"error of the age: {', '.join(errors)}; of the degraded faces: {simulated.degraded - recorded.degraded:+.1%}"
    )


def show_capacity(found: Capacity, speed: float) -> None:
    """Print what comes out with each number of cameras."""
    console = results()
    machine = "the recorded machine" if speed == 1 else f"a machine of {speed:g} times its speed"
    console.print(
        f"[bold]capacity of {machine}[/bold]: {_fitting(found)}, with p99 up to {found.budget_ms:g} ms and "
        f"up to {found.max_degraded:.0%} of the faces degraded"
    )
    table = _outcomes("cameras")
    for row in found.rows:
        table.add_row(str(row.cameras), *_cells(row), style="" if found.fits(row) else "dim")
    console.print(table)


def show_measured(measured: Measured, found: Capacity) -> None:
    """Print what real runs tell about the prediction."""
    console = results()
    console.print(f"[bold]real runs on this machine[/bold]: {_really_fitting(measured, found)}")
    table = _outcomes("cameras")
    for row in measured.rows:
        table.add_row(str(row.cameras), *_cells(row), style="" if found.fits(row) else "dim")
    console.print(table)


def _fitting(found: Capacity) -> str:
    if len(found.rows) == 1:  # a search ends after several that do not fit
        return _one(found.rows[0].cameras, found.fits(found.rows[0]))
    more = " or more" if all(map(found.fits, found.rows)) else ""
    return f"{plural(found.cameras, 'camera')}{more} fit"


def _really_fitting(measured: Measured, found: Capacity) -> str:
    if measured.predicted is None or measured.error is None:
        (row,) = measured.rows
        return _one(row.cameras, found.fits(row))
    at_least, at_most = measured.at_least, measured.at_most
    number = (
        f"{at_least} or more" if at_most is None else f"{at_least} to {at_most}" if at_most > at_least else at_least
    )
    return f"{number} cameras fit, {measured.predicted} were predicted (error {measured.error:+d})"


def _one(cameras: int, fits: bool) -> str:
    return f"{plural(cameras, 'camera')} {'fit' if fits else 'do not fit'}"


def _outcomes(first: str = "") -> Table:
    return _table(first, "age p50", "p99 ms", "fps", "dropped", "degraded", *TREATMENTS)


def _cells(outcome: Outcome) -> list[str]:
    shares = [f"{outcome.share(treatment):.0%}" for treatment in TREATMENTS]
    ages = [f"{outcome.age.p50:.1f}", f"{outcome.age.p99:.1f}"]
    return [*ages, f"{outcome.fps:.1f}", f"{outcome.dropped:.1%}", f"{outcome.degraded:.1%}", *shares]


def _counts(heading: str, counts: dict[str, int]) -> Table:
    from rich.markup import escape

    table = _table(heading, "faces", "share")
    for name, count in list(counts.items())[:MAX_REASONS]:
        table.add_row(escape(name), str(count), f"{count / sum(counts.values()):.0%}")
    return table


def _table(first: str, *columns: str) -> Table:
    from rich.table import Table

    table = Table(first, box=None, padding=(0, 1), header_style="dim")
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _ms(stats: LatencyStats | None, name: str) -> str:
    return "" if stats is None else f"{getattr(stats, name):.1f}"
