"""Check of a store: every row has its pictures, every picture its row, and the database is whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import select

from .database import Database, parts
from .deletion import delete_faces
from .orphans import orphans
from .pictures import PictureFolder, sha256_of
from .records import StoreCheck
from .schema import faces, files

PART = 2000
"""Rows that are read at a time."""


def check(database: Database, pictures: PictureFolder, *, hashes: bool, repair: bool) -> StoreCheck:
    """Compare the rows with the pictures, see `Store.check`."""
    damage = tuple(database.damage())
    missing: list[tuple[int, Path]] = []
    changed: list[Path] = []
    count = 0
    for face_id, path, sha256, size in _files(database):
        count += 1
        file = pictures.root / path
        try:
            found = file.stat().st_size
        except OSError:
            missing.append((face_id, file))
            continue
        if found != size or (hashes and sha256_of(file) != sha256):
            changed.append(file)
    there = _still_there(database, sorted({face_id for face_id, _ in missing}))
    missing = [one for one in missing if one[0] in there]
    left = _orphans(database, pictures)
    result = StoreCheck(
        count // 2,
        tuple(file for _, file in missing),
        tuple(changed),
        tuple(pictures.root / path for path in left),
        damage,
        repair,
    )
    if repair:
        pictures.remove(left)
        with database.write() as connection:
            removed = delete_faces(connection, sorted({face_id for face_id, _ in missing}), "a picture was missing")
        removed.finish(database, pictures)
    return result


def _still_there(database: Database, face_ids: list[int]) -> set[int]:
    """Those of the faces that no other process has deleted meanwhile."""
    left: set[int] = set()
    with database.read() as connection:
        for some in parts(face_ids):
            left |= set(connection.execute(select(faces.c.id).where(faces.c.id.in_(some))).scalars())
    return left


def _files(database: Database) -> Iterator[tuple[int, Path, str, int]]:
    last = 0
    while True:
        query = select(files).where(files.c.id > last).order_by(files.c.id).limit(PART)
        with database.read() as connection:
            rows = connection.execute(query).all()
        yield from ((row.face_id, Path(row.path), row.sha256, row.bytes) for row in rows)
        if len(rows) < PART:
            return
        last = rows[-1].id


def _orphans(database: Database, pictures: PictureFolder) -> list[str]:
    """Files without a row, except those of runs that write at the moment; runs may begin and end meanwhile."""
    tokens = pictures.lock_tokens()
    found = list(orphans(database, pictures.files()))
    tokens += pictures.lock_tokens()
    left = [path for path in found if not any(f"-r{token}-" in path for token in tokens)]
    return list(orphans(database, left))  # without those of runs that have ended: their rows are committed by now
