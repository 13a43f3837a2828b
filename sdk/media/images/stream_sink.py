"""An image that is written to a pipe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ....engines.errors import OutputError
from ...pipeline.frame import Frame
from ..encode_options import EncodeOptions
from ..reasons import write_error
from ..source_sink import Sink
from ..standard_output import open_stream, write_all
from .encode import encode, stored_image
from .formats import ImageFormat


class ImageStreamSink(Sink):
    """One image, written to standard output or a FIFO.

    Args:
        path: "-" for standard output, or a FIFO.
        target: format of the image.
        options: of the encoder.

    Raises:
        BrokenPipeError: on writing, if the reader closed its end.
    """

    def __init__(self, path: Path, target: ImageFormat, options: EncodeOptions) -> None:
        super().__init__(path)
        self._target, self._options = target, options

    def _write(self, frame: Frame, pixels: NDArray[np.uint8]) -> None:
        image = stored_image(frame, pixels, self._target, self._options, self.notes.append)
        data = encode(image, self._target, self._options, self.notes.append)
        if data is None:
            raise OutputError(f"{self._target.name} cannot store {image.size_wh[0]}x{image.size_wh[1]} pixels")
        if self.seal is not None:
            data = self.seal.sign_bytes(data, Path(f"output{self._target.suffixes[0]}"), frame.name)
        try:
            with open_stream(self.path) as stream:
                write_all(stream, data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(write_error(self.path, error)) from error
