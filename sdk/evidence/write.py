"""Writing of an evidence card: one folder with page, record and pictures, complete or absent, never over another."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path

from ...engines.errors import OutputError
from ...engines.files import sync
from ..media.reasons import write_error
from .card import Card, EvidenceItem
from .page import RECORD, card_html
from .pictures import Picture, face_pictures, view_picture
from .record import evidence_json, sha256
from .signed_pictures import Sign

PAGE, SUMS = "card.html", "SHA256SUMS"
PREFIX, SUFFIX = ".card-", ".part"
"""Of the names of unfinished folders."""
STALE_S = 3600.0
"""Age from which on an unfinished folder belongs to a killed run, in seconds."""
_TAKEN = frozenset({errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR, errno.EACCES})
"""Errors of renaming a folder to a name that is there."""


def write_card(folder: Path, card: Card, sign: Sign | None = None) -> tuple[Path, ...]:
    """Write a card into a new folder.

    Args:
        folder: its name; if it exists, a number is added to it. Missing parents are created.
        card: with at least one face.
        sign: called with each file that has pixels of a network, before it is hashed; None for unsigned files.

    Returns:
        The files, `card.html` first; their folder is the one that was made.

    Raises:
        OutputError: the folder cannot be written; nothing stays of it.
    """
    contents = _contents(card, sign)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = _written(folder, contents)
    except OSError as error:
        raise OutputError(write_error(folder, error)) from error
    return tuple(made / name for name in contents)


def _contents(card: Card, sign: Sign | None) -> dict[str, bytes]:
    """Name of each file -> its bytes."""
    faces = [_signed(face_pictures(item, n, card.icc), item, sign) for n, item in enumerate(card.items, 1)]
    views = [view_picture(view, n, card.icc) for n, view in enumerate(card.views, 1)]
    record = evidence_json(card, faces, views)
    page = card_html(card, faces, views, record).encode()
    files = {PAGE: page, RECORD: record, **_data(views), **{k: v for one in faces for k, v in _data(one).items()}}
    sums = "".join(f"{sha256(data)}  {name}\n" for name, data in files.items())
    return {**files, SUMS: sums.encode()}


def _signed(pictures: dict[str, Picture], item: EvidenceItem, sign: Sign | None) -> dict[str, Picture]:
    if sign is None:
        return pictures
    return {
        role: replace(picture, data=sign(picture.data, picture.name, item)) if picture.by_network else picture
        for role, picture in pictures.items()
    }


def _data(pictures: Mapping[str, Picture] | list[Picture]) -> dict[str, bytes]:
    values = pictures.values() if isinstance(pictures, Mapping) else pictures
    return {picture.name: picture.data for picture in values}


def _written(folder: Path, contents: Mapping[str, bytes]) -> Path:
    """The folder that holds the files now."""
    temporary = Path(tempfile.mkdtemp(prefix=PREFIX, suffix=SUFFIX, dir=folder.parent))
    new = temporary / "new"  # with the usual permissions, unlike the temporary folder
    try:
        new.mkdir()
        for name, data in contents.items():
            with (new / name).open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        sync(new)
        made = _renamed(new, folder)
        sync(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return made


def _renamed(new: Path, folder: Path) -> Path:
    """Give a folder its name, or the first free one after it."""
    for number in count(1):
        name = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        if os.path.lexists(name):
            continue
        try:
            return new.rename(name)  # fails if another process has just made a folder with files of this name
        except OSError as error:
            if error.errno not in _TAKEN or not os.path.lexists(name):
                raise
    raise AssertionError


def remove_unfinished(folder: Path) -> None:
    """Remove the unfinished folders that killed runs left in a folder; those of running ones are younger."""
    for path in folder.glob(f"{PREFIX}*{SUFFIX}"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > STALE_S:
                shutil.rmtree(path, ignore_errors=True)
