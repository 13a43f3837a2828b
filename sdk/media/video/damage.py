"""Which decoded frames are damaged: those that the decoder concealed, and all that are predicted from them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import av
from av.packet import Packet

_REMEMBERED = 64  # packets whose frame may still come out of the decoder: frame threads and reordering


@dataclass
class _Group:
    """Packets from a key frame to the next one."""

    start: int  # serial number of the key frame
    key_pts: int | None
    damaged_from: int | None = None  # serial number of the first damaged packet


class Mark(NamedTuple):
    """A decoded frame: serial number of its packet, and presentation time."""

    serial: int
    pts: int | None


MarkedFrame = tuple[av.VideoFrame, tuple[Mark, ...]]
"""A frame, and the marks of the decoded frames that it is made of."""


class DamageTracker:
    """Follows damage from packets to frames.

    A damaged packet or frame damages all frames that are decoded after it, until the next key frame; also those that
    are decoded after that key frame but shown before it, because they are predicted from both sides. Whether a frame is
    damaged is known once every frame that was decoded before it and is shown later has been received.

    Attributes:
        packets: packets that are marked as corrupt or that could not be decoded.
        undecodable: packets before the first key frame that could not be decoded: the stream was cut there.
    """

    def __init__(self) -> None:
        self.packets = self.undecodable = 0
        self._serial = 0
        self._newest = 0  # serial number of the last frame in decoding order
        self._marked = False
        self._key_seen = False
        self._groups: deque[_Group] = deque([_Group(0, None)], maxlen=_REMEMBERED)
        self._expected: dict[int, int | None] = {}  # pts of packets whose frame has not come out, by serial number
        self._held: deque[tuple[av.VideoFrame, Mark]] = deque()

    def sent(self, packet: Packet[Any], damaged: bool | None = None) -> None:
        """Note a packet before it is decoded; the decoder copies its serial number to the frame.

        Args:
            packet: packet of the video.
            damaged: whether it is; None if the mark of this packet or of the one before it decides.
        """
        if damaged is None:
            damaged, self._marked = packet.is_corrupt or self._marked, packet.is_corrupt
        self._serial += 1
        if packet.is_keyframe:
            self._key_seen = True
            self._groups.append(_Group(self._serial, packet.pts))
        packet.opaque = self._serial
        self._expected[self._serial] = packet.pts
        self._expected.pop(self._serial - _REMEMBERED, None)
        if damaged:
            self.packets += packet.is_corrupt
            self._damage(self._serial)

    def failed(self) -> None:
        """Note that the decoder reported an error: of the last packet, or with frame threads of one before."""
        if not self._key_seen:
            self.undecodable += 1
            return
        self.packets += 1
        first = min((serial for serial in self._expected if serial > self._newest), default=self._serial)
        for group in self._groups:
            if group.start <= self._serial:
                self._damage(max(first, group.start))

    def received(self, frame: av.VideoFrame) -> Mark:
        """Note a frame that came out of the decoder, in order."""
        mark = Mark(self._serial_of(frame), frame.pts)
        self._expected.pop(mark.serial, None)
        if frame.is_corrupt:
            self._damage(mark.serial)
        self._newest = max(self._newest, mark.serial)
        return mark

    def waits(self, mark: Mark) -> bool:
        """Whether a frame that was decoded earlier, so that this one may be predicted from it, is shown later."""
        shown = mark.pts
        return shown is not None and any(
            expected < mark.serial and pts is not None and pts > shown for expected, pts in self._expected.items()
        )

    def is_damaged(self, mark: Mark) -> bool:
        """Whether a frame is damaged, once it does not wait."""
        group = self._group(mark.serial)
        if group.damaged_from is not None and group.damaged_from <= mark.serial:
            return True
        leading = mark.pts is not None and group.key_pts is not None and mark.pts < group.key_pts
        return leading and self._group(group.start - 1).damaged_from is not None

    def frames(self, decoded: list[av.VideoFrame]) -> Iterator[tuple[av.VideoFrame, bool]]:
        """Frames that are ready, in order, each with whether it is damaged.

        Args:
            decoded: frames that came out of the decoder.
        """
        self._held.extend((frame, self.received(frame)) for frame in decoded)
        while self._held and not self.waits(self._held[0][1]):
            yield self._release()

    def rest(self) -> Iterator[tuple[av.VideoFrame, bool]]:
        """The frames that are left at the end of the stream."""
        while self._held:
            yield self._release()

    def _serial_of(self, frame: av.VideoFrame) -> int:
        if isinstance(frame.opaque, int):
            return frame.opaque
        serials = (serial for serial, pts in self._expected.items() if pts == frame.pts)
        return next(serials, self._serial)

    def _damage(self, serial: int) -> None:
        group = self._group(serial)
        group.damaged_from = serial if group.damaged_from is None else min(group.damaged_from, serial)

    def _group(self, serial: int) -> _Group:
        return next((group for group in reversed(self._groups) if group.start <= serial), self._groups[0])

    def _release(self) -> tuple[av.VideoFrame, bool]:
        frame, mark = self._held.popleft()
        return frame, self.is_damaged(mark)
