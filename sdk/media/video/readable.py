"""Number of frames that can be read from a file whose writing failed."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import av


def readable_frames(path: Path) -> int:
    """Decode a video file to its end or to the first error.

    Args:
        path: video file, possibly truncated or missing.

    Returns:
        Decoded frames; 0 if the file cannot be opened.
    """
    count = 0
    with suppress(av.FFmpegError, OSError, IndexError), av.open(str(path.absolute())) as container:
        container.streams.video[0].thread_type = "AUTO"
        for _ in container.decode(video=0):
            count += 1
    return count
