"""Environment variables in the texts of a configuration, so that no password has to stand in the file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

_VARIABLE = re.compile(r"\$\$(?=\{)|\$\{([^}]*)\}?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_AUTHORITY_END = re.compile(r"[/?#]|$")


def expand(text: str, environment: Mapping[str, str]) -> str:
    """Replace each ``${NAME}`` by the value of an environment variable; ``$${`` stands for ``${``.

    In the user, password and query of a URL a value is percent-encoded: a password may contain ``@`` or ``/``.
    Elsewhere, e.g. where it is the whole URL or the host, it is taken as it is.

    Args:
        text: with variables.
        environment: name -> value.

    Raises:
        ValueError: not a variable, or one that is not set; the message says what was expected.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return "$"
        if not match[0].endswith("}") or not _NAME.fullmatch(name):
            raise ValueError(f"expected a variable such as ${{NAME}}, got {match[0]}; $${{ stands for ${{")
        if name not in environment:
            raise ValueError(f"the environment variable {name} is not set; set it, or write $${{ for ${{")
        return quote(environment[name], safe="") if _is_encoded(text, match.start()) else environment[name]

    return _VARIABLE.sub(value, text)


def _is_encoded(text: str, position: int) -> bool:
    """Whether a position is in the user, password or query of a URL."""
    start = text.find("://") + 3
    if not 3 <= start <= position:
        return False
    end = _AUTHORITY_END.search(text, start)
    assert end is not None  # the end of the text matches
    return position < text.rfind("@", start, end.start()) or "?" in text[start:position]
