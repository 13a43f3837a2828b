"""Metrics of a live run for Prometheus. Everything is read when it is scraped; the run itself only keeps its accounts.

Labels are names of cameras, sinks and stages, and words of fixed sets: the number of series does not grow with tracks.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, get_args

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, SummaryMetricFamily
from prometheus_client.registry import Collector

from ...media.live.state import LiveState
from .latency import BOUNDS_S, Latency

if TYPE_CHECKING:
    from prometheus_client import Metric

    from ..camera import CameraStatus
    from .monitor import Figures
    from .observed import ObservedRun

PREFIX = "facesr_edge_"
QUANTILES = (0.5, 0.99)
CAUSES = ("consumer", "damaged")
"""Causes of dropped frames, which are 0 until it happens."""
FRAME_BOUNDS = (1, 2, 3, 4, 5, 6, 7, 8, 16, 32)
"""Upper bounds of the buckets of crops of a face."""
LATENCIES = {
    "age": "From the arrival of a frame to its result.",
    "queue": "From the arrival of a frame until the scheduler took it.",
    "compute": "From the scheduler to the result.",
    "camera_clock": "From the moment of the camera's own clock to the result; only if the camera tells its time.",
}
"""Latency of results -> its description. Age is queue plus compute."""

_Rows = Iterable[tuple[Sequence[str], float]]


def registry(run: ObservedRun) -> CollectorRegistry:
    """A registry of the run's own, with the metrics of the run and of its process."""
    own = CollectorRegistry()
    own.register(RunCollector(run))
    ProcessCollector(registry=own)
    return own


class RunCollector(Collector):
    """Reads a run when it is scraped; may be registered elsewhere.

    Args:
        run: to be read.
    """

    def __init__(self, run: ObservedRun) -> None:
        self._run = run

    def collect(self) -> Iterator[Metric]:
        """All metrics at this moment."""
        figures, statuses = self._run.monitor.figures(), self._run.statuses()
        yield from _cameras(statuses)
        yield from _results(figures, {status.name for status in statuses if status.state == "live"})
        yield from _latencies(figures)
        yield from _cycles(figures)
        budget_s = self._run.live.budget_ms / 1e3
        yield _gauge(
            "budget_seconds",
            "Time from the arrival of a frame to its result that is planned for.",
            [],
            [([], budget_s)],
        )
        age_s = max(0.0, figures.time_s - self._run.live.last_turn_s)
        yield _gauge("scheduler_age_seconds", "Time since the scheduler last looked for frames.", [], [([], age_s)])
        yield from _sinks(self._run)


def _cameras(statuses: Sequence[CameraStatus]) -> Iterator[Metric]:
    yield _counter(
        "frames_received", "Frames that were decoded.", ["camera"], (([s.name], s.received) for s in statuses)
    )
    yield _counter("frames_taken", "Frames that were processed.", ["camera"], (([s.name], s.taken) for s in statuses))
    causes = [(s.name, {**dict.fromkeys(CAUSES, 0), **s.dropped}) for s in statuses]
    dropped = (([name, cause], count) for name, counts in causes for cause, count in counts.items())
    yield _counter("frames_dropped", "Frames that were not processed, by cause.", ["camera", "cause"], dropped)
    damaged = (([s.name], s.damaged_packets) for s in statuses)
    yield _counter("damaged_packets", "Packets that were damaged or lost.", ["camera"], damaged)
    reconnects = (([s.name], s.reconnects) for s in statuses)
    yield _counter("reconnects", "Connections after the first.", ["camera"], reconnects)
    states = (([s.name, state], float(s.state == state)) for s in statuses for state in get_args(LiveState))
    yield _gauge("camera_state", "1 for the state of the camera, 0 for the others.", ["camera", "state"], states)
    ages = (([s.name], s.newest_age_s) for s in statuses if s.newest_age_s is not None)
    yield _gauge("newest_frame_age_seconds", "Time since the last frame arrived.", ["camera"], ages)
    rates = (([s.name], s.fps) for s in statuses if s.fps is not None)
    yield _gauge("frame_rate_hertz", "Frames per second that arrive.", ["camera"], rates)


def _results(figures: Figures, live: Collection[str]) -> Iterator[Metric]:
    """Accounts of results.

    Args:
        figures: of the run.
        live: names of the cameras that deliver frames; no face of the others is followed.
    """
    cameras = figures.cameras.items()
    yield _counter(
        "results", "Results, one for each processed frame.", ["camera"], (([n], c.results) for n, c in cameras)
    )
    faces = (([n, *kind], count) for n, c in cameras for kind, count in c.faces.items())
    yield _counter("faces", "Faces by treatment and kind of reason.", ["camera", "treatment", "reason"], faces)
    yield _face_frames((n, c.frames) for n, c in cameras)
    verdicts = (([n, verdict], count) for n, c in cameras for verdict, count in c.verdicts.items())
    yield _counter("face_verdicts", "Faces by usability verdict.", ["camera", "verdict"], verdicts)
    tracks = (([n], c.tracks if n in live else 0) for n, c in cameras)
    yield _gauge("tracks", "Faces that are followed now.", ["camera"], tracks)
    yield _counter("tracks_ended", "Tracks that ended.", ["camera"], (([n], c.ended_tracks) for n, c in cameras))


def _face_frames(rows: Iterable[tuple[str, Mapping[int, int]]]) -> Metric:
    text = "Crops of the track that the pixels of a face are made from, of faces from a network."
    family = HistogramMetricFamily(f"{PREFIX}face_frames", text, labels=["camera"])
    for camera, counts in rows:
        buckets = []
        for bound in (*FRAME_BOUNDS, math.inf):
            below = sum(n for frames, n in counts.items() if frames <= bound)
            buckets.append(("+Inf" if bound == math.inf else str(float(bound)), float(below)))
        family.add_metric([camera], buckets, sum(frames * n for frames, n in counts.items()))
    return family


def _latencies(figures: Figures) -> Iterator[Metric]:
    cameras = figures.cameras
    for name, text in LATENCIES.items():
        rows = [([camera], getattr(own, name)) for camera, own in cameras.items()]
        yield _histogram(f"result_{name}_seconds", text, ["camera"], rows)
        recent = f"result_{name}_recent_seconds"
        yield _gauge(recent, f"{text} Percentiles of the last minute.", ["camera", "quantile"], _quantiles(rows))
    stages = [([camera, stage], latency) for camera, own in cameras.items() for stage, latency in own.stages.items()]
    yield _summary(
        "stage_seconds", "Stages of a result; those of a batch are of the whole.", ["camera", "stage"], stages
    )


def _cycles(figures: Figures) -> Iterator[Metric]:
    yield _histogram("cycle_seconds", "Turns of the scheduler.", [], [([], figures.cycles)])
    stages = [([stage], latency) for stage, latency in figures.cycle_stages.items()]
    yield _summary("cycle_stage_seconds", "Stages of a turn of the scheduler.", ["stage"], stages)
    yield _counter("cycles_over_budget", "Turns that took longer than planned.", [], [([], figures.over_budget)])
    if figures.budget_s is not None:
        yield _gauge("cycle_budget_seconds", "Planned duration of the last turn.", [], [([], figures.budget_s)])


def _sinks(run: ObservedRun) -> Iterator[Metric]:
    statistics = [sink.statistics() for sink in run.sinks]
    names = _unique([own.name for own in statistics])
    for key, text in (
        ("written", "Items that were written."),
        ("dropped", "Oldest items that gave way to newer ones, as the sink was too slow."),
        ("failed", "Items that could not be written."),
    ):
        rows = [([name], getattr(own, key)) for name, own in zip(names, statistics, strict=True)]
        yield _counter(f"sink_{key}", text, ["sink"], rows)
    queued = [([name], own.queued) for name, own in zip(names, statistics, strict=True)]
    yield _gauge("sink_queued", "Items that wait.", ["sink"], queued)


def _unique(names: Sequence[str]) -> list[str]:
    """Names with a number where one occurs twice: a series must not."""
    seen: Counter[str] = Counter()
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(name if seen[name] == 1 else f"{name} {seen[name]}")
    return unique


def _counter(name: str, text: str, labels: Sequence[str], rows: _Rows) -> Metric:
    return _filled(CounterMetricFamily(PREFIX + name, text, labels=labels), rows)


def _gauge(name: str, text: str, labels: Sequence[str], rows: _Rows) -> Metric:
    return _filled(GaugeMetricFamily(PREFIX + name, text, labels=labels), rows)


def _filled(family: CounterMetricFamily | GaugeMetricFamily, rows: _Rows) -> Metric:
    for labels, value in rows:
        family.add_metric(labels, value)
    return family


def _histogram(name: str, text: str, labels: Sequence[str], rows: Iterable[tuple[Sequence[str], Latency]]) -> Metric:
    family = HistogramMetricFamily(PREFIX + name, text, labels=labels)
    for values, latency in rows:
        cumulative, buckets = 0, []
        for bound, count in zip((*BOUNDS_S, math.inf), latency.counts, strict=True):
            cumulative += count
            buckets.append(("+Inf" if bound == math.inf else str(bound), float(cumulative)))
        family.add_metric(values, buckets, latency.sum_s)
    return family


def _summary(name: str, text: str, labels: Sequence[str], rows: Iterable[tuple[Sequence[str], Latency]]) -> Metric:
    """A summary with percentiles of the last minute."""
    family = SummaryMetricFamily(PREFIX + name, text, labels=labels)
    for values, latency in rows:
        family.add_metric(values, latency.count, latency.sum_s)
        for (*own, quantile), seconds in _quantiles([(values, latency)]):
            family.add_sample(PREFIX + name, {**dict(zip(labels, own, strict=True)), "quantile": quantile}, seconds)
    return family


def _quantiles(rows: Iterable[tuple[Sequence[str], Latency]]) -> Iterator[tuple[Sequence[str], float]]:
    for labels, latency in rows:
        for quantile, seconds in zip(QUANTILES, latency.percentiles(*(100 * q for q in QUANTILES)), strict=True):
            if seconds is not None:
                yield [*labels, str(quantile)], seconds
