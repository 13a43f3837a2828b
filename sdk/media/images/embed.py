"""Metadata in encoded images: segments of JPEG, chunks of PNG and WebP, tags of TIFF.

The pixels are encoded by OpenCV, at half the time of Pillow, and the blocks are added to its bytes.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from PIL import Image
from PIL.TiffImagePlugin import IFDRational, ImageFileDirectory_v2

from ...pipeline.frame import ImageMetadata
from ...provenance.iptc import marked
from .header import jpeg_segments

Note = Callable[[str], None]
_EXIF, _XMP, _ICC = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0"
_MAX_SEGMENT = 65_533
MAX_JPEG_XMP = _MAX_SEGMENT - len(_XMP)
"""Bytes of XMP that a JPEG holds."""
_METERS_PER_INCH = 0.0254


def jpeg_with(data: bytes, metadata: ImageMetadata, note: Note) -> bytes:
    """Add metadata to a JPEG; a block that does not fit a segment is left out, with a note."""
    segments = []
    for name, block in (("EXIF", _EXIF + metadata.exif), ("XMP", _XMP + metadata.xmp)):
        if len(block) > _MAX_SEGMENT:
            note(f"{name} dropped: a JPEG holds up to {_MAX_SEGMENT:,} bytes of it, got {len(block):,}")
        elif block not in (_EXIF, _XMP):
            segments.append(_segment(0xE1, block))
    share = _MAX_SEGMENT - len(_ICC) - 2
    parts = [metadata.icc[at : at + share] for at in range(0, len(metadata.icc), share)]
    if len(parts) > 255:
        note("ICC profile dropped: too large for a JPEG")
        parts = []
    segments += [_segment(0xE2, _ICC + bytes((i, len(parts))) + part) for i, part in enumerate(parts, 1)]
    start = next((at for marker, at in jpeg_segments(data) if marker != 0xE0), 2)
    head = bytearray(data[:start])
    if metadata.dpi and head[6:11] == b"JFIF\0":
        struct.pack_into(">BHH", head, 13, 1, *(min(65_535, max(1, round(dpi))) for dpi in metadata.dpi))
    return b"".join((head, *segments, data[start:]))


def marked_jpeg(data: bytes) -> bytes:
    """A JPEG without metadata, with the mark of upscaled faces."""
    return jpeg_with(data, marked(), lambda note: None)


def marked_png(data: bytes) -> bytes:
    """A PNG without metadata, with the mark of upscaled faces."""
    return png_with(data, marked())


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of PNG with its length and checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))


def png_metadata(metadata: ImageMetadata) -> bytes:
    """Chunks of PNG that hold metadata; they follow the first chunk, IHDR."""
    chunks = []
    if metadata.icc:
        chunks.append(png_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata.icc)))
    if metadata.dpi:
        per_meter = (round(dpi / _METERS_PER_INCH) for dpi in metadata.dpi)
        chunks.append(png_chunk(b"pHYs", struct.pack(">IIB", *per_meter, 1)))
    if metadata.exif:
        chunks.append(png_chunk(b"eXIf", metadata.exif))
    if metadata.xmp:
        chunks.append(png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + metadata.xmp))
    return b"".join(chunks)


def png_with(data: bytes, metadata: ImageMetadata) -> bytes:
    """Add metadata to a PNG."""
    head = 8 + 25  # signature and IHDR
    return data[:head] + png_metadata(metadata) + data[head:]


def riff_chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of WebP, padded to an even length."""
    return kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) & 1)


def webp_head(size_wh: tuple[int, int], metadata: ImageMetadata, *, alpha: bool, animated: bool = False) -> bytes:
    """Chunks of WebP before the pixels: flags and size, and the ICC profile."""
    flags = 32 * bool(metadata.icc) + 16 * alpha + 8 * bool(metadata.exif) + 4 * bool(metadata.xmp) + 2 * animated
    size = b"".join((side - 1).to_bytes(3, "little") for side in size_wh)
    head = riff_chunk(b"VP8X", struct.pack("<I", flags) + size)
    return head + (riff_chunk(b"ICCP", metadata.icc) if metadata.icc else b"")


def webp_tail(metadata: ImageMetadata) -> bytes:
    """Chunks of WebP after the pixels: EXIF and XMP."""
    blocks = ((b"EXIF", metadata.exif), (b"XMP ", metadata.xmp))
    return b"".join(riff_chunk(kind, block) for kind, block in blocks if block)


def webp_pixels(data: bytes) -> bytes:
    """The chunks of an encoded WebP image that hold its pixels."""
    return b"".join(data[at:end] for kind, at, end in _riff_chunks(data) if kind in (b"ALPH", b"VP8 ", b"VP8L"))


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    at = 12
    while at + 8 <= len(data):
        length = int(struct.unpack_from("<I", data, at + 4)[0])
        end = at + 8 + length + (length & 1)
        yield data[at : at + 4], at, end
        at = end


def webp_with(data: bytes, size_wh: tuple[int, int], metadata: ImageMetadata, *, alpha: bool) -> bytes:
    """Add metadata to a WebP image."""
    if not (metadata.icc or metadata.exif or metadata.xmp):
        return data
    body = webp_head(size_wh, metadata, alpha=alpha) + webp_pixels(data) + webp_tail(metadata)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


_STRIP_OFFSETS, _STRIP_BYTES = 273, 279
_TIFF_XMP, _TIFF_ICC, _EXTRA_SAMPLES = 700, 34_675, 338
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT, _INCH = 282, 283, 296, 2
_SUB_DIRECTORIES = (0x8769, 0x8825)  # EXIF, GPS
_STRUCTURE = frozenset((*range(254, 260), 262, 266, *range(272, 285), 296, 317, 318, 319, 320, 322, 323, 338, 339, 700))
_UNDEFINED, _BYTE, _SHORT = 7, 1, 3


def tiff_page(data: bytes, metadata: ImageMetadata, at: int = 8) -> tuple[bytes, int]:
    """A TIFF's only page with metadata, to be placed in another file.

    Args:
        data: TIFF of one page in strips, as OpenCV writes it.
        metadata: of the page.
        at: position in the file; even.

    Returns:
        The directory with the pixels after it, and the position, from its start, of the offset of the next directory.
    """
    file = io.BytesIO(data)
    tags = ImageFileDirectory_v2(data[:8])
    file.seek(tags.next)
    tags.load(file)
    for tag in list(tags):
        tags[tag] = tags[tag]  # decoded, as only decoded values are written
    offsets, lengths = (_tuple(tags[tag]) for tag in (_STRIP_OFFSETS, _STRIP_BYTES))
    start, end = min(offsets), max(offset + length for offset, length in zip(offsets, lengths, strict=True))
    tags[_STRIP_OFFSETS] = tuple(offset - start for offset in offsets)  # from the end of the directory
    tags.tagtype[_STRIP_OFFSETS] = 4
    _add_tags(tags, metadata)
    directory = tags.tobytes(at)
    page = directory + data[start:end]
    return page + b"\0" * (len(page) & 1), 2 + 12 * len(tags)


def _tuple(value: Any) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,)


def _add_tags(tags: ImageFileDirectory_v2, metadata: ImageMetadata) -> None:
    if int(_tuple(tags.get(277, 1))[0]) == 4:  # samples per pixel
        tags[_EXTRA_SAMPLES] = (2,)  # opacity, colors not multiplied by it
        tags.tagtype[_EXTRA_SAMPLES] = _SHORT
    if metadata.dpi:
        tags[_X_RESOLUTION], tags[_Y_RESOLUTION] = (IFDRational(round(dpi * 1000), 1000) for dpi in metadata.dpi)
        tags[_RESOLUTION_UNIT] = _INCH
    for tag, block, kind in ((_TIFF_ICC, metadata.icc, _UNDEFINED), (_TIFF_XMP, metadata.xmp, _BYTE)):
        if block:
            tags.tagtype[tag] = kind
            tags[tag] = block
    exif = Image.Exif()
    if metadata.exif:
        exif.load(metadata.exif)
    for tag, value in exif.items():
        if tag not in _STRUCTURE | {_TIFF_ICC, *_SUB_DIRECTORIES} or tag in (271, 272):  # make and model
            tags[tag] = value
    for tag in _SUB_DIRECTORIES:
        if directory := exif.get_ifd(tag):
            tags.tagtype[tag] = 4
            tags[tag] = dict(directory)


def bmp_with(data: bytes, metadata: ImageMetadata) -> bytes:
    """Set the resolution of a BMP."""
    if metadata.dpi is None:
        return data
    return data[:38] + struct.pack("<ii", *(round(dpi / _METERS_PER_INCH) for dpi in metadata.dpi)) + data[46:]


def tiff_with(data: bytes, metadata: ImageMetadata) -> bytes:
    """Add metadata to a TIFF of one page."""
    return data[:4] + struct.pack("<I", 8) + tiff_page(data, metadata)[0]


def jpeg_xl_container(data: bytes) -> bytes:
    """A JPEG XL in a container, which metadata and signatures need; one without metadata is a bare codestream."""
    if not data.startswith(b"\xff\x0a"):
        return data
    boxes = ((b"JXL ", b"\r\n\x87\n"), (b"ftyp", b"jxl \0\0\0\0jxl "), (b"jxlc", data))
    return b"".join(struct.pack(">I", 8 + len(content)) + kind + content for kind, content in boxes)


def with_metadata(
    data: bytes, name: str, size_wh: tuple[int, int], metadata: ImageMetadata, note: Note, *, alpha: bool
) -> bytes:
    """Add metadata to an encoded image.

    Args:
        data: JPEG, PNG, WebP, BMP or TIFF as OpenCV writes it.
        name: key of `IMAGE_FORMATS`.
        size_wh: of the image.
        metadata: that the format can store.
        note: called with each block that does not fit.
        alpha: whether the pixels have opacity.
    """
    if metadata == ImageMetadata() and not (name == "TIFF" and alpha):
        return data
    if name == "JPEG":
        return jpeg_with(data, metadata, note)
    if name == "PNG":
        return png_with(data, metadata)
    if name == "WebP":
        return webp_with(data, size_wh, metadata, alpha=alpha)
    return tiff_with(data, metadata) if name == "TIFF" else bmp_with(data, metadata)
