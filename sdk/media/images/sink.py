"""Sinks of image files and folders of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...pipeline.frame import Frame
from ..encode_options import EncodeOptions
from ..source_sink import Sink
from .image_file import write_image


class ImageSink(Sink):
    """One image file, written atomically; the suffix selects the format."""

    def __init__(self, path: Path, options: EncodeOptions) -> None:
        super().__init__(path)
        self._options = options

    def _write(self, frame: Frame, pixels: NDArray[np.uint8]) -> None:
        write_image(self.path, pixels, self._options)


class FolderSink(Sink):
    """A folder of images with the file names of the input images."""

    def __init__(self, path: Path, options: EncodeOptions) -> None:
        super().__init__(path)
        self._options = options

    def _write(self, frame: Frame, pixels: NDArray[np.uint8]) -> None:
        write_image(self.path / (Path(frame.name).name or f"{frame.index:06d}.png"), pixels, self._options)
