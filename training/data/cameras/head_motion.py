"""Motion of a head over a short sequence: it walks, shakes, turns, nods and comes closer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .motion import Matrix


@dataclass(frozen=True)
class HeadMotion:
    """Motion of a picture that ends at a place: earlier frames show it shifted, turned and scaled.

    Args:
        end: time of the last frame.
        center_xy: of the picture at the end, in high-resolution pixels.
        velocity_xy: pixels per frame.
        angle: at the end, in radians; `turn` is added per frame.
        zoom, stretch: growth per frame as a fraction, of both axes, and of the width alone: a head that turns away.
        shake_xy: deviation from the uniform motion at each time, (end + 1) entries, the last one zero.
    """

    end: int
    center_xy: tuple[float, float]
    velocity_xy: tuple[float, float] = (0.0, 0.0)
    angle: float = 0.0
    turn: float = 0.0
    zoom: float = 0.0
    stretch: float = 0.0
    shake_xy: tuple[tuple[float, float], ...] = ()

    rigid = False
    whole_pixels = False

    def at(self, time: float, width: int, height: int) -> Matrix:
        """Map of the picture's pixel centers (x, y) to positions in the frame; whole pixels at the end, if upright."""
        half = np.array((width - 1, height - 1)) / 2
        past = time - self.end
        center = np.array(self.center_xy) + past * np.array(self.velocity_xy)
        if self.shake_xy:
            center += self.shake_xy[int(time)]
        scale, angle = 1 + self.zoom * past, self.angle + self.turn * past
        turned = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = turned @ np.diag((1 + self.stretch * past, 1.0))
        offset = center - matrix @ half
        if past == 0 and not self.angle:
            offset = np.rint(offset)
        return np.column_stack((matrix, offset))


def random_head_motion(
    center_xy: tuple[float, float], end: int, max_speed: float, scale: int, rng: np.random.Generator
) -> HeadMotion:
    """Four of five heads move; half of them also turn, nod or come closer; a third is shaken.

    Args:
        center_xy: at the end, in high-resolution pixels.
        end: time of the last frame.
        max_speed: in high-resolution pixels per frame.
        scale: high-resolution pixels per pixel.
    """
    velocity = rng.uniform(-max_speed, max_speed, 2) * (rng.random() < 0.8)
    turns = bool(rng.random() < 0.5)
    angle = np.deg2rad(rng.normal(0, 8)) if rng.random() < 0.2 else 0.0
    shake = scale * rng.uniform(0, 0.4) * (rng.random() < 0.35)
    shakes = rng.normal(0, 1, (end + 1, 2)) * shake
    shakes[-1] = 0
    return HeadMotion(
        end,
        center_xy,
        (float(velocity[0]), float(velocity[1])),
        float(angle),
        float(np.deg2rad(rng.uniform(-1, 1))) * turns,
        float(rng.uniform(-0.006, 0.006)) * turns,
        float(rng.uniform(-0.008, 0.008)) * turns,
        tuple((float(x), float(y)) for x, y in shakes),
    )
