"""Composites into picture files: one, or a folder of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..frame import Frame
from .pictures import write_picture
from .sink import Sink


class PictureSink(Sink):
    """One picture file, whole or not there; its suffix names the format."""

    def _write(self, frame: Frame, pixels: NDArray[np.uint8]) -> None:
        write_picture(self.path, pixels)


class FolderSink(Sink):
    """A folder of pictures, each under the file name of the one it was made from."""

    def _write(self, frame: Frame, pixels: NDArray[np.uint8]) -> None:
        write_picture(self.path / (frame.name or f"{frame.index:06d}.png"), pixels)


def own_name_in(folder: Path, source: Path | None, suffixes: frozenset[str], otherwise: str) -> Path:
    """Name an output file in a folder after its source.

    Args:
        folder: where it goes.
        source: the input file.
        suffixes: what can be written.
        otherwise: the suffix for a source of another one.
    """
    name = source.name if source else "output"
    return folder / (name if Path(name).suffix.lower() in suffixes else Path(name).stem + otherwise)
