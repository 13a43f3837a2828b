"""Folder with the best face of each track: as the camera saw it, as it was upscaled, and the figures of both."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ....engines.errors import OutputError, UsageError
from ....engines.files import write_atomic
from ...media.images.embed import marked_png
from ...media.images.opencv import png
from ...media.reasons import write_error
from ...media.sinks import make_writable
from .dated_shots import DatedShot, ShotSink
from .safe_name import safe_name

ORIGINAL, ENLARGED, FIGURES = "-original.png", "-enlarged.png", ".json"
"""What follows the stem of each file of a shot, in the order in which they are written."""
STALE_S = 60.0
"""Age from which on a temporary file belongs to a killed run, in seconds."""
NOTE = "the enlarged face is an estimate of the network; the original is what the camera delivered"


class BestShotsSink(ShotSink):
    """Writes CAMERA/TIME-trackID-original.png, -enlarged.png and .json when a track ends, each file atomically.

    The JSON is written last: a shot with it is complete. Of a shot that fails, nothing stays.

    Args:
        folder: created if it is missing; shots of earlier runs stay, within the limits.
        about: facts of the run in every JSON, e.g. the names of the networks.
        max_count: shots of each camera; the oldest are removed. None for no limit.
        max_age_s: time since a shot was written from which on it is removed, in seconds; None for no limit.

    Raises:
        OutputError: the folder cannot be written.
        UsageError: a limit that is not positive.
    """

    queue_size = 256
    idle_s = 60.0

    def __init__(
        self,
        folder: Path,
        about: Mapping[str, Any],
        max_count: int | None = None,
        max_age_s: float | None = None,
    ) -> None:
        super().__init__(str(folder))
        check_limits(max_count, max_age_s)
        make_writable(folder)
        self._folder, self._about = folder, dict(about)
        self._max_count, self._max_age_s = max_count, max_age_s
        self._written_s = {path: self._earlier(path) for path in folder.iterdir() if path.is_dir()}
        self.idle()

    def write(self, items: Sequence[DatedShot]) -> None:
        """See `LiveSink`."""
        for item in items:
            folder = self._folder / safe_name(item.shot.camera)
            stem = self._store(folder, item)
            written_s = self._written_s.setdefault(folder, {})
            written_s.pop(stem, None)
            written_s[stem] = time.time()
            self._prune(folder)

    def _store(self, folder: Path, item: DatedShot) -> str:
        """Write a shot; returns the stem of its files."""
        face, stem = item.shot.face, shot_stem(item)
        make_writable(folder)
        enlarged = marked_png(png(face.pixels)) if face.by_network else png(face.pixels)
        contents = (png(face.original), enlarged, self._figures(item))
        try:
            for ending, content in zip((ORIGINAL, ENLARGED, FIGURES), contents, strict=True):
                write_atomic(folder / f"{stem}{ending}", content)
        except OSError as error:
            with suppress(OSError):
                self._remove(folder, stem)
            raise OutputError(write_error(folder, error)) from error
        return stem

    def _figures(self, item: DatedShot) -> bytes:
        date = datetime.fromtimestamp(item.unix_s, timezone.utc).isoformat(timespec="milliseconds")
        record = {
            "time": date,
            "clock": item.clock,
            "original": f"{shot_stem(item)}{ORIGINAL}",
            "enlarged": f"{shot_stem(item)}{ENLARGED}",
            "note": NOTE,
            "run": self._about,
            **item.shot.to_dict(),
        }
        return json.dumps(record, indent=1, allow_nan=False).encode()

    def idle(self) -> None:
        """See `LiveSink`: shots grow old although none is written."""
        for folder in self._written_s:
            self._prune(folder)

    def _prune(self, folder: Path) -> None:
        """Remove what is too much or too old, by the clock of the host: that of a camera may be wrong by years."""
        written_s = self._written_s[folder]
        oldest_s = float("-inf") if self._max_age_s is None else time.time() - self._max_age_s
        while written_s:
            stem = next(iter(written_s))
            if written_s[stem] >= oldest_s and len(written_s) <= (self._max_count or len(written_s)):
                break
            try:
                self._remove(folder, stem)
            except OSError as error:
                raise OutputError(write_error(folder, error)) from error
            del written_s[stem]

    def _earlier(self, folder: Path) -> dict[str, float]:
        """Stem of each shot of earlier runs -> when it was written, in Unix time, oldest first.

        What a killed run has left of a file is removed.
        """
        for left in folder.glob(".*.part"):
            with suppress(OSError):
                if time.time() - left.stat().st_mtime > STALE_S:
                    left.unlink()
        shots = []
        for path in folder.glob(f"*-track*{ORIGINAL}"):
            with suppress(OSError):  # a person has just removed it
                shots.append((path.stat().st_mtime, path.name.removesuffix(ORIGINAL)))
        return {stem: written_s for written_s, stem in sorted(shots)}

    def _remove(self, folder: Path, stem: str) -> None:
        """Remove the files of a shot, the one that makes it complete first."""
        for ending in (FIGURES, ENLARGED, ORIGINAL):
            (folder / f"{stem}{ending}").unlink(missing_ok=True)


def check_limits(max_count: int | None, max_age_s: float | None) -> None:
    """See `BestShotsSink`.

    Raises:
        UsageError: a limit that is not positive.
    """
    for name, limit in (("shots", max_count), ("seconds", max_age_s)):
        if limit is not None and not limit > 0:
            raise UsageError(f"expected a limit of more than 0 {name}, got {limit:g}")


def shot_stem(item: DatedShot) -> str:
    """Of the file names; they sort by time: UTC to the millisecond."""
    stamp = datetime.fromtimestamp(item.unix_s, timezone.utc).strftime("%Y%m%dT%H%M%S.%f")[:-3]
    return f"{stamp}Z-track{item.shot.face.track_id}"
