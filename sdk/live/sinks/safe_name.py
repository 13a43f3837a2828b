"""Names of cameras as parts of paths, topics and URLs."""

from __future__ import annotations

import hashlib
import re

MAX_LENGTH = 64


def safe_name(name: str) -> str:
    """A name of letters, digits, "-", "_" and "." only; different for different names, the same for a safe one.

    Args:
        name: of a camera; any text, e.g. "rtsp://10.0.0.5/main".

    Returns:
        At most `MAX_LENGTH` characters, no "." at the beginning; a changed name ends with a hash of the original.
    """
    safe = re.sub(r"[^\w.-]+|^\.+", "_", name, flags=re.ASCII)[:MAX_LENGTH]
    if safe == name and name:
        return name
    return f"{safe[: MAX_LENGTH - 7]}-{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:6]}"
