"""Check of a store: every row has its pictures, every picture its row, and the database is whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import select

from .database import Database
from .deletion import delete_faces
from .orphans import orphans
from .pictures import PictureFolder, sha256_of
from .records import StoreCheck
from .schema import files

PART = 2000
"""Rows that are read at a time."""


def check(database: Database, pictures: PictureFolder, *, hashes: bool, repair: bool) -> StoreCheck:
    """Compare the rows with the pictures, see `Store.check`."""
    damage = tuple(database.damage())
    missing, changed, face_ids, count = [], [], set(), 0
    for face_id, path, sha256, size in _files(database):
        count += 1
        file = pictures.root / path
        try:
            found = file.stat().st_size
        except OSError:
            missing.append(file)
            face_ids.add(face_id)
            continue
        if found != size or (hashes and sha256_of(file) != sha256):
            changed.append(file)
    live = [f"-r{token}-" for token in _live_tokens(pictures)]
    left = [path for path in orphans(database, pictures.files()) if not any(token in path for token in live)]
    result = StoreCheck(
        count // 2, tuple(missing), tuple(changed), tuple(pictures.root / path for path in left), damage, repair
    )
    if repair:
        pictures.remove(left)
        with database.write() as connection:
            removed = delete_faces(connection, sorted(face_ids), "a picture was missing")
        removed.finish(database, pictures)
    return result


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


def _live_tokens(pictures: PictureFolder) -> list[str]:
    """Tokens of the runs that write at the moment, after those of killed ones were removed by the opening."""
    return pictures.lock_tokens()
