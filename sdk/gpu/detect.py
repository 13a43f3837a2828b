"""Detection on a GPU: resize, network and threshold there; only candidates return to the host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from ...engines.bundle.io_spec import STRIDES
from ...engines.cuda.array import DeviceArray
from ...engines.cuda.frame_ops import CANDIDATE_DTYPE
from ...engines.padding import GREY
from ...engines.postprocess import Detections, decode_rows
from ..pipeline.detect import halvings
from ..pipeline.regions import Cell
from ..pipeline.tiling import DetectorPass
from .context import DeviceSession, Lane

ROWS = 1023
"""Candidates that are downloaded with their number, 64 KB; a face gives 6 to 20. More need another wait."""
_ROW = CANDIDATE_DTYPE.itemsize


@dataclass(frozen=True, eq=False)
class NetworkInput:
    """Input of one call of the detector.

    Args:
        cells: regions of the frame in it.
        network_hw: its height and width in pixels.
    """

    cells: tuple[Cell, ...]
    network_hw: tuple[int, int]

    @property
    def rows(self) -> int:
        """Rows of the output maps."""
        return sum((self.network_hw[0] // s) * (self.network_hw[1] // s) for s in STRIDES)


def input_of(detector_pass: DetectorPass) -> NetworkInput:
    """Input of a pass over a frame."""
    cell = Cell(detector_pass.tile, detector_pass.resized_wh, 0, 0)
    return NetworkInput((cell,), detector_pass.network_hw)


class Candidates:
    """Queues calls of the detector on one frame, and decodes their candidates once the stream is synchronized.

    Args:
        lane: of the frame.
        session: of the detector.
        frame: (H, W, 3) uint8 BGR.
        inputs: of the calls.
        score: minimum score of a candidate, 0..1.
    """

    def __init__(
        self,
        lane: Lane,
        session: DeviceSession,
        frame: DeviceArray,
        inputs: Sequence[NetworkInput],
        score: float,
    ) -> None:
        self._lane, self._inputs, context = lane, inputs, lane.context
        *firsts, total = accumulate((one.rows for one in inputs), initial=0)
        self._firsts = firsts
        self._buffer = lane.buffers.device("candidates", (_ROW * (1 + total),))  # their number, then the rows
        found, rows = self._buffer.part((1,), np.int32), self._buffer.part((total,), CANDIDATE_DTYPE, start=_ROW)
        context.gpu.fill(found, 0, context.stream)
        for one, first in zip(inputs, firsts, strict=True):
            with session.lock:
                pixels = self._filled(session, frame, one)
                with lane.stage("detect.network"):
                    output = session.infer_on_device(pixels)
                    maps = context.gpu.view(output, context.stream)
                context.ops.append_candidates(maps, score, first, found, rows)
                context.output_read(output)
        self._host = lane.download("candidates", self._buffer.leading(_ROW * (1 + min(total, ROWS))))

    def _filled(self, session: DeviceSession, frame: DeviceArray, one: NetworkInput) -> DeviceArray:
        """Write the cells into the engine's input."""
        context, shape = self._lane.context, (1, *one.network_hw, 3)
        pixels = context.input_for(session, shape) or self._lane.buffers.device("network input", shape)
        cells = [
            (
                *(cell.tile.x, cell.tile.y, cell.tile.width, cell.tile.height),
                *(cell.x, cell.y, *cell.resized_wh),
                halvings((cell.tile.height, cell.tile.width), cell.resized_wh[::-1]),
            )
            for cell in one.cells
        ]
        context.ops.fill_cells(frame, cells, GREY, pixels)
        return pixels

    def decode(self) -> list[Detections]:
        """Detections of each input in its pixels, before suppression; in the order of `postprocess.decode`."""
        rows = self._rows()
        rows = rows[np.argsort(rows["cell"])]  # the kernel's order is arbitrary
        bounds = np.searchsorted(rows["cell"], [*self._firsts[1:]])
        parts = zip(self._inputs, self._firsts, np.split(rows, bounds), strict=True)
        return [decode_rows(part["values"], part["cell"] - first, *one.network_hw) for one, first, part in parts]

    def _rows(self) -> NDArray[np.void]:
        """All candidates, in any order."""
        count = int(self._host[:4].view(np.int32)[0])
        if count > ROWS:
            self._host = self._lane.download("candidates", self._buffer.leading(_ROW * (1 + count)))
            self._lane.context.wait()
        rows: NDArray[np.void] = self._host[_ROW : _ROW * (1 + count)].view(CANDIDATE_DTYPE)
        return rows
