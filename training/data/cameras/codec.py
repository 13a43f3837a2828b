"""Codecs of whole frames: H.264, H.265, MJPEG and JPEG by real encoders, and dithered GIF palettes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType
from typing import Any, Literal

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Images = NDArray[np.uint8]
Name = Literal["h264", "h265", "mjpeg", "jpeg", "gif"]
FRAME_RATE = 25
ENCODERS: MappingProxyType[Name, tuple[str, str, str]] = MappingProxyType(
    {
        "h264": ("libx264", "h264", "yuv420p"),
        "h265": ("libx265", "hevc", "yuv420p"),
        "mjpeg": ("mjpeg", "mjpeg", "yuvj420p"),
    }
)
"""Video codec -> encoder, decoder and pixel format of PyAV."""
FAST = 0x2
"""swscale flag: bilinear."""
ACCURATE = 0x4 | 0x40000 | 0x4000 | 0x2000
"""swscale flags: bicubic, accurate rounding, full chroma input and interpolation; PyAV names them from 18 on."""
ONE_THREAD: dict[str, Any] = {"threads": 1} if int(av.__version__.split(".")[0]) >= 17 else {}
"""PyAV before 17 has no other number."""
SILENT_X265 = "log-level=none:pools=none:frame-threads=1"


@dataclass(frozen=True)
class Codec:
    """A codec with its settings.

    Args:
        name: of the codec.
        quality: H.264 and H.265 rate factor (0 to 51, higher is worse); MJPEG quantizer scale (2 to 31, higher is
            worse); JPEG quality (1 to 100, higher is better); number of colors of a GIF (2 to 256).
        kbps: constant bit rate in kbit/s instead of the rate factor; 0 for the rate factor.
        gop: frames from one key frame to the next.
        options: further options of the encoder, e.g. ``{"preset": "veryfast"}``.
        dither: diffuse the rounding errors of a GIF's colors.
        full_chroma: JPEG with 4:4:4 instead of 4:2:0.
        accurate: interpolate the chroma of videos; else the nearest one is taken, as many programs do.
    """

    name: Name
    quality: int
    kbps: int = 0
    gop: int = 250
    options: dict[str, str] = field(default_factory=dict)
    dither: bool = True
    full_chroma: bool = False
    accurate: bool = True


def recode(frames: Images, codec: Codec, keep: Sequence[int]) -> Images:
    """Encode and decode a sequence of whole frames.

    Args:
        frames: (T, H, W, 3) uint8 BGR, H and W even.
        codec: codec and settings.
        keep: indices of the frames to return.

    Returns:
        (len(keep), H, W, 3) uint8 BGR.
    """
    if codec.name == "jpeg":
        return np.stack([jpeg(frames[t], codec) for t in keep])
    if codec.name == "gif":
        return np.stack([gif(frames[t], codec) for t in keep])
    encoder, decoder, pixel_format = ENCODERS[codec.name]
    decoded = _decode(_encode(frames, codec, encoder, pixel_format), decoder)
    kept = {frame.pts: _convert(frame, "bgr24", codec.accurate).to_ndarray() for frame in decoded if frame.pts in keep}
    return np.stack([kept[t] for t in keep])


def jpeg(picture: Images, codec: Codec) -> Images:
    """(H, W, 3) BGR -> (H, W, 3) after JPEG."""
    sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444 if codec.full_chroma else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420
    parameters = (cv2.IMWRITE_JPEG_QUALITY, codec.quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling)
    encoded = cv2.imencode(".jpg", picture, parameters)[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)


def gif(picture: Images, codec: Codec) -> Images:
    """(H, W, 3) BGR -> (H, W, 3) with the palette of a GIF."""
    image = Image.fromarray(np.ascontiguousarray(picture[..., ::-1]))
    palette = image.quantize(codec.quality, method=Image.Quantize.FASTOCTREE)
    dither = Image.Dither.FLOYDSTEINBERG if codec.dither else Image.Dither.NONE
    stream = io.BytesIO()
    image.quantize(palette=palette, dither=dither).save(stream, "GIF")
    return np.ascontiguousarray(np.asarray(Image.open(stream).convert("RGB"), np.uint8)[..., ::-1])


def _convert(frame: av.VideoFrame, pixel_format: str, accurate: bool) -> av.VideoFrame:
    return frame.reformat(format=pixel_format, interpolation=ACCURATE if accurate else FAST, **ONE_THREAD)


def _encode(frames: Images, codec: Codec, encoder: str, pixel_format: str) -> list[av.Packet[Any]]:
    context: Any = av.VideoCodecContext.create(encoder, "w")
    context.height, context.width = frames.shape[1:3]
    context.pix_fmt, context.time_base, context.framerate = pixel_format, Fraction(1, FRAME_RATE), FRAME_RATE
    context.thread_count, context.gop_size = 1, codec.gop
    context.options = codec.options | _rate_options(codec)
    if codec.kbps:
        context.bit_rate = 1000 * codec.kbps
    elif codec.name == "mjpeg":
        context.qmin = context.qmax = codec.quality
    packets: list[av.Packet[Any]] = []
    for number, pixels in enumerate(frames):
        frame = _convert(av.VideoFrame.from_ndarray(pixels, "bgr24"), pixel_format, codec.accurate)
        frame.pts, frame.time_base = number, context.time_base
        packets += context.encode(frame)
    return [*packets, *context.encode(None)]


def _rate_options(codec: Codec) -> dict[str, str]:
    if codec.name == "mjpeg":
        return {}
    options = {"x265-params": SILENT_X265} if codec.name == "h265" else {}
    if codec.kbps:
        return options | {"maxrate": f"{codec.kbps}k", "bufsize": f"{codec.kbps // 2}k"}
    return options | {"crf": str(codec.quality)}


def _decode(packets: list[av.Packet[Any]], decoder: str) -> list[av.VideoFrame]:
    context: Any = av.VideoCodecContext.create(decoder, "r")
    context.thread_count = 1
    return [frame for packet in [*packets, None] for frame in context.decode(packet)]
