"""The environment in which GStreamer finds the element."""

from __future__ import annotations

import shlex
import sys
import sysconfig
from pathlib import Path

PLUGIN = Path(__file__).parent / "plugin"
"""Folder for GST_PLUGIN_PATH; GStreamer's loader of Python plugins reads the files in ``python`` below it."""


def environment() -> dict[str, str]:
    """Variable -> folders, separated by ":", that GStreamer and the Python inside of it search first.

    The Python that GStreamer runs is the system's. It must have the version of this one, since both use the same
    compiled packages.
    """
    package = Path(__file__).absolute().parents[2]
    parent = [str(package.parent)] if package.name == __name__.partition(".")[0] else []  # else the plugin finds it
    paths = [*parent, *(sysconfig.get_path(name) for name in ("purelib", "platlib"))]
    return {"GST_PLUGIN_PATH": str(PLUGIN.absolute()), "PYTHONPATH": ":".join(dict.fromkeys(paths))}


def shell_lines() -> list[str]:
    """Lines for a POSIX shell that put these folders before those that the variables have."""
    return [f"export {name}={shlex.quote(value)}${{{name}:+:${name}}}" for name, value in environment().items()]


def python_version() -> str:
    """Version that the Python inside of GStreamer must have, e.g. "3.11"."""
    return "{}.{}".format(*sys.version_info[:2])
