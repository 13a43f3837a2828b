"""The picture of a signed file, compared with what its format stores of the recomputed one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..media.encode_options import EncodeOptions
from ..media.images.encode import stored_image
from ..media.images.formats import IMAGE_FORMATS, ImageFormat
from ..media.images.header import image_header
from ..media.images.image_file import ImageFile
from ..media.sources import open_source
from ..pipeline.frame import Frame
from ..pipeline.results import FrameResult
from .signable import content_of


@dataclass(frozen=True)
class Comparison:
    """How a picture differs from the recomputed one.

    Args:
        lossless: the file holds the composite as it is: lossless, of 8 bits, in colors that were not converted.
        count: number of pixels that differ in color or opacity; invisible pixels have no color.
        outside: those outside of the windows of faces.
        largest: difference, of 255.
        psnr_db: of the picture; `math.inf` if it is equal.
        face_psnr_db: lowest of the windows of faces; `math.inf` without any.
    """

    lossless: bool
    count: int
    outside: int
    largest: int
    psnr_db: float
    face_psnr_db: float


def compare(file: Path, result: FrameResult, outscale: int) -> Comparison | str:
    """Compare a picture with the recomputed one.

    Args:
        file: image, or video of one frame.
        result: recomputed, with a composite.
        outscale: of the composite.

    Returns:
        The differences; a line of text if the sizes differ.

    Raises:
        FacesrError, OSError, StopIteration: the file cannot be read.
    """
    composite = result.frame
    assert composite is not None
    content = content_of(file)
    target = IMAGE_FORMATS[content.name] if content and content.is_image else None
    written = _first_frame(file, is_image=target is not None)
    expected = _stored(result, composite, target)
    found = _with_alpha(written.pixels, None if target is None else written.alpha)
    if target is None:  # 4:2:0 video repeats the last row or column of an odd side
        height, width = expected.shape[:2]
        found = found[: height + height % 2, : width + width % 2][:height, :width]
    if found.shape != expected.shape:
        return f"its picture is {_size(found)}, the recomputed one {_size(expected)}"
    differences = np.abs(found.astype(np.int16) - expected)
    windows = [
        (slice(max(0, outscale * y0), max(0, outscale * y1)), slice(max(0, outscale * x0), max(0, outscale * x1)))
        for x0, y0, x1, y1 in (face.window_xyxy for face in result.faces)
    ]
    return _comparison(differences, expected[:, :, 3], windows, _is_lossless(file, target, result))


def _comparison(
    differences: NDArray[np.int16], alpha: NDArray[np.uint8], windows: list[tuple[slice, slice]], lossless: bool
) -> Comparison:
    differences[alpha == 0, :3] = 0
    largest = differences.max(axis=2)
    outside = largest != 0
    count = int(np.count_nonzero(outside))
    for window in windows:
        outside[window] = False
    weight = alpha.astype(np.float32)[:, :, None] / 255
    colors = (differences[:, :, :3].astype(np.float32) * weight) ** 2
    squares = np.maximum(colors.mean(axis=2), differences[:, :, 3].astype(np.float32) ** 2)
    return Comparison(
        lossless,
        count,
        int(np.count_nonzero(outside)),
        int(largest.max(initial=0)),
        _psnr_db(squares),
        min((_psnr_db(squares[window]) for window in windows), default=math.inf),
    )


def _psnr_db(squares: NDArray[np.float32]) -> float:
    error = float(squares.mean(dtype=np.float64)) if squares.size else 0.0
    return 10 * math.log10(255**2 / error) if error else math.inf


def _first_frame(file: Path, *, is_image: bool) -> Frame:
    if is_image:
        return next(ImageFile(file).frames())
    with open_source(file) as source:
        return next(iter(source))


def _stored(result: FrameResult, composite: NDArray[np.uint8], target: ImageFormat | None) -> NDArray[np.uint8]:
    """What a format stores of the composite: over white, in sRGB, with opacity; (H, W, 4) uint8 BGRA."""
    if target is None:
        return _with_alpha(composite, None)
    options = EncodeOptions(strip_metadata=True, no_provenance=True)
    pixels = stored_image(result.source, composite, target, options, lambda note: None).pixels
    return _with_alpha(pixels[:, :, :3], pixels[:, :, 3] if pixels.shape[2] == 4 else None)


def _with_alpha(pixels: NDArray[Any], alpha: NDArray[Any] | None) -> NDArray[np.uint8]:
    if alpha is None:
        alpha = np.full(pixels.shape[:2], np.iinfo(np.uint8).max, np.uint8)
    return np.dstack((_eight_bits(pixels), _eight_bits(alpha)))


def _eight_bits(samples: NDArray[Any]) -> NDArray[np.uint8]:
    return samples if samples.dtype == np.uint8 else (samples >> 8).astype(np.uint8)


def _size(pixels: NDArray[np.uint8]) -> str:
    return f"{pixels.shape[1]}x{pixels.shape[0]}"


def _is_lossless(file: Path, target: ImageFormat | None, result: FrameResult) -> bool:
    if target is None or result.source.deep is not None:
        return False
    if result.source.metadata and result.source.metadata.icc and not target.icc:
        return False
    if target.name == "WebP":
        with file.open("rb") as stream:
            head = stream.read(1 << 16)
        return b"VP8L" in head and image_header(head) is not None
    return target.name in ("PNG", "TIFF")
