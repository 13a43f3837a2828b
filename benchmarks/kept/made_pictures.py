"""Small pictures with every property that their format can have."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms, PngImagePlugin

WIDTH, HEIGHT = 64, 48
DURATIONS_MS = (100, 500, 50, 1000)
LOOP = 3
XMP = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    b'xmlns:dc="http://purl.org/dc/elements/1.1/" dc:source="scene 12"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)
_P3_XYZ = {  # D50-adapted primaries of Display P3
    b"rXYZ": (0.51512, 0.2412, -0.00105),
    b"gXYZ": (0.29198, 0.69225, 0.04189),
    b"bXYZ": (0.1571, 0.06657, 0.78407),
}


def display_p3() -> bytes:
    """An ICC profile of Display P3: sRGB's of LittleCMS with other primaries."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    (count,) = struct.unpack_from(">I", profile, 128)
    for entry in range(132, 132 + 12 * count, 12):
        tag, offset = struct.unpack_from(">4sI", profile, entry)
        if tag in _P3_XYZ:
            struct.pack_into(">3i", profile, offset + 8, *(round(65536 * value) for value in _P3_XYZ[tag]))
    name = "sRGB built-in"
    return bytes(profile).replace(name.encode("utf-16-be"), "Display P3".ljust(len(name)).encode("utf-16-be"))


def exif(orientation: int = 1) -> bytes:
    """EXIF with a camera, a date, an exposure and a place, with the prefix."""
    tags = Image.Exif()
    tags[0x010F], tags[0x0110], tags[0x0132], tags[0x0112] = "Camera", "Model 7", "2026:01:02 03:04:05", orientation
    tags.get_ifd(0x8769)[0x9003] = "2026:01:02 03:04:05"
    tags.get_ifd(0x8769)[0x829A] = (1, 250)
    place = tags.get_ifd(0x8825)
    place[1], place[2], place[3], place[4] = "N", (47.0, 22.0, 11.0), "E", (8.0, 32.0, 30.0)
    return tags.tobytes()


def scene(step: int = 0, deep: bool = False) -> NDArray[Any]:
    """(H, W, 3) RGB: ramps, a block and a mark that moves with each step, below 13; uint8, or uint16 with all bits."""
    y, x = np.meshgrid(np.linspace(0, 1, HEIGHT), np.linspace(0, 1, WIDTH), indexing="ij")
    values = np.stack([0.15 + 0.6 * x, 0.2 + 0.5 * y, 0.7 - 0.4 * x * y], axis=2)
    values[6:18, 8:24] = (0.85, 0.15, 0.2)
    left = 4 + 4 * step
    values[30:42, left : left + 10] = (0.9, 0.9, 0.85)
    values = np.asarray(
        cv2.GaussianBlur(values, (0, 0), 1.2), np.float64
    )  # no hard edges, so that lossy codecs stay within a few levels
    return np.asarray(np.rint(values * 65535), np.uint16) if deep else np.asarray(np.rint(values * 255), np.uint8)


def opacity(step: int = 0) -> NDArray[np.uint8]:
    """(H, W): a soft-edged ellipse."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.ellipse(mask, (WIDTH // 2, HEIGHT // 2), (28 - step // 2, 18), 0, 0, 360, 255, -1)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), 1.5), np.uint8)


def rgba(step: int = 0) -> NDArray[np.uint8]:
    """(H, W, 4): the scene in the ellipse, magenta where nothing is visible."""
    alpha = opacity(step)
    color = np.where((alpha == 0)[..., None], np.asarray([255, 0, 255], np.uint8), scene(step))
    return np.dstack([color, alpha])


def _save(path: Path, pixels: NDArray[np.uint8], **options: Any) -> None:
    if path.suffix == ".heic":
        import_module("pillow_heif").register_heif_opener()
    if path.suffix == ".jxl":
        import_module("pillow_jxl")
    Image.fromarray(pixels).save(path, **options)


def _tagged(orientation: int = 1) -> dict[str, Any]:
    return {"icc_profile": display_p3(), "exif": exif(orientation), "xmp": XMP}


def _jpeg(path: Path) -> None:
    _save(path, scene(), quality=97, subsampling=0, dpi=(300, 300), **_tagged(6))


def _gray_jpeg(path: Path) -> None:
    Image.fromarray(scene()).convert("L").save(path, quality=97)


def _cmyk_jpeg(path: Path) -> None:
    Image.fromarray(scene()).convert("CMYK").save(path, quality=97)


def _png(path: Path) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", XMP.decode())
    text.add_text("Title", "scene 12")
    tagged = _tagged()
    del tagged["xmp"]
    _save(path, rgba(), pnginfo=text, dpi=(300, 300), **tagged)


def _palette_png(path: Path) -> None:
    image = Image.fromarray(scene()).quantize(64)
    image.save(path, transparency=bytes([0, 128, *[255] * 62]))


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png16(path: Path, alpha: bool = False) -> None:
    pixels = scene(deep=True)[..., ::-1]
    if alpha:
        pixels = np.dstack([pixels, opacity().astype(np.uint16) * 257])
    data = cv2.imencode(".png", np.ascontiguousarray(pixels))[1].tobytes()
    added = png_chunk(b"iCCP", b"p3\0\0" + zlib.compress(display_p3())) + png_chunk(b"eXIf", exif()[6:])
    path.write_bytes(data[:33] + added + data[33:])  # after IHDR


def _gray16_png(path: Path) -> None:
    cv2.imwrite(str(path), scene(deep=True)[..., 1])


def _webp(path: Path) -> None:
    _save(path, rgba(), lossless=True, exact=True, **_tagged())


def _tiff(path: Path) -> None:
    tagged: dict[str, Any] = {"icc_profile": display_p3(), "exif": exif(), "tiffinfo": {700: XMP}}
    _save(path, rgba(), compression="tiff_lzw", dpi=(300, 300), **tagged)


def _tiff16(path: Path) -> None:
    tags = [(34675, "B", 0, display_p3(), True), (700, "B", 0, XMP, True), (271, "s", 0, "Camera", True)]
    tifffile.imwrite(path, scene(deep=True), photometric="rgb", extratags=tags, metadata=None)


def _gray16_tiff(path: Path) -> None:
    tifffile.imwrite(path, scene(deep=True)[..., 1], photometric="minisblack", metadata=None)


def _bmp(path: Path) -> None:
    _save(path, scene(), dpi=(300, 300))


def _avif(path: Path) -> None:
    _save(path, rgba(), quality=95, subsampling="4:4:4", **_tagged(6))


def _heic(path: Path) -> None:
    _save(path, rgba(), quality=95, chroma=444, **_tagged(6))


def _heic10(path: Path) -> None:
    deep = np.ascontiguousarray(scene(deep=True))
    module = import_module("pillow_heif")
    module.encode("RGB;16", (WIDTH, HEIGHT), deep.tobytes(), str(path), quality=-1, chroma=444)


def _jxl(path: Path) -> None:
    _save(path, rgba(), lossless=True, **_tagged())


def _animation(path: Path, alpha: bool, **options: Any) -> None:
    frames = [Image.fromarray(rgba(i) if alpha else scene(i)) for i in range(len(DURATIONS_MS))]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=DURATIONS_MS, loop=LOOP, **options)


def _animated_webp(path: Path) -> None:
    _animation(path, alpha=True, lossless=True, exact=True, icc_profile=display_p3(), exif=exif())


def _apng(path: Path) -> None:
    _animation(path, alpha=True, icc_profile=display_p3())


def _animated_avif(path: Path) -> None:
    frames = [Image.fromarray(scene(i)) for i in range(len(DURATIONS_MS))]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=DURATIONS_MS, quality=90)


def _gif(path: Path) -> None:
    frames = []
    for index in range(len(DURATIONS_MS)):
        color = Image.fromarray(scene(index)).quantize(200)
        color.paste(255, (0, 0, 10, 10))  # transparent corner
        frames.append(color)
    frames[0].save(
        path, save_all=True, append_images=frames[1:], duration=DURATIONS_MS, loop=LOOP, transparency=255, disposal=2
    )


def _pages(path: Path) -> None:
    frames = [Image.fromarray(scene(i)) for i in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:], compression="tiff_lzw", icc_profile=display_p3())


PICTURES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "JPEG, turned": (".jpg", _jpeg),
    "gray JPEG": (".jpg", _gray_jpeg),
    "CMYK JPEG": (".jpg", _cmyk_jpeg),
    "PNG": (".png", _png),
    "PNG, palette": (".png", _palette_png),
    "PNG, 16 bit": (".png", _png16),
    "PNG, 16 bit, alpha": (".png", lambda path: _png16(path, alpha=True)),
    "gray PNG, 16 bit": (".png", _gray16_png),
    "WebP": (".webp", _webp),
    "TIFF": (".tif", _tiff),
    "TIFF, 16 bit": (".tif", _tiff16),
    "gray TIFF, 16 bit": (".tif", _gray16_tiff),
    "BMP": (".bmp", _bmp),
    "AVIF, turned": (".avif", _avif),
    "HEIC, turned": (".heic", _heic),
    "HEIC, 10 bit": (".heic", _heic10),
    "JPEG XL": (".jxl", _jxl),
    "animated WebP": (".webp", _animated_webp),
    "APNG": (".png", _apng),
    "animated AVIF": (".avif", _animated_avif),
    "animated GIF": (".gif", _gif),
    "TIFF, 3 pages": (".tif", _pages),
}
"""Kind -> suffix, and the function that writes it."""
_LIBRARIES = {".heic": "pillow_heif", ".jxl": "pillow_jxl"}


def readable(suffix: str) -> bool:
    """Whether this machine has the library of a format."""
    return suffix not in _LIBRARIES or find_spec(_LIBRARIES[suffix]) is not None
