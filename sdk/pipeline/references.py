"""Build libraries of reference faces from a folder of images, and open sessions that use them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ...calibration.data.faces import center_crop, low_resolution
from ...calibration.metrics.evaluate import upscale_bicubic
from ...calibration.metrics.identity import embedder as identity_embedder
from ...engines.bundle.bundle import EMBEDDING, REFERENCES, Bundle
from ...engines.bundle.external_data import read_onnx
from ...engines.bundle.io_spec import IOSpec
from ...engines.errors import InputError, UsageError
from ...engines.onnxruntime.session import OrtGraph
from ...engines.references.library import (
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
from ...engines.references.session import (
    MAX_REFERENCES,
    Describe,
    ReferenceSession,
    bundle_embedding,
    check_max_references,
)
from ...engines.registry import Report
from ..checked_session import open_checked_session
from ..media.images.image_file import image_paths, read_image

Images = NDArray[np.uint8]

BATCH = 4
"""Faces that are encoded at a time."""
TRAINING_FRAME = 9 / 8
"""Ratio of the image to its center crop: larger images are downscaled to it first, as for the training faces, which are
crops of 128 pixels out of 144."""


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
    """Build a library of reference faces.

    Args:
        faces: folder of images, each of one face, at least as large as the network's output (128×128).
        folder: destination; a library in it is replaced.
        bundle: of a network that takes references.
        embedder: ONNX file of a face recognition network whose embeddings measure similarity; None for the network's
            own features.
        limit: maximum number of images, the first by name; None for all.
        mirrored: add the mirror image of each face.
        threads: CPU threads of one call; 0 for one per core.
        report: called with the number of images that are done.

    Raises:
        InputError, EngineError, OutputError: the message says what to do.
    """
    fingerprint, io_spec = model_fingerprint(bundle), bundle.card.io_spec
    paths = image_paths(faces)[:limit]
    embedder_onnx = read_onnx(embedder) if embedder else b""
    describe = embed_with(embedder, threads, embedder_onnx) if embedder else None
    entries: list[Entry] = []

    def features() -> Iterator[ReferenceFeatures]:
        with ExitStack() as stack:
            names = (REFERENCES, EMBEDDING)
            graphs = [
                stack.enter_context(closing(OrtGraph(bundle.folder / name, threads, content=bundle.read_graph(name))))
                for name in names
            ]
            for start in range(0, len(paths), BATCH):
                batch = paths[start : start + BATCH]
                large = np.stack([fit_crop(read_image(path), path, io_spec) for path in batch])
                for mirror in (False, True) if mirrored else (False,):
                    views = np.ascontiguousarray(large[:, :, ::-1]) if mirror else large
                    entries.extend(Entry(p.name, pixel_hash(v), mirror) for p, v in zip(batch, views, strict=True))
                    yield _features(views, graphs, io_spec, describe)
                report(start + len(batch))

    with library_folder(folder) as new:
        write_arrays(new, len(paths) * (1 + mirrored), features())
        if embedder:
            (new / EMBEDDER).write_bytes(embedder_onnx)
        digest = hashlib.sha256(embedder_onnx).hexdigest() if embedder else ""
        write_manifest(new, Manifest(bundle.card.name, fingerprint, tuple(entries), digest))
    return open_library(folder, bundle)


def open_with_references(
    bundle: Bundle,
    references: str | Path,
    max_references: int = MAX_REFERENCES,
    engine: str = "auto",
    threads: int = 0,
    precision: str = "auto",
    *,
    report: Report = lambda line: None,
) -> ReferenceSession:
    """Open a session that uses a library of reference faces.

    Args:
        bundle: of a network that takes references.
        references: folder of the library.
        max_references: maximum number of references per face.
        engine, threads, precision, report: see `open_session`.

    Raises:
        InputError: the network takes no references; no library, or one of another network.
        UsageError: max_references is out of range.
        Others: see `open_session`.
    """
    model_fingerprint(bundle)  # raises if the network takes no references
    check_max_references(bundle, max_references)
    library = open_library(references, bundle)
    describe = _describe_small(library, bundle, threads)
    session = open_checked_session(bundle, engine, threads, precision, report)
    return ReferenceSession(session, library, describe, max_references)


def fit_crop(image: Images, path: Path, io_spec: IOSpec) -> Images:
    """Center crop, (S, S, 3), S the side of the network's output; larger images are downscaled, see `TRAINING_FRAME`.

    Raises:
        InputError: the image is smaller.
    """
    side = io_spec.scale * io_spec.crop_sizes[0]
    height, width = image.shape[:2]
    if min(height, width) < side:
        raise InputError(f"{path} is {width}x{height} px, at least {side}x{side} is needed; remove it, or enlarge it")
    factor = side * TRAINING_FRAME / min(height, width)
    if factor < 1:
        size = max(side, round(width * factor)), max(side, round(height * factor))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return np.ascontiguousarray(center_crop(image, side))


def pixel_hash(face: Images) -> str:
    """SHA-256 of a face's pixels."""
    return hashlib.sha256(np.ascontiguousarray(face).tobytes()).hexdigest()


def embed_with(embedder: Path, threads: int = 0, content: bytes | None = None) -> Describe:
    """A function from faces of any size to the embeddings of a face recognition network, (N, E) float32.

    Arguments and errors are those of `calibration.metrics.identity.embedder`.
    """
    embedding = identity_embedder(embedder, threads, content)
    return lambda faces: np.stack([embedding(face) for face in faces]).astype(np.float32)


def _features(large: Images, graphs: list[OrtGraph], io_spec: IOSpec, describe: Describe | None) -> ReferenceFeatures:
    references, embedding = graphs
    side = references.inputs["pixels"].shape[1]
    keys, values = references.run(low_resolution(large, large.shape[1] // side))
    embeddings = describe(large) if describe else embedding.run(low_resolution(large, io_spec.scale))[0]
    return ReferenceFeatures(keys, values, embeddings)


def _describe_small(library: Library, bundle: Bundle, threads: int) -> Describe:
    """Embed small faces with the library's embedder, after bicubic upscaling; without one, with the bundle's graph."""
    if not library.manifest.embedder:
        return bundle_embedding(bundle, threads)
    path = library.folder / EMBEDDER
    content = read_onnx(path)
    if hashlib.sha256(content).hexdigest() != library.manifest.embedder:
        raise InputError(f"{path} was altered; build the library again: facesr-edge references build")
    embed = embed_with(path, threads, content)
    return lambda small: embed(upscale_bicubic(small, bundle.card.io_spec.scale))


def check_leakage(library: Library, faces: Images) -> None:
    """Raise an error if faces of the evaluation are in the library.

    Args:
        library: of reference faces.
        faces: (N, S, S, 3) uint8 BGR, the high-resolution faces of the evaluation.

    Raises:
        UsageError: some of them are in the library.
    """
    hashes = {entry.sha256 for entry in library.manifest.entries}
    leaked = sum(pixel_hash(face) in hashes or pixel_hash(face[:, ::-1]) in hashes for face in faces)
    if leaked:
        raise UsageError(f"{leaked} of {len(faces)} faces are in {library.folder}; give a library of other faces")
