"""JSON documents from outside: parsed with limits, so that whatever they hold can be printed and stored again."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

MAX_DEPTH = 50
MAX_BYTES = 256 << 20
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters other than tab and line feed, those of the writing direction too, and halves of surrogate
pairs, which UTF-8 cannot encode."""
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
        return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), value)
    if isinstance(value, list):
        return [_printable(one) for one in value]
    if isinstance(value, dict):
        return {_printable(key): _printable(one) for key, one in value.items()}
    return value


def read_json(path: Path) -> Any:
    """Parse a JSON file that is not trusted, see `parse_json`.

    Raises:
        OSError: the file cannot be read.
        ValueError: see `parse_json`; or the file is larger than `MAX_BYTES`.
    """
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES >> 20} MB")
    return parse_json(content)
