"""A bundle: a folder that runs. Graph, weights that ship, compiled engine, and ``card.json`` with the hash of each."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import BundleError, OutputError
from .card import Card, card_from_json

CARD, ONNX, WEIGHTS = "card.json", "model.onnx", "weights.safetensors"
ENGINE, LAYERS = "model.engine", "layers.json"
"""What compiling on a device adds: the engine as the runtime wrote it, so that the runtime's own tools read it too, and
what it says of its layers."""
FP16_ONNX = "fp16.onnx"
"""Beside an INT8 graph for TensorRT: the same network in FP16, which is taken where it is faster."""
REFERENCES, EMBEDDING = "references.onnx", "embedding.onnx"
"""Of a network that borrows from other faces: what a true face lends, and where a small one stands among others."""
FILES = frozenset((CARD, ONNX, WEIGHTS, ENGINE, LAYERS, FP16_ONNX, REFERENCES, EMBEDDING))


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk whose files agree with its card.

    Args:
        folder: where it lies.
        card: what is known of it.
    """

    folder: Path
    card: Card

    @property
    def onnx(self) -> Path:
        """Path of the graph."""
        return self.folder / ONNX

    @property
    def engine(self) -> Path:
        """Path of the compiled engine; there is one where the card has a key."""
        return self.folder / ENGINE


def open_bundle(folder: str | Path) -> Bundle:
    """Read a bundle and check every file against its card.

    Args:
        folder: where it lies.

    Raises:
        BundleError: no such folder, no card in it, a file missing, or one whose hash differs.
    """
    folder = Path(folder)
    path = folder / CARD
    if not path.is_file():
        raise BundleError(f"{folder} is not a bundle: it has no {CARD}; make one with facesr-edge build -o {folder}")
    try:
        card = card_from_json(path.read_text("utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{path} cannot be read ({error}); build the bundle again: facesr-edge build") from None
    for name, expected in card.files.items():
        if Path(name).name != name or name in ("", ".."):
            raise BundleError(f"{path} names a file outside of its folder, '{name}'; do not use this bundle")
        try:
            digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        except OSError:
            raise BundleError(
                f"{folder / name} is missing or unreadable; copy the whole bundle again, or rebuild it"
            ) from None
        if digest != expected:
            raise BundleError(
                f"{folder / name} was altered: SHA-256 {digest[:12]}…, the card says {expected[:12]}…; "
                "copy the bundle again, or rebuild it"
            )
    if ONNX not in card.files:
        raise BundleError(f"{path} lists no {ONNX}; build the bundle again: facesr-edge build")
    if card.engine and ENGINE not in card.files:
        raise BundleError(f"{path} tells of an engine but lists no {ENGINE}; compile it: facesr-edge build {folder}")
    return Bundle(folder, card)


def write_bundle(folder: Path, card: Card, contents: Mapping[str, bytes]) -> Bundle:
    """Write a bundle whole or not at all: into a folder beside it, then renamed.

    Args:
        folder: destination; an older bundle there is replaced, anything else is refused.
        card: its `files` are filled in here.
        contents: file name -> bytes.

    Raises:
        OutputError: the folder holds something else, or cannot be written.
    """
    check_free(folder)
    target = folder.resolve()  # of a link: the link stays
    card = replace(card, files={name: hashlib.sha256(data).hexdigest() for name, data in sorted(contents.items())})
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        workshop = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}; choose another folder with -o") from None
    new, old = workshop / "new", workshop / "old"
    try:
        new.mkdir()
        for name, data in {**contents, CARD: card.to_json().encode()}.items():
            _write_through(new / name, data)
        if target.exists():
            target.replace(old)
        try:
            new.replace(target)
        except OSError:
            if old.exists():
                old.replace(target)
            raise
    except OSError as error:
        raise OutputError(
            f"cannot write {folder}: {error.strerror or error}; free some space or choose another folder"
        ) from None
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
    return Bundle(folder, card)


def check_free(folder: Path) -> None:
    """Whether a bundle may be written there: it removes what it replaces, so nothing else may lie there.

    Raises:
        OutputError: it holds something that is not a bundle's.
    """
    if folder.is_file():
        raise OutputError(f"{folder} exists and is not a bundle; choose another folder with -o")
    try:
        inside = {path.name for path in folder.iterdir()} if folder.exists() else set()
    except OSError as error:
        raise OutputError(f"cannot read {folder}: {error.strerror}; choose another folder with -o") from None
    strangers = sorted(inside - FILES)
    if strangers or (inside and not {CARD, ONNX} <= inside):
        which = f"it holds {strangers[0]}" if strangers else f"it lacks {CARD} or {ONNX}"
        raise OutputError(f"{folder} exists and is not a bundle: {which}; choose another folder with -o")


def check_writable(folder: Path) -> None:
    """Whether a bundle can be written there, for those who would find out after minutes.

    Raises:
        OutputError: it cannot.
    """
    parent = folder.resolve().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=parent)).rmdir()
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}; choose another folder") from None


def _write_through(path: Path, data: bytes) -> None:
    """Write and flush to the disk, so that a power cut after the rename leaves no empty file."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
