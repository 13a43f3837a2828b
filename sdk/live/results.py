"""Results of the live runtime: the faces of one frame of one camera, each with its track and how it was upscaled."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..pipeline.boxes import Boxes, WithBoxes
from ..pipeline.frame import Frame
from ..pipeline.paste import enlarge, paste
from ..pipeline.results import DetectorUse, Face, number
from ..profiling.timing import Span, milliseconds

if TYPE_CHECKING:
    import supervision

    from .tracks.usability import Usability

Treatment = Literal["network", "reused", "small network", "bicubic"]
"""How a face was upscaled: by the network; from the last output of its track, moved to the new position; by a smaller
network; or by bicubic interpolation."""


@dataclass(frozen=True, eq=False)
class LiveFace(Face):
    """An upscaled face of a track; `pixels` may be those of an earlier frame, and are read-only: copy them to draw.

    Args:
        track_id: of the face in its camera, from 1.
        treatment: how it was upscaled.
        reason: for the treatment, in words, e.g. "new track" or "over budget: 3.1 ms left, 5.0 ms needed".
        detected: False if the detector did not look or did not find it, and its position is predicted.
        usability: whether it is good enough to look at or to compare, with the figures behind it.

    `frames` of a reused face is that of the output that is moved.
    """

    track_id: int
    treatment: Treatment
    reason: str
    detected: bool
    usability: Usability

    @property
    def by_network(self) -> bool:
        """Whether a network made `pixels`, in this or in an earlier frame."""
        return self.treatment != "bicubic"

    def to_dict(self) -> dict[str, Any]:
        """See `Face.to_dict`."""
        own = {"treatment": self.treatment, "reason": self.reason, "detected": self.detected}
        return {"track_id": self.track_id, **super().to_dict(), **own, "usability": self.usability.to_dict()}


@dataclass(frozen=True, eq=False)
class SkippedFace:
    """A face that was not upscaled.

    Args:
        track_id: of the face in its camera.
        box_xyxy: (4,) float32 frame pixels.
        score: of the last detection, 0..1.
        reason: in words, e.g. "too large".
        detected: False if its position is predicted.
    """

    track_id: int
    box_xyxy: NDArray[np.float32]
    score: float
    reason: str
    detected: bool = True

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "track_id": self.track_id,
            "box_xyxy": [number(v, 2) for v in self.box_xyxy],
            "score": number(self.score, 4),
            "reason": self.reason,
            "detected": self.detected,
        }


@dataclass(frozen=True)
class FrameTimes:
    """When a frame was where, in seconds on the clock of `time.monotonic`.

    Args:
        arrival_s: it was decoded.
        taken_s: the scheduler took it.
        done_s: its result was ready.
        clock_s: Unix time at which the camera took it, by the camera's clock; None if it does not tell.
        done_clock_s: Unix time of `done_s`, by the clock of this machine.
    """

    arrival_s: float
    taken_s: float
    done_s: float
    clock_s: float | None = None
    done_clock_s: float = 0.0

    @property
    def age_ms(self) -> float:
        """From arrival to result."""
        return 1e3 * (self.done_s - self.arrival_s)

    @property
    def queue_ms(self) -> float:
        """Waiting for the scheduler."""
        return 1e3 * (self.taken_s - self.arrival_s)

    @property
    def compute_ms(self) -> float:
        """From the scheduler to the result."""
        return 1e3 * (self.done_s - self.taken_s)

    @property
    def camera_ms(self) -> float | None:
        """From the camera's clock to the result; None if the camera does not tell its time."""
        return None if self.clock_s is None else 1e3 * (self.done_clock_s - self.clock_s)


@dataclass(frozen=True, eq=False)
class LiveResult(WithBoxes):
    """Results of one frame of one camera.

    Args:
        camera: name.
        source: the frame.
        faces: upscaled faces, in the order of their tracks.
        skipped: faces that were not upscaled.
        ended_tracks: ids of tracks that ended with this frame.
        detection: how the faces were detected; None if their positions are predicted.
        times: of the frame.
        spans: time of each stage; "upscale" is that of the batch of all cameras.
        dropped: frames of the camera that were dropped since its last result.
        outscale: ratio of the composite's size to the frame's.
    """

    camera: str
    source: Frame
    faces: tuple[LiveFace, ...]
    skipped: tuple[SkippedFace, ...]
    ended_tracks: tuple[int, ...]
    detection: DetectorUse | None
    times: FrameTimes
    spans: tuple[Span, ...]
    dropped: int
    outscale: int

    @cached_property
    def frame(self) -> NDArray[np.uint8]:
        """(outscale·H, outscale·W, 3) uint8 BGR composite with the faces pasted in, made at its first use."""
        if self.outscale == 1:
            return self.source.pixels
        composite = enlarge(self.source.pixels, self.outscale)
        paste(composite, self.faces, self.outscale)
        return composite

    @property
    def upscaled(self) -> bool:
        """Whether `frame` holds pixels that a network made, see `Frame.upscaled`."""
        return self.outscale > 1 and any(face.by_network for face in self.faces)

    @property
    def boxes(self) -> Boxes:
        """Of all faces, those that were not upscaled last."""
        return Boxes.of([*self.faces, *self.skipped], tracked=True)

    @cached_property
    def timings_ms(self) -> dict[str, float]:
        """Stage -> milliseconds, with "total"."""
        return milliseconds(self.spans)

    def plot(self, *, strip: bool = True) -> NDArray[np.uint8]:
        """Boxes, tracks, treatments and enlarged faces, drawn on a copy of `frame`; see `plot.plot`."""
        from .plot import plot

        return plot(self, strip=strip)

    def to_supervision(self, scale: float = 1) -> supervision.Detections:
        """All faces for the package supervision; see `supervision.to_supervision`."""
        from .supervision import to_supervision

        return to_supervision(self, scale)

    def to_dict(self) -> dict[str, Any]:
        """Faces and times for JSON, without pixels."""
        times = self.times
        camera_ms = times.camera_ms
        return {
            "camera": self.camera,
            "index": self.source.index,
            "time_s": self.source.time_s,
            "clock_s": times.clock_s,
            "done_clock_s": number(times.done_clock_s, 3),
            "damaged": self.source.damaged,
            "dropped": self.dropped,
            "faces": [face.to_dict() for face in self.faces],
            "skipped": [face.to_dict() for face in self.skipped],
            "ended_tracks": list(self.ended_tracks),
            "detection": self.detection and self.detection.to_dict(),
            "age_ms": number(times.age_ms, 2),
            "queue_ms": number(times.queue_ms, 2),
            "compute_ms": number(times.compute_ms, 2),
            "camera_ms": None if camera_ms is None else number(camera_ms, 2),
            "timings_ms": {name: round(ms, 3) for name, ms in self.timings_ms.items()},
        }
