"""A library of references on disk: what faces lend, kept so that a small face finds the nearest of them at once.

Source: R. Wang et al., "Face super-resolution based on multi-source references", equations 2 and 3.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..bundle.bundle import EMBEDDING, REFERENCES, Bundle
from ..errors import InputError, OutputError

FORMAT = 1
MANIFEST, KEYS, VALUES, EMBEDDINGS = "library.json", "keys.npy", "values.npy", "embeddings.npy"
EMBEDDER = "embedder.onnx"
"""A network that says how alike faces are, where it is not the bundle's own."""
FILES = frozenset((MANIFEST, KEYS, VALUES, EMBEDDINGS, EMBEDDER))


@dataclass(frozen=True)
class Entry:
    """A face of a library.

    Args:
        file: name of the picture that it was read from.
        sha256: of its pixels, as the network saw them.
        mirrored: it is the picture's mirror image.
    """

    file: str
    sha256: str
    mirrored: bool = False


@dataclass(frozen=True)
class Manifest:
    """What ``library.json`` says.

    Args:
        model: name of the bundle that made it, for people.
        made_by: hash of that bundle's graphs, see `model_fingerprint`: whoever has the same may borrow.
        entries: the faces, in the order of the arrays.
        embedder: SHA-256 of the network that says how alike faces are; "" for the bundle's own.
        format: version of this layout.
    """

    model: str
    made_by: str
    entries: tuple[Entry, ...]
    embedder: str = ""
    format: int = FORMAT


class ReferenceFeatures(NamedTuple):
    """What faces lend, (M, L, P) and (M, L, V), and where they stand, (M, E)."""

    keys: NDArray[Any]
    values: NDArray[Any]
    embeddings: NDArray[Any]


class Library:
    """A library that is open: keys and values stay on disk until they are lent.

    Args:
        folder: where it lies.
        about: what it says of itself.
        kept: of its faces; keys and values float16.
    """

    def __init__(self, folder: Path, about: Manifest, kept: ReferenceFeatures) -> None:
        self.folder, self.about = folder, about
        self.keys, self.values, self.embeddings = kept
        self._apart = np.empty_like(self.embeddings)

    def __len__(self) -> int:
        return len(self.about.entries)

    def nearest(self, points: NDArray[np.float32], most: int) -> NDArray[np.intp]:
        """Equation 3: the entries that are most like small faces.

        Args:
            points: (N, E) their embeddings.
            most: how many for each; fewer where the library has fewer.

        Returns:
            (N, R) entries, the nearest first.
        """
        found = np.empty((len(points), min(most, len(self))), np.intp)
        for point, row in zip(points, found, strict=True):
            np.subtract(self.embeddings, point, out=self._apart)
            apart = np.abs(self._apart, out=self._apart).sum(1)  # equation 2
            row[...] = np.argsort(apart, kind="stable")[: row.size]
        return found


def model_fingerprint(bundle: Bundle) -> str:
    """Hash of the graphs that a library is made with: bundles of other precisions of the same weights have it too.

    Raises:
        InputError: the bundle borrows from no references.
    """
    if not bundle.card.io_spec.references:
        raise InputError(
            f"{bundle.card.name} borrows from no references; leave --references out, or give another model"
        )
    hashes = [bundle.card.files.get(name, "") for name in (REFERENCES, EMBEDDING)]
    if not all(hashes):
        raise InputError(f"{bundle.folder} lacks {REFERENCES} or {EMBEDDING}; build the bundle again")
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def open_library(folder: str | Path, bundle: Bundle | None = None) -> Library:
    """Open a library.

    Args:
        folder: where it lies.
        bundle: that would borrow from it; none to look at it alone.

    Raises:
        InputError: no library, one of another network, or a damaged one.
    """
    folder = Path(folder)
    about = read_manifest(folder)
    if bundle is not None and about.made_by != model_fingerprint(bundle):
        raise InputError(
            f"{folder} was made with {about.model}, its weights are not those of {bundle.card.name}; "
            f"make another: facesr-edge references build FACES -o LIB --model {bundle.folder}"
        )
    try:
        keys, values = (np.load(folder / name, mmap_mode="r", allow_pickle=False) for name in (KEYS, VALUES))
        embeddings = np.load(folder / EMBEDDINGS, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{folder} is damaged ({error}); make it again: facesr-edge references build") from None
    if not len(keys) == len(values) == len(embeddings) == len(about.entries):
        raise InputError(
            f"{folder} is damaged, its files differ in length; make it again: facesr-edge references build"
        )
    return Library(folder, about, ReferenceFeatures(keys, values, np.asarray(embeddings, np.float32)))


def read_manifest(folder: Path) -> Manifest:
    """What a library says of itself.

    Raises:
        InputError: no library, or a damaged one.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError(
            f"{folder} is no library, it has no {MANIFEST}; make one: facesr-edge references build FACES -o LIB"
        )
    try:
        said = json.loads(path.read_text("utf-8"))
        said["entries"] = tuple(Entry(**entry) for entry in said["entries"])
        about = Manifest(**said)
    except (OSError, ValueError, TypeError, KeyError):
        raise InputError(f"{path} cannot be read; make it again: facesr-edge references build") from None
    if about.format != FORMAT:
        raise InputError(f"{path} has format {about.format}, this release reads {FORMAT}; make the library again")
    return about


@contextmanager
def library_folder(folder: Path) -> Iterator[Path]:
    """A folder to write a library to, which is renamed when all of it is there; on an error nothing is left.

    Args:
        folder: destination; an older library there is replaced, anything else is refused.

    Raises:
        OutputError: it holds something else, or cannot be written.
    """
    inside = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if folder.is_file() or (inside and not {MANIFEST} <= inside <= FILES):
        raise OutputError(f"{folder} exists and is no library; choose another folder with -o")
    target = folder.resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        workshop = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            (new := workshop / "new").mkdir()
            yield new
            if target.exists():
                target.replace(workshop / "old")
            new.replace(target)
        finally:
            shutil.rmtree(workshop, ignore_errors=True)
    except OSError as error:
        raise OutputError(
            f"cannot write {folder}: {error.strerror or error}; free some space, or choose another"
        ) from None


def write_arrays(folder: Path, count: int, loans: Iterator[ReferenceFeatures]) -> None:
    """Write a library's arrays, a few faces at a time: all of them together may not fit into memory.

    Args:
        folder: an empty one, see `library_folder`.
        count: M, faces of all parts.
        loans: of all the faces, in their order, in parts.
    """
    first = next(loans)
    kinds: tuple[np.dtype[Any], ...] = tuple(map(np.dtype, (np.float16, np.float16, np.float32)))
    with ExitStack() as stack:
        files = [stack.enter_context((folder / name).open("wb")) for name in (KEYS, VALUES, EMBEDDINGS)]
        for file, part, kind in zip(files, first, kinds, strict=True):
            header = {"descr": kind.str, "fortran_order": False, "shape": (count, *part.shape[1:])}
            np.lib.format.write_array_header_1_0(file, header)
        for loan in chain([first], loans):
            for file, part, kind in zip(files, loan, kinds, strict=True):
                file.write(np.ascontiguousarray(part, kind).tobytes())
        for file in files:
            file.flush()
            os.fsync(file.fileno())


def write_manifest(folder: Path, about: Manifest) -> None:
    """Write what a library says of itself, the last of its files."""
    (folder / MANIFEST).write_text(json.dumps(asdict(about), indent=1) + "\n", "utf-8")
