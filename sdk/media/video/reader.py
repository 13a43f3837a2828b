"""Video files as sources: frame-by-frame decoding with the timestamps of the file."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
from av.stream import Stream

from ....engines.errors import InputError, UsageError
from ...pipeline.frame import Frame
from ..reasons import plural
from ..source_sink import Source
from .color_conversion import display_matrix
from .damage import DamageTracker, Mark, MarkedFrame
from .decoding import SOFTWARE, Decoding
from .deinterlace import container_field_order, deinterlaced
from .frame_conversion import Converted, FrameConverter, bit_depth
from .frame_times import FrameTimes
from .hdr import hdr_metadata
from .input_container import frame_rate, has_side_alpha, open_container
from .left_out import left_out
from .packet_queue import PacketQueue
from .pipe import Pipe
from .repetitions import gif_repetitions
from .splitting.skip import Skip
from .truncation import has_index, missing_bytes, missing_of_pipe
from .video_input import VideoInput

_DEINTERLACED = "interlaced frames are deinterlaced (bwdif)"


class VideoSource(Source):
    """Frames of a video file, local or behind a URL.

    The file is opened once: the first iteration continues where opening stopped, each further one opens it again.

    Args:
        location: path or URL for FFmpeg; or an open pipe, which can be read once.
        path: the file; None for a URL or pipe.
        name: name for messages.
        timeout_s: maximum wait for a URL in seconds.
        decoding: threads and hardware.

    Attributes:
        time_base: unit of `Frame.pts` in seconds.
        base_rate: rate in frames/s at which all frames lie on a grid, according to FFmpeg; None if unknown.
        deinterlace: whether interlaced frames are deinterlaced.
        first_index: frames before this one are decoded, but neither converted nor yielded.
        on_skipped: called for each frame before `first_index` that was decoded.
        end_index: the iteration ends before this frame, and `exhausted` stays False; None to read to the end.
        skip: begin to decode at a key frame up to `first_index`, see `index_video`; the iteration raises a `SkipError`
            if the frames are not the expected ones. None to decode from the start.
        pixel_aspect: sample aspect ratio, width over height, after rotation.
        primaries, transfer, matrix: FFmpeg's codes of the color primaries, transfer characteristics and color matrix.
        bit_depth: bits per sample.
        hdr: mastering display and content light level; None if the file has none.
        chapters: in FFmpeg's form, on the timeline of the frames.
        tags: metadata of the file, e.g. its title.
        loop: how often an animation is played, 0 for endlessly; None if unknown.

    Raises:
        InputError: the video cannot be opened, or no frame can be decoded.
    """

    kind = "video"

    def __init__(
        self,
        location: str | Pipe,
        path: Path | None,
        name: str,
        timeout_s: float,
        decoding: Decoding = SOFTWARE,
    ) -> None:
        super().__init__()
        self._location, self.path, self.name = location, path, name
        self.first_index = 0
        self.on_skipped: Callable[[], None] = lambda: None
        self.end_index: int | None = None
        self.skip: Skip | None = None
        self.deinterlace = decoding.deinterlace
        self._timeout_s, self._decoding = timeout_s, decoding
        self._input: VideoInput | None = self._open()
        stream, first = self._input.stream, self._input.first
        if first is None:
            self._input.close()
            raise InputError(f"{name} has no decodable frames; copy or convert it again")
        self.frame_count = stream.frames or None
        self.rate, self.base_rate = frame_rate(stream), stream.guessed_rate
        self.time_base = stream.time_base or Fraction(1, 90_000)
        context = stream.codec_context
        self.primaries, self.transfer = int(context.color_primaries), int(context.color_trc)
        self.matrix = int(context.colorspace)
        self.bit_depth, self.hdr = bit_depth(first), hdr_metadata(first)
        self.chapters = self._input.timeline.moved_chapters(self._input.container.chapters())
        self.tags = dict(self._input.container.metadata)
        self.loop = gif_repetitions(self._head())
        self.pixel_aspect = stream.sample_aspect_ratio or Fraction(1)
        self.size_wh = self._coded_wh = (first.width, first.height)
        matrix = display_matrix(first)
        if matrix is not None and abs(int(matrix[0, 1])) > abs(int(matrix[0, 0])):
            self.size_wh, self.pixel_aspect = (first.height, first.width), 1 / self.pixel_aspect
        if has_side_alpha(stream) and self._input.decoder is context:
            self._note("transparency is not kept: this build of FFmpeg cannot decode it")

    @property
    def streams(self) -> tuple[Stream, ...]:
        """Streams beside the video: sounds, subtitles, attachments, data and further videos."""
        return self._ready().streams

    def copy(self, streams: Sequence[Stream]) -> PacketQueue:
        """Have the next iteration put the packets of other streams into a queue.

        Args:
            streams: some of `streams`.

        Raises:
            InputError: the source is closed or was a pipe that has been read.
            UsageError: one of the streams does not belong to this source.
        """
        ready = self._ready()
        if any(stream not in ready.streams for stream in streams):
            raise UsageError(f"expected streams of {self.name}, got others; use those of source.streams")
        queue = PacketQueue(streams)
        ready.copy(queue)
        return queue

    def __iter__(self) -> Iterator[Frame]:
        """Decode from the first frame.

        Raises:
            InputError: the file is truncated; raised after the last decodable frame.
        """
        if self.skip is not None and self._input is not None:  # which has decoded the first frame
            self._input.close()
            self._input = None
        reading, self._input = self._ready(), None
        self.exhausted, self.damaged_packets, self.damaged_frames = False, 0, 0
        times = FrameTimes(self.rate, self.time_base)
        try:
            for frame in self._settled(reading, self._converted(reading, times)):
                if self._closed or (self.end_index is not None and frame.index >= self.end_index):
                    return
                yield frame
        finally:
            reading.close()
        self._finish(reading, times)

    def read_through(self) -> Iterator[Fraction]:
        """Decode from the first frame without converting any: for the other streams, and for what was lost.

        Yields:
            Presentation time of each frame in seconds.

        Raises:
            InputError: the file is truncated; raised after the last decodable frame.
        """
        reading, self._input = self._ready(), None
        self.exhausted, self.damaged_packets = False, 0
        times = FrameTimes(self.rate, self.time_base)
        try:
            for decoded, _ in self._progressive(reading):
                if self._closed:
                    return
                self._tell(decoded)
                yield times.next(decoded) * self.time_base
        finally:
            reading.close()
        self.damaged_packets = reading.damage.packets
        self._finish(reading, times)

    def _finish(self, reading: VideoInput, times: FrameTimes) -> None:
        self._report(reading, times)
        self._check_complete(reading, reading.frame_count)
        self.exhausted = True

    def close(self) -> None:
        """Release the file; a running iteration stops at its next frame."""
        super().close()
        if self._input is not None:
            self._input.close()
            self._input = None
        if isinstance(self._location, Pipe):
            self._location.close()

    def _open(self) -> VideoInput:
        if isinstance(self._location, Pipe) and self._location.size:
            raise InputError(f"{self.name} is a pipe, which can be read only once; save it to a file")
        try:
            container = open_container(self._location, self.name, self._timeout_s, decoding=self._decoding)
        except InputError as error:
            if self.path is not None and not has_index(self.path):
                raise InputError(f"{self.name} is cut short: its index (moov) is missing; copy it again") from error
            raise
        try:
            return VideoInput(container, self.name, self._decoding, self.skip)
        except InputError:
            container.close()
            raise

    def _ready(self) -> VideoInput:
        """The input of the next iteration."""
        self.check_open()
        if self._input is None:
            self._input = self._open()
        return self._input

    def _head(self) -> bytes:
        """First bytes of a file or pipe."""
        if isinstance(self._location, Pipe):
            return self._location.head
        if self.path is None:
            return b""
        with self.path.open("rb") as file:
            return file.read(4096)

    def _progressive(self, reading: VideoInput) -> Iterator[MarkedFrame]:
        if not self.deinterlace:
            return reading.frames()
        order = container_field_order(reading.stream.codec_context)
        return deinterlaced(reading.frames(), order, lambda: self._note(_DEINTERLACED))

    def _converted(self, reading: VideoInput, times: FrameTimes) -> Iterator[tuple[Frame, tuple[Mark, ...]]]:
        """Frames from `first_index` on, at once, while they are in the processor's cache."""
        convert = FrameConverter(self._coded_wh, deep=self.bit_depth > 8)
        for index, (decoded, marks) in enumerate(self._progressive(reading), self.skip.index if self.skip else 0):
            self._tell(decoded)
            pts = times.next(decoded)
            if index >= self.first_index:
                yield self._frame(convert(decoded), index, pts, times.duration(decoded)), marks
            else:
                self.on_skipped()

    def _settled(self, reading: VideoInput, frames: Iterator[tuple[Frame, tuple[Mark, ...]]]) -> Iterator[Frame]:
        """Frames, each when the time of the next one is known, and whether it is damaged."""
        waiting: deque[tuple[Frame, tuple[Mark, ...]]] = deque()
        for frame, marks in frames:
            waiting.append((frame, marks))
            while len(waiting) > 1 and not any(reading.damage.waits(mark) for mark in waiting[0][1]):
                yield self._finished(reading.damage, *waiting.popleft(), waiting[0][0].pts)
        while waiting:
            yield self._finished(reading.damage, *waiting.popleft(), waiting[0][0].pts if waiting else None)

    def _finished(self, damage: DamageTracker, frame: Frame, marks: tuple[Mark, ...], next_pts: int | None) -> Frame:
        damaged = any(damage.is_damaged(mark) for mark in marks)
        self.damaged_packets = damage.packets
        self.damaged_frames += damaged
        duration = frame.duration if next_pts is None or frame.pts is None else next_pts - frame.pts
        return replace(frame, duration=duration, damaged=damaged)

    def _frame(self, converted: Converted, index: int, pts: int, duration: int) -> Frame:
        return Frame(
            converted.pixels,
            index,
            float(pts * self.time_base),
            pts=pts,
            time_base=self.time_base,
            duration=duration,
            alpha=converted.alpha,
            deep=converted.deep,
        )

    def _tell(self, decoded: av.VideoFrame) -> None:
        """Note what of a frame is changed or not kept."""
        for line in left_out(decoded):
            self._note(line)
        if (decoded.width, decoded.height) != self._coded_wh:
            self._note("frames of another resolution are scaled to {}x{}".format(*self._coded_wh))

    def _report(self, reading: VideoInput, times: FrameTimes) -> None:
        """Add the notes that are known only at the end."""
        damage = reading.damage
        if damage.packets or self.damaged_frames:
            self._note(f"{plural(damage.packets, 'damaged packet')}, {plural(self.damaged_frames, 'frame')} affected")
        if damage.undecodable:
            self._note(f"{plural(damage.undecodable, 'packet')} lost before the first key frame")
        for line in (*reading.timeline.notes(), *times.notes()):
            self._note(line)

    def _check_complete(self, reading: VideoInput, frames: int) -> None:
        missing = 0
        if isinstance(self._location, Pipe):
            missing = missing_of_pipe(self._location.head, self._location.size)
            if not missing and self._location.is_mp4 and frames < (self.frame_count or 0):
                reading.read_error = f"its index lists {self.frame_count}"
        elif self.path is not None:
            missing = missing_bytes(self.path)
        if reading.read_error or missing:
            reason = reading.read_error or f"{missing} bytes are missing"
            raise InputError(
                f"{self.name} is truncated after {plural(frames, 'frame')} ({reason}); copy the file again"
            )

    def _note(self, line: str) -> None:
        """Add a note unless an earlier iteration or frame did."""
        note = f"{self.name}: {line}"
        if note not in self.notes:
            self.notes.append(note)
