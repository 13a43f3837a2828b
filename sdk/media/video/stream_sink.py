"""Video that is written to a pipe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from ....engines.errors import OutputError
from ...provenance.iptc import is_of_network
from ...provenance.video_mark import mark_end
from ..encode_options import EncodeOptions
from ..reasons import write_error
from ..source_sink import Source
from ..standard_output import open_stream, write_all
from .containers import ContainerFormat
from .encoding.encoder import VideoEncoder
from .encoding.matroska_aspect import with_display_size
from .writer import VideoSink


class StreamSink(VideoSink):
    """Encodes to standard output or a FIFO; nothing is sought, and nothing is kept if the reader closes it.

    Args:
        path: "-" for standard output, or a FIFO.
        source: see `VideoSink`.
        format: container format that can be written from start to end.
        options: see `VideoSink`.
        scale: see `VideoSink`.

    Raises:
        BrokenPipeError: on writing, if the reader closed its end.
    """

    def __init__(
        self,
        path: Path,
        source: Source,
        format: ContainerFormat,  # noqa: A002
        options: EncodeOptions,
        scale: int,
    ) -> None:
        super().__init__(path, source, format, options, scale)
        self.resumable = False
        self._stream: _PipeWriter | None = None

    @property
    def _suffix(self) -> str:
        return {"matroska": ".mkv"}.get(self._format.container, f".{self._format.container}")

    def _target(self) -> Path | BinaryIO:
        self._stream = _PipeWriter(open_stream(self.path))
        return self._stream  # type: ignore[return-value]  # PyAV needs its method `write` only

    def _prepare(self, encoder: VideoEncoder) -> None:
        if self._stream is not None:
            self._stream.display_size = encoder.display_size

    def discard_earlier(self) -> None:
        """See `Sink`; there is no temporary file."""

    def _publish(self, encoder: VideoEncoder, whole: bool) -> None:
        if self._stream is not None:
            if self._marks and (self._upscaled or is_of_network(self._term)):
                self._stream.write(mark_end(self._format.container, self._term))
            self._stream.close()

    def _discard(self) -> None:
        self._abandon()

    def _stopped(self, error: Exception) -> OutputError:
        self._abandon()
        return OutputError(write_error(self.path, error))


class _PipeWriter:
    """File object for FFmpeg: it has no `seek`.

    Attributes:
        display_size: width and height in square pixels that the header of a Matroska file gets.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.display_size: tuple[int, int] | None = None

    def write(self, data: bytes) -> int:
        """Write all of the data."""
        size_wh, self.display_size = self.display_size, None
        changed = with_display_size(data, size_wh) if size_wh is not None else None
        write_all(self._file, data if changed is None else changed)
        return len(data)

    def close(self) -> None:
        """Close the stream."""
        self._file.close()


def streamed(container: ContainerFormat) -> ContainerFormat | None:
    """Container format that is written without seeking; None if it cannot."""
    if container.container in ("avi", "gif"):
        return None
    if container.container in ("mp4", "mov"):
        return replace(container, options={**container.options, "movflags": "+delay_moov+frag_keyframe"})
    return container
