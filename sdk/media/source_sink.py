"""Abstract base classes of frame sources and sinks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...engines.errors import OutputError, SourceClosedError, UsageError
from ..pipeline.frame import Frame
from ..pipeline.summary import Failure

if TYPE_CHECKING:
    from ..provenance.seal import Seal
    from .journal import Journal, Progress

Kind = Literal["image", "folder", "video", "live"]


class Source(ABC):
    """Iterable of frames and context manager; sources of files can be iterated repeatedly.

    Attributes:
        name: name for messages; a password in a URL is masked.
        frame_count: number of frames according to the file header; None if unknown.
        rate: average frame rate in frames/s; None for images and where it is unknown.
        size_wh: width and height in pixels after rotation; None if frames differ in size.
        path: file or folder; None for a camera or URL.
        dropped: frames that a live source dropped because the consumer was too slow.
        exhausted: whether the last iteration reached the end of the source.
        notes: what is lost or converted on reading, one line each, e.g. skipped packets.
        info: other messages, e.g. the hardware that decodes; nothing is lost.
        failures: files that could not be read; the others were.
        skipped: names of files of kinds that are not read.
        damaged_packets: packets that could not be decoded.
        damaged_frames: frames that are delivered although the decoder had to conceal damage, see `Frame.damaged`.
    """

    kind: Kind
    name: str
    frame_count: int | None = None
    rate: Fraction | None = None
    size_wh: tuple[int, int] | None = None
    path: Path | None = None
    dropped: int = 0
    damaged_packets: int = 0
    damaged_frames: int = 0
    exhausted: bool = False

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.info: list[str] = []
        self.failures: list[Failure] = []
        self.skipped: list[str] = []
        self._closed = False

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames in order.

        Raises:
            InputError: a frame cannot be read, or the data is truncated.
            SourceClosedError: the source was closed before.
        """

    def check_open(self) -> None:
        """Raise a SourceClosedError if the source is closed: an iteration that begins then has no frames to give."""
        if self._closed:
            raise SourceClosedError(f"{self.name} is closed; open it again")

    def request_stop(self) -> None:
        """Let running iterations stop at their next frame; unlike `close` it never waits."""
        self._closed = True

    def close(self) -> None:
        """Release files and devices; running iterations stop at their next frame."""
        self._closed = True

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class Sink(ABC):
    """Writes composites in frame order; a context manager.

    If the ``with`` block ends with an exception or an interrupt, the frames written so far remain as a readable file.

    Attributes:
        path: output file or folder.
        frames_written: number of composites written.
        notes: what is lost or converted on writing, one line each, e.g. dropped audio or padding to even sides.
        info: other messages, e.g. the hardware that encodes; nothing is lost.
        journal: of the run that writes `path`; None for a sink that `open_sink` did not open.
        identity: options of the encoder, for the journal.
        resumable: whether a stopped run can go on.
        seal: signs the files; None for unsigned ones.
    """

    journal: Journal | None = None
    seal: Seal | None = None
    resumable = True
    _closed = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self.frames_written = 0
        self.notes: list[str] = []
        self.info: list[str] = []
        self.identity: dict[str, Any] = {}

    def write(self, frame: Frame, pixels: NDArray[np.uint8]) -> None:
        """Write the composite of one frame.

        Args:
            frame: input frame, for its name and timestamp.
            pixels: (H, W, 3) uint8 BGR composite.

        Raises:
            UsageError: wrong shape or dtype, or a size that differs from the first frame of the video.
            OutputError: the file cannot be written, or the sink is closed.
        """
        if self._closed:
            raise OutputError(f"{self.path} is closed; open another sink before writing")
        if not isinstance(frame, Frame) or not isinstance(pixels, np.ndarray):
            got = f"{type(frame).__name__} and {type(pixels).__name__}"
            raise UsageError(f"expected a Frame and its composite, got {got}; write(result.source, result.frame)")
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
            raise UsageError(f"expected a composite of (H, W, 3) uint8 BGR, got {pixels.shape} {pixels.dtype}")
        self._write(frame, pixels)
        self.frames_written += 1

    @abstractmethod
    def _write(self, frame: Frame, pixels: NDArray[np.uint8]) -> None: ...

    def go_on(self, earlier: Progress, frames: int) -> int:
        """Go on with a stopped run.

        Args:
            earlier: what its journal says.
            frames: maximum number of frames to keep of it.

        Returns:
            Number of frames that need not be written.
        """
        return 0

    def keep_files(self, earlier: Progress, names: Iterable[str]) -> dict[str, int]:
        """Keep the images that a stopped run has finished.

        Args:
            earlier: what its journal says.
            names: of all images.

        Returns:
            Name of a finished image → number of its frames.
        """
        return {}

    def discard_earlier(self) -> None:  # noqa: B027 (not every sink has temporary files)
        """Remove the temporary files of stopped runs."""

    def close(self, complete: bool = True) -> None:
        """Finish the file; idempotent.

        Args:
            complete: False after an exception: audio is not copied beyond the last frame.

        Raises:
            OutputError: the file cannot be finished.
        """
        self._closed = True
        if self.journal:
            self.journal.close(complete)

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close(complete=error is None)
