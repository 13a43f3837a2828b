"""Signs the pictures of a card that have pixels of a network, by C2PA: with the network, the face and the source."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ... import __version__
from ...engines.errors import OutputError
from ..provenance.credentials import Credentials
from ..provenance.face_records import LABEL, FaceRecord, FacesAssertion, FrameRecord, pixels_sha256
from ..provenance.iptc import SYSTEM
from ..provenance.network_use import NetworkUse
from ..provenance.statement import DIGITAL_SOURCE_TYPE, STATEMENT
from .card import CardSource, EvidenceItem

Sign = Callable[[bytes, str, EvidenceItem], bytes]
"""Makes a signed copy of a PNG file from its bytes, its name and its face."""
SOURCE_LABEL = "org.facesr-edge.source"
"""Assertion with the file that a picture of a single face comes from."""


def picture_signer(
    credentials: Credentials, network: NetworkUse, settings: Mapping[str, Any], source: CardSource, path: Path | None
) -> Sign:
    """What signs the pictures of one card.

    The manifest has the record of one face in assertion `LABEL`, as that of a composite, but no original: a picture of
    one face of several is not what `verify` recomputes. Name, size and SHA-256 of the source are in `SOURCE_LABEL`.

    Args:
        credentials: that sign.
        network: that made the pixels.
        settings: of the pipeline, see `settings_of`.
        source: of the card.
        path: of the source, the parent in the manifest; None if it is no file.

    Raises:
        MissingDependencyError: c2pa-python is not installed.
    """
    from ..provenance.c2pa_library import Ingredient, sign

    ingredient = None if path is None else Ingredient(path, None)  # by name: the source need not be read again

    def signed(data: bytes, name: str, item: EvidenceItem) -> bytes:
        face = item.face
        record = FrameRecord(item.frame.index, pixels_sha256(face.pixels), (FaceRecord.of(face),))
        assertion = FacesAssertion(network, settings, None, True, record, ())
        manifest = {
            "claim_generator_info": [{"name": SYSTEM, "version": __version__}],
            "title": name,
            "assertions": [
                {"label": "c2pa.actions.v2", "data": {"actions": _actions()}},
                {"label": LABEL, "data": assertion.to_dict()},
                {"label": SOURCE_LABEL, "data": _source(source)},
            ],
        }
        target = io.BytesIO()
        try:
            sign(credentials, "image/png", io.BytesIO(data), target, manifest, ingredient)
        except OutputError as error:
            raise OutputError(f"{name} of the card of {source.name} {error}") from error
        return target.getvalue()

    return signed


def _actions() -> list[dict[str, Any]]:
    """C2PA adds that the source was opened."""
    agent = {"name": SYSTEM, "version": __version__}
    edited = {"action": "c2pa.edited", "digitalSourceType": DIGITAL_SOURCE_TYPE, "description": STATEMENT}
    cropped = [{"action": name, "softwareAgent": agent} for name in ("c2pa.cropped", "c2pa.resized")]
    return [*cropped, {**edited, "softwareAgent": agent}]


def _source(source: CardSource) -> dict[str, Any]:
    name = source.name.encode("utf-8", "replace").decode()  # names of files may be any bytes
    facts = {"name": name, "kind": source.kind, "bytes": source.size_bytes, "sha256": source.sha256}
    return {key: value for key, value in (*facts.items(), ("note", source.note or None)) if value is not None}
