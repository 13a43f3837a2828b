"""Sound from a source file into an output file, packet by packet, without decoding it."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import cast

import av
from av.audio.stream import AudioStream
from av.bitstream import BitStreamFilterContext
from av.container import OutputContainer
from av.packet import Packet

from .images import why


class SoundCopy:
    """Owns a second reading of the source, because the first one is as far as the frames are.

    Args:
        location: the source, as FFmpeg takes it.
        output: a file not yet begun.
        suffix: of the output, for the notes.
        notes: gets a line for each sound that is left out.
    """

    def __init__(self, location: str, output: OutputContainer, suffix: str, notes: list[str]) -> None:
        self._output, self._notes = output, notes
        self._input = av.open(location)
        self._streams: dict[int, AudioStream] = {}
        self._filters: dict[int, BitStreamFilterContext] = {}
        for stream in self._input.streams.audio:
            codec = stream.codec_context.codec.canonical_name if stream.codec_context else "an unknown codec"
            if codec not in output.supported_codecs:
                notes.append(f"sound left out: {suffix} cannot hold {codec}; choose .mkv or .mov to keep it")
                continue
            copy = output.add_stream_from_template(stream)
            copy.metadata.update(stream.metadata)
            self._streams[stream.index] = copy
            if codec == "aac" and not stream.codec_context.extradata and output.format.name in ("mp4", "mov"):
                # Transport streams repeat the decoder's settings in every packet; MP4 wants them once, in its index.
                self._filters[stream.index] = BitStreamFilterContext("aac_adtstoasc", stream)
        self._packets = self._read()
        self._pending: Packet[AudioStream] | None = None

    @property
    def any(self) -> bool:
        """Whether there is any sound to copy."""
        return bool(self._streams)

    def copy_until(self, time_s: Fraction | None) -> None:
        """Copy what is heard up to a moment.

        Args:
            time_s: the moment on the source's own clock; None for all the rest.

        Raises:
            av.FFmpegError: the output cannot be written.
        """
        while (packet := self._pending or next(self._packets, None)) is not None:
            self._pending = None
            if time_s is not None and packet.dts is not None and packet.dts * packet.time_base > time_s:
                self._pending = packet
                return
            bare = self._filters.get(packet.stream_index)
            stream = self._streams[packet.stream_index]
            for ready in bare.filter(packet) if bare else [packet]:
                ready.stream = stream
                self._output.mux_one(ready)

    def close(self) -> None:
        """Close the second reading."""
        self._input.close()

    def _read(self) -> Iterator[Packet[AudioStream]]:
        try:
            for packet in self._input.demux([s for s in self._input.streams.audio if s.index in self._streams]):
                if packet.dts is not None:  # the last one of each stream is an empty mark
                    yield cast("Packet[AudioStream]", packet)
        except (av.FFmpegError, OSError) as error:
            self._notes.append(f"the sound ends early: {why(error)}")
