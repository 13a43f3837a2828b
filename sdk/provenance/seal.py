"""Signs the outputs of a run: collects what their faces depend on, and adds a C2PA manifest before they get a name."""

from __future__ import annotations

import hashlib
import io
import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import __version__
from ...engines.errors import OutputError, UsageError
from ...engines.files import sibling, sync
from ...engines.registry import NAMES
from ..doctor.machine import this_machine
from ..media.images.sequence import SequenceSource
from ..media.images.source import FolderSource
from ..media.reasons import error_reason, write_error
from ..media.video.reader import VideoSource
from .credentials import Credentials
from .face_records import LABEL, Chunks, FacesAssertion, FrameRecord, Original
from .iptc import SYSTEM
from .network_use import NetworkUse
from .signable import check_signable, content_of, media_type, utf8
from .statement import DIGITAL_SOURCE_TYPE, STATEMENT

if TYPE_CHECKING:
    from ..media.source_sink import Source
    from ..pipeline.pipeline import Pipeline
    from ..pipeline.results import FrameResult

_BLOCK = 1 << 20


def settings_of(pipeline: Pipeline, source: Source) -> dict[str, Any]:
    """What the faces of a source depend on besides the networks.

    Args:
        pipeline: that ran.
        source: of the frames.
    """
    detector = pipeline.detector
    settings = {
        "outscale": pipeline.outscale,
        "engine": engine_name(pipeline.session.runtime),
        "detector_engine": engine_name(detector.session.runtime),
        "detector_precision": detector.session.precision,
        "score": float(detector.score),
        "min_face": float(detector.min_face),
        "detect_every": pipeline.detect_every,
        "processor": this_machine().cpu,
        "deinterlace": isinstance(source, VideoSource) and source.deinterlace,
    }
    if pipeline.multi_frame is None:
        return settings
    network = pipeline.multi_frame.network
    return settings | {
        "frames": pipeline.frames,
        "track_model": network.card.name,
        "track_fingerprint": network.card.fingerprint,
        "track_engine": engine_name(network.session.runtime),
        "track_precision": network.session.precision,
    }


def engine_name(runtime: str) -> str:
    """Name of an engine, as `load` takes it, by the description of a session; "" if it is none of them."""
    names = sorted(NAMES.items(), key=lambda item: -len(item[1]))
    return next((engine for engine, name in names if runtime.startswith(name)), "")


@dataclass
class _Frames:
    """What is known of one output file so far."""

    original: Path | None
    first: FrameRecord | None = None
    chunks: Chunks = field(default_factory=Chunks)
    count: int = 0
    upscaled: bool = False


class Seal:
    """Signs the files of one sink.

    Args:
        credentials: that sign.
        source: of the frames, just opened.
        note: called with what does not get into the signature.
    """

    def __init__(
        self, credentials: Credentials, source: Source, note: Callable[[str], None] = lambda line: None
    ) -> None:
        self.credentials, self._source, self._note = credentials, source, note
        self._stamps = {path: _stamp(path) for path in _files_of(source)}
        self._network: NetworkUse | None = None
        self._settings: Mapping[str, Any] = {}
        self._files: dict[str, _Frames] = {}
        self._last: tuple[str, int] = ("", 0)
        self._hashed: tuple[Path, Original | None] | None = None

    def begin(self, pipeline: Pipeline) -> None:
        """Take the facts of the pipeline that is going to run."""
        if self._network is None and self.credentials.timestamp_url is None and self.credentials.expires:
            self._note(
                f"signed without a time stamp: verifiable until {self.credentials.expires}, when the certificate "
                "expires; give --timestamp-url URL for longer"
            )
        self._network, self._settings = NetworkUse.of(pipeline), settings_of(pipeline, self._source)

    def add(self, result: FrameResult) -> None:
        """Take the faces of a frame, before its composite is written."""
        name = result.source.name
        original = self._original(name)
        frames = self._files.setdefault(name if self._by_name else "", _Frames(original))
        if frames.original != original:
            frames.original = None
        index = self._index(result)
        frames.upscaled |= result.source.upscaled
        frames.chunks.add(result, index)
        if frames.count == 0:
            frames.first = FrameRecord.of(result, index)
        frames.count += 1

    @property
    def _by_name(self) -> bool:
        return isinstance(self._source, FolderSource)

    def _index(self, result: FrameResult) -> int:
        """Of a frame in its own file."""
        if isinstance(self._source, SequenceSource):
            return 0
        if not self._by_name:
            return result.source.index
        name, count = self._last
        self._last = result.source.name, count + 1 if name == result.source.name else 0
        return self._last[1]

    def _original(self, name: str) -> Path | None:
        source = self._source
        if isinstance(source, FolderSource):
            return source.images.get(name)
        if isinstance(source, SequenceSource):
            return next((path for path in source.files if path.name == name), None)
        return source.path if source.path is not None and source.path.is_file() else None

    def sign_bytes(self, data: bytes, path: Path, name: str) -> bytes:
        """A signed copy of a file of one picture.

        Args:
            data: the file.
            path: its name, for messages and its format.
            name: of its frame.

        Raises:
            OutputError: it cannot be signed.
            UsageError: its format cannot, or the seal got no faces: `run` gives them.
        """
        target = io.BytesIO()
        self._sign(io.BytesIO(data), target, path, self._take(name), complete=True)
        return target.getvalue()

    def sign_file(self, file: Path, path: Path, name: str = "", *, complete: bool = True) -> None:
        """Replace a finished file, which has not got its name yet, by a signed copy; flushed to the disk.

        Args:
            file: the file.
            path: the name that it is going to get.
            name: of its frames, in a folder.
            complete: the source was processed to its end.

        Raises:
            OutputError: it cannot be signed; `file` is unchanged.
        """
        signed = sibling(file, "", f"-{secrets.token_hex(4)}.signed.part")
        try:
            with file.open("rb") as source, signed.open("x+b") as target:
                self._sign(source, target, path, self._take(name), complete)
                target.flush()
                os.fsync(target.fileno())
            signed.replace(file)
            sync(file.parent)
        except OSError as error:
            raise OutputError(write_error(path, error)) from error
        finally:
            with suppress(OSError):
                signed.unlink(missing_ok=True)

    def _take(self, name: str) -> _Frames:
        frames = self._files.pop(name if self._by_name else "", None)
        if frames is None or self._network is None:
            raise UsageError("a signed output gets its faces from run(pipeline, source, sink); use it")
        return frames

    def _sign(self, source: Any, target: Any, path: Path, frames: _Frames, complete: bool) -> None:
        from .c2pa_library import Ingredient, sign

        check_signable(path.name)
        try:
            original = self._hash(frames.original)
            ingredient = None
            if frames.original is not None:
                content = content_of(frames.original) if original else None
                ingredient = Ingredient(frames.original, content.media_type if content else None)
            sign(
                self.credentials,
                media_type(path.name) or "",
                source,
                target,
                self._manifest(path, frames, original, complete),
                ingredient,
                self._note,
            )
        except OutputError as error:
            raise OutputError(f"{path} {error}") from error
        except OSError as error:
            raise OutputError(write_error(path, error)) from error

    def _manifest(self, path: Path, frames: _Frames, original: Original | None, complete: bool) -> dict[str, Any]:
        assert self._network is not None
        single = frames.count == 1
        assertion = FacesAssertion(
            self._network,
            self._settings,
            original,
            complete,
            frames.first if single else None,
            () if single else frames.chunks.finish(),
        )
        return {
            "claim_generator_info": [{"name": SYSTEM, "version": __version__}],
            "title": utf8(path.name),
            "assertions": [
                {"label": "c2pa.actions.v2", "data": {"actions": self._actions(frames.upscaled)}},
                {"label": LABEL, "data": assertion.to_dict()},
            ],
        }

    def _actions(self, upscaled: bool) -> list[dict[str, Any]]:
        """C2PA adds that the original was opened."""
        agent = {"name": SYSTEM, "version": __version__}
        scaled = "c2pa.resized" if self._settings["outscale"] > 1 else "c2pa.transcoded"
        actions: list[dict[str, Any]] = [{"action": scaled, "softwareAgent": agent}]
        if upscaled:
            edited = {"action": "c2pa.edited", "digitalSourceType": DIGITAL_SOURCE_TYPE, "description": STATEMENT}
            actions.append({**edited, "softwareAgent": agent})
        return actions

    def _hash(self, path: Path | None) -> Original | None:
        if path is None:
            return None
        if self._hashed is None or self._hashed[0] != path:
            self._hashed = path, self._unchanged(path)
        return self._hashed[1]

    def _unchanged(self, path: Path) -> Original | None:
        """The file that was opened; None if there is another one now, which nobody has read."""
        try:
            original = original_of(path)
            if _stamp(path) == self._stamps.get(path):
                return original
            reason = "has changed since it was opened"
        except OutputError as error:
            reason = str(error)
        self._note(f"{path.name}: {reason}: it is not signed as the original")
        return None


def _files_of(source: Source) -> Iterable[Path]:
    if isinstance(source, FolderSource):
        return source.images.values()
    if isinstance(source, SequenceSource):
        return source.files
    return [] if source.path is None else [source.path]


def _stamp(path: Path) -> tuple[int, ...] | None:
    """Changes with the content of a file; None if there is no file."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino


def original_of(path: Path) -> Original:
    """Name, size and hash of a file.

    Raises:
        OutputError: it cannot be read.
    """
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                size += len(block)
    except OSError as error:
        raise OutputError(f"cannot be read: {error_reason(error)}") from error
    return Original(utf8(path.name), size, digest.hexdigest())
