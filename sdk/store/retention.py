"""Retention: the deletion of faces by age, by the size of all pictures, or as a person asks for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, func, select

from .database import Database
from .deletion import RemovedRows, delete_faces
from .pictures import PictureFolder
from .queries import _camera_id, _where
from .records import FaceFilter
from .schema import faces, files

PART = 500
"""Faces that one transaction deletes: others can write in between."""
DAY_S, GB = 86_400.0, 1e9


@dataclass(frozen=True)
class Pruned:
    """What was deleted.

    Args:
        faces: number.
        bytes: of their pictures.
    """

    faces: int = 0
    bytes: int = 0


def prune(
    database: Database,
    pictures: PictureFolder,
    *,
    older_than_s: float | None = None,
    max_bytes: int | None = None,
) -> Pruned:
    """Delete what was stored too long ago, then the oldest until the pictures have at most `max_bytes`.

    Raises:
        InputError: the store cannot be read.
        OutputError: it cannot be written, or a picture cannot be removed.
    """
    removed: list[RemovedRows] = []
    if older_than_s is not None:
        end_s = time.time() - older_than_s
        reason = f"older than {older_than_s / DAY_S:g} days"
        removed += _all_parts(database, pictures, lambda connection: _older(connection, end_s), reason)
    if max_bytes is not None:
        reason = f"pictures of more than {max_bytes / GB:g} GB"
        left = excess_bytes(database, max_bytes)
        while left > 0 and (part := _delete_part(database, pictures, partial(_oldest, excess=left), reason)).faces:
            removed.append(part)
            left -= part.bytes
    return _result(database, removed)


def delete_matching(database: Database, pictures: PictureFolder, query: FaceFilter, reason: str) -> Pruned:
    """Delete the faces of a filter; errors as of `prune`."""

    def matching(connection: Connection) -> list[int]:
        camera_id = _camera_id(connection, query.camera)
        if query.camera is not None and camera_id is None:
            return []
        return list(connection.execute(_where(select(faces.c.id), query, camera_id).limit(PART)).scalars())

    return _result(database, list(_all_parts(database, pictures, matching, reason)))


def _all_parts(
    database: Database, pictures: PictureFolder, some: Callable[[Connection], list[int]], reason: str
) -> Iterator[RemovedRows]:
    """Delete in several transactions until none is left."""
    while (removed := _delete_part(database, pictures, some, reason)).faces:
        yield removed


def _delete_part(
    database: Database, pictures: PictureFolder, some: Callable[[Connection], list[int]], reason: str
) -> RemovedRows:
    with database.write() as connection:
        removed = delete_faces(connection, some(connection), reason)
    removed.finish(database, pictures)
    return removed


def _older(connection: Connection, end_s: float) -> list[int]:
    query = select(faces.c.id).where(faces.c.stored_s < end_s).order_by(faces.c.stored_s).limit(PART)
    return list(connection.execute(query).scalars())


def excess_bytes(database: Database, max_bytes: int) -> int:
    """By how much the pictures are more than `max_bytes`; negative if they are less.

    Raises:
        InputError: the store cannot be read.
    """
    with database.read() as connection:
        return int(connection.execute(select(func.coalesce(func.sum(files.c.bytes), 0))).scalar_one()) - max_bytes


def _oldest(connection: Connection, excess: int) -> list[int]:
    """Ids of the oldest faces that have so many bytes, or some of them."""
    size = func.coalesce(func.sum(files.c.bytes), 0)
    oldest = select(faces.c.id, faces.c.stored_s).order_by(faces.c.stored_s, faces.c.id).limit(PART).subquery()
    query = (
        select(oldest.c.id, size).outerjoin_from(oldest, files, files.c.face_id == oldest.c.id)
        .group_by(oldest.c.id, oldest.c.stored_s).order_by(oldest.c.stored_s, oldest.c.id)
    )  # fmt: skip
    ids = []
    for number, count in connection.execute(query):
        if excess <= 0:
            break
        ids.append(number)
        excess -= int(count)
    return ids


def _result(database: Database, removed: list[RemovedRows]) -> Pruned:
    if removed:
        database.erase()
    return Pruned(sum(one.faces for one in removed), sum(one.bytes for one in removed))
