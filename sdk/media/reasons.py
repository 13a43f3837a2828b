"""Reasons of failures as one line, for messages."""

from __future__ import annotations

import errno
from pathlib import Path


def error_reason(error: Exception) -> str:
    """First line of a system or FFmpeg error, in lower case."""
    return str(getattr(error, "strerror", None) or error).lower().splitlines()[0]


def write_error(path: Path, error: Exception) -> str:
    """Message for a failed write: the reason and what to do, in one line."""
    full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    remedy = "free some space or choose another folder" if full else "choose another folder or file format"
    return f"cannot write {path}: {error_reason(error)}; {remedy}"
