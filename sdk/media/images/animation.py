"""Files of several images: animated WebP and PNG, TIFF of several pages, and numbered files of other formats.

Each image is encoded like a single one, with the same options, and added to the file, so that memory stays constant.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import IO, TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from ....engines.errors import OutputError, UsageError
from ....engines.files import atomic_file
from ...pipeline.frame import Frame, ImageMetadata
from ..encode_options import EncodeOptions
from ..reasons import write_error
from .embed import png_chunk, png_metadata, riff_chunk, tiff_page, webp_head, webp_pixels, webp_tail
from .encode import Note, StoredImage, encode_pixels, stored_image, write_frame
from .formats import PAGE_S, ImageFormat, image_format

if TYPE_CHECKING:
    from ...provenance.seal import Seal

_DEFAULT_MS = 100
_MAX_BYTES = (1 << 32) - 2


class FramesWriter(ABC):
    """Writes frames to one or more files.

    Attributes:
        seal: signs them; None to write them unsigned.
    """

    seal: Seal | None = None

    @abstractmethod
    def write(self, frame: Frame, composite: NDArray[np.uint8]) -> None:
        """Write the composite of a frame.

        Raises:
            UsageError: its size differs from the first, in an animation.
            OutputError: the file cannot be written.
        """

    def close(self, complete: bool = True) -> None:  # noqa: B027 (numbered files are complete)
        """Finish the file; without any frame, none is created.

        Args:
            complete: all frames of the source are written; a signature says it if not.

        Raises:
            OutputError: the file cannot be finished.
        """


def open_frames(path: Path, options: EncodeOptions, loop: int, note: Note) -> FramesWriter:
    """Open a writer of several images.

    Args:
        path: destination; the suffix selects the format. Of formats that hold one image, numbered files are written.
        options: of the encoder.
        loop: how often an animation is played, 0 for endlessly.
        note: called with each loss.
    """
    target = image_format(path)
    if target is None or not target.frames:
        return NumberedFiles(path, options, note)
    if target.name == "TIFF":
        return TiffPages(path, target, options, note)
    kind = AnimatedWebP if target.name == "WebP" else AnimatedPng
    return kind(path, target, options, loop, note)


class NumberedFiles(FramesWriter):
    """One file for each frame: NAME-0001.jpg, NAME-0002.jpg, …"""

    def __init__(self, path: Path, options: EncodeOptions, note: Note) -> None:
        self._path, self._options, self._note = path, options, note
        self._count = 0

    def write(self, frame: Frame, composite: NDArray[np.uint8]) -> None:
        """See `FramesWriter`."""
        self._count += 1
        path = self._path.with_name(f"{self._path.stem}-{self._count:04d}{self._path.suffix}")
        if self._count == 1:
            self._note(f"frames written to separate files, {path.name}, …: {path.suffix} stores one image")
        write_frame(path, frame, composite, self._options, self._note, self.seal)


class _OneFile(FramesWriter):
    """A file that appears when it is complete."""

    def __init__(self, path: Path, target: ImageFormat, options: EncodeOptions, note: Note) -> None:
        self._path, self._target, self._options, self._note = path, target, options, note
        self._stack = ExitStack()
        self._file: IO[bytes] | None = None
        self._name = ""

    def write(self, frame: Frame, composite: NDArray[np.uint8]) -> None:
        """See `FramesWriter`."""
        image = stored_image(frame, composite, self._target, self._options, self._note)
        if max(image.size_wh) > self._target.max_side:
            raise OutputError(f"{self._path}: {self._target.name} stores up to {self._target.max_side} px a side")
        try:
            if self._file is None:
                self._file = self._stack.enter_context(atomic_file(self._path))
                self._name = frame.name
                self._begin(self._file, image)
            self._add(self._file, frame, image)
            if self._file.tell() > _MAX_BYTES:
                raise OutputError(f"{self._path}: {self._target.name} stores up to 4 GB; write a video instead")
        except OSError as error:
            raise OutputError(write_error(self._path, error)) from error

    def close(self, complete: bool = True) -> None:
        """See `FramesWriter`."""
        file, self._file = self._file, None
        if file is None:
            return
        try:
            with self._stack:
                self._end(file)
                if self.seal is not None:
                    file.flush()
                    self.seal.sign_file(Path(file.name), self._path, self._name, complete=complete)
        except OSError as error:
            raise OutputError(write_error(self._path, error)) from error

    def _encoded(self, image: StoredImage) -> bytes:
        data = encode_pixels(image, self._target, self._options)
        if data is None:
            width, height = image.size_wh
            raise OutputError(f"{self._path}: {self._target.name} cannot store {width}x{height} pixels")
        return data

    @abstractmethod
    def _begin(self, file: IO[bytes], image: StoredImage) -> None: ...

    @abstractmethod
    def _add(self, file: IO[bytes], frame: Frame, image: StoredImage) -> None: ...

    @abstractmethod
    def _end(self, file: IO[bytes]) -> None: ...


class TiffPages(_OneFile):
    """A TIFF of one page for each frame, each with its metadata; pages may differ in size."""

    def _begin(self, file: IO[bytes], image: StoredImage) -> None:
        file.write(b"II*\0" + bytes(4))
        self._link = 4  # where the position of the next page is stored

    def _add(self, file: IO[bytes], frame: Frame, image: StoredImage) -> None:
        if frame.time_base not in (None, PAGE_S):  # pages of a TIFF have times that it does not store
            self._note("durations and repetitions dropped: TIFF files have none")
        at = file.tell()
        page, link = tiff_page(self._encoded(image), image.metadata, at)
        file.seek(self._link)
        file.write(struct.pack("<I", at))
        file.seek(at)
        file.write(page)
        self._link = at + link

    def _end(self, file: IO[bytes]) -> None:
        pass


class _Animation(_OneFile):
    """Frames of one size, each shown until the next one starts."""

    def __init__(self, path: Path, target: ImageFormat, options: EncodeOptions, loop: int, note: Note) -> None:
        super().__init__(path, target, options, note)
        self._loop = loop if 0 <= loop < 1 << 16 else 0
        self._count = 0
        self._pending: tuple[bytes, Fraction, Fraction | None] | None = None  # pixels, start and duration in s
        self._last_ms = _DEFAULT_MS

    def _begin(self, file: IO[bytes], image: StoredImage) -> None:
        self._size_wh, self._metadata = image.size_wh, image.metadata
        file.write(self._head(image))

    def _mark(self, image: StoredImage) -> None:
        """Take over the XMP of a frame with upscaled faces, which the first frame may not have."""
        if image.marked:
            self._metadata = replace(self._metadata, xmp=image.metadata.xmp)

    def _add(self, file: IO[bytes], frame: Frame, image: StoredImage) -> None:
        if image.size_wh != self._size_wh:
            raise UsageError(f"expected a frame of {self._size_wh} as the first, got {image.size_wh}")
        start_s, duration_s = Fraction(frame.time_s), None
        if frame.pts is not None and frame.time_base is not None:
            start_s = frame.pts * frame.time_base
            duration_s = frame.duration * frame.time_base if frame.duration is not None else None
        self._flush(file, start_s)
        self._mark(image)
        self._pending = self._pixels(image), start_s, duration_s

    def _flush(self, file: IO[bytes], next_s: Fraction | None) -> None:
        """Write the pending frame; it lasts until the next one starts, the last one for its duration."""
        if self._pending is None:
            return
        pixels, start_s, duration_s = self._pending
        end_s = next_s if next_s is not None else start_s + duration_s if duration_s is not None else None
        if end_s is not None:
            self._last_ms = max(0, round(end_s * 1000) - round(start_s * 1000))
        file.write(self._frame(pixels, self._last_ms))
        self._count += 1
        self._pending = None

    def _end(self, file: IO[bytes]) -> None:
        self._flush(file, None)
        file.write(self._tail())
        self._finish(file)

    @abstractmethod
    def _head(self, image: StoredImage) -> bytes: ...

    @abstractmethod
    def _pixels(self, image: StoredImage) -> bytes: ...

    @abstractmethod
    def _frame(self, pixels: bytes, duration_ms: int) -> bytes: ...

    @abstractmethod
    def _tail(self) -> bytes: ...

    @abstractmethod
    def _finish(self, file: IO[bytes]) -> None: ...


class AnimatedWebP(_Animation):
    """An animated WebP; each frame is a whole image."""

    _alpha = False

    def _head(self, image: StoredImage) -> bytes:
        animation = riff_chunk(b"ANIM", struct.pack("<IH", 0, self._loop))
        head = webp_head(image.size_wh, self._metadata, alpha=False, animated=True)
        return b"RIFF" + bytes(4) + b"WEBP" + head + animation

    def _pixels(self, image: StoredImage) -> bytes:
        self._alpha |= image.alpha
        return webp_pixels(self._encoded(image))

    def _frame(self, pixels: bytes, duration_ms: int) -> bytes:
        fields = (0, 0, self._size_wh[0] - 1, self._size_wh[1] - 1, min(duration_ms, (1 << 24) - 1))
        head = b"".join(field.to_bytes(3, "little") for field in fields)
        return riff_chunk(b"ANMF", head + b"\2" + pixels)  # replaces the frame before, without blending

    def _tail(self) -> bytes:
        return webp_tail(self._metadata)

    def _finish(self, file: IO[bytes]) -> None:
        size = file.tell()
        file.seek(4)
        file.write(struct.pack("<I", size - 8))
        head = webp_head(self._size_wh, self._metadata, alpha=self._alpha, animated=True)
        file.seek(12)
        file.write(head)


class AnimatedPng(_Animation):
    """An animated PNG; each frame is a whole image with opacity."""

    _sequence = 0
    _late_xmp = False

    def _head(self, image: StoredImage) -> bytes:
        depth = 8 * image.pixels.dtype.itemsize
        head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", *image.size_wh, depth, 6, 0, 0, 0))
        self._control_at = 8 + len(head)
        self._late_xmp = not image.marked  # a later frame may mark it, so that it follows at the end
        metadata = replace(self._metadata, xmp=b"") if self._late_xmp else self._metadata
        return b"\x89PNG\r\n\x1a\n" + head + self._control() + png_metadata(metadata)

    def _control(self) -> bytes:
        return png_chunk(b"acTL", struct.pack(">II", self._count, self._loop))

    def _pixels(self, image: StoredImage) -> bytes:
        if not image.alpha:
            opaque = np.full(image.pixels.shape[:2], np.iinfo(image.pixels.dtype).max, image.pixels.dtype)
            image = StoredImage(cv2.merge([image.pixels, opaque]), ImageMetadata())
        return _png_pixels(self._encoded(image))

    def _frame(self, pixels: bytes, duration_ms: int) -> bytes:
        delay = (duration_ms, 1000) if duration_ms < 1 << 16 else (min(round(duration_ms / 1000), 65_535), 1)
        fields = struct.pack(">IIIIIHHBB", self._next(), *self._size_wh, 0, 0, *delay, 0, 0)
        control = png_chunk(b"fcTL", fields)
        if self._count == 0:
            return control + png_chunk(b"IDAT", pixels)
        return control + png_chunk(b"fdAT", struct.pack(">I", self._next()) + pixels)

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence - 1

    def _tail(self) -> bytes:
        late = ImageMetadata(xmp=self._metadata.xmp if self._late_xmp else b"")
        return png_metadata(late) + png_chunk(b"IEND", b"")

    def _finish(self, file: IO[bytes]) -> None:
        file.seek(self._control_at)
        file.write(self._control())


def _png_pixels(data: bytes) -> bytes:
    """The compressed pixels of a PNG, of all its IDAT chunks together."""
    parts, at = [], 8
    while at + 12 <= len(data):
        length = int(struct.unpack_from(">I", data, at)[0])
        if data[at + 4 : at + 8] == b"IDAT":
            parts.append(data[at + 8 : at + 8 + length])
        at += 12 + length
    return b"".join(parts)
