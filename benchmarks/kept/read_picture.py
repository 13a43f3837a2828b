"""What a picture file holds: pixels by Pillow, tifffile and FFmpeg, blocks by parsing the bytes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageOps

from .contents import Contents, Pixels

PICTURE_SUFFIXES = frozenset({".jpg", ".png", ".webp", ".tif", ".bmp", ".avif", ".heic", ".jxl", ".gif"})
_RESOLUTION, _ORIENTATION, _EXIF_IFD, _GPS_IFD, _XMP = 282, 0x0112, 0x8769, 0x8825, 700
_STRUCTURE = frozenset(
    {*range(254, 270), *range(273, 286), *range(292, 298), *range(317, 326), 301, 305, 338, 339, 34675}
    | {_ORIENTATION, _XMP, _EXIF_IFD, _GPS_IFD}
)
"""Tags that describe the file or the place of other tags, not the picture; the orientation is judged by the pixels."""


def read_picture(path: Path) -> Contents:
    """Read a picture with all of its frames or pages."""
    for plugin, register in (("pillow_heif", "register_heif_opener"), ("pillow_jxl", "")):
        if find_spec(plugin):
            module = import_module(plugin)
            if register:
                getattr(module, register)()
    data = path.read_bytes()
    with Image.open(path) as image:
        tags = image.getexif()
        stored_xmp = image.info.get("xmp") or getattr(image, "tag_v2", {}).get(_XMP) or b""
        icc = image.info.get("icc_profile") or b""
        dpi = image.info.get("dpi") or (tags.get(_RESOLUTION), 0)
        turned = tags.get(_ORIENTATION, 1) != 1 or (image.info.get("original_orientation") or 1) != 1
        exif = dict(_values(tags))
        loop = _loop(data, image)
        pairs, durations = _frames(image)
    frames, bits = _deep(path, data)
    if frames is None:
        frames = tuple(frame for frame, _ in pairs)
    alphas = tuple(alpha for _, alpha in pairs)
    has_alpha = any(float(alpha.min()) < 255 for alpha in alphas)
    ends = list(accumulate(durations))
    animated = len(pairs) > 1 and any(durations)
    return Contents(
        frames=frames,
        alpha=alphas if has_alpha else (),
        bits=bits,
        times_ms=(0.0, *ends[:-1]) if animated else tuple(float(i) for i in range(len(pairs))),
        duration_ms=ends[-1] if animated else None,
        loop=loop if animated else None,
        icc=icc,
        xmp=_xmp(data, stored_xmp if isinstance(stored_xmp, bytes) else str(stored_xmp).encode()),
        exif=exif,
        dpi=float(dpi[0]) if dpi[0] and float(dpi[0]) > 1 else None,
        turned=turned,
        tags=_text(data),
    )


def _frames(image: Image.Image) -> tuple[list[tuple[Pixels, Pixels]], list[float]]:
    """Color and alpha of each frame, and durations in ms."""
    pairs, durations = [], []
    for index in range(getattr(image, "n_frames", 1)):
        image.seek(index)
        image.load()
        durations.append(float(image.info.get("duration", 0)))
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith(("I", "F")):  # 16-bit gray; the samples are read elsewhere
            upright = Image.new("L", upright.size)
        colors = np.asarray(upright.convert("RGBA"), np.float32)
        pairs.append((np.ascontiguousarray(colors[..., 2::-1]), colors[..., 3]))
    return pairs, durations


def _deep(path: Path, data: bytes) -> tuple[tuple[Pixels, ...] | None, int]:
    """Frames and depth of a file whose samples have more than 8 bits; None and 8 for others."""
    samples: NDArray[Any] | None = None
    bits = 8
    if data[:4] == b"\x89PNG" and data[24] == 16:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        samples, bits = np.asarray(decoded), 16
    elif data[:4] in (b"II*\0", b"MM\0*"):
        with tifffile.TiffFile(path) as file:
            bits = int(file.pages.first.bitspersample)
        if bits == 16:
            samples = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED))
    elif data[4:8] == b"ftyp":
        return _heif(path, data)
    if samples is None:
        return None, bits
    if samples.ndim == 2:
        samples = np.repeat(samples[..., None], 3, axis=2)
    return (np.asarray(samples[..., :3], np.float32) / np.float32(257),), bits


def _heif(path: Path, data: bytes) -> tuple[tuple[Pixels, ...] | None, int]:
    if path.suffix == ".avif":
        with av.open(str(path)) as container:
            return None, int(container.streams.video[0].codec_context.format.components[0].bits)
    file = import_module("pillow_heif").open_heif(path, convert_hdr_to_8bit=False)
    bits = int(file.info["bit_depth"])
    if bits == 8:
        return None, bits
    samples = np.asarray(file)  # 16 bits, the lower ones zero
    return (np.asarray(samples[..., 2::-1], np.float32) / np.float32(257),), bits


def _values(tags: Image.Exif) -> Iterator[tuple[str, str]]:
    for name, directory in (("", tags), ("exif ", tags.get_ifd(_EXIF_IFD)), ("gps ", tags.get_ifd(_GPS_IFD))):
        for tag, value in directory.items():
            if name or tag not in _STRUCTURE:
                shown = tuple(round(float(x), 4) for x in value) if isinstance(value, tuple) else value
                yield f"{name}{tag:#06x}", str(shown).rstrip("\0")


def _loop(data: bytes, image: Image.Image) -> int | None:
    if data[:4] == b"\x89PNG":
        at = data.find(b"acTL")
        return int(struct.unpack_from(">I", data, at + 8)[0]) if at > 0 else None
    if data[:4] == b"RIFF":
        at = data.find(b"ANIM")
        return int(struct.unpack_from("<H", data, at + 12)[0]) if at > 0 else None
    if data[:3] == b"GIF":
        at = data.find(b"NETSCAPE2.0")
        return int(struct.unpack_from("<H", data, at + 13)[0]) if at > 0 else 1  # without it, GIFs are played once
    return None


def _xmp(data: bytes, stored: bytes) -> bytes:
    """The XMP packet from its root element on: containers may change the padding around it."""
    if not stored and data[:4] == b"\x89PNG":
        stored = next((text for name, text in _png_texts(data) if name == b"XML:com.adobe.xmp"), b"")
    for source in (stored, data):
        start, end = source.find(b"<x:xmpmeta"), source.find(b"</rdf:RDF>")
        if start >= 0 and end > start:
            return source[start:end]
    return b""


def _text(data: bytes) -> dict[str, str]:
    """Text chunks of a PNG file."""
    if data[:4] != b"\x89PNG":
        return {}
    return {k.decode().lower(): v.decode("latin1") for k, v in _png_texts(data) if not k.startswith(b"XML")}


def _png_texts(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    offset = 8
    while offset + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, offset)
        kind, chunk = data[offset + 4 : offset + 8], data[offset + 8 : offset + 8 + length]
        offset += 12 + length
        name, _, rest = chunk.partition(b"\0")
        if kind == b"tEXt":
            yield name, rest
        elif kind == b"zTXt":
            yield name, zlib.decompress(rest[1:])
        elif kind == b"iTXt":
            text = rest[2:].split(b"\0", 2)[2]
            yield name, zlib.decompress(text) if rest[0] else text
