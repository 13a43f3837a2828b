"""Image files with opacity, profiles, metadata and several frames, for the tests of pictures."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from facesr_edge.sdk.media.encode_options import EncodeOptions
from facesr_edge.sdk.media.images.pillow import load_plugin
from facesr_edge.sdk.media.sinks import open_sink
from facesr_edge.sdk.media.source_sink import Sink, Source
from facesr_edge.sdk.media.sources import open_source
from facesr_edge.sdk.pipeline.paste import enlarge
from PIL import Image, ImageCms

WIDTH, HEIGHT = 64, 48
for _name in ("AVIF", "HEIC", "JPEG XL"):
    load_plugin(_name)  # for `save`


def rgba(hidden: tuple[int, int, int] = (255, 0, 255)) -> np.ndarray:
    """(48, 64, 4) uint8 RGBA: an opaque green center, a half transparent ring, and a hidden color around it."""
    pixels = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    pixels[:, :, :3] = hidden
    pixels[8:40, 8:56] = (0, 160, 0, 128)
    pixels[16:32, 16:48] = (0, 160, 0, 255)
    return pixels


def deep_rgb(seed: int = 0) -> np.ndarray:
    """(48, 64, 3) uint16 RGB with all bits used."""
    return np.random.default_rng(seed).integers(0, 65536, (HEIGHT, WIDTH, 3), dtype=np.uint16)


def exif(orientation: int = 6, thumbnail: bytes = b"") -> bytes:
    """EXIF with make, GPS, pixel dimensions, a maker note and a thumbnail; big endian, without "Exif\\0\\0"."""
    block = Image.Exif()
    block[0x010F], block[0x0112], block[0x013B] = "Maker", orientation, "Somebody"
    block[0x8769] = {0xA002: WIDTH, 0xA003: HEIGHT, 0x9003: "2024:05:06 07:08:09", 0x927C: b"note \0\1\2"}
    block[0x8825] = {1: "N", 2: (48.0, 8.0, 15.5), 3: "E", 4: (11.0, 34.0, 30.0)}
    data = block.tobytes().removeprefix(b"Exif\0\0")
    return with_thumbnail(data, thumbnail) if thumbnail else data


def with_thumbnail(block: bytes, thumbnail: bytes) -> bytes:
    """Add a second directory with a thumbnail."""
    order = ">" if block[:2] == b"MM" else "<"
    first = struct.unpack_from(order + "I", block, 4)[0]
    link = first + 2 + 12 * struct.unpack_from(order + "H", block, first)[0]
    start = len(block)
    entries = ((0x0201, 4, 1, start + 2 + 24 + 4), (0x0202, 4, 1, len(thumbnail)))
    directory = (
        struct.pack(order + "H", 2) + b"".join(struct.pack(order + "HHII", *entry) for entry in entries) + bytes(4)
    )
    block = block[:link] + struct.pack(order + "I", start) + block[link + 4 :]
    return block + directory + thumbnail


XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"'
    b' tiff:Orientation="6" dc:title="T"/></rdf:RDF></x:xmpmeta>'
)


@cache
def rgb_profile() -> bytes:
    """An RGB profile that is not sRGB: sRGB with the red and green colorants exchanged."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack_from(">I", data, 128)[0]
    entries = [132 + 12 * index for index in range(count)]
    red, green = (next(at for at in entries if data[at : at + 4] == name) for name in (b"rXYZ", b"gXYZ"))
    data[red + 4 : red + 12], data[green + 4 : green + 12] = data[green + 4 : green + 12], data[red + 4 : red + 12]
    return bytes(data)


def gray_profile(gamma: float = 1.0) -> bytes:
    """A grey profile with a gamma curve."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    white = b"XYZ " + bytes(4) + struct.pack(">iii", 63190, 65536, 54061)
    text = b"gray test\0"
    name = b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(79)
    return _profile(b"GRAY", [(b"desc", name), (b"wtpt", white), (b"kTRC", curve)])


def cmyk_profile() -> bytes:
    """A CMYK profile in which inks have no color, each a quarter of the darkness."""
    identity = bytes(range(256))
    lightness = [round(255 * (1 - bin(index).count("1") / 4)) for index in range(16)]
    table = b"".join(bytes((value, 128, 128)) for value in lightness)
    matrix = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    lut = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + matrix + identity * 4 + table + identity * 3
    white = b"XYZ " + bytes(4) + struct.pack(">iii", 63190, 65536, 54061)
    return _profile(b"CMYK", [(b"A2B0", lut), (b"wtpt", white)])


def _profile(space: bytes, tags: list[tuple[bytes, bytes]]) -> bytes:
    at = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for signature, content in tags:
        table += signature + struct.pack(">II", at + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    kind, connection = (b"mntr", b"XYZ ") if space == b"GRAY" else (b"prtr", b"Lab ")
    head = struct.pack(">I4sI4s4s4s", at + len(body), bytes(4), 0x02400000, kind, space, connection)
    head += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + struct.pack(">iii", 63190, 65536, 54061)
    return head + bytes(128 - len(head)) + table + body


def save(path: Path, image: Image.Image | np.ndarray, name: str | None = None, **settings: Any) -> Path:
    """Write an image with Pillow."""
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(path, name, **settings)
    return path


def animation(path: Path, durations: Sequence[int] = (100, 500, 50, 1000), loop: int = 3, alpha: bool = False) -> Path:
    """An animated WebP, PNG or AVIF, or a TIFF of several pages: each frame another grey level."""
    colors = [(40 * index + 20,) * 3 + (255 - 60 * index * alpha,) for index in range(len(durations))]
    frames = [Image.new("RGBA", (WIDTH, HEIGHT), color) for color in colors]
    if not alpha:
        frames = [frame.convert("RGB") for frame in frames]
    settings: dict[str, Any] = {} if path.suffix == ".tif" else {"duration": list(durations)}
    if path.suffix in (".webp", ".png"):
        settings |= {"loop": loop}
    if path.suffix == ".webp":
        settings |= {"lossless": True}
    frames[0].save(path, save_all=True, append_images=frames[1:], **settings)
    return path


def pass_through(source_path: Path, output: Path, scale: int = 2, **options: Any) -> tuple[Source, Sink]:
    """Write the frames of a source, enlarged as outside of faces; returns source and sink for their notes."""
    with (
        open_source(source_path) as source,
        open_sink(output, source, outscale=scale, options=EncodeOptions(**options)) as sink,
    ):
        for frame in source:
            sink.write(frame, enlarge(frame.pixels, scale))
    return source, sink


def encoded(image: Image.Image, name: str, **settings: Any) -> bytes:
    """An image as bytes."""
    file = io.BytesIO()
    image.save(file, name, **settings)
    return file.getvalue()
