"""``facesr-edge replay``: what happened in a recorded live run, and the capacity of its machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import note, progress, put_json
from .options import STDOUT, Command, json_option, option
from .replay_tables import show_capacity, show_measured, show_replay, show_summary

if TYPE_CHECKING:
    from ..live.replay.capacity import Capacity
    from ..live.replay.measure import Measured
    from ..live.replay.outcome import Outcome
    from ..live.replay.recording import Recording
    from ..live.replay.workload import Workload


@click.command("replay", cls=Command, short_help="Analyse and simulate a recorded live run.")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--cameras", type=click.IntRange(1, 1000), metavar="N", help="Simulate this number of cameras only.")
@click.option(
    "--budget-ms",
    type=click.FloatRange(min=1),
    metavar="MS",
    help="From the arrival of a frame to its result.  [default: that of the recorded run]",
)
@option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    metavar="FACTOR",
    help="Simulate a machine of this speed relative to the recorded one: 0.5 takes twice the time.",
)
@option(
    "--max-degraded",
    type=click.FloatRange(0, 1),
    default=0.05,
    metavar="SHARE",
    help="Share of the faces that may not get what they need in time.",
)
@click.option("--live", "is_live", is_flag=True, help="Check the number of cameras by real runs on this machine.")
@click.option(
    "--faces",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="With --live: pictures of one face each, for simulated cameras.  [default: the sample portrait]",
)
@click.option(
    "--model",
    metavar="NAME|FOLDER",
    help="With --live: zoo model or bundle folder.  [default: that of the recorded run]",
)
@json_option("Summary, simulation and capacity")
def command(file: Path, json_file: str | None, **options: Any) -> None:
    """Summarize the recording FILE of a live run, simulate it, and tell how many such cameras fit on its machine.

    The simulation runs the scheduler's planner on the recorded frames and costs, and is compared with what was
    recorded. Then cameras are repeated until the 99th percentile of the age exceeds the budget, or too many faces
    are degraded.

    \b
    Examples:
      facesr-edge replay live.rec
      facesr-edge replay live.rec --cameras 12 --speed 0.5
      facesr-edge replay live.rec --budget-ms 200 --json capacity.json
    """
    from ..live.replay.recording import read_recording
    from ..live.replay.summary import summarize

    recording = read_recording(file)
    summary = summarize(recording)
    note(summary.notes)
    if json_file != STDOUT:
        show_summary(summary)
    document = {"summary": summary.to_dict(), **_simulations(recording, json_file != STDOUT, options)}
    if json_file:
        put_json(document, json_file)


def _simulations(recording: Recording, prints: bool, options: dict[str, Any]) -> dict[str, Any]:
    from ...engines.errors import InputError, UsageError
    from ..live.replay.capacity import capacity
    from ..live.replay.outcome import recorded_outcome
    from ..live.replay.simulation import simulate
    from ..live.replay.workload import workload_of

    try:
        workload = workload_of(recording)
    except InputError as error:
        note([f"not simulated: {error}"])
        return {"replay": None, "capacity": None, "live": None}
    recorded_ms, budget_ms = workload.budget_ms, options["budget_ms"] or workload.budget_ms
    if budget_ms is None:
        raise UsageError("the recording does not tell the budget of the run; give --budget-ms")
    recorded, simulated = recorded_outcome(workload), simulate(workload, recorded_ms or budget_ms)
    if prints:
        show_replay(recorded, simulated)
    numbers = (options["cameras"],) if options["cameras"] else ()
    limits = {"speed": options["speed"], "max_degraded": options["max_degraded"]}
    with progress("cameras") as bar:
        task = bar.add_task("simulating", total=None)
        found = capacity(workload, budget_ms, numbers=numbers, report=lambda n: bar.update(task, completed=n), **limits)
    if prints:
        show_capacity(found, options["speed"])
    document = {
        "replay": {"recorded": recorded.to_dict(), "simulated": simulated.to_dict()},
        "capacity": {"speed": options["speed"], **found.to_dict()},
        "live": None,
    }
    if options["is_live"]:
        measured = _measured(workload, found, recording, options)
        document["live"] = measured.to_dict()
        if prints:
            show_measured(measured, found)
    return document


def _measured(workload: Workload, found: Capacity, recording: Recording, options: dict[str, Any]) -> Measured:
    from ...calibration.data.faces import astronaut, true_faces
    from ..bench.scenes import portraits_of
    from ..live.replay.measure import measure, measure_capacity
    from ..live.replay.settings import recorded_settings
    from ..load import load_detector

    settings = recorded_settings(recording.head["about"], options["model"])
    images = true_faces(options["faces"])[0] if options["faces"] else [astronaut()]
    portraits = portraits_of(images, load_detector())

    def run(cameras: int) -> Outcome:
        note([f"running {cameras} simulated cameras"])
        return measure(workload, cameras, portraits, found.budget_ms, **settings)

    if options["cameras"]:
        return replace(measure_capacity(options["cameras"], run, found.fits, tries=1), predicted=None)
    return measure_capacity(found.cameras, run, found.fits)
