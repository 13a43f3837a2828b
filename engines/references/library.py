"""A library of reference faces on disk: their features, and embeddings to find the ones nearest to a small face.

Source: R. Wang et al., "Face super-resolution based on multi-source references", equations 2 and 3.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..bundle.bundle import EMBEDDING, REFERENCES, Bundle
from ..errors import InputError, OutputError, first_line
from ..files import atomic_folder, check_regular
from ..json_input import newer_field, read_json

FORMAT = 1
MANIFEST, KEYS, VALUES, EMBEDDINGS = "library.json", "keys.npy", "values.npy", "embeddings.npy"
EMBEDDER = "embedder.onnx"
"""A face recognition network that computes the embeddings, if it is not the bundle's own embedding graph."""
FILES = frozenset((MANIFEST, KEYS, VALUES, EMBEDDINGS, EMBEDDER))


@dataclass(frozen=True)
class Entry:
    """One face of a library.

    Args:
        file: name of its image file.
        sha256: of its pixels, as passed to the network.
        mirrored: it is the horizontally flipped image.
    """

    file: str
    sha256: str
    mirrored: bool = False


@dataclass(frozen=True)
class Manifest:
    """The content of ``library.json``.

    Args:
        model: name of the bundle that the library was built with, for display.
        made_by: hash of that bundle's graphs, see `model_fingerprint`; other bundles cannot use the library.
        entries: the faces, in the order of the arrays.
        embedder: SHA-256 of the network that computed the embeddings; "" for the bundle's own.
        format: version of this layout.
    """

    model: str
    made_by: str
    entries: tuple[Entry, ...]
    embedder: str = ""
    format: int = FORMAT


class ReferenceFeatures(NamedTuple):
    """Features of M faces: keys (M, L, P), values (M, L, V) and embeddings (M, E)."""

    keys: NDArray[Any]
    values: NDArray[Any]
    embeddings: NDArray[Any]


class Library:
    """An open library; keys and values are memory-mapped. Thread-safe.

    Args:
        folder: its path.
        manifest: its metadata.
        features: of its faces; keys and values float16.
    """

    def __init__(self, folder: Path, manifest: Manifest, features: ReferenceFeatures) -> None:
        self.folder, self.manifest = folder, manifest
        self.keys, self.values, self.embeddings = features
        self._distances, self._lock = np.empty_like(self.embeddings), Lock()

    def __len__(self) -> int:
        return len(self.manifest.entries)

    def nearest(self, embeddings: NDArray[np.float32], count: int) -> NDArray[np.intp]:
        """Indices of the entries nearest to small faces (equation 3).

        Args:
            embeddings: (N, E) of the small faces.
            count: entries per face; fewer if the library has fewer.

        Returns:
            (N, R) indices, nearest first.
        """
        indices = np.empty((len(embeddings), min(count, len(self))), np.intp)
        for embedding, row in zip(embeddings, indices, strict=True):
            with self._lock:
                np.subtract(self.embeddings, embedding, out=self._distances)
                distances = np.abs(self._distances, out=self._distances).sum(1)  # equation 2
            row[...] = np.argsort(distances, kind="stable")[: row.size]
        return indices


def model_fingerprint(bundle: Bundle) -> str:
    """Hash of the graphs that compute a library's features; the same for all precisions of the same weights.

    Raises:
        InputError: the bundle uses no references.
    """
    if not bundle.card.io_spec.references:
        raise InputError(f"{bundle.card.name} uses no references; omit --references, or give another model")
    hashes = [bundle.card.files.get(name, "") for name in (REFERENCES, EMBEDDING)]
    if not all(hashes):
        raise InputError(f"{bundle.folder} lacks {REFERENCES} or {EMBEDDING}; rebuild the bundle")
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def open_library(folder: str | Path, bundle: Bundle | None = None) -> Library:
    """Open a library.

    Args:
        folder: its path.
        bundle: that will use it; None to inspect the library only.

    Raises:
        InputError: not a library, one of another network, or a damaged one.
    """
    folder = Path(folder)
    manifest = _read_manifest(folder)
    if bundle is not None and manifest.made_by != model_fingerprint(bundle):
        raise InputError(
            f"{folder} was built with {manifest.model}, whose weights are not those of {bundle.card.name}; "
            f"build another: facesr-edge references build FACES -o LIB --model {bundle.folder}"
        )
    keys, values = (_read_array(folder / name, 3, "float16") for name in (KEYS, VALUES))
    embeddings = _read_array(folder / EMBEDDINGS, 2, "float32")
    if not len(keys) == len(values) == len(embeddings) == len(manifest.entries):
        raise InputError(f"{folder} is damaged, its files differ in length; run facesr-edge references build again")
    return Library(folder, manifest, ReferenceFeatures(keys, values, np.asarray(embeddings, np.float32)))


def _read_array(path: Path, dimensions: int, dtype: str) -> NDArray[Any]:
    """Memory-map an array, so that a wrong shape in its header is compared with the size of the file."""
    try:
        check_regular(path.stat())
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a damaged header is parsed as Python and raises any type
        raise InputError(
            f"{path} is damaged ({first_line(error)}); build the library again: facesr-edge references build"
        ) from None
    if array.ndim != dimensions or array.dtype != dtype or not array.size:
        raise InputError(
            f"{path} is damaged: {array.shape} {array.dtype}, expected {dimensions} dimensions of {dtype}; build the "
            "library again: facesr-edge references build"
        )
    return array


def _read_manifest(folder: Path) -> Manifest:
    """Read the metadata of a library."""
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError(
            f"{folder} is not a library, it has no {MANIFEST}; build one: facesr-edge references build FACES -o LIB"
        )
    try:
        values = read_json(path)
        parts = ((values, Manifest), *((entry, Entry) for entry in values["entries"]))
        if name := next(filter(None, (newer_field(*part) for part in parts)), None):
            raise InputError(f"{path} has the field '{name}', made by a newer version; upgrade facesr-edge")
        values["entries"] = tuple(Entry(**entry) for entry in values["entries"])
        manifest = Manifest(**values)
        if not all(isinstance(text, str) for entry in manifest.entries for text in (entry.file, entry.sha256)):
            raise TypeError("file and sha256 of an entry must be texts")
        if not all(isinstance(text, str) for text in (manifest.model, manifest.made_by, manifest.embedder)):
            raise TypeError("model, made_by and embedder must be texts")
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise InputError(f"{path} cannot be read; build it again: facesr-edge references build") from None
    if manifest.format != FORMAT:
        raise InputError(f"{path} has format {manifest.format}, this release reads {FORMAT}; build the library again")
    return manifest


@contextmanager
def library_folder(folder: Path) -> Iterator[Path]:
    """Write a library atomically: yields a temporary folder that replaces `folder` on success.

    Args:
        folder: destination; an existing library is replaced, a folder with other content is an error.

    Raises:
        OutputError: it has other content, or cannot be written.
    """
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if folder.is_file() or (names and not {MANIFEST} <= names <= FILES):
        raise OutputError(f"{folder} exists and is not a library; choose another folder with -o")
    try:
        with atomic_folder(folder) as new:
            yield new
    except OSError as error:
        raise OutputError(
            f"cannot write {folder}: {error.strerror or error}; free some space, or choose another"
        ) from None


def write_arrays(folder: Path, count: int, parts: Iterator[ReferenceFeatures]) -> None:
    """Write a library's arrays part by part, as all of them together may not fit into memory.

    Args:
        folder: an empty folder, see `library_folder`.
        count: M, number of faces of all parts.
        parts: features of all faces, in order.
    """
    first = next(parts)
    dtypes: tuple[np.dtype[Any], ...] = tuple(map(np.dtype, (np.float16, np.float16, np.float32)))
    with ExitStack() as stack:
        files = [stack.enter_context((folder / name).open("wb")) for name in (KEYS, VALUES, EMBEDDINGS)]
        for file, array, dtype in zip(files, first, dtypes, strict=True):
            header = {"descr": dtype.str, "fortran_order": False, "shape": (count, *array.shape[1:])}
            np.lib.format.write_array_header_1_0(file, header)
        for part in chain([first], parts):
            for file, array, dtype in zip(files, part, dtypes, strict=True):
                file.write(np.ascontiguousarray(array, dtype).tobytes())
        for file in files:
            file.flush()
            os.fsync(file.fileno())


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the metadata of a library, after its arrays."""
    (folder / MANIFEST).write_text(json.dumps(asdict(manifest), indent=1) + "\n", "utf-8")
