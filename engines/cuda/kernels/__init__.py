"""CUDA kernels of the frame operations: per-pixel functions in ``pixels.h``, kernels in ``kernels.cu``."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent


def source() -> str:
    """CUDA C++ of all kernels in one piece, for run-time compilation without include paths."""
    header = (_FOLDER / "pixels.h").read_text("utf-8")
    return (_FOLDER / "kernels.cu").read_text("utf-8").replace('#include "pixels.h"', header)
