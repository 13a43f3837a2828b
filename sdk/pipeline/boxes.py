"""The boxes of a result under the names of Ultralytics, which other packages read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Boxes:
    """All faces of a frame, upscaled or not.

    Args:
        xyxy: (N, 4) float32 frame pixels.
        conf: (N,) float32 scores, 0..1.
        id: (N,) int64 of the tracks; None without tracks.
    """

    xyxy: NDArray[np.float32]
    conf: NDArray[np.float32]
    id: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.conf)

    @property
    def cls(self) -> NDArray[np.int64]:
        """(N,) classes, all 0: see `WithBoxes.names`."""
        return np.zeros(len(self), np.int64)

    @staticmethod
    def of(faces: Sequence[Any], tracked: bool = False) -> Boxes:
        """Of objects with `box_xyxy`, `score` and, if tracked, `track_id`."""
        xyxy = np.array([face.box_xyxy for face in faces], np.float32).reshape(-1, 4)
        ids = np.array([face.track_id for face in faces], np.int64) if tracked else None
        return Boxes(xyxy, np.array([face.score for face in faces], np.float32), ids)


class WithBoxes:
    """A result that is read as one of Ultralytics, for instance by `supervision.Detections.from_ultralytics`."""

    names: ClassVar[dict[int, str]] = {0: "face"}
    masks: ClassVar[None] = None
    obb: ClassVar[None] = None
