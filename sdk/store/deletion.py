"""Deletion of faces: rows, pictures, and the log of it, complete also if it is interrupted."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select, update

from .database import Database, parts
from .pictures import PictureFolder
from .schema import cameras, deletions, faces, files, pending_files, tracks


@dataclass(frozen=True)
class RemovedRows:
    """Rows that a transaction deleted; their pictures follow when it is committed.

    Args:
        faces: number.
        bytes: of the pictures.
        deletion_ids: rows of the log.
        paths: of the pictures.
    """

    faces: int = 0
    bytes: int = 0
    deletion_ids: tuple[int, ...] = ()
    paths: tuple[str, ...] = ()

    def finish(self, database: Database, pictures: PictureFolder) -> None:
        """Remove the pictures, and note in the log that it is done.

        Raises:
            OutputError: a picture cannot be removed, or the log cannot be written; the next opening tries again.
        """
        if not self.deletion_ids:
            return
        pictures.remove(list(self.paths))
        with database.write() as connection:
            _note_done(connection, self.deletion_ids)


def delete_faces(connection: Connection, ids: Sequence[int], reason: str) -> RemovedRows:
    """Delete the rows of faces, of their files and of tracks that have no face left, and log it.

    The names of the pictures are kept until the pictures are removed.

    Args:
        connection: of a transaction.
        ids: of the faces; those that are gone already do not count.
        reason: for the log.
    """
    removed = RemovedRows()
    for some in parts(ids):
        removed = _added(removed, _delete(connection, some, reason))
    return removed


def _added(one: RemovedRows, other: RemovedRows) -> RemovedRows:
    return RemovedRows(
        one.faces + other.faces,
        one.bytes + other.bytes,
        one.deletion_ids + other.deletion_ids,
        one.paths + other.paths,
    )


def _delete(connection: Connection, ids: Sequence[int], reason: str) -> RemovedRows:
    size = select(func.coalesce(func.sum(files.c.bytes), 0)).where(files.c.face_id == faces.c.id).scalar_subquery()
    query = select(faces.c.id, faces.c.time_s, faces.c.track_id, cameras.c.name, size.label("bytes")).outerjoin_from(
        faces, cameras
    )
    by_camera: dict[str | None, list[tuple[int, float, int]]] = {}
    track_ids: list[int] = []
    for row in connection.execute(query.where(faces.c.id.in_(ids))):
        by_camera.setdefault(row.name, []).append((row.id, row.time_s, int(row.bytes)))
        track_ids += [] if row.track_id is None else [row.track_id]
    found = {row[0]: camera for camera, rows in by_camera.items() for row in rows}
    if not found:
        return RemovedRows()
    log_ids = {camera: _log(connection, camera, rows, reason) for camera, rows in by_camera.items()}
    pictures = connection.execute(select(files.c.face_id, files.c.path).where(files.c.face_id.in_(found))).all()
    if pictures:
        pending = [{"deletion_id": log_ids[found[face_id]], "path": path} for face_id, path in pictures]
        connection.execute(insert(pending_files), pending)
    connection.execute(delete(files).where(files.c.face_id.in_(found)))
    connection.execute(delete(faces).where(faces.c.id.in_(found)))
    if track_ids:
        used = select(faces.c.id).where(faces.c.track_id == tracks.c.id).exists()
        connection.execute(delete(tracks).where(tracks.c.id.in_(track_ids), ~used))
    total = sum(row[2] for rows in by_camera.values() for row in rows)
    return RemovedRows(len(found), total, tuple(log_ids.values()), tuple(path for _, path in pictures))


def _log(connection: Connection, camera: str | None, rows: Sequence[tuple[int, float, int]], reason: str) -> int:
    ids, times, sizes = zip(*rows, strict=True)
    values = {
        "time_s": time.time(),
        "reason": reason,
        "camera": camera,
        "faces": len(rows),
        "bytes": sum(sizes),
        "first_id": min(ids),
        "last_id": max(ids),
        "oldest_s": min(times),
        "newest_s": max(times),
        "done": False,
    }
    return int(connection.execute(insert(deletions).values(values).returning(deletions.c.id)).scalar_one())


def finish_deletions(database: Database, pictures: PictureFolder) -> None:
    """Remove the pictures of deletions that were interrupted.

    Raises:
        InputError: the store cannot be read.
        OutputError: a picture or the store cannot be written.
    """
    with database.read() as connection:
        ids = connection.execute(select(deletions.c.id).where(~deletions.c.done)).scalars().all()
        paths = connection.execute(select(pending_files.c.path)).scalars().all() if ids else []
    RemovedRows(0, 0, tuple(ids), tuple(paths)).finish(database, pictures)


def _note_done(connection: Connection, ids: Sequence[int]) -> None:
    for some in parts(ids):
        connection.execute(delete(pending_files).where(pending_files.c.deletion_id.in_(some)))
        connection.execute(update(deletions).where(deletions.c.id.in_(some)).values(done=True))
