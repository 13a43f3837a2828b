"""A frame's stages on the GPU: windows out of the frame, projection, enlarged background, faces pasted back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import EngineError
from . import kernels
from .array import DeviceArray
from .device import Gpu
from .dlpack import packed
from .streams import Stream

Window = tuple[int, int, int]
"""Left column, top row and side in pixels of the frame; it may reach past the frame."""

FACE = np.dtype([("pixels", np.uint64), ("x", np.int32), ("y", np.int32), ("side", np.int32), ("unused", np.int32)])
"""A pasted face, as ``pixels.h`` has it."""

COLOURS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}
"""Standard -> share of red and of blue in luma."""

_BLOCK = (32, 8, 1)


@dataclass(frozen=True, eq=False)
class Nv12:
    """A camera's or decoder's frame on the GPU, video range (16 to 235), chroma on even columns, between rows.

    Args:
        luma: (H, W) uint8; rows may have gaps between them.
        chroma: (H / 2, W) uint8, pairs U V; rows may have gaps between them.
        colours: a key of `COLOURS`.
    """

    luma: DeviceArray
    chroma: DeviceArray
    colours: Literal["bt601", "bt709"] = "bt709"

    def __post_init__(self) -> None:
        if self.colours not in COLOURS:
            raise EngineError(f"expected colours of {', '.join(COLOURS)}, got '{self.colours}'")
        height, width = _rows(self.luma, 2)
        wanted = ((height + 1) // 2, (width + 1) // 2 * 2)
        if _rows(self.chroma, 2) != wanted:
            raise EngineError(f"expected chroma of {wanted} beside luma of {self.luma.shape}, got {self.chroma.shape}")


class FrameOps:
    """The stages' kernels, compiled for a GPU, queued on one stream. A context manager.

    Nothing is waited for: what a stage makes is there once the stream has passed.

    Args:
        gpu: where they run.
        stream: where all of them are queued.

    Raises:
        EngineError: the kernels do not compile here.
    """

    def __init__(self, gpu: Gpu, stream: Stream) -> None:
        self._gpu, self._stream = gpu, stream
        self._kernels = gpu.module(kernels.source(), "kernels.cu")
        self._room: dict[str, DeviceArray] = {}

    def __enter__(self) -> FrameOps:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give kernels and memory back; harmless when done already."""
        self._kernels.close()
        for array in self._room.values():
            array.close()
        self._room.clear()

    def gather(self, frame: DeviceArray | Nv12, windows: Sequence[tuple[int, int]], out: DeviceArray) -> None:
        """Copy all windows of one side out of a frame; beyond the frame its edge is repeated.

        Args:
            frame: (H, W, 3) uint8 BGR, rows may have gaps between them; or NV12.
            windows: left column and top row of each, in pixels of the frame.
            out: (n, S, S, 3) uint8 BGR, filled here.
        """
        side = _square(out, len(windows))
        if not windows:
            return
        corners = self._tabled(np.array(windows, np.int32))
        grid = _grid(side, side, len(windows))
        if isinstance(frame, Nv12):
            height, width = frame.luma.shape
            pitches = np.int32(frame.luma.strides[0]), np.int32(frame.chroma.strides[0])
            shares = tuple(np.float32(share) for share in COLOURS[frame.colours])
            size = np.int32(width), np.int32(height)
            self._queue("gather_nv12", grid, frame.luma, frame.chroma, *pitches, *size, *shares, corners, out, side)
        else:
            self._queue("gather_bgr", grid, *_picture(frame), corners, out, side)
        out.stream = self._stream

    def enlarge(self, frame: DeviceArray, out: DeviceArray) -> None:
        """Enlarge a frame by a whole factor, bicubic: the background of the composite.

        Args:
            frame: (H, W, 3) uint8 BGR, rows may have gaps between them.
            out: (k·H, k·W, 3) uint8 BGR, filled here.
        """
        scale = _factor(frame, out)
        height, width = out.shape[:2]
        self._queue("enlarge", _grid(width, height, 1), *_picture(frame), out, scale)
        out.stream = self._stream

    def project(self, crops: DeviceArray, faces: DeviceArray) -> None:
        """Make faces agree with the camera, sr + up(lr - down(sr)), for an engine whose graph does not.

        Args:
            crops: (n, S, S, 3) uint8 BGR, as the camera saw them.
            faces: (n, k·S, k·S, 3) uint8 BGR, changed in place.
        """
        count = crops.shape[0] if crops.shape else 0
        side, large = _square(crops, count), _square(faces, count)
        if large % side:
            raise EngineError(f"expected faces a whole number of times as large as {side} px, got {large} px")
        if not count:
            return
        scale = large // side
        lacking = self._room_for("residuals", 4 * crops.nbytes)
        self._queue("project_down", _grid(side, side, count), crops, faces, lacking, side, scale)
        self._queue("project_up", _grid(large, large, count), lacking, faces, side, scale)
        faces.stream = self._stream

    def paste(
        self, background: DeviceArray, faces: Sequence[tuple[Window, DeviceArray]], outscale: int, feather: float
    ) -> None:
        """Lay all faces of a frame into its enlargement. Where several overlap their order never matters.

        Args:
            background: (outscale·H, outscale·W, 3) uint8 BGR, changed in place.
            faces: window, and (k·S, k·S, 3) uint8 BGR pixels of it; one k for all.
            outscale: how much larger the background is than the frame; k at most.
            feather: width of the seam, as a part of the window's side.
        """
        if not faces:
            return
        height, width = _rows(background, 3)
        scales = {pixels.shape[0] / window[2] for window, pixels in faces}
        scale = int(next(iter(scales)))
        if len(scales) != 1 or scale not in scales or not 1 <= outscale <= scale:
            raise EngineError(f"expected faces of one whole scale, {outscale} or more, got {sorted(scales)}")
        if not background.contiguous or height % outscale or width % outscale:
            raise EngineError(f"expected a background {outscale} times the frame without gaps, got {background.shape}")
        for _, pixels in faces:
            _square(pixels, None)
        ordered = sorted(faces, key=lambda face: face[0])  # sums round alike whatever order they came in
        table = np.zeros(len(faces), FACE)
        for row, ((x, y, side), pixels) in zip(table, ordered, strict=True):
            row["pixels"], row["x"], row["y"], row["side"] = pixels.pointer, x, y, side
        largest = outscale * int(table["side"].max())
        size = np.int32(width // outscale), np.int32(height // outscale)
        rows = self._tabled(table)
        grid = _grid(largest, largest, len(faces))
        self._queue("paste", grid, rows, len(faces), background, *size, scale, outscale, np.float32(feather))
        background.stream = self._stream

    def _tabled(self, table: NDArray[Any]) -> DeviceArray:
        """A small table on the GPU. The driver takes it from ordinary memory at once, so that nobody has to keep it."""
        rows = np.frombuffer(table.tobytes(), np.uint8)
        room = self._room_for("table", len(rows)).leading(len(rows))
        self._gpu.upload(rows, room, self._stream)
        return room

    def _room_for(self, what: str, nbytes: int) -> DeviceArray:
        """Memory of the stages' own, kept from call to call; the stream's order keeps its uses apart."""
        if what not in self._room or self._room[what].nbytes < nbytes:
            if what in self._room:
                self._room.pop(what).close()
            self._room[what] = self._gpu.empty((max(2 * nbytes, 4096),), np.uint8)
        return self._room[what]

    def _queue(self, name: str, grid: tuple[int, int, int], *arguments: DeviceArray | np.generic | int) -> None:
        exact = tuple(np.int32(a) if isinstance(a, int) else a for a in arguments)
        self._kernels.launch(name, grid, _BLOCK, exact, self._stream)


def _grid(width: int, height: int, count: int) -> tuple[int, int, int]:
    """Blocks that cover so many pixels, so many times."""
    return -(-width // _BLOCK[0]), -(-height // _BLOCK[1]), count


def _rows(array: DeviceArray, axes: int) -> tuple[int, int]:
    """Height and width of a picture whose rows may have gaps between them.

    Raises:
        EngineError: not a picture of bytes.
    """
    shape = array.shape
    if array.dtype != np.uint8 or len(shape) != axes or shape[2:] not in ((), (3,)) or 0 in shape:
        wanted = "(H, W, 3)" if axes == 3 else "(H, W)"
        raise EngineError(f"expected {wanted} uint8 on the GPU, got {shape} {array.dtype}")
    if array.strides[1:] != packed(shape[1:], 1) or array.strides[0] < 0:
        raise EngineError(f"expected pixels that follow each other in a row, got strides {array.strides}; make a copy")
    return shape[0], shape[1]


def _picture(frame: DeviceArray) -> tuple[DeviceArray, np.int32, np.int32, np.int32]:
    """A picture as kernels take it: rows, pitch, width, height."""
    height, width = _rows(frame, 3)
    return frame, np.int32(frame.strides[0]), np.int32(width), np.int32(height)


def _square(pictures: DeviceArray, count: int | None) -> int:
    """Side of square pictures without gaps: of a batch of so many, or of one where the count is none.

    Raises:
        EngineError: they are something else.
    """
    *batch, height, width, channels = pictures.shape if len(pictures.shape) > 2 else (0, 0, 0)
    right = batch == ([] if count is None else [count]) and height == width and channels == 3
    if not right or pictures.dtype != np.uint8 or not pictures.contiguous:
        wanted = "(S, S, 3)" if count is None else f"({count}, S, S, 3)"
        raise EngineError(f"expected {wanted} uint8 without gaps on the GPU, got {pictures.shape} {pictures.dtype}")
    return height


def _factor(small: DeviceArray, large: DeviceArray) -> int:
    """How many times larger a picture is than another.

    Raises:
        EngineError: no whole number of times.
    """
    height, width = _rows(small, 3)
    scale = large.shape[0] // height if large.shape else 0
    if _rows(large, 3) != (scale * height, scale * width) or not large.contiguous:
        raise EngineError(f"expected room for a whole multiple of {small.shape} without gaps, got {large.shape}")
    return scale
