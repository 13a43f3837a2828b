"""Frame operations on the GPU: detector inputs and candidates, crop windows, enlarged background, pasted faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import EngineError
from . import kernels
from .array import DeviceArray
from .device import Gpu
from .dlpack import contiguous_strides
from .streams import Stream

Window = tuple[int, int, int]
"""Left column, top row and side in frame pixels; may extend beyond the frame."""

FACE_DTYPE = np.dtype(
    [("pixels", np.uint64), ("x", np.int32), ("y", np.int32), ("side", np.int32), ("padding", np.int32)]
)
"""``struct Face`` of ``pixels.h``."""
FACES_DTYPE = np.dtype([("faces", FACE_DTYPE, 96)])
CORNERS_DTYPE = np.dtype([("xy", np.int32, (128, 2))])
CELL_DTYPE = np.dtype(
    [(name, np.int32) for name in ("x", "y", "width", "height", "left", "top", "out_width", "out_height", "halvings")]
)
CELLS_DTYPE = np.dtype([("count", np.int32), ("cells", CELL_DTYPE, 32)])
CANDIDATE_DTYPE = np.dtype([("cell", np.int32), ("values", np.float32, 15)])

COLOR_SPACES = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}
"""Standard -> luma coefficients of red (Kr) and blue (Kb)."""

_BLOCK = (32, 8, 1)

Cell = tuple[int, int, int, int, int, int, int, int, int]
"""Window of the frame (left, top, width, height), its place in a network input (left, top, width, height), and how
often it is halved before it is resized, 0 to 3."""


@dataclass(frozen=True, eq=False)
class Nv12:
    """NV12 frame of a camera or decoder on the GPU: limited range (16 to 235), MPEG-2 chroma siting.

    Args:
        luma: (H, W) uint8; rows may be padded.
        chroma: (H / 2, W) uint8, interleaved U V; rows may be padded.
        color_space: a key of `COLOR_SPACES`.
    """

    luma: DeviceArray
    chroma: DeviceArray
    color_space: Literal["bt601", "bt709"] = "bt709"

    def __post_init__(self) -> None:
        if self.color_space not in COLOR_SPACES:
            raise EngineError(f"expected a color space of {', '.join(COLOR_SPACES)}, got '{self.color_space}'")
        height, width = _image_size(self.luma, 2)
        expected = ((height + 1) // 2, (width + 1) // 2 * 2)
        if _image_size(self.chroma, 2) != expected:
            raise EngineError(f"expected chroma of {expected} for luma of {self.luma.shape}, got {self.chroma.shape}")


class FrameOps:
    """Kernels of the frame operations, compiled for a GPU and queued on one stream. A context manager.

    All methods are asynchronous: their results are valid once the stream is synchronized.

    Args:
        gpu: runs the kernels.
        stream: where all kernels are queued.

    Raises:
        EngineError: the kernels do not compile.
    """

    def __init__(self, gpu: Gpu, stream: Stream) -> None:
        self._gpu, self._stream = gpu, stream
        self._kernels = gpu.module(kernels.source(), "kernels.cu")
        self._table: DeviceArray | None = None

    def __enter__(self) -> FrameOps:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Release kernels and memory; no effect if closed."""
        self._kernels.close()
        if self._table is not None:
            self._table.close()
        self._table = None

    def gather(self, frame: DeviceArray | Nv12, windows: Sequence[tuple[int, int]], out: DeviceArray) -> None:
        """Copy windows of one size out of a frame; outside of the frame its edge is replicated.

        Args:
            frame: (H, W, 3) uint8 BGR, rows may be padded; or NV12.
            windows: left column and top row of each, in frame pixels.
            out: (n, h, w, 3) uint8 BGR, written.
        """
        height, width = _images_hw(out, len(windows))
        most = CORNERS_DTYPE["xy"].shape[0]
        for start in range(0, len(windows), most):
            part = windows[start : start + most]
            corners = np.zeros(1, CORNERS_DTYPE)[0]
            corners["xy"][: len(part)] = part
            self._gather(frame, corners, out.narrow(start, len(part)), _grid(width, height, len(part)))
        out.stream = self._stream

    def _gather(
        self, frame: DeviceArray | Nv12, corners: np.void, out: DeviceArray, grid: tuple[int, int, int]
    ) -> None:
        rows, columns = out.shape[1:3]
        if isinstance(frame, Nv12):
            height, width = frame.luma.shape
            pitches = frame.luma.strides[0], frame.chroma.strides[0]
            coefficients = tuple(np.float32(value) for value in COLOR_SPACES[frame.color_space])
            planes = frame.luma, frame.chroma, *pitches
            self._launch("gather_nv12", grid, *planes, width, height, *coefficients, corners, out, columns, rows)
        else:
            self._launch("gather_bgr", grid, *_image_arguments(frame), corners, out, columns, rows)

    def fill_cells(self, frame: DeviceArray, cells: Sequence[Cell], padding: int, out: DeviceArray) -> None:
        """Make a detector input of resized windows of a frame. The pixels equal those of OpenCV on x86.

        Args:
            frame: (H, W, 3) uint8 BGR, rows may be padded.
            cells: windows of the frame and their places, which do not overlap.
            padding: value of all other pixels, 0 to 255.
            out: (1, h, w, 3) uint8 BGR, written.
        """
        height, width = _images_hw(out, 1)
        most = CELLS_DTYPE["cells"].shape[0]
        for start in range(0, max(len(cells), 1), most):
            part = cells[start : start + most]
            table = np.zeros(1, CELLS_DTYPE)[0]
            table["count"], table["cells"][: len(part)] = len(part), part
            arguments = *_image_arguments(frame), table, out, width, height, -1 if start else padding
            self._launch("fill_cells", _grid(width, height, 1), *arguments)
        out.stream = self._stream

    def append_candidates(
        self, maps: DeviceArray, min_score: float, first: int, found: DeviceArray, candidates: DeviceArray
    ) -> None:
        """Append the rows of a detector's output whose score is high enough, in any order.

        Args:
            maps: (1, A, 15) float32; the score comes first.
            min_score: minimum score, 0..1.
            first: number of its first row.
            found: (1,) int32, counts the candidates of all calls.
            candidates: (n,) `CANDIDATE_DTYPE`, with space for all rows of all calls.
        """
        if maps.dtype != np.float32 or maps.shape[::2] != (1, 15) or not maps.contiguous:
            raise EngineError(f"expected contiguous maps of (1, A, 15) float32, got {maps.shape} {maps.dtype}")
        count = maps.shape[1]
        if candidates.dtype != CANDIDATE_DTYPE or candidates.shape[0] < first + count:
            raise EngineError(f"expected space for {first + count} candidates, got {candidates.shape}")
        grid = -(-count // (_BLOCK[0] * _BLOCK[1])), 1, 1
        self._launch("append_candidates", grid, maps, count, np.float32(min_score), first, found, candidates)
        candidates.stream = found.stream = self._stream

    def enlarge(self, frame: DeviceArray, out: DeviceArray) -> None:
        """Enlarge a frame by an integer factor, bicubic: the background of the composite.

        Args:
            frame: (H, W, 3) uint8 BGR, rows may be padded.
            out: (k·H, k·W, 3) uint8 BGR, written.
        """
        scale = _scale_factor(frame, out)
        height, width = out.shape[:2]
        self._launch("enlarge", _grid(width, height, 1), *_image_arguments(frame), out, scale)
        out.stream = self._stream

    def paste(
        self, background: DeviceArray, faces: Sequence[tuple[Window, DeviceArray]], outscale: int, feather: float
    ) -> None:
        """Blend all faces of a frame into the enlarged frame. The result does not depend on their order.

        Args:
            background: (outscale·H, outscale·W, 3) uint8 BGR, changed in place.
            faces: window, and its (k·S, k·S, 3) uint8 BGR pixels; one k for all.
            outscale: scale of the background relative to the frame, at most k.
            feather: width of the blended border, as a fraction of the window's side.
        """
        if not faces:
            return
        height, width = _image_size(background, 3)
        scale = _common_scale(faces, outscale)
        if not background.contiguous or height % outscale or width % outscale:
            raise EngineError(f"expected a contiguous background of {outscale} times the frame, got {background.shape}")
        ordered = sorted(faces, key=lambda face: face[0])  # a fixed order of summation: equal rounding
        table = np.zeros(len(faces), FACE_DTYPE)
        for row, ((x, y, side), pixels) in zip(table, ordered, strict=True):
            row["pixels"], row["x"], row["y"], row["side"] = pixels.pointer, x, y, side
        largest = outscale * int(table["side"].max())
        size = width // outscale, height // outscale
        grid, arguments = _grid(largest, largest, len(faces)), (len(faces), background, *size, scale, outscale)
        if len(faces) <= FACES_DTYPE["faces"].shape[0]:
            few = np.zeros(1, FACES_DTYPE)[0]
            few["faces"][: len(faces)] = table
            self._launch("paste", grid, few, *arguments, np.float32(feather))
        else:
            self._launch("paste_many", grid, self._upload_table(table), *arguments, np.float32(feather))
        background.stream = self._stream

    def _upload_table(self, table: NDArray[Any]) -> DeviceArray:
        """Upload kernel arguments; the driver copies pageable memory before it returns, stream order does the rest."""
        data = np.frombuffer(table.tobytes(), np.uint8)
        if self._table is None or self._table.nbytes < len(data):
            if self._table is not None:
                self._table.close()
            self._table = self._gpu.empty((max(2 * len(data), 4096),), np.uint8)
        rows = self._table.leading(len(data))
        self._gpu.upload(data, rows, self._stream)
        return rows

    def _launch(self, name: str, grid: tuple[int, int, int], *arguments: DeviceArray | np.generic | int) -> None:
        typed = tuple(np.int32(a) if isinstance(a, int) else a for a in arguments)
        self._kernels.launch(name, grid, _BLOCK, typed, self._stream)


def _grid(width: int, height: int, count: int) -> tuple[int, int, int]:
    """Blocks that cover `count` images of width x height pixels."""
    return -(-width // _BLOCK[0]), -(-height // _BLOCK[1]), count


def _image_size(array: DeviceArray, axes: int) -> tuple[int, int]:
    """Height and width of an 8-bit image whose rows may be padded."""
    shape = array.shape
    if array.dtype != np.uint8 or len(shape) != axes or shape[2:] not in ((), (3,)) or 0 in shape:
        expected = "(H, W, 3)" if axes == 3 else "(H, W)"
        raise EngineError(f"expected {expected} uint8 on the GPU, got {shape} {array.dtype}")
    if array.strides[1:] != contiguous_strides(shape[1:], 1) or array.strides[0] < 0:
        raise EngineError(f"expected rows of contiguous pixels, got strides {array.strides}; copy the array")
    return shape[0], shape[1]


def _image_arguments(frame: DeviceArray) -> tuple[DeviceArray, int, int, int]:
    """Kernel arguments of an image: rows, pitch, width, height."""
    height, width = _image_size(frame, 3)
    return frame, frame.strides[0], width, height


def _images_hw(images: DeviceArray, count: int) -> tuple[int, int]:
    """Height and width of a contiguous batch of `count` images."""
    shape = images.shape
    valid = len(shape) == 4 and shape[0] == count and shape[3] == 3 and images.dtype == np.uint8
    if not valid or not images.contiguous:
        raise EngineError(f"expected contiguous ({count}, H, W, 3) uint8 on the GPU, got {shape} {images.dtype}")
    return shape[1], shape[2]


def _common_scale(faces: Sequence[tuple[Window, DeviceArray]], outscale: int) -> int:
    """Scale of all faces, which are square, relative to their windows: one integer of at least `outscale`."""
    scales = {pixels.shape[0] / window[2] for window, pixels in faces}
    scale = int(next(iter(scales)))
    if len(scales) != 1 or scale not in scales or not 1 <= outscale <= scale:
        raise EngineError(f"expected faces of one integer scale of at least {outscale}, got {sorted(scales)}")
    for _, pixels in faces:
        side, dtype = pixels.shape[0], pixels.dtype
        if pixels.shape != (side, side, 3) or dtype != np.uint8 or not pixels.contiguous:
            raise EngineError(f"expected contiguous (S, S, 3) uint8 on the GPU, got {pixels.shape} {dtype}")
    return scale


def _scale_factor(small: DeviceArray, large: DeviceArray) -> int:
    """Integer scale factor between two images, the larger of which is contiguous."""
    height, width = _image_size(small, 3)
    scale = large.shape[0] // height if large.shape else 0
    if _image_size(large, 3) != (scale * height, scale * width) or not large.contiguous:
        raise EngineError(f"expected a contiguous array of an integer multiple of {small.shape}, got {large.shape}")
    return scale
