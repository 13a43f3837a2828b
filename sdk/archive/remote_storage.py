"""Folders and inputs behind fsspec: object stores, and every other file system that it has a package for."""

from __future__ import annotations

import posixpath
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from ...engines.errors import FacesrError, InputError, MissingDependencyError, OutputError, UsageError, first_line
from ..media.images.formats import IMAGE_SUFFIXES
from ..media.inputs import VIDEO_FILE_SUFFIXES, Input
from ..media.url import masked
from .storage import STATE, Advance, OutputFolder, Place, copy_blocks, idle, local_place
from .tasks import ArchiveFile

_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "ocilake"})
"""Protocols whose files appear complete or not at all."""
_WILDCARDS = re.compile(r"[*?\[]")
_HTTP = ("http://", "https://")
_VERSIONS = ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "mtime", "updated", "created")
_EXTRA = "archives"


def _file_system(url: str) -> tuple[Any, str]:
    """File system and path of a URL."""
    try:
        import fsspec  # type: ignore[import-untyped]
    except ModuleNotFoundError as error:
        raise MissingDependencyError("fsspec", _EXTRA, f"reading or writing {masked(url)}") from error
    protocol = url.partition("://")[0]
    if "::" in url:
        raise UsageError(f"{masked(url)} is a chained URL; unpack the archive, or mount it")
    if protocol == "memory":
        raise UsageError(f"{url} is in the memory of one process, which workers cannot reach; give a folder")
    try:
        return fsspec.core.url_to_fs(url)  # type: ignore[no-any-return]
    except ImportError as error:
        raise MissingDependencyError(
            _package(error, protocol), _EXTRA, f"{protocol}://", f"pip install {_package(error, protocol)}"
        ) from error
    except Exception as error:  # each file system has exceptions of its own
        reason = first_line(error)
        raise UsageError(f"{masked(url)} cannot be opened: {reason}; give a file, or a URL of fsspec") from error


def _protocols(fs: Any) -> set[str]:
    return {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)


def remote_place(url: str) -> Place:
    """Place of a file or folder behind a URL.

    Raises:
        MissingDependencyError, UsageError: as of `RemoteFolder`.
    """
    return _place(*_file_system(url))


def _place(fs: Any, path: str) -> Place:
    protocols = _protocols(fs)
    if "file" in protocols:
        return local_place(Path(path))
    host = str(fs.storage_options.get("host") or "").lower()  # elsewhere the path has it
    path = path.partition("?")[0] if path.startswith(_HTTP) else path
    return Place(f"{min(protocols)}://{host}", PurePosixPath(posixpath.normpath(f"/{path.lstrip('/')}")))


def _package(error: ImportError, protocol: str) -> str:
    """Name of the package of a protocol, which fsspec's message names."""
    found = re.search(r"[Ii]nstall (?:the )?[\"'`]?([A-Za-z0-9_-]+)", str(error))
    return found[1] if found else {"s3": "s3fs", "gs": "gcsfs", "abfs": "adlfs"}.get(protocol, protocol)


@contextmanager
def _errors(kind: type[FacesrError], url: str, doing: str) -> Iterator[None]:
    """Turn the exceptions of a file system into one of ours."""
    try:
        yield
    except FacesrError:
        raise
    except PermissionError as error:
        raise kind(f"{masked(url)} cannot be {doing}: permission denied; check the credentials") from error
    except Exception as error:  # each file system has exceptions of its own
        raise kind(f"{masked(url)} cannot be {doing}: {masked(first_line(error))}") from error


class RemoteFolder(OutputFolder):
    """A folder behind an fsspec URL.

    Args:
        location: URL.

    Raises:
        MissingDependencyError: fsspec, or the package for this kind of URL, is not installed.
        UsageError: the URL is not valid.
    """

    def __init__(self, location: str) -> None:
        self.location = location.rstrip("/")
        self._fs, root = _file_system(self.location)
        self._root = root.rstrip("/")
        self._atomic = bool(_protocols(self._fs) & _OBJECT_STORES)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def publish(self, file: Path, name: str, advance: Advance = idle) -> None:
        """See `OutputFolder`."""
        with _errors(OutputError, f"{self.location}/{name}", "written"):
            if self._atomic:
                self._fs.put_file(str(file), self._path(name), callback=_callback(advance))
            else:
                temporary = self._path(f"{STATE}/work/{secrets.token_hex(8)}")
                self._fs.makedirs(posixpath.dirname(temporary), exist_ok=True)
                self._fs.makedirs(posixpath.dirname(self._path(name)), exist_ok=True)
                with file.open("rb") as source, self._fs.open(temporary, "wb") as target:
                    copy_blocks(source, target, advance)
                self._fs.mv(temporary, self._path(name))
        file.unlink(missing_ok=True)

    def fetch(self, name: str, scratch: Path, advance: Advance = idle) -> Path:
        """See `OutputFolder`."""
        scratch.mkdir(parents=True, exist_ok=True)
        path = scratch / PurePosixPath(name).name
        with _errors(OutputError, f"{self.location}/{name}", "read"):
            _get(self._fs, self._path(name), path, advance)
        return path

    def write(self, name: str, data: bytes) -> None:
        """See `OutputFolder`."""
        with _errors(OutputError, f"{self.location}/{name}", "written"):
            if self._atomic:
                self._fs.pipe_file(self._path(name), data)
                return
            temporary = self._path(f"{name}.{secrets.token_hex(4)}.part")
            self._fs.makedirs(posixpath.dirname(temporary), exist_ok=True)
            self._fs.pipe_file(temporary, data)
            self._fs.mv(temporary, self._path(name))

    def read(self, name: str) -> bytes | None:
        """See `OutputFolder`."""
        with _errors(OutputError, f"{self.location}/{name}", "read"):
            try:
                return bytes(self._fs.cat_file(self._path(name)))
            except FileNotFoundError:
                return None

    def sizes(self, below: str = "") -> Mapping[str, int]:
        """See `OutputFolder`."""
        start = self._path(below) if below else self._root
        with _errors(OutputError, self.location, "listed"):
            self._fs.invalidate_cache()
            try:
                found = self._fs.find(start, detail=True)
            except FileNotFoundError:
                return {}
        prefix = self._root.lstrip("/") + "/"
        names = {path.lstrip("/").removeprefix(prefix): info for path, info in found.items()}
        return {
            name: int(info.get("size") or 0)
            for name, info in names.items()
            if below or not name.startswith(f"{STATE}/")
        }

    def remove(self, name: str) -> None:
        """See `OutputFolder`."""
        with _errors(OutputError, f"{self.location}/{name}", "removed"):
            self._fs.invalidate_cache()
            with suppress(FileNotFoundError):
                self._fs.rm(self._path(name), recursive=True)

    def scratch(self) -> Path | None:
        """See `OutputFolder`."""
        return None


def list_remote(url: str, recursive: bool, output: Place, skipped: list[str]) -> list[tuple[Input, int, str]]:
    """Files behind a URL with their size and version, sorted by name.

    Args:
        url: file, folder or pattern.
        recursive: read subfolders.
        output: folder of the outputs, which is not read where it is below the folder or pattern.
        skipped: gets the names of files of other kinds.

    Raises:
        InputError: there is no such file or folder, or it cannot be listed.
        MissingDependencyError, UsageError: as of `RemoteFolder`.
    """
    fs, path = _file_system(url)
    with _errors(InputError, url, "listed"):
        fs.invalidate_cache()
        base, infos = _infos(fs, path, url, recursive)
    is_output = _outputs_below(_place(fs, base), output) if base else None
    found: list[tuple[Input, int, str]] = []
    for name, info in sorted(infos.items()):
        if is_output and is_output(_place(fs, name)):
            continue
        relative = posixpath.relpath(name, base) if base else _file_name(name)
        suffix = PurePosixPath(relative).suffix.lower()
        if (suffix not in IMAGE_SUFFIXES and suffix not in VIDEO_FILE_SUFFIXES) or _is_hidden(relative):
            skipped.append(relative)
            continue
        size = int(info.get("size") or 0)
        version = next((str(info[key]) for key in _VERSIONS if info.get(key)), "")
        source = url if not base else fs.unstrip_protocol(name)
        kind = "image" if suffix in IMAGE_SUFFIXES else "video"
        found.append((Input(source, relative, kind), size, f"{size}-{version}"))  # type: ignore[arg-type]
    return found


def _outputs_below(folder: Place, output: Place) -> Callable[[Place], bool] | None:
    """Whether a file of a folder is an output; None if the outputs are elsewhere, or the folder is theirs."""
    if folder.system != output.system or folder == output or not output.path.is_relative_to(folder.path):
        return None
    return lambda file: file.path.is_relative_to(output.path)


def _file_name(path: str) -> str:
    """Name of a file, of a URL without its query."""
    return posixpath.basename(unquote(urlsplit(path).path) if path.startswith(_HTTP) else path)


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in PurePosixPath(name).parts)


def _infos(fs: Any, path: str, url: str, recursive: bool) -> tuple[str, dict[str, Any]]:
    """The folder of a listing, "" for one file; and path → facts of each file."""
    depth = None if recursive else 1
    if path.startswith(_HTTP) and not _WILDCARDS.search(path.partition("?")[0]):
        return "", {path: fs.info(path)}
    if _WILDCARDS.search(path) and not fs.exists(path):
        infos = fs.glob(path, detail=True)
        files = {name: info for name, info in infos.items() if info.get("type") == "file"}
        base = path[: next(_WILDCARDS.finditer(path)).start()].rpartition("/")[0]
        what = f"no file matches {masked(url)}; check the pattern and quote it"
    elif path.startswith(_HTTP) or fs.isfile(path):
        return "", {path: fs.info(path)}
    else:
        files = fs.find(path, maxdepth=depth, detail=True)
        base, what = path, f"{masked(url)} does not exist or has no files"
    if not files:
        raise InputError(what)
    return base.rstrip("/"), files


def _callback(advance: Advance) -> Any:
    from fsspec.callbacks import Callback  # type: ignore[import-untyped]

    return Callback(hooks={"advance": lambda size, value, **more: advance()})


def _get(fs: Any, name: str, path: Path, advance: Advance) -> None:
    """Copy a file to this machine; blocks one after another, as many at once would all end late."""
    protocols = _protocols(fs)
    if protocols & {"http", "https"}:
        fs.get_file(name, str(path), callback=_callback(advance))
    elif protocols & _OBJECT_STORES:
        one = {"max_concurrency": 1} if "s3" in protocols else {}
        fs.get_file(name, str(path), callback=_callback(advance), **one)
    else:
        with fs.open(name, "rb") as source, path.open("wb") as target:
            copy_blocks(source, target, advance)


def fetch_remote(file: ArchiveFile, scratch: Path, advance: Advance = idle) -> Path:
    """Copy a file to a folder, which holds the last one only, as the parts of a video are often read one by one.

    Args:
        file: behind a URL.
        scratch: folder for the copy.
        advance: called while it is copied.

    Raises:
        InputError: it cannot be copied, or has changed since it was listed.
    """
    name = PurePosixPath(file.name).name
    path = scratch / name
    stamp = scratch / ".version"
    identity = f"{file.source}\n{file.version}"
    if path.is_file() and stamp.is_file() and stamp.read_text("utf-8") == identity:
        return path
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    fs, remote = _file_system(file.source)
    with _errors(InputError, file.source, "read"):
        _get(fs, remote, path, advance)
    if file.bytes and path.stat().st_size != file.bytes:
        raise InputError(f"{masked(file.source)} has changed while it was read; run the command again")
    stamp.write_text(identity, "utf-8")
    return path
