"""What becomes of a stream of the source in the output: copied, converted, or dropped with a note."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Protocol

import av
from av.audio.stream import AudioStream
from av.bitstream import BitStreamFilterContext
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.subtitles.stream import SubtitleStream
from av.video.stream import VideoStream

from ..containers import ContainerFormat
from .audio_conversion import ConvertedAudio
from .subtitle_conversion import TEXT_CODECS, ConvertedSubtitles


class Track(Protocol):
    """One stream of the output, made from one of the source."""

    def open(self, output: OutputContainer, picture: bytes) -> Stream | None:
        """Add the stream to a container whose header is not written yet.

        Args:
            output: the container.
            picture: first packet of a cover.

        Returns:
            None if it becomes an attachment.
        """

    def packets(self, packet: Packet[Stream]) -> Iterator[Packet[Any]]:
        """Packets of the output for one of the source."""

    def flush(self) -> Iterator[Packet[Any]]:
        """Packets that were held back."""


@dataclass(frozen=True)
class Choice:
    """What becomes of a stream.

    Args:
        stream: of the source.
        track: writes it; None if it is dropped.
        note: what is lost or converted; "" if nothing is.
    """

    stream: Stream
    track: Track | None
    note: str = ""


class CopiedStream:
    """Packets are copied unchanged.

    Args:
        template: input stream.
    """

    def __init__(self, template: Stream) -> None:
        self._template = template
        self._filter: BitStreamFilterContext | None = None

    def open(self, output: OutputContainer, picture: bytes = b"") -> Stream:
        """Add the stream to a container whose header is not written yet."""
        template = self._template
        # Transport streams carry the AAC decoder configuration in every packet, other containers once.
        once = output.format.name in ("mp4", "mov", "matroska")
        if once and codec_name(template) == "aac" and not template.codec_context.extradata:
            self._filter = BitStreamFilterContext("aac_adtstoasc", template)
        return output.add_stream_from_template(template, opaque=True)

    def packets(self, packet: Packet[Stream]) -> Iterator[Packet[Any]]:
        """The packet, for AAC of transport streams without the header in it."""
        yield from self._filter.filter(packet) if self._filter else [packet]

    def flush(self) -> Iterator[Packet[Any]]:
        """Nothing is held back."""
        return iter(())


class CoverAttachment:
    """A cover picture becomes an attachment, as Matroska stores them.

    Args:
        codec: FFmpeg's name of its codec.
    """

    def __init__(self, codec: str) -> None:
        self._codec = codec

    def open(self, output: OutputContainer, picture: bytes) -> None:
        """Add the picture to a container whose header is not written yet."""
        kind = "jpeg" if self._codec == "mjpeg" else self._codec
        output.add_attachment(f"cover.{kind.replace('jpeg', 'jpg')}", f"image/{kind}", picture)

    def packets(self, packet: Packet[Stream]) -> Iterator[Packet[Any]]:
        """The picture is in the header already."""
        return iter(())

    def flush(self) -> Iterator[Packet[Any]]:
        """Nothing is held back."""
        return iter(())


def choose_track(stream: Stream, container: ContainerFormat, suffix: str, chapters: bool) -> Choice:
    """Choose what becomes of a stream.

    Args:
        stream: of the source, not the video that is processed.
        container: container format of the output.
        suffix: suffix of the output file, for notes.
        chapters: whether the source has chapters; MOV and MP4 store them as a data stream, too.
    """
    name, codec = described(stream), codec_name(stream)
    if isinstance(stream, VideoStream) and not is_cover(stream):
        return Choice(stream, None, f"{name} dropped: only one video is processed")
    if stream.type == "data" and container.chapters and _made_anew(stream, chapters):
        return Choice(stream, None)
    if is_cover(stream) and container.container == "matroska":
        return Choice(stream, CoverAttachment(codec))
    if stream.type in container.copies and _holds(container, stream):
        return Choice(stream, CopiedStream(stream))
    if isinstance(stream, AudioStream) and container.audio_codec and stream.codec_context is not None:
        note = f"{name} converted to {_plain(container.audio_codec)}: {suffix} does not hold {codec}; use .mkv to copy"
        return Choice(stream, ConvertedAudio(stream, container.audio_codec), note)
    if isinstance(stream, SubtitleStream) and container.subtitle_codec and codec in TEXT_CODECS:
        note = f"{name} converted to {container.subtitle_codec}: {suffix} does not hold {codec}"
        return Choice(stream, ConvertedSubtitles(stream, container.subtitle_codec), note)
    return Choice(stream, None, f"{name} dropped: {suffix} {_instead(stream, container)}")


def described(stream: Stream) -> str:
    """Kind, codec and language of a stream for notes, e.g. "audio (aac, eng)"."""
    kind = "cover" if isinstance(stream, VideoStream) and is_cover(stream) else stream.type
    title = stream.metadata.get("filename") if stream.type == "attachment" else codec_name(stream)
    language = stream.metadata.get("language", "und")
    return f"{kind} ({', '.join(part for part in (title, language) if part and part != 'und')})"


def codec_name(stream: Stream) -> str:
    """FFmpeg's name of the codec of a stream."""
    context = stream.codec_context
    return context.codec.canonical_name if context is not None else getattr(stream, "name", None) or "unknown codec"


def is_cover(stream: Stream) -> bool:
    """Whether a stream is a picture that is attached to the file."""
    return bool(stream.disposition & Disposition.attached_pic)


def _made_anew(stream: Stream, chapters: bool) -> bool:
    """Whether FFmpeg makes the data stream anew: from the tag "timecode", or from the chapters."""
    return "timecode" in stream.metadata or (chapters and codec_name(stream) == "bin_data")


def _plain(encoder: str) -> str:
    return {"libopus": "opus", "libmp3lame": "mp3"}.get(encoder, encoder)


def _instead(stream: Stream, container: ContainerFormat) -> str:
    held = [_plain(name) for name in (container.audio_codec, container.subtitle_codec) if name]
    if isinstance(stream, SubtitleStream) and container.subtitle_codec:
        return f"holds {container.subtitle_codec}; use .mkv"
    if isinstance(stream, AudioStream) and held:
        return f"does not hold {codec_name(stream)}; use .mkv"
    return f"does not hold it; use {'.mov' if stream.type == 'data' else '.mkv'}"


def _holds(container: ContainerFormat, stream: Stream) -> bool:
    """Whether a container takes a stream: its header is written to memory."""
    trial = av.open(BytesIO(), "w", format=container.container, options=container.options)
    try:
        trial.add_stream_from_template(stream, opaque=True)
        trial.start_encoding()
    except (av.FFmpegError, ValueError, OSError):
        return False
    finally:
        with suppress(av.FFmpegError, ValueError, OSError):  # nothing was written into it
            trial.close()
    return True
