"""Packets of the streams beside the video: from the reader of a source to the sink that copies them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from fractions import Fraction

from av.packet import Packet
from av.stream import Stream


class PacketQueue:
    """Packets of some streams of a source, put by its reader and taken by a sink, which may run in another thread.

    Their timestamps are on the timeline of the source's frames.

    Args:
        streams: input streams; they stay valid as templates after the source is closed.
    """

    def __init__(self, streams: Sequence[Stream]) -> None:
        self.streams = tuple(streams)
        self._waiting: dict[int, deque[Packet[Stream]]] = {stream.index: deque() for stream in streams}
        self._lock = threading.Lock()
        self._closed = False

    def put(self, packet: Packet[Stream]) -> None:
        """Add a packet of one of the streams; others, and those after `close`, are discarded."""
        with self._lock:
            if not self._closed and packet.stream_index in self._waiting:
                self._waiting[packet.stream_index].append(packet)

    def take_until(self, time_s: Fraction | None) -> Iterator[Packet[Stream]]:
        """Remove and yield the packets read so far, in the order of their decoding timestamps.

        Args:
            time_s: last timestamp on the timeline of the source, in seconds; None for all.

        Yields:
            Packets; `Packet.stream_index` is that of the input stream.
        """
        while (packet := self._next(time_s)) is not None:
            yield packet

    def close(self) -> None:
        """Discard the packets, and those that are still put."""
        with self._lock:
            self._closed = True
            for packets in self._waiting.values():
                packets.clear()

    def _next(self, time_s: Fraction | None) -> Packet[Stream] | None:
        with self._lock:
            queues = [packets for packets in self._waiting.values() if packets]
            first = min(queues, key=lambda packets: packet_time(packets[0]), default=None)
            if first is None or (time_s is not None and packet_time(first[0]) > time_s):
                return None
            return first.popleft()


def packet_time(packet: Packet[Stream]) -> Fraction:
    """Decoding time in seconds; the presentation time where there is none, and 0 without both."""
    stamp = packet.pts if packet.dts is None else packet.dts
    return Fraction(0) if stamp is None else stamp * Fraction(packet.time_base)
