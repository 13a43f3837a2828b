"""The database of a store: connections, transactions and their errors, for SQLite and PostgreSQL."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from ...engines.errors import InputError, MissingDependencyError, OutputError, SendError, UsageError, first_line
from ..media.url import masked
from .address import StoreAddress

BUSY_S = 10.0
"""How long a transaction waits for that of another process, in seconds."""
ERASE_MS = 500
"""How long the erasure of deleted rows waits for readers, in milliseconds."""
READERS = 8
"""Threads that read at the same time; further ones wait."""
WAIT_S = 30.0
"""Maximum wait of a thread for a connection, in seconds."""
CONNECT_S = 5
"""Maximum wait for a connection to a server, in seconds."""
LOCK_KEY = 0x66616365
"""Of PostgreSQL's advisory lock while tables are created or migrated."""
PRAGMAS = (
    "auto_vacuum = INCREMENTAL",  # has to come before the first table
    "journal_mode = WAL",
    "synchronous = FULL",  # what was committed survives a power failure
    "foreign_keys = ON",
    "secure_delete = ON",  # deleted rows are overwritten with zeros
    "mmap_size = 1073741824",
)
_FULL = ("disk is full", "no space left", "disk full")
_FINAL = ("readonly", "read-only", "unable to open", "disk i/o error")


class Database:
    """Connections to the database of a store. Thread-safe.

    Args:
        address: of the store; the folder of a SQLite file must exist.

    Raises:
        UsageError: the URL is not valid.
        MissingDependencyError: psycopg is not installed.
    """

    def __init__(self, address: StoreAddress) -> None:
        self.name, self.is_sqlite = address.name, address.database is not None
        make = _sqlite if self.is_sqlite else _postgresql
        self._reader, self._writer = make(address, READERS), make(address, 1)  # who writes does not wait for readers
        if not self.is_sqlite:  # every transaction of SQLite reads one state
            self._reader = self._reader.execution_options(isolation_level="REPEATABLE READ")
        self._writes = threading.RLock()  # the threads of a process take turns without SQLite's polling

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that reads one state of the store.

        Raises:
            InputError: the database cannot be read.
        """
        try:
            with self._reader.connect() as connection, connection.begin():
                yield connection
        except SQLAlchemyError as error:
            raise InputError(f"cannot read the store {self.name}: {_reason(error)}; {_remedy(error)}") from error

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction, committed at the end and rolled back after an error; one at a time.

        Raises:
            SendError: the database does not answer or is locked; whether the transaction was committed is not known.
            OutputError: it cannot be written, and nothing was.
        """
        try:
            with self._writes, self._writer.connect() as connection:
                connection.execution_options(immediate=True)
                with connection.begin():
                    yield connection
        except SQLAlchemyError as error:
            kind = SendError if _may_succeed_later(error) else OutputError
            raise kind(f"cannot write to the store {self.name}: {_reason(error)}; {_remedy(error)}") from error

    def lock(self, connection: Connection) -> None:
        """Make other processes that create or migrate tables wait until the transaction ends."""
        if not self.is_sqlite:  # SQLite has one writer anyway
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})

    def erase(self) -> None:
        """Give the pages of deleted rows back, as far as nobody else reads or writes at the moment."""
        with suppress(SQLAlchemyError, sqlite3.Error), self._writes:
            if self.is_sqlite:
                with closing(self._writer.raw_connection()) as raw:  # none of SQLAlchemy's transactions
                    try:
                        for pragma in (f"busy_timeout = {ERASE_MS}", "incremental_vacuum", "wal_checkpoint(TRUNCATE)"):
                            raw.cursor().execute(f"PRAGMA {pragma}").fetchall()
                    finally:  # the connection is used again
                        raw.cursor().execute(f"PRAGMA busy_timeout = {1000 * BUSY_S:.0f}").fetchall()
                return
            with self._writer.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text("VACUUM (ANALYZE) faces, files, tracks, pending_files"))

    def damage(self) -> list[str]:
        """What SQLite's own check reports; nothing of PostgreSQL, which checks its pages as it reads them."""
        if not self.is_sqlite:
            return []
        try:
            with self.read() as connection:
                lines = connection.exec_driver_sql("PRAGMA quick_check").scalars().all()
                keys = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        except InputError as error:
            return [str(error)]
        return [*(line for line in lines if line != "ok"), *(f"row without its {key[2]}: {key}" for key in keys)]

    def close(self) -> None:
        """Close the connections; idempotent."""
        self._reader.dispose()
        self._writer.dispose()


def _pool(connections: int) -> dict[str, Any]:
    return {"pool_size": connections, "max_overflow": 0, "pool_timeout": WAIT_S}


def _sqlite(address: StoreAddress, connections: int) -> Engine:
    assert address.database is not None
    engine = create_engine(
        "sqlite+pysqlite://",
        creator=lambda: _connect_sqlite(str(address.database)),
        poolclass=QueuePool,  # an engine without the name of a file shares few connections among all threads
        pool_reset_on_return="rollback",
        **_pool(connections),
    )

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("immediate")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


def _connect_sqlite(path: str) -> Any:
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        for pragma in PRAGMAS:
            connection.execute(f"PRAGMA {pragma}").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def _postgresql(address: StoreAddress, connections: int) -> Engine:
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise MissingDependencyError("psycopg", "postgresql", "a store in PostgreSQL") from None
    options = {"connect_timeout": CONNECT_S, "application_name": "facesr-edge"}
    try:
        return create_engine(address.url, pool_pre_ping=True, connect_args=options, **_pool(connections))
    except SQLAlchemyError as error:
        raise UsageError(f"{address.name} is no address of a PostgreSQL: {_reason(error)}; check the URL") from None


def _may_succeed_later(error: SQLAlchemyError) -> bool:
    text = str(error).lower()
    later = isinstance(error, (OperationalError, InterfaceError, PoolTimeoutError)) or (
        isinstance(error, DBAPIError) and error.connection_invalidated
    )
    return later and not any(part in text for part in (*_FULL, *_FINAL))


def _reason(error: SQLAlchemyError) -> str:
    return masked(first_line(getattr(error, "orig", None) or error)).rstrip(".")


def _remedy(error: SQLAlchemyError) -> str:
    reason = str(error).lower()
    if any(part in reason for part in _FULL):
        return "free some space"
    if "not a database" in reason or "malformed" in reason:
        return "restore it from a backup, or choose another folder"
    if any(part in reason for part in _FINAL):
        return "check the permissions of the folder"
    if "locked" in reason:
        return "wait for the program that writes it"
    return "check the database"


def parts(values: Sequence[Any], size: int = 500) -> Iterator[Sequence[Any]]:
    """A long list in parts that fit into the parameters of a statement."""
    for start in range(0, len(values), size):
        yield values[start : start + size]
