"""What a tool of the operating system says when it is asked."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path("/")


def tool_says(name: str, *arguments: str, root: Path = ROOT) -> str:
    """Run a tool and read what it prints.

    Args:
        name: of the program; looked for on PATH and in /usr/sbin, or in another root's own folders alone.
        arguments: for it.
        root: of the file system.

    Returns:
        Its standard output without the white space round it; "" where there is no such tool, or it fails.
    """
    folders = [root / "usr/bin", root / "usr/sbin"]
    path = os.pathsep.join((*([os.environ.get("PATH", "")] if root == ROOT else []), *map(str, folders)))
    program = shutil.which(name, path=path)
    if program is None:
        return ""
    try:
        done = subprocess.run(
            [program, *arguments], capture_output=True, stdin=subprocess.DEVNULL, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("utf-8", "replace").strip()
