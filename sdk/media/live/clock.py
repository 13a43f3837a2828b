"""Times of the frames of a live stream: one timeline over reconnections, and the camera's own clock."""

from __future__ import annotations

import struct
from typing import Any, Literal

from av.packet import Packet

_REFERENCE: Literal["prft"] = "prft"
"""Side data in which FFmpeg passes on RTCP sender reports: microseconds since 1970 as int64, then flags."""
_STEP_S = 1e-3  # at least, from frame to frame


class StreamClock:
    """Presentation times that go on over reconnections; those of the first connection are the stream's own.

    Where the stream has none, or its times start again or go back, the time of arrival takes their place.
    """

    def __init__(self) -> None:
        self._offset_s = 0.0
        self._last: tuple[float, float] | None = None  # time and arrival of the last frame
        self._restarted = False

    def restart(self) -> None:
        """Note a new connection, whose times have another origin."""
        self._restarted = True

    def time_s(self, stream_s: float | None, arrival_s: float) -> float:
        """Time of the next frame in seconds, later than that of the frame before.

        Args:
            stream_s: its presentation time; None if it has none.
            arrival_s: when it was decoded.
        """
        if self._last is None:
            time_s, self._restarted = stream_s or 0.0, stream_s is None
        elif stream_s is None or self._restarted or stream_s + self._offset_s <= self._last[0]:
            time_s = self._last[0] + max(arrival_s - self._last[1], _STEP_S)
            if stream_s is not None:  # a frame without a time tells nothing of where the stream's times begin
                self._offset_s, self._restarted = time_s - stream_s, False
        else:
            time_s = stream_s + self._offset_s
        self._last = time_s, arrival_s
        return time_s


class CameraClock:
    """The camera's clock at each presentation time, from its last RTCP sender report."""

    def __init__(self) -> None:
        self._offset_s: float | None = None

    def sent(self, packet: Packet[Any]) -> None:
        """Note a packet before it is decoded."""
        if packet.pts is None or packet.time_base is None or not packet.has_sidedata(_REFERENCE):
            return
        wallclock_us = struct.unpack_from("<q", bytes(packet.get_sidedata(_REFERENCE)))[0]
        self._offset_s = wallclock_us / 1e6 - float(packet.pts * packet.time_base)

    def time_s(self, stream_s: float | None) -> float | None:
        """Seconds since 1970 (UTC) at a presentation time; None without a report."""
        return None if self._offset_s is None or stream_s is None else self._offset_s + stream_s
