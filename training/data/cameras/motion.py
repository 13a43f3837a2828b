"""Motion of a face: its affine map to the frame at each time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
"""(2, 3) affine map of points (x, y, 1)."""


@dataclass(frozen=True)
class Motion:
    """Uniform motion of a picture's center, in high-resolution pixels and frames.

    Args:
        center_xy: position of the center at time 0.
        velocity_xy: pixels per frame.
        angle: at time 0, in radians; `turn` is added per frame.
        zoom: growth per frame, as a fraction.
        whole_pixels: round positions to whole high-resolution pixels, where the picture needs no interpolation.
    """

    center_xy: tuple[float, float]
    velocity_xy: tuple[float, float] = (0.0, 0.0)
    angle: float = 0.0
    turn: float = 0.0
    zoom: float = 0.0
    whole_pixels: bool = True

    @property
    def rigid(self) -> bool:
        """Whether the picture is only shifted."""
        return not (self.angle or self.turn or self.zoom)

    def at(self, time: float, width: int, height: int) -> Matrix:
        """Map of the picture's pixel centers (x, y) to positions in the frame."""
        half = np.array((width - 1, height - 1)) / 2
        center = np.array(self.center_xy) + time * np.array(self.velocity_xy)
        scale, angle = 1 + self.zoom * time, self.angle + self.turn * time
        matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        offset = center - matrix @ half
        if self.whole_pixels and self.rigid:
            offset = np.rint(offset)
        return np.column_stack((matrix, offset))


def random_motion(center_xy: tuple[float, float], max_speed: float, rng: np.random.Generator) -> Motion:
    """Half of the faces move, a third of them also turn and zoom; the others stand still.

    Args:
        center_xy: in high-resolution pixels.
        max_speed: in high-resolution pixels per frame.
    """
    center = np.array(center_xy)
    velocity = rng.uniform(-max_speed, max_speed, 2) if rng.random() < 0.5 else np.zeros(2)
    if rng.random() < 0.65:
        return Motion((center[0], center[1]), (velocity[0], velocity[1]))
    angle, turn = np.deg2rad(rng.normal(0, 8)), np.deg2rad(rng.uniform(-1, 1))
    zoom = float(rng.uniform(-0.006, 0.006))
    return Motion((center[0], center[1]), (velocity[0], velocity[1]), float(angle), float(turn), zoom, False)
