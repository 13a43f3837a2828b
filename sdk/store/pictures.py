"""The folder of pictures of a store: files that appear complete, and the removal of those that no row names."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath

from ...engines.errors import OutputError, one_line
from ...engines.files import write_atomic
from ..live.sinks.safe_name import safe_name
from ..media.lock import OutputLock
from ..media.reasons import write_error
from .records import NewFace, utc

_logger = logging.getLogger(__name__)

ORIGINAL, ENLARGED = "original", "enlarged"
EARLIER_FOLDER = "pictures"
"""Of the days with faces of pictures, in stores that were written before these stood in the root."""
_DAY = re.compile(r"\d{1,6}-\d\d-\d\d")


@dataclass(frozen=True)
class WrittenFile:
    """A file that is complete on the disk.

    Args:
        kind: `ORIGINAL` or `ENLARGED`.
        path: relative to the folder of pictures, with "/".
        sha256: of its content.
        bytes: its size.
    """

    kind: str
    path: str
    sha256: str
    bytes: int


class PictureFolder:
    """Writes and removes pictures.

    CAMERA/DAY/TIME-rTOKEN-NUMBER-KIND.png: DAY is that of storing by the host's clock, TIME that of the frame. Faces of
    pictures have no CAMERA.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, token: str, face: NewFace, stored_s: float, contents: dict[str, bytes]) -> tuple[WrittenFile, ...]:
        """Write the pictures of a face; each is on the disk, with its name, when this returns.

        Args:
            token: of the run.
            face: to write.
            stored_s: Unix time, of the folder's name.
            contents: kind -> PNG file.

        Raises:
            OutputError: a file cannot be written; none of the face stays.
        """
        folder = PurePosixPath(_camera_folder(face), day(stored_s))
        stem = f"{utc(face.time_s).strftime('%Y%m%dT%H%M%S.%f')[:-3]}Z-r{token}-{face.number:06d}"
        written: list[WrittenFile] = []
        try:
            for kind, content in contents.items():
                path = folder / f"{stem}-{kind}.png"
                self._write(self.root / path, content)
                digest = hashlib.sha256(content).hexdigest()
                written.append(WrittenFile(kind, str(path), digest, len(content)))
        except OSError as error:
            with suppress(OutputError):
                self.remove([file.path for file in written])
            raise OutputError(write_error(self.root, error)) from error
        return tuple(written)

    def _write(self, path: Path, content: bytes) -> None:
        for tries_left in (2, 1, 0):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomic(path, content)
                return
            except FileNotFoundError:  # another process has just removed the empty folder
                if not tries_left:
                    raise

    def remove(self, paths: list[str]) -> None:
        """Remove files and the folders that are empty then; what is gone already does not count.

        Raises:
            OutputError: a file cannot be removed.
        """
        folders = set()
        for path in paths:
            file = self.root / path
            if ".." in PurePosixPath(path).parts or not file.is_relative_to(self.root):  # rows may come from elsewhere
                _logger.warning("%s is named by the store, but outside of %s; it is left", one_line(path), self.root)
                continue
            folders.add(file.parent)
            try:
                file.unlink(missing_ok=True)
            except OSError as error:
                raise OutputError(write_error(file, error)) from error
        for folder in folders:
            for one in (folder, folder.parent):
                if one != self.root:
                    with suppress(OSError):  # not empty, or gone
                        one.rmdir()

    def files(self, token: str | None = None, since_day: str = "") -> Iterator[str]:
        """Relative paths of all files, those that are being written included; those of the root are not pictures.

        Args:
            token: only those of this run.
            since_day: only those in folders of this day and later.
        """
        for folder in _folders(self.root):
            days = [folder] if _DAY.fullmatch(folder.name) else _folders(folder)
            for one in days:
                if one.name < since_day:
                    continue
                with suppress(FileNotFoundError), os.scandir(one) as entries:
                    for entry in entries:
                        if token is None or f"-r{token}-" in entry.name:
                            yield (one / entry.name).relative_to(self.root).as_posix()

    def lock(self, token: str) -> OutputLock:
        """Hold the lock of a run, so that nobody takes its newest files for those of a killed run.

        Raises:
            OutputError: another process, or this one, holds it.
        """
        return OutputLock(self.root, self.root / f".run-{token}.lock")

    def lock_tokens(self) -> list[str]:
        """Tokens of the runs that have a lock."""
        paths = self.root.glob(".run-*.lock")
        return [path.name.removeprefix(".run-").removesuffix(".lock") for path in paths]


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _camera_folder(face: NewFace) -> str:
    if face.camera is None:
        return ""
    name = safe_name(face.camera)
    return f"{name}_" if name == EARLIER_FOLDER or _DAY.fullmatch(name) else name


def day(time_s: float) -> str:
    """Name of a folder, e.g. "2026-11-29"; names sort by time."""
    return datetime.fromtimestamp(time_s, timezone.utc).strftime("%Y-%m-%d")


def sha256_of(path: Path) -> str:
    """Of the content of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
