"""Stores in SQLite and in a real PostgreSQL."""

from __future__ import annotations

import errno
import os
from itertools import count

import pytest
from facesr_edge.sdk.store.open import open_store
from support.postgresql import PROGRAMS, create_schema, running_server

_numbers = count()


@pytest.fixture(scope="session")
def postgresql():
    """Socket folder of a server."""
    pytest.importorskip("psycopg")
    if not PROGRAMS:
        pytest.skip("needs the programs of PostgreSQL (Debian: postgresql)")
    with running_server() as socket:
        yield socket


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request, tmp_path):
    """Of a store that is not created yet."""
    if request.param == "sqlite":
        return str(tmp_path / "store")
    socket, name = request.getfixturevalue("postgresql"), f"faces{next(_numbers)}"
    create_schema(socket, name)
    options = f"host={socket}&options=-csearch_path%3D{name}"
    return f"postgresql://postgres@/postgres?{options}&pictures={tmp_path / 'pictures'}"


@pytest.fixture
def store(address):
    with open_store(address) as store:
        yield store


@pytest.fixture
def no_locks(monkeypatch):
    """A file system without locks."""
    fcntl = pytest.importorskip("fcntl")

    def refuse(descriptor, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
