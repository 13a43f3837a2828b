"""Pictures without a row: what a killed run had written but not yet noted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice

from sqlalchemy import func, select

from ...engines.errors import OutputError
from .database import Database
from .pictures import PictureFolder, day
from .schema import faces, files, pending_files, runs

PART = 500
"""Names that are looked up at a time."""


def orphans(database: Database, paths: Iterable[str]) -> Iterator[str]:
    """Those of the files that no row names.

    Raises:
        InputError: the store cannot be read.
    """
    rest = iter(paths)
    while some := list(islice(rest, PART)):
        with database.read() as connection:
            named = set(connection.execute(select(files.c.path).where(files.c.path.in_(some))).scalars())
            named |= set(
                connection.execute(select(pending_files.c.path).where(pending_files.c.path.in_(some))).scalars()
            )
        yield from (path for path in some if path not in named)


def remove_orphans(database: Database, pictures: PictureFolder, token: str, started_s: float) -> None:
    """Remove the pictures of a run that have no row: they are newer than its last row.

    Args:
        database, pictures: of the store.
        token: of the run, which writes no more.
        started_s: of the run, in Unix time.

    Raises:
        InputError: the store cannot be read.
        OutputError: a file cannot be removed.
    """
    with database.read() as connection:
        last = select(func.max(faces.c.stored_s)).join(runs).where(runs.c.token == token)
        last_s = connection.execute(last).scalar_one()
    found = list(orphans(database, pictures.files(token, day(last_s if last_s is not None else started_s))))
    pictures.remove(found)


def end_killed_runs(database: Database, pictures: PictureFolder) -> None:
    """Remove what runs have left that were killed: they did not end, and nobody holds their lock.

    Raises:
        InputError: the store cannot be read.
        OutputError: the store cannot be written.
    """
    from .run_writer import end_run

    with database.read() as connection:
        query = select(runs.c.id, runs.c.token, runs.c.started_s).where(runs.c.state == "running")
        running = connection.execute(query).all()
    for run_id, token, started_s in running:
        with suppress(OutputError):  # it runs
            lock = pictures.lock(token)
            try:
                if lock.notes:  # without locks nobody knows whether it runs
                    continue
                remove_orphans(database, pictures, token, started_s)
                end_run(database, run_id, "killed")
            finally:
                lock.release(remove=not lock.notes)
    tokens = {row.token for row in running}
    for token in pictures.lock_tokens():
        if token not in tokens:  # killed before it had a row, or before it could remove the lock
            with suppress(OutputError):
                lock = pictures.lock(token)
                lock.release(remove=not lock.notes)  # without locks it may be that of a run that begins
