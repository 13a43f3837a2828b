"""One timeline for all streams of a file: it starts at 0 and continues where the file's clock jumps."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av
from av.container import InputContainer
from av.format import Flags
from av.packet import Packet
from av.stream import Stream

if TYPE_CHECKING:
    from av.container.core import Chapter

MAX_GAP_S = 3600
"""Longest gap of a recording; a longer one in a transport stream is a jump of its clock."""

_TOLERANCE_S = 0.5  # how far a sound may go back, or differ from its expected time, without a jump of the clock
_MAX_WAIT_S = 10  # how long a sound waits for the video to jump as well


class Timeline:
    """Moves the timestamps of packets.

    A container that starts later than 0 is moved to 0, and so is a transport stream that starts earlier, because its
    33-bit clock wrapped around. Where the timestamps of the video go back (concatenated recordings, a clock that was
    reset), the video continues at the end of what came before, and the other streams of that place in the file are
    moved by the same time. Gaps are kept up to `MAX_GAP_S`.

    Args:
        container: open container.
        video: its video stream.

    Attributes:
        start_s: time in the file that is time 0 of the timeline.
        jumps: size in seconds and time on the timeline of each jump that was removed.
        dropped_packets: packets of sounds that overlapped with what came before a jump.
    """

    def __init__(self, container: InputContainer, video: Stream) -> None:
        self.start_s = _start(container)
        self.jumps: list[tuple[float, float]] = []
        self.dropped_packets = 0
        self._can_jump_ahead = _can_jump(container)
        self._offsets = [-self.start_s]  # added to the timestamps before the first jump, after it, …
        self._unit_s = Fraction(video.time_base or Fraction(1, 90_000))
        self._offset = round(-self.start_s / self._unit_s)
        self._last_dts: int | None = None
        self._end = self._frame = 0
        self._others: dict[int, _OtherStream] = {}

    def place_video(self, packet: Packet[Stream]) -> None:
        """Move a packet of the video onto the timeline."""
        dts = packet.pts if packet.dts is None else packet.dts
        if dts is None:
            return
        if self._last_dts is not None:
            ahead_s = (dts + self._offset - self._last_dts) * self._unit_s
            if ahead_s < 0 or (ahead_s > MAX_GAP_S and self._can_jump_ahead):
                self._jump(packet, dts)
            elif 0 < ahead_s < 1:  # the duration of a packet may be wrong or missing
                self._frame = dts + self._offset - self._last_dts
        self._last_dts = dts + self._offset
        _move(packet, self._offset)
        self._frame = self._frame or packet.duration or 0
        self._end = max(self._end, (self._last_dts if packet.pts is None else packet.pts) + self._frame)

    def place(self, packet: Packet[Stream]) -> list[Packet[Stream]]:
        """Move a packet of another stream onto the timeline.

        Returns:
            The packet; nothing while a sound waits for the video to jump as well; else with the ones that waited.
        """
        stamp = packet.pts if packet.dts is None else packet.dts
        if stamp is None:
            return [packet]
        if packet.stream.type != "audio":  # too few packets to tell a jump from a pause
            _move(packet, round(self._offsets[-1] / Fraction(packet.time_base)))
            return [packet]
        other = self._others.setdefault(packet.stream.index, _OtherStream())
        if other.waiting or self._jumps_alone(other, float(stamp * packet.time_base)):
            other.waiting.append(packet)
            if len(self._offsets) - 1 == other.part and other.waiting_s() < _MAX_WAIT_S:
                return []
            return self._release(other)
        return self._place(other, packet)

    def rest(self) -> list[Packet[Stream]]:
        """Packets that still wait at the end of the file."""
        return [packet for other in self._others.values() for packet in self._release(other)]

    def moved_chapters(self, chapters: list[Chapter]) -> list[Chapter]:
        """Chapters of the container on the timeline."""
        moved = []
        for chapter in chapters:
            offset = round(self.start_s / (chapter["time_base"] or 1))
            moved.append(
                cast("Chapter", {**chapter, "start": chapter["start"] - offset, "end": chapter["end"] - offset})
            )
        return moved

    def notes(self) -> list[str]:
        """One line on the jumps, if there were any."""
        if not self.jumps:
            return []
        jump_s, time_s = self.jumps[0]
        times = f"jump {len(self.jumps)} times, first" if len(self.jumps) > 1 else "jump"
        dropped = f"; {self.dropped_packets} overlapping sound packets dropped" if self.dropped_packets else ""
        return [f"timestamps {times} by {jump_s:+.1f} s at {time_s:.1f} s: continued without the jump{dropped}"]

    def _jump(self, packet: Packet[Stream], dts: int) -> None:
        """Continue after the last frame, unless decoding times overlap only because frames are reordered."""
        last_dts = self._last_dts or 0
        if packet.is_keyframe:
            correction = self._end - ((dts if packet.pts is None else packet.pts) + self._offset)
            if 0 <= correction <= self._frame // 2:
                return
        else:
            correction = last_dts + self._frame - (dts + self._offset)
            if 0 < correction * self._unit_s < 1:
                return
        self.jumps.append((float(-correction * self._unit_s), float(self._end * self._unit_s)))
        self._offset += correction
        self._offsets.append(self._offset * self._unit_s)

    def _jumps_alone(self, other: _OtherStream, stamp_s: float) -> bool:
        """Whether a sound jumps at a place where the video has not (yet) jumped."""
        if other.end_s is None or other.part < len(self._offsets) - 1:
            return False
        ahead_s = stamp_s + float(self._offsets[other.part] + other.own_s) - other.end_s
        return ahead_s < -_TOLERANCE_S or (ahead_s > MAX_GAP_S and self._can_jump_ahead)

    def _release(self, other: _OtherStream) -> list[Packet[Stream]]:
        packets, other.waiting = other.waiting, []
        if packets and other.part == len(self._offsets) - 1 and other.end_s is not None:  # the video did not jump
            first_s = _stamp_s(packets[0]) + self._offsets[other.part] + other.own_s
            other.own_s += Fraction(other.end_s).limit_denominator(1_000_000) - first_s
            self.jumps.append((float(first_s) - other.end_s, other.end_s))
        return [placed for packet in packets for placed in self._place(other, packet)]

    def _place(self, other: _OtherStream, packet: Packet[Stream]) -> list[Packet[Stream]]:
        stamp_s, end_s = _stamp_s(packet), other.end_s
        if end_s is not None and other.part < len(self._offsets) - 1:
            parts = range(other.part, len(self._offsets))
            part = min(parts, key=lambda part: abs(float(stamp_s + self._offsets[part] + other.own_s) - end_s))
            other.overlaps, other.part = other.overlaps or part > other.part, part
        offset_s = self._offsets[other.part] + other.own_s
        time_s = float(stamp_s + offset_s)
        _move(packet, round(offset_s / Fraction(packet.time_base)))
        length_s = float((packet.duration or 0) * packet.time_base)
        if other.overlaps and end_s is not None and time_s < end_s - length_s / 2:
            self.dropped_packets += 1
            return []
        other.overlaps = False
        other.end_s = time_s + length_s
        return [packet]


@dataclass
class _OtherStream:
    """Position of a sound: the part of the file between two jumps, and the expected next timestamp."""

    part: int = 0
    end_s: float | None = None
    own_s: Fraction = Fraction(0)  # correction of jumps that the video does not have
    overlaps: bool = False  # after a jump, until a packet begins after the end of what came before
    waiting: list[Packet[Stream]] = field(default_factory=list)

    def waiting_s(self) -> float:
        return float(_stamp_s(self.waiting[-1]) - _stamp_s(self.waiting[0]))


def _stamp_s(packet: Packet[Stream]) -> Fraction:
    stamp = packet.pts if packet.dts is None else packet.dts
    return (stamp or 0) * Fraction(packet.time_base)


def _move(packet: Packet[Stream], offset: int) -> None:
    if not offset:
        return
    if packet.pts is not None:
        packet.pts += offset
    if packet.dts is not None:
        packet.dts += offset


def _start(container: InputContainer) -> Fraction:
    """Start of the container in seconds, exact to a unit of the stream that starts first; 0 if it is not moved."""
    if container.start_time is None:
        return Fraction(0)
    start_s = Fraction(container.start_time, av.time_base)
    if start_s < 0 and not _can_jump(container):  # priming of a sound, or an edit list
        return Fraction(0)
    starts = [s.start_time * s.time_base for s in container.streams if s.start_time is not None and s.time_base]
    return min(starts, key=lambda time_s: abs(time_s - start_s), default=start_s)


def _can_jump(container: InputContainer) -> bool:
    """Whether the clock of the format may jump and wrap around: transport and program streams."""
    return bool(container.format.flags & cast(int, Flags.ts_discont.value))
