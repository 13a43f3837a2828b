"""Questions to a store: SQL of a filter, and faces made of rows."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Select, func, select
from sqlalchemy.sql.elements import ColumnElement

from ..evidence.card import SEVERAL_FRAMES
from ..live.tracks.usability import Usability
from ..provenance.network_use import NetworkUse
from .database import Database, parts
from .pictures import ENLARGED, ORIGINAL
from .records import FaceFilter, StoredFace, StoredFile, StoreStatistics, TrackSpan, storable, utc
from .schema import cameras, faces, files, runs, store, tracks

PART = 2000
"""Faces that `each_face` reads at a time."""
FEW = 20_000
"""Faces of a size that are sorted by time; if there are more, the newest are searched for those of the size."""


def find_faces(database: Database, pictures: Path, query: FaceFilter, limit: int) -> list[StoredFace]:
    """The newest faces of a filter.

    Raises:
        InputError: the store cannot be read.
    """
    with database.read() as connection:
        camera_id = _camera_id(connection, query.camera)
        if query.camera is not None and camera_id is None:
            return []
        # PostgreSQL has statistics of the sizes, and plans by them.
        few = database.is_sqlite and query.min_side is not None and _few_of_size(connection, query.min_side)
        time_s = faces.c.time_s + 0.0 if few else faces.c.time_s
        wanted = _where(select(faces.c.id), query, camera_id, by_side=few)
        wanted = wanted.order_by(time_s.desc(), faces.c.id.desc()).limit(limit)
        ids = connection.execute(wanted).scalars().all()
        found = {face.id: face for some in parts(ids) for face in _faces(connection, pictures, some)}
    return [found[number] for number in ids]


def each_face(database: Database, pictures: Path, query: FaceFilter) -> Iterator[StoredFace]:
    """All faces of a filter in the order of their ids, read in parts.

    Raises:
        InputError: the store cannot be read.
    """
    last = 0
    while True:
        with database.read() as connection:
            camera_id = _camera_id(connection, query.camera)
            if query.camera is not None and camera_id is None:
                return
            wanted = _where(select(faces.c.id), query, camera_id).where(faces.c.id > last)
            ids = connection.execute(wanted.order_by(faces.c.id).limit(PART)).scalars().all()
            found = [face for some in parts(ids) for face in _faces(connection, pictures, some)]
        yield from sorted(found, key=lambda face: face.id)
        if len(ids) < PART:
            return
        last = ids[-1]


def count_faces(database: Database, query: FaceFilter) -> int:
    """Number of faces of a filter.

    Raises:
        InputError: the store cannot be read.
    """
    with database.read() as connection:
        camera_id = _camera_id(connection, query.camera)
        if query.camera is not None and camera_id is None:
            return 0
        return int(connection.execute(_where(select(func.count(faces.c.id)), query, camera_id)).scalar_one())


def statistics(database: Database) -> StoreStatistics:
    """Size of a store.

    Raises:
        InputError: it cannot be read.
    """
    with database.read() as connection:
        count, oldest, newest = connection.execute(
            select(func.count(faces.c.id), func.min(faces.c.time_s), func.max(faces.c.time_s))
        ).one()
        camera_count = connection.execute(select(func.count(cameras.c.id))).scalar_one()
        run_count = connection.execute(select(func.count(runs.c.id))).scalar_one()
        size = connection.execute(select(func.coalesce(func.sum(files.c.bytes), 0))).scalar_one()
        version = connection.execute(select(store.c.version)).scalar_one()
    first, last = (None if time_s is None else utc(time_s) for time_s in (oldest, newest))
    return StoreStatistics(count, camera_count, run_count, int(size), first, last, version)


def camera_names(database: Database) -> list[str]:
    """Names of the cameras, sorted.

    Raises:
        InputError: the store cannot be read.
    """
    with database.read() as connection:
        return list(connection.execute(select(cameras.c.name).order_by(cameras.c.name)).scalars())


def _camera_id(connection: Connection, name: str | None) -> int | None:
    if name is None:
        return None
    return connection.execute(select(cameras.c.id).where(cameras.c.name == storable(name))).scalar_one_or_none()


def _few_of_size(connection: Connection, min_side: float) -> bool:
    some = select(faces.c.id).where(faces.c.side_px >= min_side).limit(FEW).subquery()
    return int(connection.execute(select(func.count()).select_from(some)).scalar_one()) < FEW


def _where(selected: Select[Any], query: FaceFilter, camera_id: int | None, *, by_side: bool = False) -> Select[Any]:
    """Add the conditions of a filter.

    Args:
        selected: of the table of faces.
        query: the filter.
        camera_id: of its camera.
        by_side: of few large faces: the other conditions are written so that no index has them, as SQLite would walk
            the index of a camera or of time.
    """
    conditions: list[ColumnElement[bool]] = []
    if camera_id is not None:
        conditions.append((faces.c.camera_id + 0 if by_side else faces.c.camera_id) == camera_id)
    if query.source is not None:
        conditions.append(faces.c.source == storable(query.source))
    time_s = faces.c.time_s + 0.0 if by_side else faces.c.time_s
    if query.since_s is not None:
        conditions.append(time_s >= query.since_s)
    if query.until_s is not None:
        conditions.append(time_s < query.until_s)
    if query.min_side is not None:
        conditions.append(faces.c.side_px >= query.min_side)
    if query.verdict is not None:
        conditions.append((faces.c.verdict + "" if by_side else faces.c.verdict) == query.verdict)
    if query.ids is not None:
        conditions.append(faces.c.id.in_(query.ids))
    return selected.where(*conditions)


def _faces(connection: Connection, pictures: Path, ids: Sequence[int]) -> list[StoredFace]:
    query = (
        select(faces, cameras.c.name.label("camera"), runs.c.networks, *_TRACK)
        .join(runs, runs.c.id == faces.c.run_id)
        .outerjoin(cameras, cameras.c.id == faces.c.camera_id)
        .outerjoin(tracks, tracks.c.id == faces.c.track_id)
        .where(faces.c.id.in_(ids))
    )
    by_face: dict[int, dict[str, StoredFile]] = {}
    for row in connection.execute(select(files).where(files.c.face_id.in_(ids))):
        file = StoredFile(pictures / row.path, row.sha256, row.bytes)
        by_face.setdefault(row.face_id, {})[row.kind] = file
    return [_face(row, by_face[row.id]) for row in connection.execute(query)]


_TRACK = (
    tracks.c.number.label("track_number"),
    tracks.c.first_s,
    tracks.c.last_s,
    tracks.c.frames,
    tracks.c.ended,
)


OTHER_NETWORKS = ("small network", SEVERAL_FRAMES)
"""Treatments by another network than that of the run."""


def _network(row: Any) -> NetworkUse | None:
    if row.networks is None or row.treatment == "bicubic":
        return None
    use = json.loads(row.networks).get(row.treatment if row.treatment in OTHER_NETWORKS else "network")
    return None if use is None else NetworkUse(**use)


def _face(row: Any, pictures: Mapping[str, StoredFile]) -> StoredFace:
    yaw = math.nan if row.yaw_deg is None else row.yaw_deg
    track = None
    if row.track_id is not None:
        track = TrackSpan(row.track_number, row.first_s, row.last_s, row.frames, row.ended)
    return StoredFace(
        id=row.id,
        camera=row.camera,
        source=row.source,
        time=utc(row.time_s),
        clock=row.clock,
        stored=utc(row.stored_s),
        frame_index=row.frame_index,
        track=track,
        box_xyxy=(row.x0, row.y0, row.x1, row.y1),
        score=row.score,
        landmarks=tuple((x, y) for x, y in json.loads(row.landmarks)),
        window_xyxy=(row.window_x0, row.window_y0, row.window_x1, row.window_y1),
        scale=row.scale,
        consistency_db=row.consistency_db,
        treatment=row.treatment,
        reason=row.reason,
        usability=Usability(row.verdict, row.side_px, row.sharpness, row.brightness, yaw, row.quality),
        uncertainty_mean=row.uncertainty_mean,
        uncertainty_p90=row.uncertainty_p90,
        original=pictures[ORIGINAL],
        enlarged=pictures[ENLARGED],
        network=_network(row),
        run=row.run_id,
    )
