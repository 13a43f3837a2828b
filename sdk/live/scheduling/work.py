"""What a turn of the scheduler works on: frames, and the faces in them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...pipeline.crop import Window
from ...pipeline.frame import Frame
from ...pipeline.results import DetectorUse
from ...profiling.timing import Stopwatch
from ..results import LiveFace, SkippedFace
from ..tracks.tracker import Track
from ..tracks.usability import Usability
from .plan import Need
from .reuse import Alignment
from .stream import Registered, Stream


@dataclass(eq=False)
class Work:
    """A frame in a turn, and what the turn has found so far."""

    stream: Stream
    frame: Frame
    taken_s: float
    timer: Stopwatch = field(default_factory=Stopwatch)
    detection: DetectorUse | None = None
    faces: list[LiveFace] = field(default_factory=list)
    skipped: list[SkippedFace] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Item:
    """A face in a turn.

    Args:
        work: its frame.
        track: in this frame.
        window: of its crop.
        crop: (S, S, 3) uint8 BGR.
        alignment: of what is kept of it; None if nothing is.
        usability: of the crop.
        need: for the plan.
        registered: its crops up to this one; None if no network takes several, or it was not registered in this turn.
    """

    work: Work
    track: Track
    window: Window
    crop: NDArray[np.uint8]
    alignment: Alignment | None
    usability: Usability
    need: Need
    registered: Registered | None = None
