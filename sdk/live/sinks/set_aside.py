"""Outputs of earlier runs, which a live run never overwrites: it may have been started anew without a person."""

from __future__ import annotations

import time
from itertools import count
from pathlib import Path

from ....engines.errors import OutputError
from ...media.reasons import error_reason


def set_aside(path: Path, name: Path | None = None) -> Path | None:
    """Rename a file with data by the time of its last change, e.g. "out.mp4" to "out-20261129T173000.mp4".

    Args:
        path: a pipe, a device, and an empty or missing file are left alone.
        name: what the new name is made of, if not of `path`.

    Returns:
        The file with its new name; None if it was left alone.

    Raises:
        OutputError: it cannot be renamed.
    """
    name = name or path
    try:
        if not path.is_file() or path.stat().st_size == 0:
            return None
        stamp = time.strftime("%Y%m%dT%H%M%S", time.localtime(path.stat().st_mtime))
        names = (name.with_name(f"{name.stem}-{stamp}{f'-{n}' if n > 1 else ''}{name.suffix}") for n in count(1))
        return path.rename(next(free for free in names if not free.exists()))
    except OSError as error:
        raise OutputError(f"cannot rename {path}: {error_reason(error)}; move it, or choose another file") from error
