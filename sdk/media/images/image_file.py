"""Image files: their images with opacity, all bits and metadata, upright; and plain reading and writing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ....engines.errors import FacesrError, InputError, first_line
from ...pipeline.frame import Frame, ImageMetadata
from ..encode_options import EncodeOptions
from ..reasons import error_reason
from .decode import DAMAGED, DecodedImage, decode_image, finish, turned_by_exif
from .encode import write_frame
from .exif import orientation
from .formats import IMAGE_FORMATS, IMAGE_SUFFIXES, PAGE_S
from .header import ImageHeader, image_header, jpeg_xl_xmp, tiff_pages
from .left_out import left_out, png_stub
from .pillow import open_pillow, pixels_of, read_metadata

MAX_MEGAPIXELS = 100
_DEFAULTS = EncodeOptions()
_MILLISECOND = Fraction(1, 1000)
_PILLOW_ONLY = frozenset(("AVIF", "HEIC", "JPEG XL"))


class ImageFile:
    """An image file, read and identified; its images are decoded one at a time.

    Args:
        path: image file; the format is identified by content, not by suffix.
        data: content of the file, if it has been read.

    Attributes:
        path: the file.
        header: format and size.
        size_wh: width and height in pixels of the first image, upright.
        frame_count: number of frames of an animation, or of pages; 1 for a single image.
        time_base: unit of `Frame.pts` of frames and pages, in seconds; a page is shown for one unit.
        metadata: of the file, as stored.
        loop: how often an animation is played, 0 for endless; None for other images.
        notes: what is not read; what decoding converts is added.

    Raises:
        InputError: missing, empty, truncated, damaged, not an image, or larger than 100 megapixels.
        MissingDependencyError: a package that this format needs is not installed.
    """

    def __init__(self, path: Path, data: bytes | None = None) -> None:
        self.path = path
        self.notes: list[str] = []
        self._data = read_bytes(path) if data is None else data
        self.header = self._checked_header(self._data)
        with self._damage():
            self._image = self._opened()
            self.metadata = self._read_metadata()
            self.frame_count, self.time_base, self.loop = self._frames()
            self.notes += left_out(self._data, self.header, self._image, self.metadata)

    def _checked_header(self, data: bytes) -> ImageHeader:
        header = image_header(data)
        if header is None:
            raise self._error(f"is not an image; expected {', '.join(IMAGE_FORMATS)}")
        self._check_size(*header.size_wh)
        if not all(header.size_wh) or not (header.complete or header.format == "JPEG"):
            raise self._error(f"{DAMAGED} ({header.format})")
        return header

    def _check_size(self, width: int, height: int) -> None:
        if width * height > MAX_MEGAPIXELS * 1_000_000:
            raise self._error(
                f"has {width}x{height} pixels, {width * height / 1e6:.0f} megapixels; "
                f"the limit is {MAX_MEGAPIXELS}, resize or crop it"
            )

    def _opened(self) -> Image.Image | None:
        still = self.header.format == "PNG" and not self.header.animated
        try:
            image = open_pillow(png_stub(self._data) if still else self._data, self.header.format)
        except InputError as error:
            if self.header.format in _PILLOW_ONLY:
                raise self._error(f"{DAMAGED} ({self.header.format}: {error})") from error
            self.notes.append("metadata dropped: it cannot be read")
            return None
        self._check_size(*image.size)
        return image

    def _read_metadata(self) -> ImageMetadata:
        if self._image is None:
            return ImageMetadata()
        if self.header.format == "PNG" and self.header.animated:  # Pillow would read what follows the frames too late
            return read_metadata(open_pillow(png_stub(self._data), "PNG"))
        metadata = read_metadata(self._image)
        if self.header.format == "JPEG XL" and not metadata.xmp:  # which its plugin does not read
            return replace(metadata, xmp=jpeg_xl_xmp(self._data).rstrip(b"\0"))
        return metadata

    def _frames(self) -> tuple[int, Fraction, int | None]:
        """Number of frames, their time base and the loop count."""
        if self.header.format == "TIFF":
            self._pages = tiff_pages(self._data)
            return max(1, len(self._pages)), PAGE_S, None
        if self._image is None or self.header.format not in ("PNG", "WebP", "AVIF"):
            return 1, _MILLISECOND, None
        count = int(getattr(self._image, "n_frames", 1))
        self._first = int(bool(self._image.info.get("default_image")) and count > 1)
        if count - self._first < 2:
            return 1, _MILLISECOND, None
        return count - self._first, _MILLISECOND, int(self._image.info.get("loop", 0))

    @property
    def size_wh(self) -> tuple[int, int]:
        """See the class."""
        image = self._image
        width, height = (
            (image.width, image.height) if image and self.header.format in _PILLOW_ONLY else self.header.size_wh
        )
        stored = self.header.format == "TIFF" or turned_by_exif(self.header, self._image)
        turned = stored and orientation(self.metadata.exif) > 4
        return (height, width) if turned else (width, height)

    def frames(self, first_index: int = 0, name: str | None = None) -> Iterator[Frame]:
        """Decode the images of the file.

        Args:
            first_index: index of the first frame.
            name: name of the frames; None for the file name.

        Raises:
            InputError: truncated or damaged, or a layout that is not supported.
        """
        name = self.path.name if name is None else name
        images = self._animation() if self.frame_count > 1 else self._single()
        elapsed_s = Fraction(0)
        for index, (image, duration_s) in enumerate(images):
            frame = Frame(image.pixels, first_index + index, name=name, alpha=image.alpha, deep=image.deep)
            frame = replace(frame, metadata=image.metadata)
            if duration_s is not None:
                start, end = (round(time_s / self.time_base) for time_s in (elapsed_s, elapsed_s + duration_s))
                frame = replace(frame, pts=start, time_base=self.time_base, duration=end - start)
                frame = replace(frame, time_s=float(start * self.time_base))
                elapsed_s += duration_s
            yield frame

    def _single(self) -> Iterator[tuple[DecodedImage, Fraction | None]]:
        yield self._decoded(self._data, self.header, self._image, self.metadata), None

    def _decoded(
        self, data: bytes, header: ImageHeader, image: Image.Image | None, metadata: ImageMetadata
    ) -> DecodedImage:
        with self._damage():
            try:
                decoded = decode_image(data, header, image, metadata)
            except InputError as error:
                raise self._error(f"{error} ({header.format})" if str(error) == DAMAGED else str(error)) from error
        self._add_notes(decoded.notes)
        return decoded

    def _animation(self) -> Iterator[tuple[DecodedImage, Fraction | None]]:
        """Frames or pages, with their durations in seconds."""
        if self.header.format == "TIFF":
            for page in self._pages:
                yield self._page(page), PAGE_S
            return
        assert self._image is not None
        for number in range(self._first, self._first + self.frame_count):
            try:
                with self._damage():
                    self._image.seek(number)
                    pixels = pixels_of(self._image)
            except (InputError, EOFError) as error:
                raise self._error(f"{DAMAGED} ({self.header.format}, frame {number - self._first + 1})") from error
            notes: list[str] = []
            with self._damage():
                finished = finish(pixels, self.metadata, notes)
                duration_s = Fraction(self._image.info.get("duration", 0)) / 1000
            self._add_notes(notes)
            yield finished, duration_s

    def _page(self, position: int) -> DecodedImage:
        """Decode the page of a TIFF whose directory is at `position`: the file with it as its first."""
        order: Literal["little", "big"] = "little" if self._data[:2] == b"II" else "big"
        data = self._data[:4] + position.to_bytes(4, order) + self._data[8:]
        header = self._checked_header(data)
        try:
            image = open_pillow(data, "TIFF")
        except InputError:
            image = None
        return self._decoded(data, header, image, read_metadata(image) if image else ImageMetadata())

    def _add_notes(self, notes: list[str] | tuple[str, ...]) -> None:
        self.notes += [note for note in notes if note not in self.notes]

    @contextmanager
    def _damage(self) -> Iterator[None]:
        """Damaged metadata, pages and frames raise errors of any type, in Pillow and in the parsers of this package."""
        try:
            yield
        except FacesrError:
            raise
        except Exception as error:
            raise self._error(f"{DAMAGED} ({self.header.format}: {first_line(error)})") from error

    def _error(self, problem: str) -> InputError:
        return InputError(f"{self.path} {problem}")


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image and apply its EXIF orientation.

    Args:
        path: image file; the format is identified by content, not by suffix.

    Returns:
        (H, W, 3) uint8 BGR; of an animation or a file of several pages, the first. Alpha is dropped, 16-bit samples
        are reduced to their upper 8 bits.

    Raises:
        InputError: missing, empty, truncated, damaged, not an image, or larger than 100 megapixels.
        MissingDependencyError: a package that this format needs is not installed.
    """
    return next(ImageFile(path).frames()).pixels


def write_image(
    path: Path, pixels: NDArray[np.uint8], options: EncodeOptions = _DEFAULTS, *, upscaled: bool = False
) -> None:
    """Write an image atomically.

    Args:
        path: destination; the suffix selects the format.
        pixels: (H, W, 3) uint8 BGR.
        options: quality, subsampling and compression.
        upscaled: a network made some of the pixels: the file is marked, see `provenance.iptc.marked`.

    Raises:
        OutputError: the format does not support this size, or the file cannot be written; `path` is unchanged.
    """
    write_frame(path, Frame(pixels, upscaled=upscaled), pixels, options, lambda note: None)


def image_paths(folder: Path) -> list[Path]:
    """List the images of a folder, not of its subfolders, sorted by name; without hidden files, such as those of macOS.

    Raises:
        InputError: the folder cannot be listed or holds no images.
    """
    return list_images(folder)[0]


def list_images(folder: Path) -> tuple[list[Path], list[str]]:
    """The images of a folder as of `image_paths`, and the names of all else; subfolders end with "/".

    Raises:
        InputError: the folder cannot be listed or holds no images.
    """
    images, skipped = [], []
    try:
        for path in sorted(folder.iterdir()):
            if path.is_dir():
                skipped.append(f"{path.name}/")
            elif path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith("."):
                images.append(path)
            else:
                skipped.append(path.name)
    except OSError as error:
        raise InputError(f"{folder} cannot be listed: {error_reason(error)}") from error
    if not images:
        raise InputError(f"no images in {folder}; expected {', '.join(sorted(IMAGE_SUFFIXES))}")
    return images, skipped


def read_bytes(path: Path) -> bytes:
    """Read a non-empty file.

    Raises:
        InputError: missing, empty or not readable.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error_reason(error)}") from error
    if not data:
        raise InputError(f"{path} is empty (0 bytes); copy it again")
    return data
