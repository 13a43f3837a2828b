"""Frame sizes of `bench pipeline`, and its default amounts; imported by the command line without heavy packages."""

from __future__ import annotations

SIZES = {"480p": (854, 480), "1080p": (1920, 1080), "2160p": (3840, 2160)}
"""Name of a frame size -> width and height in pixels."""
COUNTS = (1, 4, 8, 16, 32)
"""Default numbers of faces in a frame."""
ROUNDS, FRAMES = 3, 12
"""Default number of rounds, and of frames in each of them."""
QUICK_SIZES, QUICK_COUNTS = ("480p", "1080p"), (1, 8)
QUICK_ROUNDS, QUICK_FRAMES = 1, 6
"""Sizes, counts, rounds and frames of a preview."""
