"""Live video of a camera as HLS: a playlist and its newest segments in a folder, which any web server can serve."""

from __future__ import annotations

import math
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import BinaryIO, cast

from ....engines.errors import OutputError
from ....engines.files import sibling
from ...media.lock import OutputLock
from ...media.reasons import write_error
from ...media.sinks import make_writable
from ...provenance.video_mark import VIDEO_STATEMENT
from .live_encoder import KEY_S, RATE, StreamTarget
from .stream import StreamSink

LISTED, KEPT = 6, 12
"""Segments in the playlist, and files, for players that lag; a segment has `KEY_S`."""


@dataclass(frozen=True)
class Segment:
    """A finished segment.

    Args:
        name: of its file.
        duration_s: until the next one begins, in seconds.
        begin: when its first frame was encoded, UTC.
        continues: the one before it, without a gap.
    """

    name: str
    duration_s: float
    begin: datetime
    continues: bool

    def lines(self) -> list[str]:
        """Of the playlist."""
        gap = [] if self.continues else ["#EXT-X-DISCONTINUITY"]
        date = self.begin.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return [*gap, f"#EXT-X-PROGRAM-DATE-TIME:{date}", f"#EXTINF:{self.duration_s:.3f},", self.name]


class HlsSink(StreamSink):
    """Writes a playlist and its newest segments; a segment begins with each key frame.

    FFmpeg has such an output too, which does not tell when the disk is full.

    Args:
        path: playlist, e.g. "web/door.m3u8"; segments are "web/door-NUMBER.ts". Those of earlier runs are removed.
        camera, by_arrival: see `StreamSink`.

    Raises:
        OutputError: the folder cannot be written, or another run writes the playlist.
    """

    def __init__(self, path: Path, camera: str, *, by_arrival: bool = True) -> None:
        super().__init__(str(path), camera, by_arrival=by_arrival)
        self._path = path
        self._number = int(time.time())  # players keep segments by their names, also those of an earlier run
        self._segments: list[Segment] = []
        self._data = bytearray()
        self._begin: tuple[float, datetime] | None = None
        self._continues, self._gaps = False, 0
        make_writable(path.parent)
        self._lock = OutputLock(path, sibling(path, ".", ".lock"))
        for file in path.parent.iterdir():
            if re.fullmatch(re.escape(path.stem) + r"-\d+\.ts", file.name):
                with suppress(OSError):
                    file.unlink()

    def _target(self) -> StreamTarget:
        self._data.clear()
        self._begin, self._continues = None, False
        options = {"flush_packets": "1", "mpegts_flags": "+pat_pmt_at_frames"}
        return StreamTarget(cast(BinaryIO, _Written(self._data)), "mpegts", options, on_key=self._cut)

    def _cut(self, time_s: float) -> None:
        """Finish a segment; the next one begins."""
        if self._begin is not None:
            self._add_segment(time_s)
        self._begin = time_s, datetime.now(timezone.utc)

    def _add_segment(self, end_s: float) -> None:
        assert self._begin is not None
        begin_s, date = self._begin
        name = f"{self._path.stem}-{self._number}.ts"
        data = bytes(self._data)
        self._data.clear()
        _replace(self._path.with_name(name), data)
        continues = self._continues or not self._segments
        self._segments.append(Segment(name, max(end_s - begin_s, 0.001), date, continues))
        self._number, self._continues, self._gaps = self._number + 1, True, self._gaps + (not continues)
        self._write_playlist()

    def _write_playlist(self, *, end: bool = False) -> None:
        for old in self._segments[:-KEPT]:
            self._path.with_name(old.name).unlink(missing_ok=True)
        del self._segments[:-KEPT]
        listed = self._segments[-LISTED:]
        target_s = math.ceil(max([KEY_S, *(segment.duration_s for segment in listed)]))
        lines = [
            *("#EXTM3U", "#EXT-X-VERSION:6", f"#EXT-X-TARGETDURATION:{target_s}"),
            *(f"#EXT-X-MEDIA-SEQUENCE:{self._number - len(listed)}", "#EXT-X-INDEPENDENT-SEGMENTS"),
            f"#EXT-X-DISCONTINUITY-SEQUENCE:{self._gaps - sum(not segment.continues for segment in listed)}",
            f"# {VIDEO_STATEMENT}",
            *(line for segment in listed for line in segment.lines()),
            *(["#EXT-X-ENDLIST"] if end else []),
        ]
        _replace(self._path, "".join(f"{line}\n" for line in lines).encode())

    def _error(self, error: Exception) -> OutputError:
        return OutputError(write_error(self._path, error))

    def close(self) -> None:
        """See `LiveSink`; the playlist gets its end."""
        try:
            super().close()
            if self._begin is not None:
                self._add_segment(self._last_s + float(1 / RATE))
                self._write_playlist(end=True)
        except OSError as error:
            raise self._error(error) from error
        finally:
            self._lock.release(remove=True)


class _Written:
    """File object for FFmpeg, without `seek`."""

    def __init__(self, data: bytearray) -> None:
        self._data = data

    def write(self, data: bytes) -> int:
        self._data += data
        return len(data)


def _replace(path: Path, data: bytes) -> None:
    """Write a file that readers see complete; it is not flushed to the disk, as it is gone in a minute anyway."""
    part = sibling(path, ".", ".part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError:
        with suppress(OSError):
            part.unlink()
        raise
