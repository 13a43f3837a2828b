"""Addresses of stores: a folder or a PostgreSQL, with limits; secrets stay out of names."""

from __future__ import annotations

from pathlib import Path

import pytest
from facesr_edge.engines.errors import UsageError
from facesr_edge.sdk.store.address import StoreAddress, parse_address


@pytest.mark.parametrize("text", ["faces", "store:faces", Path("faces")])
def test_a_folder_holds_database_and_pictures(text):
    assert parse_address(text) == StoreAddress(Path("faces/store.db"), "", Path("faces/pictures"))


def test_limits_follow_the_folder():
    address = parse_address("store:faces?days=0.5&max_gb=10")
    assert (address.days, address.max_gb, address.name) == (0.5, 10, "faces")
    assert parse_address(Path("faces?days=3")).days is None  # a path is a folder, whatever its name


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("postgresql://ann:pass%40word@db:5433/faces?pictures=/p", "//ann:pass%40word@db:5433/faces"),
        ("postgres:///faces?host=/run/postgresql&pictures=/p&days=3", "///faces?host=%2Frun%2Fpostgresql"),
        ("POSTGRESQL://db/faces?sslmode=verify-full&pictures=%2Fp", "//db/faces?sslmode=verify-full"),
    ],
)
def test_options_of_a_postgresql_that_are_not_ours_go_to_its_client(text, url):
    address = parse_address(text)
    assert address.url == f"postgresql+psycopg:{url}" and address.pictures == Path("/p") and address.database is None
    assert address.name.startswith("postgresql://") and "pass" not in address.name and "pass" not in repr(address)


@pytest.mark.parametrize(
    "text",
    [
        *("", "store:", "store:?days=3", "mysql://host/db", "sqlite:///a.db", "postgresql://db/faces"),
        *(
            "faces?day=3",
            "faces?days=",
            "faces?days=0",
            "faces?max_gb=nan",
            "faces?max_gb=inf",
            "faces?days=-1",
            "a\0b",
        ),
        *(
            "postgresql://db:port/faces?pictures=p",
            "postgresql://db/faces?pictures=p&days=x",
            "postgresql://[/x?pictures=p",
        ),
    ],
)
def test_another_form_is_a_usage_error(text):
    with pytest.raises(UsageError, match=r"; |expected"):
        parse_address(text)
