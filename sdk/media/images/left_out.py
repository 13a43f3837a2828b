"""What image files hold besides the images and metadata that are read: one note for each kind."""

from __future__ import annotations

import struct
from typing import Any

from PIL import Image

from ...pipeline.frame import ImageMetadata
from .embed import png_chunk
from .header import ImageHeader, png_chunks

_SRGB_GAMMA = 0.45455
_IPTC = 0x0404
_EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/"
_PNG_TEXT = (b"tEXt", b"zTXt", b"iTXt")
_PNG_PIXELS = (b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT")
_READ_TEXT = ("XML:com.adobe.xmp", "Raw profile type exif", "Raw profile type APP1", "Raw profile type icc")
_HDR_TRANSFERS = (16, 18)  # PQ, HLG
_PRIMARIES = {9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}


def left_out(data: bytes, header: ImageHeader, image: Image.Image | None, metadata: ImageMetadata) -> list[str]:
    """Notes on what of a file is not read, one line each.

    Args:
        data: the whole file.
        header: of it.
        image: opened with Pillow, if it can.
        metadata: that is read.
    """
    if image is None:
        return []
    notes = {"JPEG": _jpeg, "PNG": _png, "HEIC": _heic, "JPEG XL": _jpeg_xl, "AVIF": _avif, "TIFF": _tiff}
    find = notes.get(header.format)
    return find(data, header, image, metadata) if find else []


def png_stub(data: bytes) -> bytes:
    """A PNG without its pixels: what Pillow reads the metadata from, also where it follows the pixels."""
    kept = (png_chunk(kind, content) for kind, content in png_chunks(data) if kind not in _PNG_PIXELS)
    return b"".join((data[:8], *kept, png_chunk(b"IDAT", b""), png_chunk(b"IEND", b"")))


def _jpeg(data: bytes, header: ImageHeader, image: Image.Image, metadata: ImageMetadata) -> list[str]:
    notes = []
    count = int(getattr(image, "n_frames", 1))
    if count > 1:
        notes.append(f"{count - 1} further {_images(count - 1)} in the file, e.g. a depth or gain map, dropped")
    photoshop = image.info.get("photoshop")
    if isinstance(photoshop, dict) and _IPTC in photoshop:
        notes.append("IPTC dropped")
    if image.info.get("comment"):
        notes.append("JPEG comment dropped")
    if any(content.startswith(_EXTENDED_XMP) for _, content in getattr(image, "applist", ())):
        notes.append("extended XMP dropped")
    return notes


def _images(count: int) -> str:
    return "image" if count == 1 else "images"


def _png(data: bytes, header: ImageHeader, image: Image.Image, metadata: ImageMetadata) -> list[str]:
    chunks = dict(png_chunks(data))
    notes = []
    texts = [content.split(b"\0")[0].decode("latin-1") for kind, content in png_chunks(data) if kind in _PNG_TEXT]
    if dropped := list(dict.fromkeys(text for text in texts if text not in _READ_TEXT)):
        notes.append(f"PNG text dropped: {', '.join(dropped)}")
    gamma = float(image.info.get("gamma") or _SRGB_GAMMA)
    if abs(gamma - _SRGB_GAMMA) > 0.01 and not metadata.icc and b"sRGB" not in chunks:
        notes.append(f"gamma {gamma:g} dropped: pixels are read as sRGB")
    if len(chunks.get(b"cICP", b"")) == 4 and not metadata.icc:
        notes += _color_notes(chunks[b"cICP"][0], chunks[b"cICP"][1])
    if header.animated and header.bits > 8:
        notes.append(f"{header.bits} bits per sample of an animation reduced to 8")
    if image.info.get("default_image"):
        notes.append("still image for software without animations dropped")
    return notes


def _color_notes(primaries: int, transfer: int) -> list[str]:
    """Note on colors, given by codes of ITU-T H.273, that are not those of sRGB."""
    if transfer in _HDR_TRANSFERS:
        return [f"{'PQ' if transfer == 16 else 'HLG'} transfer function dropped: pixels are read as sRGB"]
    if primaries in _PRIMARIES:
        return [f"{_PRIMARIES[primaries]} primaries dropped: pixels are read as sRGB"]
    return []


def _heic(data: bytes, header: ImageHeader, image: Image.Image, metadata: ImageMetadata) -> list[str]:
    info: dict[Any, Any] = image.info
    further = int(getattr(image, "n_frames", 1)) - 1
    notes = [f"{further} further {_images(further)} in the file dropped"] if further > 0 else []
    if info.get("depth_images") or info.get("aux"):
        notes.append("depth and auxiliary images dropped")
    nclx = info.get("nclx_profile") or {}
    if not metadata.icc:
        notes += _color_notes(nclx.get("color_primaries", 1), nclx.get("transfer_characteristics", 13))
    return notes


def _avif(data: bytes, header: ImageHeader, image: Image.Image, metadata: ImageMetadata) -> list[str]:
    at = data.find(b"colrnclx", 0, 65_536)
    if at < 0 or metadata.icc:
        return []
    return _color_notes(*struct.unpack_from(">HH", data, at + 8))


def _jpeg_xl(data: bytes, header: ImageHeader, image: Image.Image, metadata: ImageMetadata) -> list[str]:
    notes = ["frames after the first of a JPEG XL animation dropped"] if header.animated else []
    if b"brobxml " in data[:65_536] and not metadata.xmp:
        notes.append("compressed XMP of JPEG XL dropped")
    return notes


def _tiff(data: bytes, header: ImageHeader, image: Image.Image, metadata: ImageMetadata) -> list[str]:
    tags = getattr(image, "tag_v2", {})
    return ["IPTC dropped"] if 33_723 in tags else []
