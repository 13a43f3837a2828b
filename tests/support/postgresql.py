"""A PostgreSQL server of the tests' own, from the programs of the system."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))[-1:] or [
    Path(found) for found in [shutil.which("initdb")] if found
]


def _run(*command: str | Path) -> None:
    """Run a program of PostgreSQL, which refuses to run as root."""
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    subprocess.run([*prefix, *map(str, command)], check=True, capture_output=True, cwd="/")


@contextmanager
def running_server() -> Iterator[Path]:
    """The folder with the socket of a server that has only the user "postgres", without a password."""
    folder = Path(tempfile.mkdtemp(prefix="postgresql-", dir="/tmp"))  # a path of a socket has 107 bytes at most
    data, programs = folder / "data", PROGRAMS[0].parent
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    try:
        _run(programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        options = f"-c fsync=off -c listen_addresses='' -c unix_socket_directories='{folder}' -c shared_buffers=16MB"
        _run(programs / "pg_ctl", "-D", data, "-w", "-o", options, "-l", folder / "log", "start")
        try:
            yield folder
        finally:
            _run(programs / "pg_ctl", "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def create_schema(socket: Path, name: str) -> None:
    """Create an empty schema, which takes less time and disk than a database."""
    import psycopg

    with psycopg.connect(host=str(socket), user="postgres", dbname="postgres", autocommit=True) as connection:
        connection.execute(f'CREATE SCHEMA "{name}"')
