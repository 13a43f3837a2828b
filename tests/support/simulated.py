"""Simulated cameras for tests of live runs."""

from __future__ import annotations

import time
from collections.abc import Iterator

from facesr_edge import Frame
from facesr_edge.sdk.bench.walkers import View

SETTINGS = {"engine": "onnxruntime", "precision": "int8", "threads": 1}
"""Networks that load quickly, the same on every machine."""


class SimulatedCamera:
    """An endless source of frames at the rate of its view.

    Args:
        view: what it shows.
        count: number of frames; 0 for endless.
        rate: frames/s; 0 as fast as they are read.
    """

    def __init__(self, view: View, count: int = 0, rate: float = 10.0) -> None:
        self.view, self.count, self.rate = view, count, rate
        self.delivered = 0
        self._frames = [view.frame(index).pixels for index in range(20)]

    def __iter__(self) -> Iterator[Frame]:
        start_s = time.monotonic()
        while not self.count or self.delivered < self.count:
            n = self.delivered
            if self.rate and (wait_s := start_s + n / self.rate - time.monotonic()) > 0:
                time.sleep(wait_s)
            turn = n % 38
            self.delivered += 1
            yield Frame(self._frames[turn if turn < 20 else 38 - turn], n, n / (self.rate or 10.0))
