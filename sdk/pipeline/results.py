"""A face: a detection with its super-resolved pixels; and what a frame gives in all."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engines.postprocess import Detections
from ..profiling.timing import Span, milliseconds
from .frame import Frame


@dataclass(frozen=True, eq=False)
class Face:
    """One super-resolved face.

    Args:
        box_xyxy: (4,) float32 in frame pixels.
        score: of the detector, 0..1.
        landmarks: (5, 2) float32 x, y in frame pixels.
        window_xyxy: the crop in frame pixels, integers; it may reach past a frame that is smaller than a window.
        original: (S, S, 3) uint8 BGR, the crop as the camera saw it.
        pixels: (k·S, k·S, 3) uint8 BGR, the network's estimate; lies exactly on the k-fold grid of the frame.
        consistency_db: PSNR between `original` and `pixels` shrunk back to its size. High: the added detail agrees with
            the camera's own pixels. inf where they agree to the last bit.
    """

    box_xyxy: NDArray[np.float32]
    score: float
    landmarks: NDArray[np.float32]
    window_xyxy: tuple[int, int, int, int]
    original: NDArray[np.uint8]
    pixels: NDArray[np.uint8]
    consistency_db: float

    @property
    def scale(self) -> int:
        """How many times larger `pixels` is than `original`."""
        return int(self.pixels.shape[0] // self.original.shape[0])


@dataclass(frozen=True, eq=False)
class FrameResult:
    """What the pipeline makes of one frame.

    Args:
        source: the frame as it came.
        frame: (outscale·H, outscale·W, 3) uint8 BGR composite with the faces pasted back; none if it was not asked for.
        faces: the super-resolved ones, best detection first.
        too_large: faces larger than the largest window: large already, left as they are.
        spans: what took how long.
    """

    source: Frame
    frame: NDArray[np.uint8] | None
    faces: tuple[Face, ...]
    too_large: Detections
    spans: tuple[Span, ...] = ()

    @cached_property
    def timings_ms(self) -> dict[str, float]:
        """Stage -> milliseconds, with "total"; parts of a stage as "stage.part"."""
        return milliseconds(self.spans)

    def to_dict(self) -> dict[str, Any]:
        """Faces and timings without pixels, ready for JSON; an unlimited consistency is null."""
        return {
            "index": self.source.index,
            "name": self.source.name,
            "time_s": self.source.time_s,
            "faces": [
                {
                    "box_xyxy": [round(float(v), 2) for v in face.box_xyxy],
                    "score": round(face.score, 4),
                    "landmarks": [[round(float(v), 2) for v in point] for point in face.landmarks],
                    "window_xyxy": list(face.window_xyxy),
                    "scale": face.scale,
                    "consistency_db": round(face.consistency_db, 2) if np.isfinite(face.consistency_db) else None,
                }
                for face in self.faces
            ],
            "too_large": [[round(float(v), 2) for v in box] for box in self.too_large.boxes_xyxy],
            "timings_ms": {name: round(ms, 3) for name, ms in self.timings_ms.items()},
        }
