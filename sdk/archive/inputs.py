"""Inputs of a batch: files, folders, patterns, manifests and fsspec URLs, expanded to files with their outputs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from ...engines.errors import InputError, UsageError
from ..media.images.formats import IMAGE_SUFFIXES
from ..media.images.sequence import is_sequence
from ..media.inputs import Input, expand_inputs
from ..media.reasons import error_reason
from ..media.sinks import output_name
from ..media.url import masked
from ..media.video.containers import CONTAINER_FORMATS
from ..pipeline.summary import Failure
from .storage import Advance, Place, find_place, idle, is_url
from .tasks import ArchiveFile, Kind

MANIFEST = "@"
"""Prefix of the name of a file that lists inputs."""


@dataclass(frozen=True)
class ArchiveInputs:
    """Files of a batch.

    Args:
        files: in the order of the arguments, those of a folder sorted by name.
        skipped: names of files that are not read: other kinds, hidden.
        failures: inputs that cannot be listed or read.
    """

    files: tuple[ArchiveFile, ...]
    skipped: tuple[str, ...]
    failures: tuple[Failure, ...]


def find_files(arguments: Sequence[str], output: str, recursive: bool = False) -> ArchiveInputs:
    """Expand the inputs of a batch.

    A file of a folder or pattern keeps its path below it, one of a manifest its path below the folder that all files of
    the manifest share.

    Args:
        arguments: files, folders, patterns and fsspec URLs of these; ``@list.txt`` is a file with one of them a line.
        output: folder or fsspec URL of the outputs, which is not read.
        recursive: read the subfolders of folders.

    Raises:
        InputError: a folder cannot be listed or holds nothing that can be read, or no file matches a pattern.
        UsageError: an input is no file, or two inputs have the same output.
        MissingDependencyError: fsspec, or the package for a kind of URL, is not installed.
    """
    if PurePosixPath(output).suffix.lower() in IMAGE_SUFFIXES | frozenset(CONTAINER_FORMATS):
        raise UsageError(f"{masked(output)} is the name of a file; give a folder")
    root = find_place(output)
    found: list[tuple[Input, int, str]] = []
    skipped: list[str] = []
    failures: list[Failure] = []
    plain = [argument for argument in arguments if not argument.startswith(MANIFEST) or Path(argument).exists()]
    manifests = [argument for argument in arguments if argument not in plain]
    for group, shared in [(plain, False), *((_listed(Path(name[1:])), True) for name in manifests)]:
        inputs = _expanded(group, root, recursive, skipped, failures)
        found += _below_shared_folder(inputs) if shared else inputs
    files = [_archive_file(*one) for one in dict.fromkeys(found)]
    if not files and failures:
        raise InputError(failures[0].reason)
    if not files:
        raise InputError(f"no images or videos in {', '.join(map(masked, arguments))}; give files, folders or patterns")
    _check_outputs(files, output, root)
    return ArchiveInputs(tuple(files), tuple(skipped), tuple(failures))


def _listed(manifest: Path) -> list[str]:
    """Lines of a manifest, without empty ones and comments."""
    try:
        lines = manifest.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the manifest {manifest} cannot be read: {error_reason(error)}") from error
    listed = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not listed:
        raise InputError(f"the manifest {manifest} lists no inputs; write one a line")
    return listed


def _expanded(
    arguments: Sequence[str], root: Place, recursive: bool, skipped: list[str], failures: list[Failure]
) -> list[tuple[Input, int, str]]:
    """Sources with their size and version."""
    local = [argument.removeprefix("file://") for argument in arguments if not is_url(argument)]
    found: list[tuple[Input, int, str]] = []
    if local:
        outputs = [Path(root.path)] if root.system == "file" else []
        inputs = expand_inputs(local, recursive, outputs)
        skipped += inputs.skipped
        failures += inputs.failures
        for one in inputs.found:
            _check_is_file(one)
            try:
                status = Path(one.source).stat()
            except OSError as error:
                failures.append(Failure(one.source, f"{one.source} cannot be read: {error_reason(error)}"))
                continue
            absolute = replace(one, source=str(Path(one.source).absolute()))  # workers may have another folder
            found.append((absolute, status.st_size, f"{status.st_size}-{status.st_mtime_ns}"))
    if len(local) < len(arguments):
        from .remote_storage import list_remote

        for argument in arguments:
            if is_url(argument):
                found += list_remote(argument, recursive, root, skipped)
    return found


def _check_is_file(found: Input) -> None:
    if is_sequence(found.source):
        raise UsageError(f"{found.source} is a video of numbered images, which batch does not read; use run")
    if found.kind == "other" and Path(found.source).exists():
        raise UsageError(f"{found.source} is no regular file; batch reads files, run reads cameras and pipes")
    if not found.name or (found.kind == "other" and found.source.isdecimal()):
        raise UsageError(f"{found.source} is a live source; batch reads files, use run or live")


def _below_shared_folder(found: list[tuple[Input, int, str]]) -> list[tuple[Input, int, str]]:
    paths = {one.source: os.path.normpath(one.source) for one, _, _ in found if not is_url(one.source)}
    try:
        shared = os.path.commonpath({str(Path(path).parent) for path in paths.values()}) if paths else ""
    except ValueError:  # several drives of Windows
        return found
    return [
        (replace(one, name=os.path.relpath(paths[one.source], shared).replace(os.sep, "/")), size, version)
        if one.source in paths
        else (one, size, version)
        for one, size, version in found
    ]


def _archive_file(found: Input, size: int, version: str) -> ArchiveFile:
    kind: Kind = "image" if found.kind == "image" else "video"
    return ArchiveFile(found.source, found.name, output_name(found.name, kind), kind, size, version)


def _check_outputs(files: Sequence[ArchiveFile], output: str, root: Place) -> None:
    """Refuse outputs outside of the folder, two of one name, and those that replace an input."""
    sources = {find_place(file.source) for file in files if is_url(file.source) or root.system == "file"}
    written: dict[str, str] = {}
    for file in files:
        name = PurePosixPath(file.output)
        if name.is_absolute() or ".." in name.parts:
            raise UsageError(
                f"{masked(file.source)} would be written to {file.output}, outside of {masked(output)}; "
                "give it without .. in its name"
            )
        other = written.setdefault(str(name), file.source)
        if other != file.source:
            raise UsageError(f"{masked(other)} and {masked(file.source)} would both be written to {file.output}")
        if root.below(file.output) in sources:
            path = f"{masked(output).removeprefix('file://').rstrip('/')}/{file.output}"
            raise UsageError(f"{path} is an input and would be overwritten; give another output folder")


def fetch_input(file: ArchiveFile, scratch: Path, advance: Advance = idle) -> Path:
    """Local path of an input; a file behind a URL is copied to `scratch`, where the last one is kept.

    Args:
        file: input.
        scratch: folder for copies.
        advance: called while it is copied.

    Raises:
        InputError: it cannot be copied.
    """
    if not is_url(file.source):
        return Path(file.source)
    from .remote_storage import fetch_remote

    return fetch_remote(file, scratch, advance)
