"""From the bytes of a picture to the answer: decode, detect, upscale, judge, encode."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ....engines.postprocess import Detections
from ...live.tracks.usability import usability
from ...pipeline.crop import Window, crops_of, windows_for
from ...pipeline.detect import Detector
from ...pipeline.frame import ImageMetadata
from ...pipeline.results import Face, number
from ...pipeline.upscale import faces_from
from ...provenance.network_use import NetworkUse
from ...provenance.statement import DIGITAL_SOURCE_TYPE, STATEMENT
from .face_picture import FILE_FORMATS, FaceMetadata, face_metadata, picture_file
from .picture import open_picture
from .problem import Problem

if TYPE_CHECKING:
    from ...pipeline.pipeline import Pipeline
    from .limits import Limits
    from .schema import FaceOptions


@dataclass(frozen=True)
class Answer:
    """The response to a picture.

    Args:
        content: of the body.
        media_type: of the content.
        verdicts: on the usability of each face.
        timings_s: stage -> seconds.
    """

    content: bytes
    media_type: str
    verdicts: tuple[str, ...]
    timings_s: dict[str, float]


@dataclass(frozen=True)
class _File:
    """An encoded picture of a face."""

    name: str
    media_type: str
    content: bytes


class _Timings(dict[str, float]):
    """Stage -> seconds."""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self[name] = time.perf_counter() - start


def answer(data: bytes, options: FaceOptions, pipeline: Pipeline, limits: Limits, waited_s: float = 0.0) -> Answer:
    """Upscale the faces of a picture.

    Args:
        data: the picture's file.
        options: of the request.
        pipeline: its networks are used; its composite is not made.
        limits: of the service.
        waited_s: seconds that the request waited, for the timings.

    Raises:
        Problem: the picture cannot be read, or exceeds a limit.
        EngineError: the engine failed.
    """
    timings = _Timings(wait=waited_s)
    with timings.stage("decode"):
        frame, notes = open_picture(data, limits)
    with timings.stage("detect"):
        detections = _detect(frame.pixels, options, pipeline.detector, limits)
    with timings.stage("upscale"):
        faces, too_large, left_out = _upscale(frame.pixels, detections, pipeline, _max_faces(options, limits))
    files: list[_File] = []
    metadata = face_metadata(frame.metadata or ImageMetadata())
    with timings.stage("encode"):
        listed = [_face(n, face, options, metadata, files) for n, face in enumerate(faces)]
    document = {
        "size_wh": [frame.pixels.shape[1], frame.pixels.shape[0]],
        "faces": listed,
        "too_large": [[number(value, 2) for value in box] for box in too_large.boxes_xyxy],
        "left_out": left_out,
        "notes": [*notes, *metadata.notes],
        "network": NetworkUse.of(pipeline).to_dict(),
        "statement": STATEMENT,
        "digital_source_type": DIGITAL_SOURCE_TYPE,
        "timings_ms": {name: round(1e3 * seconds, 3) for name, seconds in timings.items()},
    }
    verdicts = tuple(face["usability"]["verdict"] for face in listed)
    text = json.dumps(document, allow_nan=False).encode()
    if options.pictures.value != "parts":
        return Answer(text, "application/json", verdicts, dict(timings))
    content, media_type = _mixed([_File("answer", "application/json", text), *files])
    return Answer(content, media_type, verdicts, dict(timings))


def _max_faces(options: FaceOptions, limits: Limits) -> int:
    return limits.max_faces if options.max_faces is None else min(options.max_faces, limits.max_faces)


def _detect(pixels: NDArray[np.uint8], options: FaceOptions, detector: Detector, limits: Limits) -> Detections:
    height, width = pixels.shape[:2]
    min_face = detector.min_face if options.min_face is None else options.min_face
    needed = detector.plan(width, height, min_face).megapixels
    if needed > limits.max_detector_megapixels:
        raise Problem(
            413,
            f"faces from {min_face:g} px in {width}x{height} pixels need {needed:.0f} megapixels of detection, the "
            f"limit is {limits.max_detector_megapixels:g}; raise min_face or send a smaller picture",
        )
    return detector.detect(pixels, min_face=min_face, score=options.score)


def _upscale(
    pixels: NDArray[np.uint8], detections: Detections, pipeline: Pipeline, max_faces: int
) -> tuple[tuple[Face, ...], Detections, int]:
    """The best faces upscaled, those that are too large, and the number of those that are left out."""
    session = pipeline.session
    windows, too_large = windows_for(detections, pixels.shape, session.io_spec.crop_sizes)
    chosen = dict(islice(windows.items(), max_faces))
    crops = crops_of(pixels, chosen)
    upscaled = session.infer_batches([batch.pixels for batch in crops]) if crops else []
    faces = faces_from(zip(crops, upscaled, strict=True), detections)
    return faces, detections[too_large], len(windows) - len(chosen)


def _face(n: int, face: Face, options: FaceOptions, metadata: FaceMetadata, files: list[_File]) -> dict[str, Any]:
    """A face for JSON; adds its pictures to the files."""
    left, top, right, _ = face.window_xyxy
    window = Window(left, top, right - left)
    judged = usability(face.original, face.box_xyxy, face.landmarks, window, face.score)
    listed: dict[str, Any] = {**face.to_dict(), "usability": judged.to_dict()}
    del listed["frames"]  # a picture has one
    if options.pictures.value == "none":
        return listed
    listed["pixels"] = _picture(f"face-{n}", face.pixels, options, metadata.estimate, files)
    if options.originals:
        listed["original"] = _picture(f"original-{n}", face.original, options, metadata.original, files)
    return listed


def _picture(
    name: str, pixels: NDArray[np.uint8], options: FaceOptions, metadata: ImageMetadata, files: list[_File]
) -> dict[str, Any]:
    target = FILE_FORMATS[options.format.value]
    content = picture_file(pixels, metadata, target.name, options.quality)
    listed: dict[str, Any] = {
        "media_type": target.media_type,
        "width": pixels.shape[1],
        "height": pixels.shape[0],
        "sha256": hashlib.sha256(pixels.tobytes()).hexdigest(),
    }
    if options.pictures.value == "parts":
        files.append(_File(name, target.media_type, content))
        return {**listed, "content_id": name}
    return {**listed, "data": base64.b64encode(content).decode("ascii")}


def _mixed(files: list[_File]) -> tuple[bytes, str]:
    """A body of several parts, and its media type."""
    boundary = secrets.token_hex(16)
    parts = [
        f"--{boundary}\r\nContent-Type: {file.media_type}\r\nContent-ID: <{file.name}>\r\n"
        f"Content-Length: {len(file.content)}\r\n\r\n".encode()
        + file.content
        + b"\r\n"
        for file in files
    ]
    return b"".join([*parts, f"--{boundary}--\r\n".encode()]), f"multipart/mixed; boundary={boundary}"
