"""What the tests of live sinks share: results, and waiting for other threads."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from facesr_edge.sdk.live.results import FrameTimes, LiveFace, LiveResult
from support.live_results import live_face, live_result


def make_face(track_id: int = 1, **changes: object) -> LiveFace:
    """A face with a gradient, enlarged four times."""
    original = np.full((64, 64, 3), 90, np.uint8)
    original[:, :, 0] = np.arange(64) * 3
    pixels = np.repeat(np.repeat(original, 4, 0), 4, 1)
    return live_face(track_id, **{"original": original, "pixels": pixels, **changes})


def make_result(
    index: int = 0,
    *,
    camera: str = "door",
    faces: tuple[LiveFace, ...] = (),
    ended: tuple[int, ...] = (),
    size_wh: tuple[int, int] = (96, 64),
    level: int | None = None,
    arrival_s: float | None = None,
) -> LiveResult:
    """A result whose frame is gray; `level` is 8 times the index if it is not given."""
    pixels = np.full((size_wh[1], size_wh[0], 3), 8 * index % 250 if level is None else level, np.uint8)
    arrival = time.monotonic() if arrival_s is None else arrival_s
    times = FrameTimes(arrival, arrival + 0.01, arrival + 0.05, None, time.time())
    return live_result(*faces, camera=camera, index=index, ended=ended, pixels=pixels, times=times)


def wait_until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Wait until a condition holds; fails if it does not in time."""
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, "the condition did not come true in time"
        time.sleep(0.01)
