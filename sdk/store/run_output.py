"""Faces of the pictures that ``facesr-edge run`` processes, as an output of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from ..media.images.source import FolderSource
from ..media.reasons import plural
from ..media.video.pipe import STDIN_NAME
from ..provenance.network_use import NetworkUse
from .picture_time import time_taken

if TYPE_CHECKING:
    from ..media.source_sink import Source
    from ..pipeline.frame import Frame
    from ..pipeline.pipeline import Pipeline
    from ..pipeline.results import FrameResult
    from .store import Store

STDIN_NAMES = (STDIN_NAME, "/dev/stdin")  # of a pipe, and of a file


class StoreOutput:
    """Stores the faces of pictures; videos have tracks, which a live run stores.

    Args:
        store: open; the caller closes it.
        pipeline: that upscales the faces.
    """

    def __init__(self, store: Store, pipeline: Pipeline) -> None:
        self._store, self._network = store, NetworkUse.of(pipeline)
        self._faces, self._left_out = 0, 0
        self._last, self._page = "", 0

    @contextmanager
    def of(self, source: Source) -> Iterator[StoreOutput]:
        """Takes the results of one source."""
        self._source, self._last = source, ""
        if source.kind not in ("image", "folder"):
            self._left_out += 1
        yield self

    def add(self, result: FrameResult) -> None:
        """Store the faces of a picture; those of a video are left out.

        Raises:
            OutputError: the store cannot be written.
        """
        source = self._source
        if source.kind not in ("image", "folder"):
            return
        name = _name(source, result.source)
        self._page = self._page + 1 if name == self._last else 0  # in a folder, all pages of a TIFF are read
        self._last = name
        self._faces += add_picture(self._store, result, name, self._network, self._page)

    def lines(self) -> list[str]:
        """What was stored, and what was left out."""
        left_out = (
            f"{plural(self._left_out, 'video')} left out: facesr-edge live VIDEO -o store:DIR stores their tracks"
        )
        return [f"{plural(self._faces, 'face')} → {self._store.name}", *([left_out] if self._left_out else [])]


def _name(source: Source, frame: Frame) -> str:
    """Of a picture, the same for no other one: those of a name in several folders must not replace each other."""
    if isinstance(source, FolderSource):
        return str(source.images[frame.name].absolute())
    if source.path is None:  # a URL
        return source.name
    if source.name in STDIN_NAMES:
        return f"{STDIN_NAME} {hashlib.sha256(frame.pixels.tobytes()).hexdigest()[:16]}"
    return str(source.path.absolute())


def add_picture(store: Store, result: FrameResult, name: str, network: NetworkUse, page: int = 0) -> int:
    """Store the faces of a picture with the time at which it was taken; returns their number.

    Args:
        store: open.
        result: of the picture.
        name: of the picture, which no other one has.
        network: that upscaled the faces.
        page: of the picture; faces of an earlier run for it are replaced.

    Raises:
        OutputError: the store cannot be written.
    """
    taken_s = time_taken(result.source)
    result = replace(result, source=replace(result.source, index=page))  # not its place in a folder
    return store.add_result(result, name, network, time=taken_s, clock="host" if taken_s is None else "camera")
