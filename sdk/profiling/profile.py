"""What frames cost: every stage of every frame, its percentiles, and how much of it is this package's own work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...engines.bundle.card import Card
from ...engines.errors import InputError
from ..doctor.machine import Machine, peak_memory_mb, this_machine
from ..media.base import Source
from ..media.images import read_picture
from ..media.sinks import open_sink
from ..pipeline.frame import Frame
from ..pipeline.pipeline import Pipeline
from ..pipeline.results import Face, FrameResult
from ..pipeline.run import Writer, run
from ..pipeline.tiling import Plan
from .layers import LayerTimes, layers_of
from .timing import PROFILE_ROWS, FrameTiming, Latency, latency

FRAMES = {"picture": 30, "folder": 30, "video": 100, "live": 100}
"""How many frames are measured where nothing is said."""
WARM_UP = 3


@dataclass(frozen=True, eq=False)
class Profile:
    """What was measured, where, and with what.

    Args:
        source: name of the input.
        size_wh: of its frames, or where they differ of the one with the most faces.
        outscale: how much larger the composite was.
        model: name of the super-resolution engine.
        card: what is known of it.
        plan: how the detector looked at its frames, and at what cost.
        runtimes: "super_resolve" and "detect" -> what ran them.
        versions: package -> version.
        machine: that it ran on.
        peak_memory_mb: the most memory that the process ever had; None where the system does not say.
        warm_up: frames that were done before and do not count.
        timeline: the frames that count, in order.
        faces: those of the frame that had the most, to look at.
        layers: what each layer of the networks takes; empty where nobody asked.
    """

    source: str
    size_wh: tuple[int, int]
    outscale: int
    model: str
    card: Card
    plan: Plan
    runtimes: dict[str, str]
    versions: dict[str, str]
    machine: Machine
    peak_memory_mb: float | None
    warm_up: int
    timeline: tuple[FrameTiming, ...]
    faces: tuple[Face, ...]
    layers: LayerTimes

    @property
    def stages(self) -> dict[str, Latency]:
        """Latency of each of `PROFILE_ROWS`."""
        frames = [timing.milliseconds for timing in self.timeline]
        return {name: latency([ms[name] for ms in frames]) for name in PROFILE_ROWS}

    @property
    def overhead(self) -> Latency:
        """Latency of this package's own work: all but networks, codecs and the enlargement of the background."""
        return latency([timing.overhead_ms for timing in self.timeline])

    @property
    def overhead_share(self) -> float:
        """Its part of the total, 0..1, of the means."""
        return self.overhead.mean / self.stages["total"].mean

    @property
    def faces_per_frame(self) -> float:
        """Mean number of faces that were super-resolved."""
        return float(np.mean([timing.faces for timing in self.timeline]))

    @property
    def fps(self) -> float:
        """Frames a second, one after the other."""
        return 1e3 / self.stages["total"].mean

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON, without pixels and spans."""
        return {
            "source": self.source,
            "size_wh": list(self.size_wh),
            "outscale": self.outscale,
            "model": self.model,
            "precision": self.card.precision,
            "detect": self.plan.to_dict(),
            "frames": len(self.timeline),
            "warm_up": self.warm_up,
            "faces_per_frame": round(self.faces_per_frame, 3),
            "fps": round(self.fps, 2),
            "stages_ms": {name: value.to_dict() for name, value in self.stages.items()},
            "own_work_ms": {**self.overhead.to_dict(), "share_of_total": round(self.overhead_share, 4)},
            "frames_ms": [round(timing.milliseconds["total"], 3) for timing in self.timeline],
            "layers": {part: [asdict(layer) for layer in times] for part, times in self.layers.items()},
            "peak_memory_mb": None if self.peak_memory_mb is None else round(self.peak_memory_mb, 1),
            "machine": self.machine.to_dict(),
            "runtimes": self.runtimes,
            "versions": self.versions,
        }


def profile(
    pipeline: Pipeline,
    source: Source,
    *,
    frames: int | None = None,
    warm_up: int = WARM_UP,
    encode: bool = True,
    layers: bool = False,
    report: Callable[[int], None] = lambda done: None,
) -> Profile:
    """Measure a pipeline on a source.

    Args:
        pipeline: what is measured.
        source: pictures are read again and again until there are enough frames; a video may end before.
        frames: how many count; none for 30 of pictures, 100 of videos.
        warm_up: frames before, which do not count.
        encode: write the composites too: pictures as JPEG into memory, videos into a file that is thrown away.
        layers: time every layer of the networks as well, after the frames.
        report: told how many frames are done, the warm-up included.

    Raises:
        InputError: the source gives no frame, or not one more than the warm-up takes.
    """
    wanted = frames or FRAMES[source.kind]
    if source.kind != "picture":  # whose frames are all alike: the first ones make ready what the others need
        pipeline.warm_up()
    with ExitStack() as stack:
        sink = stack.enter_context(_thrown_away(pipeline, source)) if encode and pipeline.composite else None
        results = run(pipeline, _repeated(source, warm_up + wanted), sink)
        timeline: list[FrameTiming] = []
        fullest: FrameResult | None = None
        for count, result in enumerate(results, start=1):
            report(count)
            if count <= warm_up:
                continue
            timeline.append(FrameTiming(count - warm_up - 1, len(result.faces), result.spans))
            if fullest is None or len(result.faces) > len(fullest.faces):
                fullest = result
    if fullest is None:
        raise InputError(
            f"{source.name} ends within the {warm_up} frames of the warm-up; give --warm-up 0, or a longer one"
        )
    height, width = fullest.source.pixels.shape[:2]
    plan = pipeline.detector.plan(width, height)
    return Profile(
        source=source.name,
        size_wh=(width, height),
        outscale=pipeline.outscale,
        model=pipeline.card.name,
        card=pipeline.card,
        plan=plan,
        runtimes={"super_resolve": pipeline.session.runtime, "detect": pipeline.detector.session.runtime},
        versions=versions(),
        machine=this_machine(),
        peak_memory_mb=peak_memory_mb(),
        warm_up=warm_up,
        timeline=tuple(timeline),
        faces=fullest.faces,
        layers=layers_of(pipeline, plan, fullest.faces) if layers else {},
    )


def versions() -> dict[str, str]:
    """Versions of what a frame goes through."""
    found = {}
    for name in ("facesr-edge", "onnxruntime", "opencv-python-headless", "av", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


class _JpegInMemory:
    """A sink that encodes pictures and forgets them."""

    def write(self, frame: Frame, pixels: NDArray[np.uint8]) -> None:
        cv2.imencode(".jpg", pixels)


@contextmanager
def _thrown_away(pipeline: Pipeline, source: Source) -> Iterator[Writer]:
    if source.kind in ("picture", "folder"):
        yield _JpegInMemory()
        return
    with (
        TemporaryDirectory() as folder,
        open_sink(Path(folder) / "profile.mp4", source, outscale=pipeline.outscale) as sink,
    ):
        yield sink


def _repeated(source: Source, count: int) -> Iterator[Frame]:
    """So many frames; pictures over and over, read anew each time, so that decoding is measured as well."""
    return islice(_forever(source) if source.kind in ("picture", "folder") else iter(source), count)


def _forever(source: Source) -> Iterator[Frame]:
    while True:
        if source.kind == "picture" and source.path:  # the source itself reads it once
            yield Frame(read_picture(source.path), name=source.path.name)
        else:
            yield from source
