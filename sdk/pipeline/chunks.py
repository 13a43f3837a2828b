"""Chunks of a stream: each is detected and encoded without anything from the frames before it."""

from __future__ import annotations

CHUNK_FRAMES = 250
"""Frames of a chunk, x264's default distance of key frames: a stopped run goes on at a multiple of it, with the frames
and packets that it would have had without the stop."""


def starts_chunk(index: int) -> bool:
    """Whether a frame is the first of a chunk, given its index in the stream, 0 or more."""
    return index % CHUNK_FRAMES == 0


def whole_chunks(frames: int) -> int:
    """Number of frames in the whole chunks of the first `frames` frames."""
    return frames - frames % CHUNK_FRAMES
