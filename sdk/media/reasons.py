"""Text of messages: reasons of failures, and counts."""

from __future__ import annotations

import errno
from pathlib import Path

from .url import masked


def error_reason(error: Exception) -> str:
    """First line of a system or FFmpeg error, in lower case, without credentials."""
    return masked(str(getattr(error, "strerror", None) or error)).lower().splitlines()[0]


def is_full(error: BaseException | None) -> bool:
    """Whether an error, or the one that caused it, says that the disk or the quota is full."""
    while error is not None:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return True
        error = error.__cause__
    return False


def write_error(path: Path, error: Exception) -> str:
    """Message for a failed write: the reason and what to do, in one line."""
    remedy = "free some space or choose another folder" if is_full(error) else "choose another folder or file format"
    return f"cannot write {path}: {error_reason(error)}; {remedy}"


def plural(count: int, noun: str) -> str:
    """Number with its noun, e.g. "1 face", "2 faces"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
