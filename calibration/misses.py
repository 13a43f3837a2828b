"""Where a detector is wrong: the faces that it misses, and what it takes for faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .detection import HIT, MISS, overlaps, short_sides
from .detector_quality import Seen
from .scenes import Scene


@dataclass(frozen=True, eq=False)
class Wrong:
    """One place where a detector is wrong at a score.

    Args:
        kind: a certain face that no detection hits, or a detection where there is no face.
        scene: the picture.
        box_xyxy: (4,) of the face or the detection, in pixels.
        side: its shorter side, in pixels.
        score: of the detection; of a missed face, the best score below the one in use that would have hit it, none
            where there is no such detection at all.
    """

    kind: Literal["missed", "alarm"]
    scene: Scene
    box_xyxy: NDArray[np.float32]
    side: float
    score: float | None


def missed(seen: Sequence[Seen], score: float) -> list[Wrong]:
    """Certain faces that no detection of that score or above overlaps by half or more, largest first."""
    found = []
    for one in seen:
        faces = one.scene.faces
        hits = overlaps(one.found.boxes_xyxy, faces.boxes_xyxy) >= HIT  # (detections, faces)
        sides = short_sides(faces.boxes_xyxy)
        for n in np.flatnonzero(faces.certain):
            best = one.found.scores[hits[:, n]].max(initial=-1.0)
            if best < score:
                fainter = float(best) if best >= 0 else None
                found.append(Wrong("missed", one.scene, faces.boxes_xyxy[n], float(sides[n]), fainter))
    return sorted(found, key=lambda wrong: -wrong.side)


def false_alarms(seen: Sequence[Seen], score: float) -> list[Wrong]:
    """Detections of that score or above that are no labelled face, not even an uncertain one; highest score first."""
    found = []
    for one in seen:
        boxes, scores = one.found.boxes_xyxy, one.found.scores
        nearest = overlaps(boxes, one.scene.faces.boxes_xyxy).max(1, initial=0.0)
        sides = short_sides(boxes)
        for n in np.flatnonzero((nearest < MISS) & (scores >= score)):
            found.append(Wrong("alarm", one.scene, boxes[n], float(sides[n]), float(scores[n])))
    return sorted(found, key=lambda wrong: -(wrong.score or 0.0))
