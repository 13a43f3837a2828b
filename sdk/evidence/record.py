"""`evidence.json`: all that a card states, for programs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

from ... import __version__
from ..provenance.statement import DIGITAL_SOURCE_TYPE, STATEMENT
from .card import Card, utc
from .limits import limits_of
from .pictures import Picture

FORMAT = 1
"""Number that changes if a field gets another meaning."""


def evidence_json(card: Card, faces: Sequence[Mapping[str, Picture]], views: Sequence[Picture]) -> bytes:
    """The document, UTF-8.

    Args:
        card: to describe.
        faces: files of each face of the card by their roles.
        views: files of the views of the card.
    """
    files = [*views, *(picture for pictures in faces for picture in pictures.values())]
    document = {
        "format": FORMAT,
        "facesr_edge": __version__,
        "created": utc(card.created_s),
        "statement": STATEMENT,
        "digital_source_type": DIGITAL_SOURCE_TYPE,
        "limits": list(limits_of(card)),
        "source": card.source.to_dict(),
        "frames": card.frames,
        "networks": {treatment: use.to_dict() for treatment, use in card.networks.items()},
        "faces": [
            {"number": n, **item.to_dict(), "files": {role: picture.name for role, picture in pictures.items()}}
            for n, (item, pictures) in enumerate(zip(card.items, faces, strict=True), 1)
        ],
        "views": [
            {"file": picture.name, "frame": view.index, "frame_wh": list(view.frame_wh)}
            for view, picture in zip(card.views, views, strict=True)
        ],
        "left_out": [left.to_dict() for left in card.left_out],
        "notes": list(card.notes),
        "files": {
            picture.name: {"sha256": sha256(picture.data), "bytes": len(picture.data), "size_wh": list(picture.size_wh)}
            for picture in files
        },
    }
    return json.dumps(document, indent=1, allow_nan=False).encode() + b"\n"


def sha256(data: bytes) -> str:
    """Hash in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
