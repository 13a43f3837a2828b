"""Sounds, subtitles, chapters, tags and attachments of a Matroska file in every container."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from facesr_edge.sdk.media.sinks import open_sink
from facesr_edge.sdk.media.sources import open_source
from support.media import convert, encoded, make_video, pattern

MS = Fraction(1, 1000)
ASS = b"""[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,0

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
FONT = bytes(range(256)) * 8


def make_rich(path: Path) -> Path:
    """2 s of video; AAC and Opus, two text subtitles, two chapters, tags, a font."""
    with av.open(str(path), "w") as container:
        container.metadata.update({"title": "Street", "MOOD": "calm"})
        container.set_chapters(
            [
                {
                    "id": n,
                    "start": n * 1000,
                    "end": n * 1000 + 1000,
                    "time_base": MS,
                    "metadata": {"title": f"Part {n}"},
                }
                for n in range(2)
            ]
        )
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        tracks = [container.add_stream(name, rate=48_000, layout="mono") for name in ("aac", "libopus")]
        texts = [container.add_stream("subrip"), container.add_stream("ass")]
        for stream, language, flags in (
            (tracks[0], "eng", Disposition.default),
            (tracks[1], "ger", Disposition.comment),
            (texts[0], "fre", Disposition(0)),
            (texts[1], "ita", Disposition.default | Disposition.forced),
        ):
            stream.metadata["language"], stream.disposition = language, flags
        tracks[0].metadata["title"] = "Main"
        for text in texts:
            text.codec_context.subtitle_header, text.codec_context.time_base = ASS, MS
        container.add_attachment("font.ttf", "font/ttf", FONT)
        container.start_encoding()
        write_text(container, texts, 200, b"Hello {\\i1}world{\\i0}")
        for index in range(50):
            frame = av.VideoFrame.from_ndarray(pattern(index * 4 + 20), "bgr24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(video.encode(frame))
            for track in tracks:
                container.mux(track.encode(tone(track, index * 1920, 1920)))
            if index == 25:
                write_text(container, texts, 1100, b"Second\\Nline & more")
        for stream in (video, *tracks):
            container.mux(stream.encode(None))
    return path


def write_text(container: av.container.OutputContainer, streams: list, start: int, text: bytes) -> None:
    for number, stream in enumerate(streams):
        subtitle = av.subtitles.subtitle.SubtitleSet.create(b"%d,0,Default,,0,0,0,," % number + text, 0, 700, start)
        packet = stream.codec_context.encode_subtitle(subtitle)
        packet.stream, packet.time_base, packet.pts, packet.dts, packet.duration = stream, MS, start, start, 700
        container.mux_one(packet)


def tone(track: av.AudioStream, start: int, count: int) -> av.AudioFrame:
    samples = np.sin(np.arange(start, start + count) * 0.06).astype(np.float32) * 0.3
    format_name = track.codec_context.format.name
    data = samples if format_name.startswith("flt") else (samples * 32767).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(data[None], format_name, "mono")
    frame.sample_rate, frame.pts, frame.time_base = 48_000, start, Fraction(1, 48_000)
    return frame


def contents(path: Path) -> list[tuple[str, str, str, set[str]]]:
    """Type, codec, language and flags of each stream."""
    with av.open(str(path)) as container:
        return [
            (
                stream.type,
                stream.codec_context.codec.canonical_name if stream.codec_context else "",
                stream.metadata.get("language", ""),
                {flag.name for flag in Disposition if flag & stream.disposition},
            )
            for stream in container.streams
        ]


def texts(path: Path, number: int) -> list[tuple[float, float, str]]:
    """Start and duration in s, and text, of each subtitle."""
    with av.open(str(path)) as container:
        found = []
        for packet in container.demux(container.streams.subtitles[number]):
            if packet.size > 2 and (subtitles := packet.stream.codec_context.decode2(packet)):
                line = subtitles[0].ass.decode().split(",", 8)[-1]
                found.append((float(packet.pts * packet.time_base), float(packet.duration * packet.time_base), line))
        return found


def chapters(path: Path) -> list[tuple[float, float, str]]:
    with av.open(str(path)) as container:
        return [
            (float(c["start"] * c["time_base"]), float(c["end"] * c["time_base"]), c["metadata"]["title"])
            for c in container.chapters()
        ]


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_rich(tmp_path_factory.mktemp("rich") / "in.mkv")


def test_matroska_keeps_everything(tmp_path: Path, rich: Path) -> None:
    assert convert(rich, tmp_path / "o.mkv") == []
    assert contents(tmp_path / "o.mkv")[1:] == contents(rich)[1:]
    assert chapters(tmp_path / "o.mkv") == chapters(rich) == [(0, 1, "Part 0"), (1, 2, "Part 1")]
    for number in range(2):
        assert texts(tmp_path / "o.mkv", number) == texts(rich, number)
    with av.open(str(tmp_path / "o.mkv")) as container:
        assert {container.metadata["title"], container.metadata["MOOD"]} == {"Street", "calm"}
        assert container.streams.attachments[0].data == FONT
        assert container.streams.audio[0].metadata["title"] == "Main"


@pytest.mark.parametrize(
    ("output", "audio", "text", "noted"),
    [
        ("o.mp4", ["aac", "opus"], "mov_text", ["(subrip, fre) converted", "(ass, ita) converted", "font.ttf", "MOOD"]),
        (
            "o.mov",
            ["aac", "aac"],
            "mov_text",
            ["(opus, ger) converted to aac", "flag comment", "flag forced"],
        ),
        ("o.webm", ["opus", "opus"], "webvtt", ["(aac, eng) converted to opus", "(ass, ita) converted", "font.ttf"]),
    ],
)
def test_other_containers_convert_with_a_note_each(
    tmp_path: Path, rich: Path, output: str, audio: list[str], text: str, noted: list[str]
) -> None:
    notes = convert(rich, tmp_path / output)
    for words in noted:
        assert [note for note in notes if words in note], words
    streams = contents(tmp_path / output)
    assert [codec for kind, codec, *_ in streams if kind == "audio"] == audio
    assert [codec for kind, codec, *_ in streams if kind == "subtitle"] == [text, text]
    assert [language for kind, _, language, _ in streams if kind == "audio"] == ["eng", "ger"]
    assert chapters(tmp_path / output) == chapters(rich)
    for number in range(2):
        written = [(start, end, line.removesuffix("{\\i0}")) for start, end, line in texts(tmp_path / output, number)]
        assert written == [
            (pytest.approx(0.2), pytest.approx(0.7), "Hello {\\i1}world"),
            (pytest.approx(1.1), pytest.approx(0.7), "Second\\Nline & more"),
        ]


def test_avi_and_gif_note_what_they_drop(tmp_path: Path, rich: Path) -> None:
    avi, gif = convert(rich, tmp_path / "o.avi"), convert(rich, tmp_path / "o.gif")
    for notes in (avi, gif):
        for words in ("(subrip, fre)", "(ass, ita)", "font.ttf", "2 chapters", "MOOD"):
            assert [note for note in notes if words in note and "dropped" in note], words
    assert [codec for kind, codec, *_ in contents(tmp_path / "o.avi") if kind == "audio"] == ["aac", "mp3"]
    assert [note for note in gif if "audio (aac, eng) dropped" in note]


def test_damaged_sound_does_not_stop_the_video(tmp_path: Path) -> None:
    """Bytes in the middle of an MP3 stream are replaced; the converted sound has silence there and stays in step."""
    make_video(tmp_path / "in.mkv", 50, audio=("libmp3lame",))
    data = bytearray((tmp_path / "in.mkv").read_bytes())
    with av.open(str(tmp_path / "in.mkv")) as container:
        for packet in container.demux(audio=0):
            if packet.size and 0.8 < float(packet.pts * packet.time_base) < 1.1:
                data[packet.pos + 30 : packet.pos + packet.size] = bytes(packet.size - 30)
    (tmp_path / "in.mkv").write_bytes(data)
    convert(tmp_path / "in.mkv", tmp_path / "o.webm")
    assert sound_end(tmp_path / "o.webm") == pytest.approx(sound_end(tmp_path / "in.mkv"), abs=0.06)


def sound_end(path: Path) -> float:
    with av.open(str(path)) as container:
        return max(
            float((f.pts + f.samples / f.sample_rate / f.time_base) * f.time_base) for f in container.decode(audio=0)
        )


@pytest.mark.parametrize("start_s", [0.0, 0.5])
def test_converted_sound_stays_in_step_and_gaps_become_silence(tmp_path: Path, start_s: float) -> None:
    """A click at 1.2 s, after a gap of 0.3 s, is there in the converted sound, too."""
    path = tmp_path / "in.mkv"
    make_clicks(path, start_s)
    notes = convert(path, tmp_path / "o.webm")
    assert notes == ["audio (pcm_s16le) converted to opus: .webm does not hold pcm_s16le; use .mkv to copy"]
    assert loudest_s(tmp_path / "o.webm") == pytest.approx(1.2, abs=0.01)


def make_clicks(path: Path, start_s: float) -> None:
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=44_100, layout="stereo")
        for index in range(50):
            frame = av.VideoFrame.from_ndarray(pattern(index), "bgr24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(video.encode(frame))
            time_s = index / 25
            if time_s >= start_s and not 0.8 < time_s < 1.1:
                samples = np.zeros((1, 2 * 1764), np.int16)
                if index == 30:
                    samples[0, :80] = 30_000
                piece = av.AudioFrame.from_ndarray(samples, "s16", "stereo")
                piece.sample_rate, piece.pts, piece.time_base = 44_100, index * 1764, Fraction(1, 44_100)
                container.mux(sound.encode(piece))
        for stream in (video, sound):
            container.mux(stream.encode(None))


def loudest_s(path: Path) -> float:
    with av.open(str(path)) as container:
        best = (0.0, 0.0)
        for frame in container.decode(audio=0):
            level = np.abs(frame.to_ndarray().astype(float)).max(axis=0)
            step = frame.samples / len(level)
            at = float(frame.pts * frame.time_base) + int(level.argmax()) * step / frame.sample_rate
            best = max(best, (float(level.max()), at))
        return best[1]


def test_pixels_of_a_partly_written_sound_end_with_the_last_frame(tmp_path: Path) -> None:
    make_clicks(tmp_path / "in.mkv", 0.0)
    with open_source(tmp_path / "in.mkv") as source, open_sink(tmp_path / "o.webm", source) as sink:
        for frame, _ in zip(source, range(20), strict=False):
            sink.write(frame, frame.pixels)
    assert sound_end(tmp_path / "o.webm") <= 0.9


def test_cover_is_kept_in_matroska_and_noted_elsewhere(tmp_path: Path, rich: Path) -> None:
    picture = encoded(".jpg")
    with av.open(str(rich)) as source, av.open(str(tmp_path / "in.mkv"), "w") as container:
        video = container.add_stream_from_template(source.streams.video[0], opaque=True)
        container.add_attachment("cover.jpg", "image/jpeg", picture)
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = video
                container.mux(packet)
    assert convert(tmp_path / "in.mkv", tmp_path / "o.mkv") == []
    with av.open(str(tmp_path / "o.mkv")) as container:
        covers = [stream for stream in container.streams.video if stream.disposition & Disposition.attached_pic]
        assert [bytes(packet) for packet in container.demux(covers) if packet.size] == [picture]
    assert convert(tmp_path / "in.mkv", tmp_path / "o.mp4") == [
        "cover (mjpeg) dropped: .mp4 does not hold it; use .mkv"
    ]
