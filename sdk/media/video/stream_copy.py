"""Audio stream copy: packets go from the source file to the output file without re-encoding."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import cast

import av
from av.audio.stream import AudioStream
from av.bitstream import BitStreamFilterContext
from av.container import OutputContainer
from av.packet import Packet

from ..reasons import error_reason


class AudioCopy:
    """Opens the source a second time and copies its audio packets, interleaved with the encoded frames.

    The second reader is needed because the first one is positioned at the current video frame.

    Args:
        location: path or URL of the source for FFmpeg.
        output: output container whose header is not written yet.
        suffix: suffix of the output file, for notes.
        notes: receives one line for each audio stream that is dropped.
    """

    def __init__(self, location: str, output: OutputContainer, suffix: str, notes: list[str]) -> None:
        self._output, self._notes = output, notes
        self._input = av.open(location)
        self._streams: dict[int, AudioStream] = {}
        self._filters: dict[int, BitStreamFilterContext] = {}
        for stream in self._input.streams.audio:
            codec = stream.codec_context.codec.canonical_name if stream.codec_context else "an unknown codec"
            if codec not in output.supported_codecs:
                notes.append(f"audio dropped: {suffix} does not support {codec}; use .mkv or .mov to keep it")
                continue
            copy = output.add_stream_from_template(stream)
            copy.metadata.update(stream.metadata)
            self._streams[stream.index] = copy
            if codec == "aac" and not stream.codec_context.extradata and output.format.name in ("mp4", "mov"):
                # Transport streams carry the AAC decoder configuration in every packet, MP4 once in its index.
                self._filters[stream.index] = BitStreamFilterContext("aac_adtstoasc", stream)
        self._packets = self._read()
        self._pending: Packet[AudioStream] | None = None

    @property
    def has_streams(self) -> bool:
        """Whether there is any audio to copy."""
        return bool(self._streams)

    def copy_until(self, time_s: Fraction | None) -> None:
        """Copy the packets up to a timestamp.

        Args:
            time_s: timestamp of the source in seconds; None copies the rest.

        Raises:
            av.FFmpegError: the output cannot be written.
        """
        while (packet := self._pending or next(self._packets, None)) is not None:
            self._pending = None
            if time_s is not None and packet.dts is not None and packet.dts * packet.time_base > time_s:
                self._pending = packet
                return
            bitstream_filter = self._filters.get(packet.stream_index)
            stream = self._streams[packet.stream_index]
            for output_packet in bitstream_filter.filter(packet) if bitstream_filter else [packet]:
                output_packet.stream = stream
                self._output.mux_one(output_packet)

    def close(self) -> None:
        """Close the second reader."""
        self._input.close()

    def _read(self) -> Iterator[Packet[AudioStream]]:
        try:
            for packet in self._input.demux([s for s in self._input.streams.audio if s.index in self._streams]):
                if packet.dts is not None:  # each stream ends with an empty flush packet
                    yield cast("Packet[AudioStream]", packet)
        except (av.FFmpegError, OSError) as error:
            self._notes.append(f"audio is truncated: {error_reason(error)}")
