"""Files of recordings: an array each, of which single entries are read."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ....engines.errors import TrainingError


class Entry(NamedTuple):
    """What a file has for each sample.

    Args:
        shape: e.g. (H, W, 3).
        dtype: of the values.
    """

    shape: tuple[int, ...]
    dtype: type[np.generic] = np.uint8


@dataclass(frozen=True)
class ShardFile:
    """An array in an ``.npy`` file, which is open only while an entry is read.

    Memory maps of all files would reach the limit of open files of a process, which is 256 on macOS.

    Args:
        path: of the file.
        entry: shape and type of one entry.
        count: entries.
        offset: of the first entry in bytes.
    """

    path: Path
    entry: Entry
    count: int
    offset: int

    def __len__(self) -> int:
        return self.count

    def read(self, number: int, count: int = 1) -> NDArray[Any]:
        """Entries from one on, (count, *shape).

        Raises:
            TrainingError: the file cannot be read or is shorter than before.
        """
        values = np.empty((count, *self.entry.shape), self.entry.dtype)
        try:
            with self.path.open("rb", buffering=0) as file:
                file.seek(self.offset + number * prod(self.entry.shape) * values.itemsize)
                size = file.readinto(values.data.cast("B"))
        except OSError as error:
            raise TrainingError(
                f"cannot read {self.path}: {error.strerror or error}; make it readable, or delete it to record it again"
            ) from None
        if size != values.nbytes:
            raise damaged(self.path)
        return values


def open_shard(path: Path, entry: Entry) -> ShardFile:
    """Read the header of a file.

    Raises:
        TrainingError: the file is missing, damaged, or not an array of such entries.
    """
    try:
        values = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        raise damaged(path) from None
    known = isinstance(values, np.memmap) and values.dtype == entry.dtype and values.flags.c_contiguous
    if not known or values.shape[1:] != entry.shape or not len(values):
        raise damaged(path)
    return ShardFile(path, entry, len(values), int(values.offset))


def damaged(path: Path) -> TrainingError:
    """The error of a file without the entries that it should have."""
    return TrainingError(f"{path} is missing or damaged; delete it, and the same command records it again")
