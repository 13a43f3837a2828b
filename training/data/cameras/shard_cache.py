"""Cache of recordings on disk: shards, recorded once in parallel and read by every training with the same data."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from ....engines.errors import OutputError, TrainingError
from ....engines.files import atomic_file, remove_temporaries
from ....engines.json_input import read_json
from .shards import Entry, ShardFile, damaged, open_shard

DESCRIPTION = "pairs.json"
MAX_WRITE_S = 3600
"""Age in seconds from which on a temporary file was left by a killed process; writing one takes seconds."""


class ShardSource(Protocol):
    """What shards are recorded from; equal sources give equal shards."""

    @property
    def entries(self) -> Mapping[str, Entry]:
        """Kind of array -> what it has for each sample, in the order in which they are written."""

    def description(self) -> dict[str, object]:
        """For the cache folder, as JSON."""

    def record(self, index: int) -> tuple[NDArray[Any], ...]:
        """The arrays of a shard, one of each of `entries`; called in worker processes."""


Source = TypeVar("Source", bound=ShardSource)


class ShardCache(Generic[Source]):
    """Shards in a folder.

    Args:
        folder: of the cache; created if missing.
        source: of the shards.
        shards: their number.

    Raises:
        InputError: a folder of the source has no picture.
        TrainingError: the folder holds recordings of another source.
        OutputError: the folder cannot be written.
    """

    def __init__(self, folder: Path, source: Source, shards: int) -> None:
        self.folder, self.source, self.shards = folder, source, shards
        self.entries = dict(source.entries)
        self._opened: dict[int, dict[str, ShardFile]] = {}
        file, description = folder / DESCRIPTION, source.description()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not file.exists():
                with atomic_file(file) as stream:
                    stream.write(json.dumps(description).encode())
        except OSError as error:
            raise OutputError(f"cannot write {folder}: {error.strerror or error}; choose another folder") from None
        if _read_description(file) != description:
            raise TrainingError(
                f"{folder} holds recordings of other pictures or settings; give another folder or delete it"
            )

    def fill(self, processes: int, report: Callable[[int], None] = lambda done: None) -> None:
        """Record the missing shards in parallel.

        An interruption or an error ends it after the shards in progress; those that are recorded are kept.

        Args:
            processes: at most.
            report: called with the number of existing shards.

        Raises:
            InputError: a picture cannot be read or is too small.
            OutputError: a shard cannot be written.
            TrainingError: a process ended unexpectedly.
        """
        kinds = tuple(self.source.entries)
        missing = [i for i in range(self.shards) if not all(self.file(i, kind).exists() for kind in kinds)]
        done = self.shards - len(missing)
        report(done)
        if not missing:
            return
        self.remove_temporaries(kinds)
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(min(processes, len(missing)), context, _start_worker)
        try:
            for future in as_completed([pool.submit(_record_shard, self.folder, self.source, i) for i in missing]):
                future.result()
                done += 1
                report(done)
        except BrokenProcessPool:
            raise TrainingError(
                "a recording process ended unexpectedly; if memory is short, give fewer --workers, and if a script "
                'calls train_model, let it do so under: if __name__ == "__main__"'
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)

    def sample(self, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
        """A random sample: kind -> array, without the first axis.

        Raises:
            TrainingError: a shard is missing or damaged.
        """
        return self.read(int(rng.integers(self.shards)), rng)

    def read(self, index: int, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
        """A random sample of a shard; see `sample`."""
        shard = self._shard(index)
        number = int(rng.integers(len(next(iter(shard.values())))))
        return {kind: file.read(number)[0] for kind, file in shard.items()}

    def add_kind(self, kind: str, entry: Entry) -> None:
        """Read a further array of each shard from now on, which `fill` does not record."""
        self.entries[kind] = entry
        self._opened.clear()

    def _shard(self, index: int) -> dict[str, ShardFile]:
        """The files of a shard, as many entries in each."""
        if index not in self._opened:
            files = {kind: open_shard(self.file(index, kind), entry) for kind, entry in self.entries.items()}
            count = len(next(iter(files.values())))
            for file in files.values():
                if len(file) != count:
                    raise damaged(file.path)
            self._opened[index] = files
        return self._opened[index]

    def remove_temporaries(self, kinds: Iterable[str]) -> None:
        """Remove what killed recordings left; other trainings may be recording the same shards now."""
        files = [self.file(index, kind) for index in range(self.shards) for kind in kinds]
        remove_temporaries(files, min_age_s=MAX_WRITE_S)

    def file(self, index: int, kind: str) -> Path:
        """File of a shard."""
        return shard_file(self.folder, index, kind)


def shard_file(folder: Path, index: int, kind: str) -> Path:
    """File of a shard: of one kind of array."""
    return folder / f"{index:04}-{kind}.npy"


def save(path: Path, values: NDArray[Any]) -> None:
    """Write a file of a shard atomically.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        with atomic_file(path) as stream:
            np.save(stream, values)
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}; the same command continues once there is space"
        ) from None


def _read_description(file: Path) -> object:
    try:
        return read_json(file)
    except (OSError, ValueError) as error:
        raise TrainingError(f"cannot read {file}: {error}; give another folder or delete it") from None


def _start_worker() -> None:
    """Prepare a worker process: it leaves Ctrl-C to its parent, and ends with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when its parent was killed; it would wait for further shards forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _record_shard(folder: Path, source: ShardSource, index: int) -> None:
    """Record a shard in a worker process."""
    for kind, values in zip(source.entries, source.record(index), strict=True):
        save(shard_file(folder, index, kind), values)
