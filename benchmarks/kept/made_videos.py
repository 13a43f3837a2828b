"""Small videos with every property that their container can have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.container import OutputContainer
from numpy.typing import NDArray

from .made_pictures import HEIGHT, WIDTH, opacity, scene

FRAMES = 12
RATE = 25
SAMPLE_RATE = 48_000
_MILLI = Fraction(1, 1000)
_TS = Fraction(1, 90_000)
VARIABLE_MS = (0, 33, 67, 150, 190, 350, 383, 417, 500, 533, 700, 733)
_SRT = "1\n00:00:00,080 --> 00:00:00,200\nHello <i>you</i>\n\n2\n00:00:00,240 --> 00:00:00,400\nGood bye\n\n"
_VTT = "WEBVTT\n\n00:00.080 --> 00:00.200\nHello you\n\n00:00.240 --> 00:00.400\nGood bye\n\n"
_ASS = """[Script Info]
ScriptType: v4.00+
[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, Bold, Italic, Alignment
Style: Default,Arial,20,&H00FFFFFF,0,0,2
[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:00.08,0:00:00.20,Default,,0,0,0,,Hello {\\i1}you{\\i0}
Dialogue: 0,0:00:00.24,0:00:00.40,Default,,0,0,0,,Good bye
"""
_MASTERING = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
_PQ, _HLG, _BT2020, _BT709 = 16, 18, 9, 1


@dataclass(frozen=True)
class Track:
    """A sound stream to write.

    Args:
        codec: encoder.
        language: three letters.
        default: disposition.
        start: of the first sample, in samples.
        samples: number of samples.
    """

    codec: str = "aac"
    language: str = ""
    default: bool = True
    start: int = 0
    samples: int = FRAMES * SAMPLE_RATE // RATE


@dataclass(frozen=True)
class Clip:
    """A video to write.

    Args:
        codec, pixel_format, options: encoder.
        size_wh: in pixels.
        times: of the frames, in units of `time_base`.
        sounds, subtitles: streams; subtitles are codec -> language.
        chapters, attachment, tags: whether to write them.
        hdr: code of the transfer characteristics with BT.2020; 0 for BT.709.
        aspect: of a pixel.
        rotation: of the display matrix, in degrees.
        container: FFmpeg options of the container.
        picture: pixels of frame i, (H, W, 3) RGB or (H, W, 4) RGBA.
    """

    codec: str = "libx264"
    pixel_format: str = "yuv420p"
    options: dict[str, str] = field(default_factory=dict)
    size_wh: tuple[int, int] = (WIDTH, HEIGHT)
    times: Sequence[int] = tuple(range(0, FRAMES * 40, 40))
    time_base: Fraction = _MILLI
    sounds: tuple[Track, ...] = ()
    subtitles: tuple[tuple[str, str], ...] = ()
    chapters: bool = False
    attachment: bool = False
    tags: bool = False
    hdr: int = 0
    aspect: Fraction = Fraction(1)
    rotation: int = 0
    container: dict[str, str] = field(default_factory=dict)
    format: str | None = None
    picture: Callable[[int], NDArray[Any]] = scene


def write_clip(path: Path, clip: Clip) -> None:
    """Encode a clip."""
    with av.open(str(path), "w", format=clip.format, options=clip.container) as container:
        video = _video_stream(container, clip)
        tracks = [_sound_stream(container, track) for track in clip.sounds]
        subtitles = [_subtitle_stream(container, codec, language, path) for codec, language in clip.subtitles]
        if clip.attachment:
            container.add_attachment("font.ttf", "font/ttf", bytes(range(256)))
        if clip.tags:
            container.metadata.update(title="Scene 12", artist="Somebody", comment="take 3")
        if clip.chapters:
            container.set_chapters([_chapter(1, 0, 200, "One"), _chapter(2, 200, 480, "Two")])
        others: list[av.Packet[Any]] = []
        for track, stream in zip(clip.sounds, tracks, strict=True):
            others += _sound_packets(track, stream)
        others += [packet for packets in subtitles for packet in packets]
        _interleave(container, [*_video_packets(video, clip), *others])


def _interleave(container: OutputContainer, packets: list[av.Packet[Any]]) -> None:
    for packet in sorted(packets, key=lambda p: float((p.dts or 0) * p.time_base)):
        container.mux_one(packet)


def _video_stream(container: OutputContainer, clip: Clip) -> Any:
    stream: Any = container.add_stream(clip.codec, rate=RATE, options=clip.options)
    stream.width, stream.height = clip.size_wh
    stream.pix_fmt = clip.pixel_format
    context = stream.codec_context
    context.time_base = clip.time_base
    if "yuv" in clip.pixel_format:
        context.colorspace, context.color_range = (_BT2020, 1) if clip.hdr else (_BT709, 1)
        context.color_primaries, context.color_trc = (_BT2020, clip.hdr) if clip.hdr else (_BT709, _BT709)
    if clip.aspect != 1:
        context.sample_aspect_ratio = clip.aspect
    if clip.rotation:
        stream.set_display_rotation(clip.rotation)
    return stream


def _video_packets(stream: Any, clip: Clip) -> list[av.Packet[Any]]:
    packets: list[av.Packet[Any]] = []
    for index, time in enumerate(clip.times):
        frame = _frame(clip, index)
        frame.pts, frame.time_base = time, clip.time_base
        packets += stream.encode(frame)
    packets += stream.encode(None)
    return packets


def _frame(clip: Clip, index: int) -> av.VideoFrame:
    pixels = clip.picture(index)
    if pixels.shape[1::-1] != clip.size_wh:
        pixels = np.asarray(cv2.resize(pixels, clip.size_wh, interpolation=cv2.INTER_CUBIC))
    if pixels.dtype == np.uint16:
        frame = av.VideoFrame.from_ndarray(pixels, "rgb48le")
    else:
        frame = av.VideoFrame.from_ndarray(pixels, "rgba" if pixels.shape[2] == 4 else "rgb24")
    if "yuv" not in clip.pixel_format:
        return frame.reformat(format=clip.pixel_format)
    matrix = _BT2020 if clip.hdr else _BT709
    frame = frame.reformat(format=clip.pixel_format, dst_colorspace=matrix, dst_color_range=1)
    frame.colorspace, frame.color_range = matrix, 1
    return frame


def _sound_stream(container: OutputContainer, track: Track) -> Any:
    stream: Any = container.add_stream(track.codec, rate=SAMPLE_RATE)
    stream.layout = "mono"
    if track.language:
        stream.metadata["language"] = track.language
    stream.disposition = av.stream.Disposition(1 if track.default else 0)
    return stream


def _sound_packets(track: Track, stream: Any) -> list[av.Packet[Any]]:
    packets: list[av.Packet[Any]] = []
    step = SAMPLE_RATE // RATE
    for start in range(0, track.samples, step):
        tone = np.sin(np.arange(start, start + step) * (0.05 + 0.02 * len(track.language))) * 9000
        frame = av.AudioFrame.from_ndarray(tone.astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, track.start + start, Fraction(1, SAMPLE_RATE)
        packets += stream.encode(frame)
    packets += stream.encode(None)
    return packets


def _subtitle_stream(container: OutputContainer, codec: str, language: str, path: Path) -> list[av.Packet[Any]]:
    if codec in ("mov_text", "hdmv_pgs_subtitle"):
        return _raw_subtitles(container, codec, language)
    text = {"subrip": _SRT, "ass": _ASS, "webvtt": _VTT}[codec]
    file = path.with_suffix({"subrip": ".srt", "ass": ".ass", "webvtt": ".vtt"}[codec])
    file.write_text(text, "utf-8")
    with av.open(str(file)) as source:
        stream: Any = container.add_stream_from_template(source.streams[0])
        stream.metadata["language"] = language
        packets = [packet for packet in source.demux() if packet.size]
        for packet in packets:
            packet.stream = stream
    file.unlink()
    return packets


def _raw_subtitles(container: OutputContainer, codec: str, language: str) -> list[av.Packet[Any]]:
    stream: Any = container.add_stream(codec) if codec == "mov_text" else container.add_mux_stream(codec)
    if codec == "mov_text":
        stream.codec_context.subtitle_header = _ASS.encode()
    stream.metadata["language"] = language
    stream.time_base = _MILLI
    packets = []
    for start, end, text in ((80, 200, b"Hello you"), (240, 400, b"Good bye")):
        packet = av.Packet(len(text).to_bytes(2, "big") + text if codec == "mov_text" else b"\x80\0\0" * 4 + text)
        packet.pts = packet.dts = start
        packet.duration, packet.time_base, packet.stream = end - start, _MILLI, stream
        packets.append(packet)
    return packets


def _chapter(number: int, start: int, end: int, title: str) -> Any:
    return {"id": number, "start": start, "end": end, "time_base": _MILLI, "metadata": {"title": title}}


def _fields(index: int) -> NDArray[np.uint8]:
    """Two moments in one frame, the first in the even rows."""
    pixels = np.array(scene(0), np.uint8)
    for row in range(HEIGHT):
        left = 4 + 4 * index + 2 * (row % 2)
        pixels[row, left : left + 12] = 240
    return pixels


def _transparent(index: int) -> NDArray[np.uint8]:
    return np.dstack([scene(index), opacity(index)])


def _deep(index: int) -> NDArray[Any]:
    return scene(index, deep=True)


def _joined(path: Path, restarted: bool) -> None:
    """Two transport streams one after the other: of different sizes, or with a clock that starts again."""
    first, second = path.with_suffix(".1.ts"), path.with_suffix(".2.ts")
    no_delay = {"bf": "0"}
    start = 0 if restarted else 6 * 3600
    size_wh = (WIDTH, HEIGHT) if restarted else (96, 72)
    times = range(start, start + 6 * 3600, 3600)
    write_clip(first, Clip(time_base=_TS, times=range(0, 6 * 3600, 3600), options=no_delay))
    later = Clip(time_base=_TS, times=times, options=no_delay, size_wh=size_wh, picture=lambda i: scene(6 + i))
    write_clip(second, later)
    path.write_bytes(first.read_bytes() + second.read_bytes())
    first.unlink()
    second.unlink()


def _damaged(path: Path) -> None:
    """A video whose 4th to 6th packet have other bytes in the middle."""
    write_clip(path, Clip(sounds=(Track(),)))
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [bytes(p) for p in container.demux(video=0) if p.size]
    for packet in packets[3:6]:
        at = data.find(packet)
        data[at + 4 : at + len(packet)] = bytes((b * 7 + 91) % 256 for b in packet[4:])
    path.write_bytes(data)


_TWO = (Track(language="eng", default=False), Track(language="fre", default=True))
_X265 = {"x265-params": "log-level=error:bframes=0"}
_HDR10 = {
    "x265-params": f"log-level=error:bframes=0:master-display={_MASTERING}:max-cll=1000,400:colorprim=bt2020"
    ":transfer=smpte2084:colormatrix=bt2020nc"
}
_HLG_OPTIONS = {"x265-params": "log-level=error:bframes=0:colorprim=bt2020:transfer=arib-std-b67:colormatrix=bt2020nc"}
_EVERYTHING = Clip(
    sounds=_TWO,
    subtitles=(("subrip", "eng"), ("ass", "fre")),
    chapters=True,
    attachment=True,
    tags=True,
)


def _clip(**values: Any) -> Callable[[Path], None]:
    return lambda path: write_clip(path, Clip(**values))


def _ts(offset_s: str) -> Callable[[Path], None]:
    times = range(0, FRAMES * 3600, 3600)
    return _clip(time_base=_TS, times=times, sounds=(Track(),), container={"output_ts_offset": offset_s})


_DEEP = {"picture": _deep, "pixel_format": "yuv420p10le"}
VIDEOS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "MP4, sound, chapters": (".mp4", _clip(sounds=_TWO, subtitles=(("mov_text", "eng"),), chapters=True, tags=True)),
    "MOV, PCM": (".mov", _clip(sounds=(Track("pcm_s16le"),), tags=True)),
    "MKV, everything": (".mkv", lambda path: write_clip(path, _EVERYTHING)),
    "MKV, bitmap subtitles": (".mkv", _clip(subtitles=(("hdmv_pgs_subtitle", "eng"),), sounds=(Track("flac"),))),
    "WebM, Opus, WebVTT": (
        ".webm",
        _clip(codec="libvpx-vp9", sounds=(Track("libopus"),), subtitles=(("webvtt", "eng"),), tags=True),
    ),
    "AVI, MP3": (
        ".avi",
        _clip(
            options={"bf": "0"},
            time_base=Fraction(1, RATE),
            times=range(FRAMES),
            sounds=(Track("libmp3lame"),),
            tags=True,
            container={"avoid_negative_ts": "disabled"},
        ),
    ),
    "TS at 36,000 s": (".ts", _ts("36000")),
    "TS, wrap-around": (".ts", _ts("95441.9")),
    "TS, other size": (".ts", lambda path: _joined(path, restarted=False)),
    "TS, restarted clock": (".ts", lambda path: _joined(path, restarted=True)),
    "MP4, HEVC 10 bit": (".mp4", _clip(codec="libx265", options=_X265, **_DEEP)),
    "MP4, HDR10": (".mp4", _clip(codec="libx265", options=_HDR10, hdr=_PQ, **_DEEP)),
    "MKV, HLG": (".mkv", _clip(codec="libx265", options=_HLG_OPTIONS, hdr=_HLG, **_DEEP)),
    "MP4, SAR 32:27": (".mp4", _clip(aspect=Fraction(32, 27))),
    "MP4, rotated": (".mp4", _clip(rotation=90)),
    "MP4, rotated, SAR": (".mp4", _clip(rotation=90, aspect=Fraction(4, 3))),
    "MKV, variable rate": (".mkv", _clip(times=VARIABLE_MS, sounds=(Track(),))),
    "MP4, late sound": (".mp4", _clip(sounds=(Track(start=SAMPLE_RATE // 5, samples=SAMPLE_RATE // 4),))),
    "MKV, late video": (".mkv", _clip(times=range(200, 200 + FRAMES * 40, 40), sounds=(Track("libopus"),))),
    "WebM, alpha": (".webm", _clip(codec="libvpx-vp9", pixel_format="yuva420p", picture=_transparent)),
    "MOV, alpha": (".mov", _clip(codec="qtrle", pixel_format="argb", picture=_transparent)),
    "MOV, PNG with alpha": (".mov", _clip(codec="png", pixel_format="rgba", picture=_transparent)),
    "MKV, FFV1 with alpha": (".mkv", _clip(codec="ffv1", pixel_format="yuva420p", picture=_transparent)),
    "MOV, ProRes 4444": (".mov", _clip(codec="prores_ks", pixel_format="yuva444p10le", picture=_transparent)),
    "MP4, interlaced, top first": (
        ".mp4",
        _clip(picture=_fields, options={"flags": "+ildct+ilme", "x264-params": "tff=1:bframes=0"}),
    ),
    "MKV, interlaced, bottom first": (
        ".mkv",
        _clip(picture=_fields, options={"flags": "+ildct+ilme", "x264-params": "bff=1:bframes=0"}),
    ),
    "MP4, damaged": (".mp4", _damaged),
}
"""Kind -> suffix, and the function that writes it."""
TRUE_TIMES_MS = {
    name: tuple(40.0 * index for index in range(FRAMES)) for name in ("TS, wrap-around", "TS, restarted clock")
}
"""Times that readers get wrong or leave as they are."""
PIPE = "MKV by pipe"


def kinds() -> Iterable[str]:
    """Names of the kinds, the pipe included."""
    return [*VIDEOS, PIPE]
