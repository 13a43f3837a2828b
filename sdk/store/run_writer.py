"""Writes the faces of one run to a store: pictures first, then their rows, so that no row lacks its picture."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ...engines.errors import FacesrError, OutputError, SendError
from ..evidence.card import SEVERAL_FRAMES
from ..media.images.embed import png_with
from ..media.images.opencv import png
from ..provenance.iptc import marked
from .database import Database, parts
from .deletion import RemovedRows, delete_faces
from .new_faces import face_row
from .orphans import remove_orphans
from .pictures import ENLARGED, ORIGINAL, PictureFolder, WrittenFile
from .records import NewFace, plain_about, storable
from .schema import cameras, faces, files, runs, tracks

if TYPE_CHECKING:
    from ..provenance.network_use import NetworkUse


class RunWriter:
    """Writes faces; for one thread at a time.

    A kill at any moment leaves complete rows with their pictures, and at most pictures without a row: the next opening
    of the store removes them.

    Args:
        database, pictures: of the store.
        network: that upscales the faces; None if it is not known.
        about: facts of the run, for JSON.

    Raises:
        OutputError: the store cannot be written.
    """

    def __init__(
        self, database: Database, pictures: PictureFolder, network: NetworkUse | None, about: Mapping[str, Any]
    ) -> None:
        self._database, self._pictures = database, pictures
        self._token = secrets.token_hex(4)
        self._lock = pictures.lock(self._token)  # before there is a row: a run without a lock counts as killed
        self._started_s = time.time()
        self._uncertain = False
        self._tried_s: dict[int, float] = {}
        self._numbers = 0
        values = {
            "token": self._token,
            "state": "running",
            "started_s": self._started_s,
            "networks": None if network is None else _networks(network),
            "about": storable(json.dumps(plain_about(about))),
        }
        try:
            with database.write() as connection:
                self.run_id: int = connection.execute(insert(runs).values(values).returning(runs.c.id)).scalar_one()
        except BaseException:
            self._lock.release(remove=True)
            raise

    def number(self) -> int:
        """Number of the next face, see `NewFace`."""
        self._numbers += 1
        return self._numbers

    def write(self, new: Sequence[NewFace], replaces: tuple[str, int] | None = None) -> None:
        """Write faces, all or none; a repetition after a `SendError` writes none twice.

        Args:
            new: faces.
            replaces: name of a picture, and index of its frame, of which earlier faces are deleted.

        Raises:
            SendError: the database does not answer; it may later.
            OutputError: a picture or a row cannot be written.
        """
        stored_s = self._tried_s.get(new[0].number, time.time()) if new else time.time()  # it is in the names of files
        written: list[tuple[WrittenFile, ...]] = []
        try:
            for one in new:
                written.append(self._pictures.write(self._token, one, stored_s, _contents(one)))
            with self._database.write() as connection:
                removed = self._insert(connection, new, written, stored_s, replaces)
        except SendError:  # the database may have taken the rows before the connection broke
            self._uncertain = True
            self._tried_s = {one.number: stored_s for one in new}
            raise
        except (FacesrError, MemoryError):
            with suppress(OutputError):
                self._pictures.remove([file.path for group in written for file in group])
            raise
        removed.finish(self._database, self._pictures)

    def _insert(
        self,
        connection: Connection,
        new: Sequence[NewFace],
        written: Sequence[tuple[WrittenFile, ...]],
        stored_s: float,
        replaces: tuple[str, int] | None,
    ) -> RemovedRows:
        earlier = self._earlier(connection, replaces)
        pairs = list(zip(new, written, strict=True))
        if self._uncertain:
            known = self._known(connection, [group[0].path for group in written])
            pairs = [(one, group) for one, group in pairs if group[0].path not in known]
        if pairs:
            camera_ids = self._camera_ids(connection, [one for one, _ in pairs])
            ids = [storable(one.camera) if one.camera is not None else None for one, _ in pairs]
            rows = [
                face_row(
                    one, self.run_id, camera_ids.get(name or ""), self._track_id(connection, one, camera_ids), stored_s
                )
                for (one, _), name in zip(pairs, ids, strict=True)
            ]
            face_ids = connection.execute(
                insert(faces).returning(faces.c.id, sort_by_parameter_order=True), rows
            ).scalars()
            connection.execute(
                insert(files),
                [
                    {"face_id": face_id, **vars(file)}
                    for face_id, (_, group) in zip(face_ids, pairs, strict=True)
                    for file in group
                ],
            )
        return delete_faces(connection, earlier, "replaced by a later run")

    def _earlier(self, connection: Connection, replaces: tuple[str, int] | None) -> list[int]:
        """Ids of the faces that are replaced."""
        if replaces is None:
            return []
        source, index = replaces
        query = select(faces.c.id).where(faces.c.source == storable(source), faces.c.frame_index == index)
        if self._uncertain:
            query = query.where(faces.c.run_id != self.run_id)
        return list(connection.execute(query).scalars())

    def _known(self, connection: Connection, paths: Sequence[str]) -> set[str]:
        """Those of the files that have a row."""
        queries = (select(files.c.path).where(files.c.path.in_(some)) for some in parts(paths))
        return {path for query in queries for path in connection.execute(query).scalars()}

    def _camera_ids(self, connection: Connection, new: Sequence[NewFace]) -> dict[str, int]:
        names = sorted({storable(one.camera) for one in new if one.camera is not None})
        if not names:
            return {}
        dialect = sqlite if self._database.is_sqlite else postgresql
        rows = [{"name": name} for name in names]
        connection.execute(dialect.insert(cameras).on_conflict_do_nothing(), rows)
        found = connection.execute(select(cameras.c.name, cameras.c.id).where(cameras.c.name.in_(names)))
        return {row.name: int(row.id) for row in found}

    def _track_id(self, connection: Connection, new: NewFace, camera_ids: Mapping[str, int]) -> int | None:
        track = new.track
        if track is None:
            return None
        values = {"run_id": self.run_id, "camera_id": camera_ids[storable(new.camera or "")], **vars(track)}
        return int(connection.execute(insert(tracks).values(values).returning(tracks.c.id)).scalar_one())

    def set_networks(
        self, network: NetworkUse, small: NetworkUse | None = None, tracks: NetworkUse | None = None
    ) -> None:
        """Add the networks, which were not known when the run began.

        Args:
            network, small, tracks: see `Observer.started`.

        Raises:
            OutputError: the store cannot be written.
        """
        with self._database.write() as connection:
            networks = _networks(network, small, tracks)
            connection.execute(update(runs).where(runs.c.id == self.run_id).values(networks=networks))

    def close(self) -> None:
        """End the run; idempotent.

        Raises:
            OutputError: the store cannot be written.
        """
        if self._lock.descriptor < 0:
            return
        try:
            end_run(self._database, self.run_id, "ended")
            if self._uncertain:
                remove_orphans(self._database, self._pictures, self._token, self._started_s)
        finally:
            self._lock.release(remove=True)


def _contents(new: NewFace) -> dict[str, bytes]:
    """Kind → PNG file; pixels of a network are marked as such."""
    enlarged = png(new.face.pixels)
    if new.treatment != "bicubic":
        enlarged = png_with(enlarged, marked())
    return {ORIGINAL: png(new.face.original), ENLARGED: enlarged}


def _networks(network: NetworkUse, small: NetworkUse | None = None, tracks: NetworkUse | None = None) -> str:
    """JSON: treatment → network."""
    uses = {"network": network, "small network": small, SEVERAL_FRAMES: tracks}
    return storable(json.dumps({treatment: use.to_dict() for treatment, use in uses.items() if use}))


def end_run(database: Database, run_id: int, state: str) -> None:
    """Note the end of a run: that of the last face, of a killed one.

    Raises:
        OutputError: the store cannot be written.
    """
    with database.write() as connection:
        end_s: float | None = time.time()
        if state == "killed":
            last = select(func.max(faces.c.stored_s)).where(faces.c.run_id == run_id)
            end_s = connection.execute(last).scalar_one()
        connection.execute(update(runs).where(runs.c.id == run_id).values(state=state, ended_s=end_s))
