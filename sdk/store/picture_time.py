"""When a picture was taken: the time of its EXIF."""

from __future__ import annotations

import struct
from contextlib import suppress
from datetime import datetime
from typing import Any

from PIL import Image

from ..pipeline.frame import Frame

_EXIF_IFD, _TAKEN, _OFFSET, _FRACTION = 0x8769, 0x9003, 0x9011, 0x9291


def time_taken(frame: Frame) -> float | None:
    """Unix time by the clock of the camera; None if the picture does not tell.

    Cameras that write no offset from UTC are taken to be in the time zone of this machine.
    """
    if frame.clock_s is not None:
        return frame.clock_s
    exif = frame.metadata.exif if frame.metadata else b""
    if not exif:
        return None
    tags: dict[int, Any] = {}
    with suppress(OSError, ValueError, SyntaxError, TypeError, KeyError, struct.error):  # of a damaged block
        found = Image.Exif()
        found.load(b"Exif\0\0" + exif)
        tags = dict(found.get_ifd(_EXIF_IFD))
    text = _text(tags.get(_TAKEN))
    fraction, offset = _text(tags.get(_FRACTION)), _text(tags.get(_OFFSET))
    with suppress(ValueError, OverflowError, OSError):
        taken = datetime.strptime(text, "%Y:%m:%d %H:%M:%S")
        if offset:
            taken = datetime.strptime(f"{text} {offset}", "%Y:%m:%d %H:%M:%S %z")
        return taken.timestamp() + (float(f"0.{fraction}") if fraction.isdecimal() else 0.0)
    return None


def _text(value: Any) -> str:
    return value.strip("\0 ") if isinstance(value, str) else ""
