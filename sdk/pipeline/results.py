"""Results of the pipeline: an upscaled face, and all results of a frame."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...engines.postprocess import Detections
from ..profiling.timing import Span, milliseconds
from .boxes import Boxes, WithBoxes
from .frame import Frame


@dataclass(frozen=True, eq=False)
class Face:
    """An upscaled face.

    Args:
        box_xyxy: (4,) float32 in frame pixels.
        score: of the detector, 0..1.
        landmarks: (5, 2) float32 x, y in frame pixels.
        window_xyxy: integer window of the crop in frame pixels; reaches past a frame that is smaller than the window.
        original: (S, S, 3) uint8 BGR, the crop of the frame.
        pixels: (k·S, k·S, 3) uint8 BGR, the network's estimate, on the k-fold pixel grid of the frame.
        consistency_db: PSNR between `original` and `pixels` downscaled to its size. High: the added detail agrees with
            the camera's pixels. inf if they are equal.
        uncertainty: (k·S, k·S) uint8, half the width of the 90 % interval of the luma of each of `pixels`, in gray
            levels; None unless it was asked for.
        frames: number of frames whose crops of this face `pixels` are made from, this one included.
        earlier_frames: indices of the others in the stream, the oldest first, if they are known.
    """

    box_xyxy: NDArray[np.float32]
    score: float
    landmarks: NDArray[np.float32]
    window_xyxy: tuple[int, int, int, int]
    original: NDArray[np.uint8]
    pixels: NDArray[np.uint8]
    consistency_db: float
    uncertainty: NDArray[np.uint8] | None = field(default=None, kw_only=True)
    frames: int = field(default=1, kw_only=True)
    earlier_frames: tuple[int, ...] = field(default=(), kw_only=True)

    @property
    def scale(self) -> int:
        """Ratio of the size of `pixels` to that of `original`."""
        return int(self.pixels.shape[0] // self.original.shape[0])

    def to_dict(self) -> dict[str, Any]:
        """For JSON, without pixels; what is not finite, such as a consistency, is null. Uncertainty if it is known."""
        values = {
            "box_xyxy": [number(v, 2) for v in self.box_xyxy],
            "score": number(self.score, 4),
            "landmarks": [[number(v, 2) for v in point] for point in self.landmarks],
            "window_xyxy": list(self.window_xyxy),
            "scale": self.scale,
            "consistency_db": number(self.consistency_db, 2),
            "frames": self.frames,
        }
        return values if self.uncertainty is None else {**values, "uncertainty": uncertainty_figures(self.uncertainty)}


@dataclass(frozen=True)
class DetectorUse:
    """How the faces of a frame were detected.

    Args:
        kind: "full" in the whole frame, "tracked" only around the faces of the frames before.
        megapixels: millions of network input pixels, padding included; the detector's time is proportional.
    """

    kind: Literal["full", "tracked"]
    megapixels: float

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"kind": self.kind, "megapixels": round(self.megapixels, 3)}


@dataclass(frozen=True, eq=False)
class FrameResult(WithBoxes):
    """Results of one frame.

    Args:
        source: the input frame.
        frame: (outscale·H, outscale·W, 3) uint8 BGR composite with the faces pasted in; None without `composite`.
        faces: upscaled faces, best detection first.
        too_large: faces larger than the largest crop, which are not upscaled.
        spans: time of each stage and part.
        detection: how the faces were detected; None if it is not known.
    """

    source: Frame
    frame: NDArray[np.uint8] | None
    faces: tuple[Face, ...]
    too_large: Detections
    spans: tuple[Span, ...] = ()
    detection: DetectorUse | None = None

    @cached_property
    def timings_ms(self) -> dict[str, float]:
        """Stage -> milliseconds, with "total"; parts of a stage as "stage.part"."""
        return milliseconds(self.spans)

    @property
    def boxes(self) -> Boxes:
        """Of all faces, those that are too large last."""
        return Boxes.of([*self.faces, *self.too_large])

    def to_dict(self) -> dict[str, Any]:
        """Faces and timings for JSON, without pixels; what is not finite, such as a consistency, is null."""
        return {
            "index": self.source.index,
            "name": self.source.name,
            "time_s": self.source.time_s,
            "damaged": self.source.damaged,
            "faces": [face.to_dict() for face in self.faces],
            "too_large": [[number(v, 2) for v in box] for box in self.too_large.boxes_xyxy],
            "detection": self.detection and self.detection.to_dict(),
            "timings_ms": {name: round(ms, 3) for name, ms in self.timings_ms.items()},
        }


def uncertainty_figures(uncertainty: NDArray[np.uint8]) -> dict[str, float]:
    """Of `Face.uncertainty`, for JSON: mean and 90th percentile of the half widths of its pixels, gray levels."""
    return {"mean": round(float(uncertainty.mean()), 2), "p90": round(float(np.percentile(uncertainty, 90)), 2)}


def number(value: float, digits: int) -> float | None:
    """Rounded number for JSON; None if it is not finite."""
    return round(float(value), digits) if math.isfinite(value) else None
