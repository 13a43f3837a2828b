"""Frames of a video as numbered images."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ....engines.errors import UsageError
from ...pipeline.frame import Frame
from ..encode_options import EncodeOptions
from ..images.encode import write_frame
from ..images.file_notes import FileNotes
from ..source_sink import Sink, Source
from .encoding.pixel_format import HDR_NAMES
from .reader import VideoSource
from .side_streams.stream_choice import described
from .side_streams.tags import kept_tags

_NUMBER = re.compile(r"%0?\d*d")


def is_sequence(path: Path) -> bool:
    """Whether a path is a pattern of numbered files, e.g. frames/%05d.png."""
    return _NUMBER.search(path.name) is not None


class SequenceSink(Sink):
    """One image per frame, numbered by `Frame.index`: the n of "%05d" in the name is 0 for the first frame.

    Args:
        path: file name with one number, e.g. frames/%05d.png; the suffix selects the format.
        source: what images do not hold of it is noted.
        options: of the encoder.

    Raises:
        UsageError: the name has another number of numbers than one.
    """

    resumable = False

    def __init__(self, path: Path, source: Source, options: EncodeOptions) -> None:
        super().__init__(path)
        if len(_NUMBER.findall(path.name)) != 1 or path.name.count("%") != 1:
            raise UsageError(f"expected one number in {path.name}, e.g. %05d; write the name without other %")
        self._options, self._file_notes = options, FileNotes(self.notes)
        if isinstance(source, VideoSource):
            self.notes += _lost(source)

    def _write(self, frame: Frame, pixels: NDArray[np.uint8]) -> None:
        path = self.path.with_name(self.path.name % frame.index)
        write_frame(path, frame, pixels, self._options, self._file_notes.add, self.seal)


def _lost(source: VideoSource) -> list[str]:
    """What images do not hold of a video, one line each."""
    notes = [f"{described(stream)} dropped: images hold none; give a video as output" for stream in source.streams]
    if source.chapters:
        notes.append(f"{len(source.chapters)} chapters dropped: images hold none; give a video as output")
    if tags := kept_tags(source.tags):
        notes.append(f"tags {', '.join(tags)} dropped: images hold none; give a video as output")
    rate = f", at {float(source.rate):.5g} frames/s on average" if source.rate else ""
    notes.append(f"timestamps dropped: images are numbered{rate}")
    if source.pixel_aspect != 1:
        aspect = source.pixel_aspect
        notes.append(f"pixels of {aspect.numerator}:{aspect.denominator} shown square in images")
    if source.transfer in HDR_NAMES:
        notes.append(f"colors of {HDR_NAMES[source.transfer]} are not tagged in images; give a video as output")
    return notes
