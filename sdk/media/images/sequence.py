"""Numbered images as a video: frames/%05d.png."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from ....engines.errors import InputError, MissingDependencyError, UsageError
from ...pipeline.frame import Frame
from ...pipeline.summary import Failure
from ..bit_depth import resize_cubic
from ..reasons import error_reason
from ..source_sink import Source
from .file_notes import FileNotes
from .image_file import ImageFile

DEFAULT_RATE = 25
_NUMBER = re.compile(r"%(0\d)?d")


class SequenceSource(Source):
    """Frames of a video as image files with consecutive numbers in their names, decoded one at a time.

    Args:
        pattern: path with %d, or %05d for numbers of five digits, in its last part; the first file is the one with the
            lowest number.
        rate: frames/s.

    Attributes:
        time_base: unit of `Frame.pts` in seconds.
        files: the images, in order.

    Raises:
        InputError: the folder cannot be listed, no file matches, or the first is not an image.
        UsageError: the rate is not positive.
    """

    kind = "video"

    def __init__(self, pattern: Path, rate: float | Fraction = DEFAULT_RATE) -> None:
        super().__init__()
        if rate <= 0:
            raise UsageError(f"expected a rate above 0 frames/s, got {rate:g}")
        self.path, self.name = pattern, str(pattern)
        self.rate = Fraction(rate).limit_denominator(1001)
        self.time_base = 1 / self.rate
        self.files = self._numbered()
        self.frame_count = len(self.files)
        self._file_notes = FileNotes(self.notes)
        self.size_wh = ImageFile(self.files[0]).size_wh

    def __iter__(self) -> Iterator[Frame]:
        """Yield one frame per image; `Frame.name` is its file name. Images that cannot be read become `failures`."""
        self.check_open()
        self.exhausted = False
        self.failures.clear()
        for index, path in enumerate(self.files):
            if self._closed:
                return
            try:
                frame = self._frame(index, path)
            except (InputError, MissingDependencyError) as error:  # the frame before is shown longer
                self.failures.append(Failure(path.name, str(error)))
                continue
            yield frame
        self.exhausted = True

    def _numbered(self) -> list[Path]:
        """Files in the order of their numbers."""
        pattern = self.path or Path()
        match = _NUMBER.search(pattern.name)
        if match is None:
            raise UsageError(f"expected a pattern such as frames/%05d.png, got {pattern}")
        before, after = (re.escape(text) for text in (pattern.name[: match.start()], pattern.name[match.end() :]))
        digits = rf"\d{{{int(match[1])},}}" if match[1] else r"0|[1-9]\d*"
        name = re.compile(f"{before}({digits}){after}")
        try:
            found = [(name.fullmatch(path.name), path) for path in pattern.parent.iterdir()]
        except OSError as error:
            raise InputError(f"{pattern.parent} cannot be listed: {error_reason(error)}") from error
        numbered = dict(sorted((int(match[1]), path) for match, path in found if match))
        if not numbered:
            raise InputError(f"no file matches {pattern}; expected numbered images")
        missing = max(numbered) - min(numbered) + 1 - len(numbered)
        if missing:
            gap = next(number for number in range(min(numbered), max(numbered)) if number not in numbered)
            self.notes.append(f"{pattern}: {missing} numbers are missing, first {gap}; the frames follow without a gap")
        return list(numbered.values())

    def _frame(self, index: int, path: Path) -> Frame:
        file = ImageFile(path)
        frame = next(file.frames(index, path.name))
        more = [f"first of {file.frame_count} frames read"] if file.frame_count > 1 else []
        for note in (*file.notes, *more):
            self._file_notes.add(note, path.name)
        if self.size_wh and (frame.pixels.shape[1], frame.pixels.shape[0]) != self.size_wh:
            self._file_notes.add("scaled to the size of the first, {}x{}".format(*self.size_wh), path.name)
            frame = _scaled(frame, self.size_wh)
        return replace(frame, time_s=float(index * self.time_base), pts=index, time_base=self.time_base, duration=1)


def _scaled(frame: Frame, size_wh: tuple[int, int]) -> Frame:
    return replace(
        frame,
        pixels=resize_cubic(frame.pixels, size_wh),
        deep=None if frame.deep is None else resize_cubic(frame.deep, size_wh),
        alpha=None if frame.alpha is None else resize_cubic(frame.alpha, size_wh),
    )


def is_sequence(source: object) -> bool:
    """Whether a source is a pattern of numbered images; a file of that name is no pattern."""
    if not isinstance(source, str | Path) or "://" in str(source):
        return False
    path = Path(source)
    return bool(_NUMBER.search(path.name)) and not path.exists()
