"""`open_store`: the store of a folder or a database server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...engines.errors import MissingDependencyError
from .address import parse_address

if TYPE_CHECKING:
    from .store import Store


def open_store(address: str | Path, *, create: bool = True, about: Mapping[str, Any] | None = None) -> Store:
    """Open a store of faces, and bring it to the schema of this version.

    Args:
        address: | "DIR" or "store:DIR": SQLite in DIR/store.db, pictures in DIR/pictures
            | "postgresql://user@host/name?pictures=DIR": PostgreSQL, and a folder for the pictures
        create: create it if it is missing.
        about: facts of the runs that write, for JSON.

    Raises:
        UsageError: an unknown form of address.
        InputError: the store is missing, damaged, or written by a newer version.
        OutputError: it cannot be written.
        MissingDependencyError: SQLAlchemy, or psycopg for PostgreSQL, is not installed.
    """
    parsed = parse_address(address)
    try:
        import sqlalchemy  # noqa: F401
    except ImportError:
        raise MissingDependencyError("SQLAlchemy", "store", "a store") from None
    from .store import Store

    return Store(parsed, create=create, about=about)
