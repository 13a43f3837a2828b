"""Objects of FFmpeg after `os.fork`."""

from __future__ import annotations

import ctypes
import os
from weakref import WeakSet

_owners: WeakSet[object] = WeakSet()


def keep_in_child(owner: object) -> None:
    """Never release an object, and what it refers to, in a forked child process.

    FFmpeg's decoders and converters wait for their threads when they are released. These exist in the parent only: the
    child would wait forever. It would also close the network connections of the parent.

    Args:
        owner: refers to containers, decoders or converters.
    """
    _owners.add(owner)


def _keep_all() -> None:
    for owner in list(_owners):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(owner))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_all)
