"""Creation of the tables of a store, and their migration from earlier versions of the schema."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, func, insert, inspect, select, text, update

from ...engines.errors import InputError, OutputError
from ...engines.files import write_atomic
from ..media.reasons import write_error
from .database import Database
from .schema import VERSION, faces, metadata, store

IDENTITY_NAME = ".store"
"""File in the folder of pictures with the identity of its store."""


def prepare(database: Database, pictures: Path) -> None:
    """Create the tables, or bring them to the version of this package, in one transaction.

    Args:
        database: to prepare.
        pictures: folder of the pictures, which must exist.

    Raises:
        InputError: the schema is newer than this package, or the folder belongs to another store.
        OutputError: it cannot be written.
    """
    with database.read() as connection:
        state = connection.execute(select(store)).one_or_none() if inspect(connection).has_table("store") else None
    if state is None or state.version != VERSION:
        with database.write() as connection:
            database.lock(connection)
            _migrate(connection, pictures, database.name)
    with database.read() as connection:
        identity = connection.execute(select(store.c.identity)).scalar_one()
        is_empty = connection.execute(select(faces.c.id).limit(1)).first() is None
    _check_identity(pictures, identity, is_empty, database.name)


def _migrate(connection: Connection, pictures: Path, name: str) -> None:
    if not inspect(connection).has_table("store"):
        metadata.create_all(connection)
        identity = _identity(pictures) or secrets.token_hex(16)
        connection.execute(insert(store).values(version=VERSION, identity=identity))
        return
    version = connection.execute(select(store.c.version)).scalar_one()
    if version > VERSION:
        raise InputError(
            f"the store {name} has schema version {version}, this version of facesr-edge reads up to {VERSION}; "
            "upgrade it: pip install -U facesr-edge"
        )
    for number in range(version, VERSION):
        MIGRATIONS[number](connection, pictures)
        connection.execute(update(store).values(version=number + 1))


def _add_sizes_and_uncertainty(connection: Connection, pictures: Path) -> None:
    """Version 1 had no sizes of files, which retention by size needs, and no uncertainty."""
    connection.execute(text("ALTER TABLE faces ADD COLUMN uncertainty_mean DOUBLE PRECISION"))
    connection.execute(text("ALTER TABLE faces ADD COLUMN uncertainty_p90 DOUBLE PRECISION"))
    connection.execute(text("ALTER TABLE files ADD COLUMN bytes BIGINT DEFAULT 0 NOT NULL"))
    rows = connection.execute(text("SELECT id, path FROM files")).all()
    sizes = [{"id": row.id, "bytes": _size(pictures / row.path)} for row in rows]
    if sizes:
        connection.execute(text("UPDATE files SET bytes = :bytes WHERE id = :id"), sizes)
    connection.execute(text("DROP INDEX files_face"))
    connection.execute(text("CREATE INDEX files_face ON files (face_id, bytes)"))
    connection.execute(text("CREATE INDEX faces_side ON faces (side_px, time_s, id, camera_id, verdict)"))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # `check` reports it
        return 0


MIGRATIONS: dict[int, Callable[[Connection, Path], None]] = {1: _add_sizes_and_uncertainty}
"""Version -> the step to the next one."""


def _identity(pictures: Path) -> str | None:
    try:
        return (pictures / IDENTITY_NAME).read_text("ascii").strip() or None
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    except OSError as error:
        raise InputError(f"cannot read {pictures / IDENTITY_NAME}: {error.strerror}; check its permissions") from error


def _check_identity(pictures: Path, identity: str, is_empty: bool, name: str) -> None:
    """A database with a wrong folder of pictures would take all of its rows for damaged, and all files for orphans."""
    found = _identity(pictures)
    if found == identity:
        return
    if found is not None or not is_empty:
        raise InputError(f"{pictures} has not the pictures of the store {name}; give the folder that belongs to it")
    try:
        write_atomic(pictures / IDENTITY_NAME, identity.encode())
    except OSError as error:
        raise OutputError(write_error(pictures, error)) from error


def row_counts(connection: Connection) -> int:
    """Number of faces."""
    return connection.execute(select(func.count()).select_from(faces)).scalar_one()
