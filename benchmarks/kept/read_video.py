"""What a video file holds: streams and packets by FFmpeg, colors by the equations of the standards."""

from __future__ import annotations

import re
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from .contents import Contents, Pixels, Sound, Subtitles

_LUMA = {1: (0.2126, 0.0722), 9: (0.2627, 0.0593)}
"""Code of the matrix -> weights of red and blue; BT.601 for all others."""
_BT601 = (0.299, 0.114)
_FULL_RANGE = 2
_TRANSFERS = {16: "PQ", 18: "HLG"}
_PRIMARIES = {9: "BT.2020"}
_MATRIX, _MASTERING, _LIGHT = "DISPLAYMATRIX", "MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL"
_WRITTEN_BY_MUXERS = frozenset(
    {"encoder", "major_brand", "minor_version", "compatible_brands", "duration", "creation_time", "software"}
)


def read_video(path: Path) -> Contents:
    """Read a video with all of its streams."""
    with av.open(str(path)) as container:
        streams = list(container.streams)
        video = next(s for s in container.streams.video if not s.disposition.value & 0x400)  # no cover image
        packets: dict[int, list[av.Packet[Any]]] = {stream.index: [] for stream in streams}
        for packet in container.demux():
            if packet.size:
                packets[packet.stream_index].append(packet)
        chapters = [(_ms(c["start"], c["time_base"]), c["metadata"].get("title", "")) for c in container.chapters()]
        tags = {k.lower(): v for k, v in container.metadata.items() if k.lower() not in _WRITTEN_BY_MUXERS}
        attachments = {s.name or "": bytes(s.data or b"") for s in streams if s.type == "attachment"}
        decoded, alpha, damaged = _decode(path, video.index)
        times = [float(f.pts * f.time_base * 1000) for f in decoded if f.pts is not None and f.time_base]
        on_grid = container.format.name == "avi"  # AVI has places on a grid, which FFmpeg's decoders delay
        if on_grid:
            times = sorted(_ms(p.dts or 0, p.time_base) for p in packets[video.index])[: len(decoded)]
        first = times[0] if times else 0.0
        end = max((_end_ms(p, on_grid) for p in packets[video.index]), default=0.0)
        frames = [upright(color_of(frame), frame) for frame in decoded]
        turns = _quarter_turns(decoded[0]) if decoded else 0
        aspect = Fraction(video.sample_aspect_ratio or 1)
        return Contents(
            frames=tuple(frames),
            alpha=tuple(alpha),
            bits=_bits(decoded[0]) if decoded else 8,
            times_ms=tuple(time - first for time in times),
            start_ms=first,
            container_start_ms=float((container.start_time or 0) / 1000),
            duration_ms=end - first if times and end > times[-1] else None,
            hdr=_hdr(decoded),
            aspect=1 / aspect if turns % 2 else aspect,
            turned=turns != 0,
            interlaced=any(frame.interlaced_frame for frame in decoded),
            comb=max(comb(frame) for frame in frames) if frames else 0.0,
            damaged=damaged,
            sounds=tuple(_sound(path, s, packets[s.index]) for s in streams if s.type == "audio"),
            subtitles=tuple(_subtitles(s, packets[s.index]) for s in streams if s.type == "subtitle"),
            chapters=tuple((round(start), title) for start, title in chapters),
            tags=tags,
            attachments=attachments,
        )


def _ms(value: int, time_base: Fraction) -> float:
    return float(value * time_base * 1000)


def _end_ms(packet: av.Packet[Any], on_grid: bool = False) -> float:
    start = packet.dts if on_grid else packet.pts
    return float(((start or 0) + (packet.duration or 0)) * packet.time_base * 1000)


def _decode(path: Path, index: int) -> tuple[list[VideoFrame], list[Pixels], int]:
    """All frames, decoded with the decoder that also reads VP9's alpha; their opacity; and the number of damages."""
    frames: list[VideoFrame] = []
    damaged = 0
    with av.open(str(path)) as container:
        stream = container.streams[index]
        with_alpha = stream.metadata.get("alpha_mode") == "1" or stream.metadata.get("ALPHA_MODE") == "1"
        other = av.CodecContext.create("libvpx-vp9", "r") if with_alpha else None
        for packet in container.demux(stream):
            try:
                frames += other.decode(packet) if other else packet.decode()
            except av.FFmpegError:
                damaged += 1
    damaged += sum(frame.is_corrupt for frame in frames)
    if not frames or not any(name in frames[0].format.name for name in ("yuva", "rgba", "bgra", "argb", "gbrap", "ya")):
        return frames, [], damaged
    alpha = [upright(_alpha(frame), frame) for frame in frames]
    return frames, alpha if any(float(plane.min()) < 250 for plane in alpha) else [], damaged


def _alpha(frame: VideoFrame) -> Pixels:
    if frame.format.name.startswith("yuva"):
        return _planes(frame)[3]
    return np.asarray(frame.reformat(format="rgba").to_ndarray(), np.float32)[..., 3]


def _bits(frame: VideoFrame) -> int:
    return 8 if frame.format.name == "pal8" else int(frame.format.components[0].bits)


def _planes(frame: VideoFrame) -> list[Pixels]:
    """Planes of a planar frame, in levels of 8 bits, chroma enlarged to the size of luma."""
    planes = []
    scale = float(1 << (_bits(frame) - 8))
    for plane in frame.planes:
        wide = frame.format.components[0].bits > 8
        samples = np.frombuffer(bytes(plane), np.uint16 if wide else np.uint8)
        rows = samples.reshape(-1, plane.line_size // (2 if wide else 1))[: plane.height, : plane.width]
        values = rows.astype(np.float32) / np.float32(scale)
        if values.shape != (frame.height, frame.width):
            values = np.asarray(cv2.resize(values, (frame.width, frame.height), interpolation=cv2.INTER_LINEAR))
        planes.append(values)
    return planes


def color_of(frame: VideoFrame) -> Pixels:
    """(H, W, 3) BGR, 0 to 255 with fractions, not yet upright."""
    if not frame.format.name.startswith("yuv"):
        return np.asarray(frame.reformat(format="bgr24").to_ndarray(), np.float32)
    luma, blue_difference, red_difference = _planes(frame)[:3]
    full = frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj")
    if not full:
        luma = (luma - 16) * (255 / 219)
    cb, cr = ((plane - 128) * (1 if full else 255 / 224) for plane in (blue_difference, red_difference))
    red_weight, blue_weight = _LUMA.get(int(frame.colorspace), _BT601)
    red = luma + 2 * (1 - red_weight) * cr
    blue = luma + 2 * (1 - blue_weight) * cb
    green = (luma - red_weight * red - blue_weight * blue) / (1 - red_weight - blue_weight)
    return np.asarray(np.clip(np.dstack([blue, green, red]), 0, 255), np.float32)


def upright(pixels: Pixels, frame: VideoFrame) -> Pixels:
    """Apply the rotation that a file stores."""
    return np.ascontiguousarray(np.rot90(pixels, _quarter_turns(frame)))


def _quarter_turns(frame: VideoFrame) -> int:
    """Counterclockwise quarter turns that make a frame upright."""
    return round(frame.rotation / 90) % 4


def _hdr(frames: list[VideoFrame]) -> dict[str, str]:
    if not frames:
        return {}
    frame, found = frames[0], {}
    if int(frame.color_trc) in _TRANSFERS:
        found["transfer"] = _TRANSFERS[int(frame.color_trc)]
    if int(frame.color_primaries) in _PRIMARIES:
        found["primaries"] = _PRIMARIES[int(frame.color_primaries)]
    side_data: Any = frame.side_data
    for side in side_data:
        if side.type.name == _MASTERING:
            numbers = struct.unpack_from("<20i", bytes(side))
            values = [numbers[i] / numbers[i + 1] for i in range(0, 20, 2) if numbers[i + 1]]
            found["mastering display"] = " ".join(f"{value:.3f}" for value in values)
        elif side.type.name == _LIGHT:
            found["light level"] = "{} {}".format(*struct.unpack_from("<2I", bytes(side)))
    return found


def _sound(path: Path, stream: Any, packets: list[av.Packet[Any]]) -> Sound:
    times = [_ms(p.pts, p.time_base) for p in packets if p.pts is not None]
    return Sound(
        codec=stream.codec_context.codec.canonical_name if stream.codec_context else "unknown",
        packets=tuple(_payload(bytes(p)) for p in packets),
        start_ms=times[0] if times else 0.0,
        heard_ms=_heard(path, stream.index),
        language=_language(stream),
        default=bool(stream.disposition.value & 1),
    )


def _heard(path: Path, index: int) -> tuple[float, float]:
    """Start and end of the decoded samples in ms."""
    start = end = 0.0
    with av.open(str(path)) as container:
        frames: Any = container.decode(container.streams[index])
        for number, frame in enumerate(frames):
            time = _ms(frame.pts, frame.time_base)
            start = time if number == 0 else start
            end = time + 1000 * frame.samples / frame.sample_rate
    return start, end


def _payload(data: bytes) -> bytes:
    """A packet without the ADTS header that AAC has in transport streams."""
    adts = len(data) > 7 and data[0] == 0xFF and data[1] & 0xF6 == 0xF0
    return data[7 if data[1] & 1 else 9 :] if adts else data


def _language(stream: Any) -> str:
    language = stream.metadata.get("language", "")
    return "" if language == "und" else language


def _subtitles(stream: Any, packets: list[av.Packet[Any]]) -> Subtitles:
    codec = stream.codec_context.codec.canonical_name if stream.codec_context else "unknown"
    lines = []
    for packet in packets:
        text = _plain_text(bytes(packet), codec)
        if text and packet.pts is not None:
            lines.append((_ms(packet.pts, packet.time_base), text))
    return Subtitles(codec, tuple(lines), _language(stream))


def _plain_text(data: bytes, codec: str) -> str:
    if codec == "mov_text":
        data = data[2 : 2 + int.from_bytes(data[:2], "big")]
    elif codec == "ass":
        data = data.split(b",", 8)[-1]
    elif codec not in ("subrip", "webvtt", "text"):
        return data.hex()
    return re.sub(r"<[^>]*>|\{[^}]*\}", "", data.decode("utf-8", "replace")).strip()


def comb(frame: Pixels) -> float:
    """Mean excess of the difference between neighboring rows over that between next but one rows, in levels."""
    luma: NDArray[np.float32] = frame.mean(axis=2)
    return float(np.maximum(0, np.abs(luma[1:-1] - luma[:-2]) - np.abs(luma[2:] - luma[:-2])).mean())
