"""Inputs of a command line: files, folders and patterns, expanded to the sources of several runs."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from ...engines.errors import InputError, UsageError
from ..pipeline.summary import Failure
from .images.formats import IMAGE_SUFFIXES
from .images.header import image_header
from .images.sequence import is_sequence
from .reasons import error_reason
from .sources import STDIN, VIDEO_SUFFIXES

VIDEO_FILE_SUFFIXES = VIDEO_SUFFIXES | {
    *(".3gp", ".asf", ".flv", ".h264", ".h265", ".hevc", ".m2ts", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts"),
    *(".vob", ".wmv", ".y4m"),
}
Kind = Literal["image", "video", "other"]
_WILDCARDS = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Input:
    """One source.

    Args:
        source: for `open_source`.
        name: path of its output below an output folder, with "/" as separator; "" for a live source.
        kind: of the source; "other" if it is known only when it is opened.
    """

    source: str
    name: str
    kind: Kind


@dataclass(frozen=True)
class Inputs:
    """Sources of a command.

    Args:
        found: in the order of the arguments, each folder sorted by name.
        skipped: names of files and folders that are not read: other kinds, hidden, subfolders without `recursive`.
        failures: subfolders that cannot be listed.
        folder: the only argument, if it is a folder.
        single: whether there is one source, that of the only argument, which is no folder.
    """

    found: tuple[Input, ...]
    skipped: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()
    folder: Path | None = None
    single: bool = False


def expand_inputs(arguments: Sequence[str], recursive: bool = False, outputs: Collection[Path] = ()) -> Inputs:
    """Expand the inputs of a command.

    A file of a folder or pattern keeps its path below the folder, or below the part of the pattern without wildcards.

    Args:
        arguments: files, folders, patterns with ``*``, ``?``, ``[…]`` and ``**`` (any number of folders), ``%05d``
            patterns of image sequences, cameras and URLs. A name that exists is not a pattern.
        recursive: read the subfolders of folders. Symbolic links are followed, each folder is read once.
        outputs: files and folders that are written, which are not read.

    Returns:
        The sources, each once; those that cannot be opened are found later.

    Raises:
        InputError: a folder cannot be listed or holds nothing that can be read, or no file matches a pattern.
        UsageError: a live source or standard input is one of several inputs.
    """
    only = arguments[0] if len(arguments) == 1 else None
    if only is not None and not _is_folder(only) and not _is_pattern(only):
        return Inputs((_input(only),), single=True)
    expansion = _Expansion(recursive, outputs)
    for argument in arguments:
        expansion.add(argument)
    folder = Path(only) if only is not None and _is_folder(only) else None
    unique = tuple(dict.fromkeys(expansion.found))
    return Inputs(unique, tuple(expansion.skipped), tuple(expansion.failures), folder)


def _is_stream(argument: str) -> bool:
    """Whether an argument is a URL, a camera or standard input instead of a path."""
    if "://" in argument or argument == STDIN:
        return True
    path = Path(argument)
    return (argument.isdecimal() and not path.exists()) or (
        argument.startswith("/dev/") and not _is_file_or_folder(path)
    )


def _is_file_or_folder(path: Path) -> bool:
    return path.is_file() or path.is_dir()


def _is_folder(argument: str) -> bool:
    return not _is_stream(argument) and Path(argument).is_dir()


def _is_pattern(argument: str) -> bool:
    return not _is_stream(argument) and bool(_WILDCARDS.search(argument)) and not Path(argument).exists()


def _input(argument: str) -> Input:
    """Source of an argument that is neither a folder nor a pattern of files."""
    if argument.startswith(("http://", "https://", "file:")):
        name = Path(unquote(urlsplit(argument).path)).name
        suffix = Path(name).suffix.lower()
        kind: Kind = "image" if suffix in IMAGE_SUFFIXES else "video" if suffix in VIDEO_SUFFIXES else "other"
        return Input(argument, "" if kind == "other" else name, kind)
    if _is_stream(argument):
        return Input(argument, "", "other")
    path = Path(argument)
    if is_sequence(argument):
        return Input(argument, path.name, "other")
    return Input(argument, path.name, _kind_of_suffix(path.name) or _kind_of_content(path))


def _kind_of_suffix(name: str) -> Literal["image", "video"] | None:
    suffix = Path(name).suffix.lower()
    return "image" if suffix in IMAGE_SUFFIXES else "video" if suffix in VIDEO_FILE_SUFFIXES else None


def _kind_of_content(path: Path) -> Kind:
    if not path.is_file():  # a pipe can be read only once
        return "other"
    try:
        with path.open("rb") as file:
            return "image" if image_header(file.read(32)) else "video"
    except OSError:
        return "other"


class _Expansion:
    """Collects the sources of several arguments."""

    def __init__(self, recursive: bool, outputs: Collection[Path]) -> None:
        self.found: list[Input] = []
        self.skipped: list[str] = []
        self.failures: list[Failure] = []
        self._recursive = recursive
        self._outputs = {path.resolve() for path in outputs}
        self._output_names = {path.name for path in self._outputs}
        self._seen: set[tuple[int, int, int]] = set()

    def add(self, argument: str) -> None:
        """Add the sources of one argument."""
        before = len(self.found)
        if _is_folder(argument):
            self._add_matches(Path(argument), ["**", "*"] if self._recursive else ["*"])
            if len(self.found) == before:
                expected = ", ".join(sorted(IMAGE_SUFFIXES | VIDEO_FILE_SUFFIXES))
                hint = "" if self._recursive else "; --recursive reads its subfolders"
                raise InputError(f"no images or videos in {argument}; expected {expected}{hint}")
        elif _is_pattern(argument):
            parts = Path(argument).parts
            start = next(n for n, part in enumerate(parts) if _WILDCARDS.search(part))
            self._add_matches(Path(*parts[:start]), list(parts[start:]))
            if len(self.found) == before:
                raise InputError(f"no images or videos match {argument}; check the pattern and quote it")
        else:
            found = _input(argument)
            if not found.name:
                raise UsageError(f"{argument} is a live source, which has to be the only input; run it alone")
            self.found.append(found)

    def _add_matches(self, base: Path, parts: list[str]) -> None:
        self._seen.clear()
        if parts[-1] == "**":
            parts = [*parts, "*"]
        for path in self._matches(base, parts, base):
            name, kind = path.relative_to(base).as_posix(), _kind_of_suffix(path.name)
            if path.is_dir():
                if parts[0] != "**":
                    self.skipped.append(f"{name}/")
            elif kind is None or path.name.startswith("."):
                self.skipped.append(name)
            else:
                self.found.append(Input(str(path), name, kind))

    def _matches(self, folder: Path, parts: list[str], base: Path) -> Iterator[Path]:
        """Files and folders that match a pattern, in the order of their names, without loops of symbolic links."""
        entries = self._listed(folder, len(parts), base)
        head, *rest = parts
        if head == "**":
            yield from self._matches(folder, rest, base)
            for path in entries:
                if path.is_dir() and not path.name.startswith("."):
                    yield from self._matches(path, parts, base)
                elif path.is_dir():
                    self.skipped.append(f"{path.relative_to(base).as_posix()}/")
            return
        for path in entries:
            if _name_matches(path.name, head):
                if not rest:
                    yield path
                elif path.is_dir():
                    yield from self._matches(path, rest, base)

    def _listed(self, folder: Path, depth: int, base: Path) -> list[Path]:
        """Entries of a folder; none if it was listed before for as many parts of the pattern."""
        try:
            status = folder.stat()
            key = status.st_dev, status.st_ino, depth
            if key in self._seen:
                return []
            self._seen.add(key)
            return [path for path in sorted(folder.iterdir()) if not self._is_output(path)]
        except OSError as error:
            if folder == base:
                raise InputError(f"{folder} cannot be listed: {error_reason(error)}") from error
            self.failures.append(Failure(str(folder), f"{folder} cannot be listed: {error_reason(error)}"))
            return []

    def _is_output(self, path: Path) -> bool:
        return (path.is_symlink() or path.name in self._output_names) and path.resolve() in self._outputs


def _name_matches(name: str, pattern: str) -> bool:
    """As in a shell, but ``*`` alone also matches hidden names, which are reported as skipped."""
    hidden = name.startswith(".") and not pattern.startswith(".") and pattern != "*"
    return not hidden and fnmatchcase(name, pattern)
