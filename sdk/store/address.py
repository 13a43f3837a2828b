"""Addresses of stores: a folder, or a database server with a folder for the pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from ...engines.errors import UsageError
from ..media.url import masked

DATABASE_NAME, PICTURES_NAME = "store.db", "pictures"
PREFIX = "store:"
MAX_NUMBER = 1e12
POSTGRESQL = ("postgresql", "postgres")


@dataclass(frozen=True)
class StoreAddress:
    """Where a store is.

    Args:
        database: file of SQLite; None for PostgreSQL.
        url: of PostgreSQL, with the password; "" for SQLite.
        pictures: folder.
        days, max_gb: limits of the age and of the size of the pictures; None for no limit.
    """

    database: Path | None
    url: str = field(repr=False)
    pictures: Path
    days: float | None = None
    max_gb: float | None = None

    @property
    def name(self) -> str:
        """For messages, without the password."""
        return masked(self.url).replace("+psycopg", "", 1) if self.database is None else str(self.database.parent)


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < MAX_NUMBER:
        raise ValueError(f"expected a number above 0, got {text}")
    return number


OPTIONS: Mapping[str, Callable[[str], Any]] = {"days": _positive, "max_gb": _positive}


def parse_address(text: str | Path) -> StoreAddress:
    """Address of a store.

    Args:
        text: "DIR" or "store:DIR" for SQLite, in DIR/store.db with DIR/pictures; or
            "postgresql://user@host/name?pictures=DIR". "days" and "max_gb" may follow as options: "store:DIR?days=30".
            A `Path` is a folder, whatever its name is.

    Raises:
        UsageError: another form, an unknown or wrong option, or no folder for the pictures of a PostgreSQL.
    """
    if isinstance(text, Path):
        return _folder(text, {})
    scheme, is_url, _ = text.partition("://")
    if is_url and not text.startswith(PREFIX):
        if scheme.lower() not in POSTGRESQL:
            raise UsageError(
                f"unknown store {masked(text)}; give a folder, or postgresql://user@host/name?pictures=DIR"
            )
        return _postgresql(text)
    path, _, query = text.removeprefix(PREFIX).partition("?")
    if not path:
        raise UsageError(f"expected a folder, got {text!r}; give one like {PREFIX}DIR")
    return _folder(Path(path), _options(text, query))


def _folder(folder: Path, options: dict[str, float]) -> StoreAddress:
    if "\0" in str(folder):
        raise UsageError("the name of the store has a null character in it; give another folder")
    return StoreAddress(folder / DATABASE_NAME, "", folder / PICTURES_NAME, **options)


def _postgresql(text: str) -> StoreAddress:
    try:
        parts = urlsplit(text)
        pairs = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
        _ = parts.port
    except ValueError:
        raise UsageError(f"expected postgresql://user@host[:port]/name?pictures=DIR, got {masked(text)}") from None
    pictures = pairs.pop("pictures", "")
    if not pictures or "\0" in pictures:
        raise UsageError(f"{masked(text)} has no folder for the pictures; add ?pictures=DIR")
    own = {name: pairs.pop(name) for name in OPTIONS if name in pairs}
    query = urlencode(pairs)  # options of the database's client, e.g. sslmode
    url = f"postgresql+psycopg://{parts.netloc}{parts.path}{'?' * bool(query)}{query}"
    return StoreAddress(None, url, Path(pictures), **_options(text, urlencode(own)))


def _options(text: str, query: str) -> dict[str, float]:
    try:
        pairs = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
        return {name: OPTIONS[name](value) for name, value in pairs.items()}
    except (ValueError, KeyError):
        raise UsageError(
            f"wrong options of {masked(text)}; expected {', '.join(OPTIONS)} above 0, as in {PREFIX}DIR?days=30"
        ) from None
