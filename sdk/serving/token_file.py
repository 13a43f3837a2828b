"""The file of a server's token."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from ...engines.errors import OutputError
from ..media.reasons import error_reason


def token_in(path: Path) -> str:
    """Token in a file; a missing file is created with a new one, for this user only.

    Args:
        path: one line.

    Raises:
        OutputError: the file cannot be read or created.
    """
    try:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            return path.read_text("utf-8").strip()
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            token = secrets.token_urlsafe(24)
            file.write(f"{token}\n")
        return token
    except (OSError, UnicodeDecodeError) as error:
        raise OutputError(
            f"the token file {path} cannot be used: {error_reason(error)}; choose another file"
        ) from error
