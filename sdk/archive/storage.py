"""Folders of an archive: on a local file system here, behind fsspec in `remote_storage`."""

from __future__ import annotations

import os
import secrets
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from ...engines.errors import OutputError
from ...engines.files import sync, write_atomic
from ..media.reasons import error_reason, write_error

STATE = ".facesr-batch"
"""Folder below the output folder for what is not finished: journal, parts of videos, temporary files."""


Advance = Callable[[], None]
"""Called while something is copied: it advances."""
_BLOCK = 1 << 20


def idle() -> None:
    """An `Advance` that nobody asks for."""


def is_url(location: str) -> bool:
    """Whether a location is behind fsspec, and not a path."""
    return "://" in location and not location.startswith("file://")


@dataclass(frozen=True)
class Place:
    """Where a file or folder is; equal for all names of it.

    Args:
        system: protocol and host of the file system; "file" for paths.
        path: normalized and absolute; of a local file, without symbolic links.
    """

    system: str
    path: PurePosixPath

    def below(self, name: str) -> Place:
        """Place of a file, given its path below this folder."""
        return local_place(Path(self.path / name)) if self.system == "file" else Place(self.system, self.path / name)


def local_place(path: Path) -> Place:
    """Place of a local file or folder."""
    return Place("file", PurePosixPath(path.resolve().as_posix()))


def find_place(location: str) -> Place:
    """Place of a path or fsspec URL.

    Raises:
        MissingDependencyError, UsageError: as of `open_output`.
    """
    if not is_url(location):
        return local_place(Path(location.removeprefix("file://")))
    from .remote_storage import remote_place

    return remote_place(location)


class OutputFolder(ABC):
    """The folder of the outputs. Names are paths below it, with "/" as separator."""

    location: str
    """As the user gave it."""

    @abstractmethod
    def publish(self, file: Path, name: str, advance: Advance = idle) -> None:
        """Move a finished local file to its name; it appears complete or not at all.

        Args:
            file: on this machine.
            name: of the output.
            advance: called while it is copied.

        Raises:
            OutputError: it cannot be written.
        """

    @abstractmethod
    def fetch(self, name: str, scratch: Path, advance: Advance = idle) -> Path:
        """Local copy of a file, in `scratch` unless the folder is local.

        Args:
            name: of the file.
            scratch: folder for the copy.
            advance: called while it is copied.

        Raises:
            OutputError: it is missing or cannot be read.
        """

    @abstractmethod
    def write(self, name: str, data: bytes) -> None:
        """Write a small file atomically.

        Raises:
            OutputError: it cannot be written.
        """

    @abstractmethod
    def read(self, name: str) -> bytes | None:
        """Content of a small file; None if there is none.

        Raises:
            OutputError: it cannot be read.
        """

    @abstractmethod
    def sizes(self, below: str = "") -> Mapping[str, int]:
        """Name of each file below a subfolder → bytes; without the state of the batch unless asked for."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file or a folder with its content, if it is there."""

    @abstractmethod
    def scratch(self) -> Path | None:
        """Folder for temporary files from which `publish` is a rename; None if there is none."""


class LocalFolder(OutputFolder):
    """A folder of a local file system, or of one that all workers mount at the same path.

    Args:
        location: path.
    """

    def __init__(self, location: str) -> None:
        self.location = location
        self._path = Path(location.removeprefix("file://")).absolute()

    def publish(self, file: Path, name: str, advance: Advance = idle) -> None:
        """See `OutputFolder`."""
        target = self._path / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                sync(file)
                file.replace(target)
            except OSError as error:
                if error.errno != 18:  # EXDEV: the scratch folder is on another file system
                    raise
                self._copy(file, target, advance)
            sync(target.parent)
        except OSError as error:
            raise OutputError(write_error(target, error)) from error

    def _copy(self, file: Path, target: Path, advance: Advance) -> None:
        near = self._path / STATE / "work" / f"{secrets.token_hex(4)}{target.suffix}"
        near.parent.mkdir(parents=True, exist_ok=True)
        try:
            with file.open("rb") as source, near.open("wb") as copy:
                copy_blocks(source, copy, advance)
            sync(near)
            near.replace(target)
        finally:
            near.unlink(missing_ok=True)
        file.unlink(missing_ok=True)

    def fetch(self, name: str, scratch: Path, advance: Advance = idle) -> Path:
        """See `OutputFolder`."""
        path = self._path / name
        if not path.is_file():
            raise OutputError(f"{path} is missing; run the command again")
        return path

    def write(self, name: str, data: bytes) -> None:
        """See `OutputFolder`."""
        path = self._path / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, data)
        except OSError as error:
            raise OutputError(write_error(path, error)) from error

    def read(self, name: str) -> bytes | None:
        """See `OutputFolder`."""
        try:
            return (self._path / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise OutputError(f"{self._path / name} cannot be read: {error_reason(error)}") from error

    def sizes(self, below: str = "") -> Mapping[str, int]:
        """See `OutputFolder`."""
        found: dict[str, int] = {}
        start = self._path / below
        for folder, folders, files in os.walk(start):
            if not below and STATE in folders:
                folders.remove(STATE)
            for file in files:
                path = Path(folder) / file
                try:
                    found[path.relative_to(self._path).as_posix()] = path.stat().st_size
                except FileNotFoundError:  # removed meanwhile
                    continue
        return found

    def remove(self, name: str) -> None:
        """See `OutputFolder`."""
        path = self._path / name
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    def scratch(self) -> Path | None:
        """See `OutputFolder`."""
        return self._path / STATE / "work"


def copy_blocks(source: BinaryIO, target: BinaryIO, advance: Advance) -> None:
    """Copy what is left of a file to another one, and call `advance` for every block."""
    while block := source.read(_BLOCK):
        target.write(block)
        advance()


def open_output(location: str) -> OutputFolder:
    """The output folder at a path or fsspec URL; nothing is created.

    Raises:
        MissingDependencyError: fsspec, or the package for this kind of URL, is not installed.
    """
    if not is_url(location):
        return LocalFolder(location)
    from .remote_storage import RemoteFolder

    return RemoteFolder(location)
