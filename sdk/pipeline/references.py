"""Libraries of reference faces: made from a folder of pictures, and opened beside a network that borrows from them."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ...calibration.data.faces import center_crop, low_resolution
from ...calibration.metrics.evaluate import enlarged_by_bicubic
from ...calibration.metrics.identity import embedder as recogniser
from ...engines.bundle.bundle import EMBEDDING, REFERENCES, Bundle
from ...engines.bundle.io_spec import IOSpec
from ...engines.errors import EngineError, InputError, UsageError
from ...engines.onnxruntime.reference_library import (
    EMBEDDER,
    Entry,
    Library,
    Manifest,
    ReferenceFeatures,
    library_folder,
    model_fingerprint,
    open_library,
    write_arrays,
    write_manifest,
)
from ...engines.onnxruntime.reference_session import MAX_REFERENCES, Describe, ReferenceSession, check_max_references
from ...engines.onnxruntime.session import OrtGraph
from ...engines.registry import choose_engine
from ..media.images import picture_paths, read_picture

Pictures = NDArray[np.uint8]

CHUNK = 4
"""Faces that are encoded at a time."""
ROOM = 9 / 8
"""A picture larger than that times the network's result is shrunk to it, and its middle is taken: as the faces are
framed that networks are trained on, of 144 pixels for 128."""


def build_library(
    faces: Path,
    folder: Path,
    bundle: Bundle,
    *,
    embedder: Path | None = None,
    limit: int | None = None,
    mirrored: bool = False,
    threads: int = 0,
    report: Callable[[int], None] = lambda done: None,
) -> Library:
    """Make a library of faces.

    Args:
        faces: folder of pictures, each of a face, at least as large as the network's result (128×128).
        folder: destination; an older library there is replaced.
        bundle: of a network that borrows from references.
        embedder: ONNX file of a face recogniser that says how alike faces are; none for the network's own features.
        limit: most pictures to take, the first by name; none for all.
        mirrored: keep each face's mirror image as well.
        threads: CPU threads of one call; 0 for one a core.
        report: told how many pictures are done.

    Raises:
        InputError, EngineError, OutputError: the text says what and what to do.
    """
    made_by = model_fingerprint(bundle)
    paths = picture_paths(faces)[:limit]
    describe = recognised(embedder, threads) if embedder else None
    entries: list[Entry] = []

    def loans() -> Iterator[ReferenceFeatures]:
        graphs = [OrtGraph(bundle.folder / name, threads) for name in (REFERENCES, EMBEDDING)]
        for start in range(0, len(paths), CHUNK):
            part = paths[start : start + CHUNK]
            large = np.stack([fit_crop(read_picture(path), path, bundle.card.io_spec) for path in part])
            turns = (False, True) if mirrored else (False,)
            for turn in turns:
                seen = np.ascontiguousarray(large[:, :, ::-1]) if turn else large
                entries.extend(Entry(path.name, fingerprint(face), turn) for path, face in zip(part, seen, strict=True))
                yield _loan(seen, graphs, bundle.card.io_spec, describe)
            report(start + len(part))
        for graph in graphs:
            graph.close()

    with library_folder(folder) as new:
        write_arrays(new, len(paths) * (1 + mirrored), loans())
        if embedder:
            shutil.copyfile(embedder, new / EMBEDDER)
        digest = hashlib.sha256(embedder.read_bytes()).hexdigest() if embedder else ""
        write_manifest(new, Manifest(bundle.card.name, made_by, tuple(entries), digest))
    return open_library(folder, bundle)


def open_with_references(
    bundle: Bundle, references: str | Path, most: int = MAX_REFERENCES, engine: str = "auto", threads: int = 0
) -> ReferenceSession:
    """A session that borrows from a library.

    Args:
        bundle: of a network that borrows from references.
        references: folder of the library.
        most: references of a face.
        engine: "auto" or "onnxruntime".
        threads: CPU threads of one call; 0 for one a core.

    Raises:
        InputError: no library, or one of another network.
        EngineError, UsageError, UnknownNameError: an engine that runs no references, or a number that cannot be.
    """
    model_fingerprint(bundle)  # whether it borrows at all
    check_max_references(bundle, most)
    if choose_engine(bundle, engine).engine != "onnxruntime":
        raise EngineError(f"references run in ONNX Runtime, not in {engine}; leave --engine out")
    library = open_library(references, bundle)
    describe = _described_by(library, bundle.card.io_spec.scale, threads)
    return ReferenceSession(bundle, library, most, threads, describe)


def fit_crop(picture: Pictures, path: Path, io_spec: IOSpec) -> Pictures:
    """The middle of a picture, (S, S, 3), S the side of the network's result; see `ROOM` for larger ones.

    Raises:
        InputError: it is smaller.
    """
    side = io_spec.scale * io_spec.windows[0]
    height, width = picture.shape[:2]
    if min(height, width) < side:
        raise InputError(f"{path} is {width}x{height} px, at least {side}x{side} is needed; remove it, or enlarge it")
    shrink = side * ROOM / min(height, width)
    if shrink < 1:
        size = max(side, round(width * shrink)), max(side, round(height * shrink))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    return np.ascontiguousarray(center_crop(picture, side))


def fingerprint(face: Pictures) -> str:
    """SHA-256 of a face's pixels."""
    return hashlib.sha256(np.ascontiguousarray(face).tobytes()).hexdigest()


def recognised(recogniser_onnx: Path, threads: int = 0) -> Describe:
    """Faces of any size -> where a face recogniser sees them, (N, E) float32."""
    embedding = recogniser(recogniser_onnx, threads)
    return lambda faces: np.stack([embedding(face) for face in faces]).astype(np.float32)


def _loan(large: Pictures, graphs: list[OrtGraph], io_spec: IOSpec, describe: Describe | None) -> ReferenceFeatures:
    lends, stands = graphs
    side = lends.inputs["pixels"].shape[1]
    keys, values = lends.run(low_resolution(large, large.shape[1] // side))
    points = describe(large) if describe else stands.run(low_resolution(large, io_spec.scale))[0]
    return ReferenceFeatures(keys, values, points)


def _described_by(library: Library, scale: int, threads: int) -> Describe | None:
    """How small faces are compared with a library that another network has described: enlarged by bicubic first."""
    if not library.about.embedder:
        return None
    path = library.folder / EMBEDDER
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != library.about.embedder:
        raise InputError(f"{path} is missing or was altered; make the library again: facesr-edge references build")
    see = recognised(path, threads)
    return lambda small: see(enlarged_by_bicubic(small, scale))


def check_leakage(library: Library, faces: Pictures) -> None:
    """Refuse to measure on faces that lie in the library: they would borrow from themselves.

    Args:
        library: what is borrowed from.
        faces: (N, S, S, 3) uint8 BGR, the true ones.

    Raises:
        UsageError: some of them do.
    """
    known = {entry.sha256 for entry in library.about.entries}
    own = sum(fingerprint(face) in known or fingerprint(face[:, ::-1]) in known for face in faces)
    if own:
        raise UsageError(f"{own} of {len(faces)} faces are in {library.folder} themselves; give a library of others")
