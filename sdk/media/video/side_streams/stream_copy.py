"""Everything beside the video: sounds, subtitles, chapters, tags, attachments and covers of the source."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, cast

import av
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Disposition, Stream

from ..containers import ContainerFormat
from ..packet_queue import PacketQueue
from ..reader import VideoSource
from .stream_choice import Choice, Track, choose_track, described, is_cover
from .tags import Expected, kept_tags, lost_properties

_AVI_TOLERANCE_MS = 25
_FATAL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EPIPE, errno.EIO)


@dataclass
class _Opened:
    """A track in the output."""

    track: Track
    template: Stream
    stream: Stream | None
    damaged: bool = False
    started: bool = False


class StreamCopy:
    """Copies the streams beside the video from the packets that the source's reader puts into a queue.

    Args:
        source: a video whose iteration has not started.
        format: container format of the output.
        suffix: suffix of the output file, for notes.
        notes: receives what the container does not hold, or holds in another codec only, one line each.
    """

    def __init__(
        self,
        source: VideoSource,
        format: ContainerFormat,  # noqa: A002
        suffix: str,
        notes: list[str],
    ) -> None:
        self._source, self._format, self._suffix = source, format, suffix
        self._streams = source.streams
        choices = [choose_track(stream, format, suffix, bool(source.chapters)) for stream in self._streams]
        self._notes = notes
        notes += [choice.note for choice in choices if choice.note]
        if source.chapters and not format.chapters:
            self._notes.append(f"{len(source.chapters)} chapters dropped: {suffix} holds none; use .mkv or .mp4")
        self._choices: list[Choice] = [choice for choice in choices if choice.track is not None]
        self._queue: PacketQueue | None = None
        if self._choices:
            self._queue = source.copy([choice.stream for choice in self._choices])
        self._early: list[Packet[Stream]] = []
        self._tracks: dict[int, _Opened] = {}

    @property
    def streams(self) -> list[str]:
        """Descriptions of the streams that are copied or converted."""
        return [described(choice.stream) for choice in self._choices]

    def open(self, output: OutputContainer, streams: bool = True) -> None:
        """Add streams, chapters and tags to a container whose header is not written yet.

        Args:
            output: the container.
            streams: False adds chapters and tags only.
        """
        output.metadata.update(kept_tags(self._source.tags) | self._timecode())
        if self._source.chapters and self._format.chapters:
            output.set_chapters(self._source.chapters)
        if self._queue is not None:  # covers come first
            self._early += self._queue.take_until(Fraction(0))
        self._tracks = {}
        for choice in self._choices if streams else []:
            if choice.track is not None:
                self._tracks[choice.stream.index] = self._opened(choice.track, choice.stream, output)

    def _timecode(self) -> dict[str, str]:
        codes = [stream.metadata["timecode"] for stream in self._streams if "timecode" in stream.metadata]
        return {"timecode": codes[0]} if codes and self._format.chapters else {}

    def _opened(self, track: Track, template: Stream, output: OutputContainer) -> _Opened:
        pictures = (packet for packet in self._early if packet.stream_index == template.index)
        stream = track.open(output, bytes(next(pictures, b"")) if is_cover(template) else b"")
        if stream is not None:
            stream.metadata.update(kept_tags(template.metadata))
            stream.disposition = cast(Disposition, template.disposition.value)  # PyAV 16 takes an integer only
        return _Opened(track, template, stream)

    def copy_until(self, output: OutputContainer, time_s: Fraction | None) -> None:
        """Copy the packets up to a timestamp.

        Args:
            output: the container.
            time_s: timestamp of the source in seconds; None copies the rest.

        Raises:
            av.FFmpegError: the output cannot be written.
        """
        if self._queue is None:
            return
        early, self._early = self._early, []
        for packet in chain(early, self._queue.take_until(time_s)):
            if (opened := self._tracks.get(packet.stream_index)) is not None:
                self._check_start(opened, packet)
                self._mux(output, opened, opened.track.packets(packet))

    def _check_start(self, opened: _Opened, packet: Packet[Stream]) -> None:
        """AVI has no timestamps: sound that starts late there starts with the video."""
        if self._format.container != "avi" or opened.started or packet.pts is None:
            return
        opened.started = True
        start_ms = round(1000 * packet.pts * packet.time_base)
        if start_ms > _AVI_TOLERANCE_MS:
            self._notes.append(f"{described(opened.template)} starts {start_ms} ms early: .avi has no timestamps")

    def flush(self, output: OutputContainer) -> None:
        """Write what the tracks hold back."""
        for opened in self._tracks.values():
            self._mux(output, opened, opened.track.flush())

    def _mux(self, output: OutputContainer, opened: _Opened, packets: Iterable[Packet[Any]]) -> None:
        try:
            for packet in packets:
                packet.stream = opened.stream
                output.mux_one(packet)
        except (av.FFmpegError, ValueError) as error:
            if getattr(error, "errno", None) in _FATAL:
                raise
            if not opened.damaged:
                self._notes.append(f"{described(opened.template)} is damaged: packets that do not fit are left out")
            opened.damaged = True

    def check(self, path: Path) -> None:
        """Add a note for each tag, language and flag that a finished file lacks."""
        tags = self._source.tags
        expected = [
            Expected(described(opened.template), opened.stream.index, opened.template)
            for opened in self._tracks.values()
            if opened.stream is not None
        ]
        if kept_tags(tags) or expected:
            self._notes += lost_properties(path, tags, expected, self._suffix)

    def close(self) -> None:
        """Discard what is left; the reader stops reading these streams."""
        if self._queue is not None:
            self._queue.close()
