"""Packets of the whole chunks that a stopped run has encoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import av
from av.packet import Packet
from av.video.stream import VideoStream

from ....engines.errors import OutputError
from ....engines.files import sibling
from ...pipeline.chunks import starts_chunk, whole_chunks
from ..journal import Progress


@dataclass(frozen=True)
class EarlierVideo:
    """The first frames of a video that a stopped run has written.

    Args:
        path: file of the stopped run.
        stamps: timestamp of each frame in the time base of the encoder.
    """

    path: Path
    stamps: Sequence[int]

    def packets(self) -> Iterator[tuple[int, Packet[VideoStream]]]:
        """Yield timestamp and packet of each frame; H.264 and HEVC with start codes, as encoders write them.

        Raises:
            OutputError: the file has changed meanwhile.
        """
        count = 0
        with av.open(str(self.path.absolute())) as container:
            for stamp, packet in zip(self.stamps, container.demux(video=0), strict=False):
                if _has_lengths(packet.stream):
                    packet.update(_with_start_codes(bytes(packet)))
                yield stamp, packet
                count += 1
        if count < len(self.stamps):
            raise OutputError(f"{self.path} has changed while it was read; run the command again")


def partial_paths(output: Path) -> tuple[Path, Path]:
    """The temporary files of a video: a resumed run copies from the one to the other."""
    stem = output.with_name(output.stem)
    return sibling(stem, "", f".partial{output.suffix}"), sibling(stem, "", f".partial2{output.suffix}")


def find_earlier(output: Path, progress: Progress, frames: int) -> EarlierVideo | None:
    """Find the file of a stopped run that has the most whole chunks.

    Args:
        output: output of the run.
        progress: what its journal says.
        frames: maximum number of frames.

    Returns:
        None if no chunk is whole.
    """
    limit = None if progress.same_boot else progress.flushed
    files = [(path, limit) for path in partial_paths(output)]
    with suppress(OSError):
        if progress.kept == output.stat().st_size:
            files.append((output, None))
    frames = min(frames, len(progress.stamps))
    counts = {path: whole_chunks(min(frames, _readable(path, frames, size))) for path, size in files}
    path = max(counts, key=lambda path: counts[path])
    return EarlierVideo(path, progress.stamps[: counts[path]]) if counts[path] else None


def _readable(path: Path, frames: int, size: int | None) -> int:
    """Number of packets that can be read, at most `frames`, from the first `size` bytes of a file."""
    count = 0
    try:
        with av.open(str(path.absolute())) as container:
            for packet in container.demux(video=0):
                whole = packet.size > 0 and not packet.is_corrupt and (packet.is_keyframe or not starts_chunk(count))
                if count == frames or not whole or (size is not None and (packet.pos or 0) + packet.size > size):
                    break
                count += 1
    except (av.FFmpegError, OSError, IndexError):
        pass  # no such file, or not readable from here on
    return count


def _has_lengths(stream: VideoStream) -> bool:
    """Whether packets have lengths in place of start codes, as in MP4 and Matroska."""
    context = stream.codec_context
    return context.name in ("h264", "hevc") and (context.extradata or b"\0")[0] == 1


def _with_start_codes(data: bytes) -> bytes:
    """Replace the length before each unit, 4 bytes, by a start code."""
    units, at = bytearray(data), 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        units[at : at + 4] = b"\0\0\0\1"
        at += 4 + size
    return bytes(units)
