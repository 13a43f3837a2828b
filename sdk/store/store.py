"""`Store`: faces with their tracks, verdicts and pictures in a database; a context manager."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from ...engines.errors import FacesrError, InputError, UsageError
from ..media.sinks import make_writable
from . import check as checks
from . import queries, retention
from .address import MAX_NUMBER, StoreAddress
from .database import Database
from .deletion import finish_deletions
from .migrations import prepare
from .new_faces import face_of_shot, faces_of_result
from .orphans import end_killed_runs
from .pictures import PictureFolder
from .records import (
    MAX_INTEGER,
    Clock,
    Deletion,
    FaceFilter,
    StoreCheck,
    StoredFace,
    StoreStatistics,
    Time,
    check_integer,
    unix_s,
    utc,
)
from .retention import Pruned
from .run_writer import RunWriter
from .schema import deletions

if TYPE_CHECKING:
    from ..live.tracks.best_shot import BestShot
    from ..pipeline.results import FrameResult
    from ..provenance.network_use import NetworkUse


class Store:
    """Faces, their tracks, verdicts and figures, with the original and the enlarged picture of each. Thread-safe.

    Several processes may write to a store at the same time. Opening it removes what killed runs have left.

    Args:
        address: where it is.
        create: create it if it is missing.
        about: facts of the runs that write, for JSON.

    Attributes:
        name: for messages, without a password.
        pictures: folder.

    Raises:
        InputError: it is missing, of a newer version, damaged, or the folder of pictures is another one's.
        OutputError: it cannot be written.
        MissingDependencyError: psycopg is not installed.
    """

    def __init__(self, address: StoreAddress, *, create: bool = True, about: Mapping[str, Any] | None = None) -> None:
        self.name, self.pictures = address.name, address.pictures
        if not create:
            _check_exists(address)
        make_writable(address.pictures)
        if address.database is not None:
            make_writable(address.database.parent)
        self._about, self._folder = dict(about or {}), PictureFolder(address.pictures)
        self._runs: dict[NetworkUse | None, RunWriter] = {}
        self._writes = threading.Lock()
        self._database = Database(address)
        try:
            prepare(self._database, address.pictures)
            finish_deletions(self._database, self._folder)
            end_killed_runs(self._database, self._folder)
        except BaseException:
            self._database.close()
            raise

    def new_run(self, network: NetworkUse | None = None, about: Mapping[str, Any] | None = None) -> RunWriter:
        """Begin a run; for writers of many faces. The caller closes it.

        Args:
            network: that upscales its faces.
            about: facts of the run, for JSON.
        """
        return RunWriter(self._database, self._folder, network, {**self._about, **(about or {})})

    def add_shot(
        self, shot: BestShot, network: NetworkUse | None = None, *, time: Time | None = None, clock: Clock = "host"
    ) -> None:
        """Store the best face of a track.

        Args:
            shot: of a live run.
            network: that upscaled it.
            time: when its frame was taken; None for the camera's clock or, where there is none, now.
            clock: of `time`.

        Raises:
            OutputError: the store cannot be written; a `SendError`, if the database does not answer.
        """
        if time is None and shot.clock_s is not None:
            time, clock = shot.clock_s, "camera"
        with self._writes:
            run = self._run(network)
            run.write([face_of_shot(shot, _time_s(time), clock, run.number())])

    def add_result(
        self,
        result: FrameResult,
        source: str,
        network: NetworkUse | None = None,
        *,
        time: Time | None = None,
        clock: Clock = "host",
    ) -> int:
        """Store all upscaled faces of a picture; those of an earlier run for the same source and frame are replaced.

        Args:
            result: of the picture.
            source: its name, e.g. the path of the file.
            network: that upscaled the faces.
            time: when the picture was taken; None for now.
            clock: of `time`.

        Returns:
            Number of faces.

        Raises:
            OutputError: see `add_shot`.
        """
        with self._writes:
            run = self._run(network)
            new = list(faces_of_result(result, source, _time_s(time), clock, run.number()))
            for _ in new[1:]:
                run.number()
            run.write(new, replaces=(source, result.source.index))
        return len(new)

    def _run(self, network: NetworkUse | None) -> RunWriter:
        if network not in self._runs:
            self._runs[network] = self.new_run(network)
        return self._runs[network]

    def faces(
        self,
        *,
        camera: str | None = None,
        source: str | None = None,
        since: Time | None = None,
        until: Time | None = None,
        min_side: float | None = None,
        verdict: str | None = None,
        limit: int = 100,
    ) -> list[StoredFace]:
        """The newest faces that fulfil all conditions, newest first.

        Args:
            camera, source, since, until, min_side, verdict: see `FaceFilter`.
            limit: maximum number.

        Raises:
            UsageError: see `FaceFilter`; or a limit below 1 or above `MAX_INTEGER`.
            InputError: the store cannot be read.
        """
        check_integer("limit", limit)
        query = FaceFilter(camera, source, since, until, min_side, verdict)
        return queries.find_faces(self._database, self.pictures, query, limit)

    def face(self, id: int) -> StoredFace:  # noqa: A002 (as the field)
        """One face.

        Raises:
            InputError: there is none with this id, or the store cannot be read.
        """
        if not 0 < id <= MAX_INTEGER or not (found := self._find(id)):
            raise InputError(f"the store {self.name} has no face {id}; list them: facesr-edge store find")
        return found[0]

    def _find(self, number: int) -> list[StoredFace]:
        return queries.find_faces(self._database, self.pictures, FaceFilter(ids=(number,)), 1)

    def each(self, query: FaceFilter | None = None) -> Iterator[StoredFace]:
        """All faces of a filter, or of the store, oldest id first; memory does not grow with their number.

        Raises:
            InputError: the store cannot be read.
        """
        return queries.each_face(self._database, self.pictures, query or FaceFilter())

    def count(self, query: FaceFilter | None = None) -> int:
        """Number of faces of a filter, or of the store.

        Raises:
            InputError: the store cannot be read.
        """
        return queries.count_faces(self._database, query or FaceFilter())

    def cameras(self) -> list[str]:
        """Names of all cameras, sorted.

        Raises:
            InputError: the store cannot be read.
        """
        return queries.camera_names(self._database)

    def statistics(self) -> StoreStatistics:
        """Size of the store.

        Raises:
            InputError: the store cannot be read.
        """
        return queries.statistics(self._database)

    def prune(self, *, days: float | None = None, max_gb: float | None = None) -> Pruned:
        """Delete faces that were stored too long ago, then the oldest until their pictures fit.

        Rows, pictures and empty folders are removed; the deletion is logged without them.

        Args:
            days: age by the host's clock.
            max_gb: size of all pictures, in 10⁹ bytes.

        Raises:
            UsageError: no limit, or one that is not positive, or above 10¹².
            OutputError: the store cannot be written, or a picture not removed.
        """
        if days is None and max_gb is None:
            raise UsageError("expected days or max_gb, got none; give a limit")
        for name, limit in (("days", days), ("max_gb", max_gb)):
            if limit is not None and not 0 < limit <= MAX_NUMBER:
                raise UsageError(f"expected {name} above 0 and at most {MAX_NUMBER:g}, got {limit:g}")
        return retention.prune(
            self._database,
            self._folder,
            older_than_s=None if days is None else days * retention.DAY_S,
            max_bytes=None if max_gb is None else int(max_gb * retention.GB),
        )

    def delete(self, query: FaceFilter, reason: str) -> Pruned:
        """Delete the faces of a filter; rows, pictures and empty folders are removed, and it is logged.

        Args:
            query: at least one condition.
            reason: for the log.

        Raises:
            UsageError: no condition.
            OutputError: see `prune`.
        """
        if query == FaceFilter():
            raise UsageError("expected a condition, got none; to delete all faces, delete the store")
        return retention.delete_matching(self._database, self._folder, query, reason)

    def deletions(self, limit: int = 100) -> list[Deletion]:
        """The log of deletions, newest first.

        Raises:
            UsageError: a limit below 1 or above `MAX_INTEGER`.
            InputError: the store cannot be read.
        """
        check_integer("limit", limit)
        with self._database.read() as connection:
            rows = connection.execute(select(deletions).order_by(deletions.c.id.desc()).limit(limit)).all()
        return [
            Deletion(
                utc(row.time_s),
                *(row.reason, row.camera, row.faces, row.bytes, row.first_id, row.last_id),
                *(utc(row.oldest_s), utc(row.newest_s), row.done),
            )
            for row in rows
        ]

    def check(self, *, hashes: bool = False, repair: bool = False) -> StoreCheck:
        """Compare the rows with the pictures, and let the database check itself.

        Args:
            hashes: read every picture and compare its SHA-256, not only its size.
            repair: remove pictures without a row, and faces of which a picture is missing; changed pictures stay.

        Raises:
            InputError: the store cannot be read.
            OutputError: it cannot be repaired.
        """
        return checks.check(self._database, self._folder, hashes=hashes, repair=repair)

    def close(self) -> None:
        """End the runs and close the connections; idempotent.

        Raises:
            OutputError: the end of a run cannot be noted; its faces are stored.
        """
        error: FacesrError | None = None
        with self._writes:
            runs, self._runs = list(self._runs.values()), {}
            for run in runs:
                try:
                    run.close()
                except FacesrError as one:
                    error = one
        with suppress(Exception):
            self._database.close()
        if error is not None:
            raise error

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _time_s(moment: Time | None) -> float:
    return time.time() if moment is None else unix_s(moment)


def _check_exists(address: StoreAddress) -> None:
    place: Path = address.pictures if address.database is None else address.database
    if not place.exists():
        what = "the folder of pictures" if address.database is None else "a store"
        raise InputError(f"{place} is missing, expected {what}; live runs write one with -o store:DIR")
