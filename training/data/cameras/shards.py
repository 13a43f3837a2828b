"""Files of recorded pairs: an array of pictures each, of which single ones are read."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ....engines.errors import TrainingError

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class ShardFile:
    """An array of pictures in an ``.npy`` file, which is open only while a picture is read.

    Memory maps of all files would reach the limit of open files of a process, which is 256 on macOS.

    Args:
        path: of the file.
        shape: (n, H, W, 3).
        offset: of the first picture in bytes.
    """

    path: Path
    shape: tuple[int, ...]
    offset: int

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, number: int, count: int = 1) -> Images:
        """Pictures from one on, (count, H, W, 3) uint8 BGR.

        Raises:
            TrainingError: the file cannot be read or is shorter than before.
        """
        pictures = np.empty((count, *self.shape[1:]), np.uint8)
        try:
            with self.path.open("rb", buffering=0) as file:
                file.seek(self.offset + number * prod(self.shape[1:]))
                size = file.readinto(pictures.data.cast("B"))
        except OSError as error:
            raise TrainingError(
                f"cannot read {self.path}: {error.strerror or error}; make it readable, or delete it to record it again"
            ) from None
        if size != pictures.nbytes:
            raise damaged(self.path)
        return pictures


def open_shard(path: Path) -> ShardFile:
    """Read the header of a file of pictures.

    Raises:
        TrainingError: the file is missing, damaged, or not an array of pictures.
    """
    try:
        pictures = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        raise damaged(path) from None
    known = isinstance(pictures, np.memmap) and pictures.dtype == np.uint8 and pictures.flags.c_contiguous
    if not known or pictures.ndim != 4 or not len(pictures):
        raise damaged(path)
    return ShardFile(path, pictures.shape, int(pictures.offset))


def damaged(path: Path) -> TrainingError:
    """The error of a file without the pictures that it should have."""
    return TrainingError(f"{path} is missing or damaged; delete it, and the same command records it again")
