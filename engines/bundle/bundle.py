"""A bundle: a folder with graph, weights, compiled engine, and ``card.json`` with the SHA-256 of each file."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ..cpu import has_vnni
from ..errors import BundleError, EngineError, OutputError
from ..files import atomic_folder, check_replaceable, read_regular, write_atomic
from .card import Card, card_from_json
from .external_data import MAX_FILE_BYTES, check_complete

CARD, ONNX, WEIGHTS = "card.json", "model.onnx", "weights.safetensors"
LAYERS = "layers.json"
"""Written when the bundle is compiled: the layers of each engine."""
_ENGINE = re.compile(r"model-(\d{1,6})x(\d{1,6})\.engine")
OLD_ENGINE = "model.engine"
"""A single engine for all sizes, as earlier bundles have; compiled again, a bundle has one for each size."""
FP16_ONNX = "fp16.onnx"
"""The same network in FP16, next to an INT8 graph for TensorRT; used where it is faster."""
INT8_ONNX, INT8_VNNI_ONNX = "int8.onnx", "int8_vnni.onnx"
"""The same network in INT8 for CPUs, next to an FP32 graph: with 7-bit weights, and with 8-bit weights for processors
with VNNI, which lose less (0.004 instead of 0.011 dB on edge-tiny ×4)."""
REFERENCES, EMBEDDING = "references.onnx", "embedding.onnx"
"""Of a reference-based network: features of a high-resolution reference face, and the embedding of a small face."""
CALIBRATION = "calibration.json"
"""Of an uncertainty head: its calibration for each super-resolution network."""
FILES = frozenset(
    (CARD, ONNX, WEIGHTS, OLD_ENGINE, LAYERS, FP16_ONNX, INT8_ONNX, INT8_VNNI_ONNX, REFERENCES, EMBEDDING, CALIBRATION)
)
Size = tuple[int, int]
"""Height and width of the input of an engine, in pixels."""
MAX_CARD_BYTES = 16 << 20
"""Limit of the size of ``card.json``; those of the package have up to 20 kB."""


def engine_file(height: int, width: int) -> str:
    """File name of the engine for inputs of a size: the serialized engine, which the runtime's tools can read."""
    return f"model-{width}x{height}.engine"


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk: its folder and its metadata.

    `read` verifies what it returns. Engines are made of these bytes, never of a file that is opened once more.
    """

    folder: Path
    card: Card

    @property
    def onnx(self) -> Path:
        """Path of the graph in the card's precision."""
        return self.folder / ONNX

    @property
    def engines(self) -> dict[Size, str]:
        """Input size -> file name of the engine that was compiled for it, sorted by size."""
        matches = filter(None, map(_ENGINE.fullmatch, self.card.files))
        return dict(sorted(((int(match[2]), int(match[1])), match[0]) for match in matches))

    @property
    def precisions(self) -> tuple[str, ...]:
        """Precisions of the graphs for CPUs: the card's own, and "int8" if there is a graph for it."""
        has_int8 = INT8_ONNX in self.card.files and self.card.precision != "int8"
        return (self.card.precision, *(("int8",) if has_int8 else ()))

    def graph(self, precision: str) -> Path:
        """Path of the graph in a precision.

        Raises:
            EngineError: the bundle has none.
        """
        if precision not in self.precisions:
            known = " and ".join(self.precisions)
            raise EngineError(f"{self.card.name} has no graph in {precision}; use --precision auto, or {known}")
        if precision == self.card.precision:
            return self.onnx
        vnni = INT8_VNNI_ONNX in self.card.files and has_vnni()
        return self.folder / (INT8_VNNI_ONNX if vnni else INT8_ONNX)

    def read(self, name: str) -> bytes:
        """Read a file of the bundle, once, and verify the bytes that were read.

        Args:
            name: of a file on the card. A draft, whose card lists no files yet, is not verified.

        Raises:
            BundleError: not on the card, missing, not a regular file, or altered.
        """
        path, expected = self.folder / name, self.card.files.get(name)
        if self.card.files and expected is None:
            raise BundleError(f"{path} is not listed in {CARD}; rebuild the bundle: facesr-edge build")
        try:
            data = read_regular(path, MAX_FILE_BYTES)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise BundleError(
                f"{path} is missing or unreadable ({reason}); copy the whole bundle again, or rebuild it"
            ) from None
        digest = hashlib.sha256(data).hexdigest()
        if expected not in (None, digest):
            raise BundleError(
                f"{path} was altered: SHA-256 {digest[:12]}…, the card says {str(expected)[:12]}…; "
                "copy the bundle again, or rebuild it"
            )
        return data

    def read_graph(self, name: str) -> bytes:
        """Read an ONNX file, see `read`, that a runtime can load without opening other files.

        Raises:
            BundleError: as `read`, not an ONNX file, or one with external data.
        """
        data = self.read(name)
        check_complete(self.folder / name, data)
        return data


def read_card(folder: str | Path) -> Card:
    """Read the card of a bundle. Files are not hashed, see `open_bundle`.

    Raises:
        BundleError: no such folder, no card in it, or an invalid card.
    """
    folder = Path(folder)
    path = folder / CARD
    if not path.exists():
        raise BundleError(f"{folder} is not a bundle: it has no {CARD}; build one: facesr-edge build -o {folder}")
    try:
        card = card_from_json(read_regular(path, MAX_CARD_BYTES).decode(), str(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BundleError(f"{path} cannot be read ({reason}); rebuild the bundle: facesr-edge build") from None
    for name in card.files:
        if Path(name).name != name or name in ("", ".."):
            raise BundleError(f"{path} lists a file outside of its folder, '{name}'; do not use this bundle")
    if ONNX not in card.files:
        raise BundleError(f"{path} lists no {ONNX}; rebuild the bundle: facesr-edge build")
    if card.engine and not any(name == OLD_ENGINE or _ENGINE.fullmatch(name) for name in card.files):
        raise BundleError(f"{path} has engine info but lists no engine; compile it: facesr-edge build {folder}")
    return card


def open_bundle(folder: str | Path) -> Bundle:
    """Read a bundle and verify the SHA-256 of every file.

    Raises:
        BundleError: no such folder, no valid card in it, or a file that `Bundle.read` refuses.
    """
    bundle = Bundle(Path(folder), read_card(folder))
    for name in bundle.card.files:
        bundle.read(name)
    return bundle


def write_bundle(folder: Path, card: Card, contents: Mapping[str, bytes]) -> Bundle:
    """Write a bundle atomically.

    Args:
        folder: destination; an existing bundle is replaced, a folder with other content is an error.
        card: its metadata; `files` is filled in.
        contents: file name -> bytes.

    Raises:
        OutputError: the folder has other content, or cannot be written.
    """
    check_free(folder)
    card = replace(card, files={name: hashlib.sha256(data).hexdigest() for name, data in sorted(contents.items())})
    try:
        with atomic_folder(folder) as new:
            for name, data in {**contents, CARD: card.to_json().encode()}.items():
                write_atomic(new / name, data)
    except OSError as error:
        raise OutputError(
            f"cannot write {folder}: {error.strerror or error}; free some space or choose another folder with -o"
        ) from None
    return Bundle(folder, card)


def check_free(folder: Path) -> None:
    """Raise an OutputError unless a folder is missing, empty, or holds a bundle, so that one may be written to it."""
    if folder.is_file():
        raise OutputError(f"{folder} exists and is not a bundle; choose another folder with -o")
    try:
        names = {path.name for path in folder.iterdir()} if folder.exists() else set()
    except OSError as error:
        raise OutputError(f"cannot read {folder}: {error.strerror}; choose another folder with -o") from None
    others = sorted(name for name in names - FILES if not _ENGINE.fullmatch(name))
    if others or (names and not {CARD, ONNX} <= names):
        reason = f"it holds {others[0]}" if others else f"it lacks {CARD} or {ONNX}"
        raise OutputError(f"{folder} exists and is not a bundle: {reason}; choose another folder with -o")


def check_writable(folder: Path) -> None:
    """Raise an OutputError if a bundle cannot be written to a folder, before minutes are spent on making it."""
    check_free(folder)
    try:
        check_replaceable(folder)
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}; choose another folder with -o") from None
