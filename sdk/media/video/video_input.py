"""One pass over a video: packets are demuxed once, for the decoder and for the sink that copies the other streams."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import suppress

import av
from av.codec.context import ThreadType
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

from ..fork import keep_in_child
from ..reasons import error_reason
from .damage import DamageTracker, MarkedFrame
from .decoding import Decoding
from .input_container import alpha_decoder, video_stream
from .packet_queue import PacketQueue
from .splitting.skip import Skip, SkippedFrames
from .timeline import Timeline

_LOOKAHEAD = 3  # packets


class VideoInput:
    """An open container that is read once, from its start to its end.

    Args:
        container: container that nothing has been read from; this class closes it.
        name: name for messages.
        decoding: threads and hardware.
        skip: packets of the video before this one are not decoded; None to decode all.

    Attributes:
        stream: the video stream.
        decoder: decoder of the video.
        streams: the other streams.
        first: the first frame; None if there is no decodable one.
        timeline: moves the timestamps of all streams.
        damage: follows damage from packets to frames.
        frame_count: number of frames decoded so far.
        read_error: error that ended the stream; "" if it ended regularly.

    Raises:
        InputError: there is no video stream, or FFmpeg cannot decode it.
    """

    def __init__(self, container: InputContainer, name: str, decoding: Decoding, skip: Skip | None = None) -> None:
        self.container = container
        self._skipped = SkippedFrames(skip) if skip else None
        self.stream = video_stream(container, name)
        self.streams = tuple(stream for stream in container.streams if stream.index != self.stream.index)
        self.timeline, self.damage = Timeline(container, self.stream), DamageTracker()
        self.read_error, self.frame_count = "", 0
        self.decoder = alpha_decoder(self.stream) or self.stream.codec_context
        self.decoder.thread_type, self.decoder.thread_count = ThreadType.AUTO, decoding.threads
        self.decoder.copy_opaque = True  # frames tell from which packet they were decoded
        self._queue: PacketQueue | None = None
        self._early: list[Packet[Stream]] | None = []  # read before it was known whether they are copied
        # AVI has no presentation times. FFmpeg guesses wrong ones if frames are reordered; in order, the times of the
        # packets are those of the frames.
        self._times: list[int] | None = [] if container.format.name == "avi" else None
        self._waiting: deque[tuple[Packet[Stream], bool]] = deque()  # from a corrupt packet on; whether it is damaged
        self._frames = self._decode()
        keep_in_child(self)
        self._first = next(self._frames, None)
        self.first = self._first[0] if self._first else None

    def copy(self, queue: PacketQueue) -> None:
        """Put the packets of other streams into a queue, including those read already; call it before `frames`."""
        self._queue = queue

    def frames(self) -> Iterator[MarkedFrame]:
        """Decode to the end of the stream; damaged packets are counted and skipped, as in media players.

        Yields:
            A frame, and its mark for `damage`.
        """
        early, self._early = self._early or [], None
        for packet in early:
            self._put(packet)
        if self._first is not None:
            yield self._first
            self._first = self.first = None
        yield from self._frames
        for packet in self.timeline.rest():
            self._put(packet)

    def close(self) -> None:
        """Close the container; where its streams are templates of a queue, it stays open as long as that exists."""
        self._frames.close()
        if self._queue is None:
            self.container.close()

    def _put(self, packet: Packet[Stream]) -> None:
        if self._early is not None:
            self._early.append(packet)
        elif self._queue is not None and packet.stream in self._queue.streams:
            self._queue.put(packet)

    def _decode(self) -> Generator[MarkedFrame, None, None]:
        packets = self.container.demux()
        while True:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError) as error:
                self.read_error = error_reason(error)
                packet = None
            if packet is None:
                break
            if packet.stream.index == self.stream.index:
                yield from self._decode_in_order(packet)
            elif packet.size:  # not the empty packet at the end of each stream
                for placed in self.timeline.place(packet):
                    self._put(placed)
        with suppress(av.FFmpegError):  # the end of the file has flushed the decoder already
            yield from self._received(self.decoder.decode(None))

    def _decode_in_order(self, packet: Packet[Stream]) -> Iterator[MarkedFrame]:
        """Decode a packet; one that is marked as corrupt waits for the next two.

        If a parser assembles packets, FFmpeg marks the one before the damaged one, so both count as damaged. Where
        recordings were joined, these are the last before the jump of the clock, and nothing is missing.
        """
        jumps = len(self.timeline.jumps)
        if packet.size:
            self.timeline.place_video(packet)
            if self._skipped and not self._skipped.is_decoded(packet):
                return
        if len(self.timeline.jumps) > jumps:
            for waiting, damaged in self._waiting:
                yield from self._decode_packet(waiting, damaged)
            self._waiting.clear()
        self._waiting.append((packet, False))
        while self._waiting:
            waiting, damaged = self._waiting[0]
            if waiting.is_corrupt and len(self._waiting) < _LOOKAHEAD and packet.size:
                return
            self._waiting.popleft()
            if waiting.is_corrupt and self._waiting:
                self._waiting[0] = self._waiting[0][0], True
            yield from self._decode_packet(waiting, damaged or waiting.is_corrupt)

    def _decode_packet(self, packet: Packet[Stream], damaged: bool) -> Iterator[MarkedFrame]:
        if packet.size:
            if self._times is not None and packet.dts is not None:
                heapq.heappush(self._times, packet.dts)
                packet.pts = None
            self.damage.sent(packet, damaged)
        try:
            frames = self.decoder.decode(packet if packet.size else None)
        except av.FFmpegError:
            self.damage.failed()
            if self._times:
                self._times.remove(max(self._times))
            return
        yield from self._received(frames)

    def _received(self, frames: list[av.VideoFrame]) -> Iterator[MarkedFrame]:
        for frame in frames:
            if self._skipped and not self._skipped.is_wanted(frame):
                continue
            self.frame_count += 1
            mark = self.damage.received(frame)
            if self._times is not None:
                frame.pts = heapq.heappop(self._times) if self._times else None
            yield frame, (mark,)
