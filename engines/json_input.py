"""JSON documents from outside: parsed with limits, so that whatever they hold can be printed and stored again."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from pathlib import Path
from typing import Any

from .errors import printable
from .files import read_regular

MAX_DEPTH = 50
MAX_BYTES = 256 << 20
_MAX_INTEGER = 1 << 63


def parse_json(text: str | bytes) -> Any:
    """Parse a JSON document that is not trusted. Control characters of its texts are escaped, for terminals.

    Raises:
        ValueError: not JSON, nested deeper than `MAX_DEPTH`, with numbers that are not finite or integers beyond 64
            bits.
    """
    try:
        document = json.loads(text)
    except RecursionError:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels") from None
    level = [document]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                inner += value.keys()
                inner += value.values()
            elif isinstance(value, list):
                inner += value
            else:
                _check_value(value)
        if not inner:
            return _printable(document)
        level = inner
    raise ValueError(f"nested deeper than {MAX_DEPTH} levels")


def _check_value(value: object) -> None:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("a number is not finite")
    elif isinstance(value, int) and not -_MAX_INTEGER <= value < _MAX_INTEGER:
        raise ValueError("an integer has more than 64 bits")


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [_printable(one) for one in value]
    if isinstance(value, dict):
        return {_printable(key): _printable(one) for key, one in value.items()}
    return value


def read_json(path: Path) -> Any:
    """Parse a JSON file that is not trusted, see `parse_json`.

    Raises:
        OSError: the file cannot be read, is not a regular one, or has more than `MAX_BYTES`.
        ValueError: see `parse_json`.
    """
    return parse_json(read_regular(path, MAX_BYTES))


def newer_field(values: dict[str, Any], kind: type[Any]) -> str | None:
    """The first field of a document that a dataclass does not have: a newer release wrote it. None if it has all."""
    return min(values.keys() - {f.name for f in fields(kind)}, default=None)
