"""What a signature says about the faces of an output: windows, figures, and hashes of their pixels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engines.errors import InputError
from ..pipeline.chunks import CHUNK_FRAMES
from ..pipeline.results import Face, FrameResult, number
from .network_use import NetworkUse
from .statement import STATEMENT

LABEL = "org.facesr-edge.faces"
"""Of the assertion in the manifest."""
ONE_FRAME, SEVERAL_FRAMES = 1, 2
"""Formats of an assertion: the second is that of a pipeline that makes faces from several frames, whose settings and
face records have more fields."""
_SIDES = ("left", "top", "right", "bottom")


def pixels_sha256(pixels: NDArray[Any]) -> str:
    """SHA-256 of an array's values in C order, in hexadecimal."""
    return hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest()


@dataclass(frozen=True)
class FaceRecord:
    """One upscaled face.

    Args:
        box_xyxy: in frame pixels.
        score: of the detector.
        window_xyxy: of the crop, in frame pixels.
        scale: of the network.
        consistency_db: see `Face`; None if it is not finite.
        original_sha256: of the camera's pixels, (S, S, 3) uint8 BGR.
        pixels_sha256: of the network's, (k·S, k·S, 3) uint8 BGR.
        frames: number of frames that it is made from.
    """

    box_xyxy: tuple[float | None, ...]
    score: float | None
    window_xyxy: tuple[int, ...]
    scale: int
    consistency_db: float | None
    original_sha256: str
    pixels_sha256: str
    frames: int = 1

    @staticmethod
    def of(face: Face) -> FaceRecord:
        """That of a face."""
        return FaceRecord(
            tuple(number(value, 2) for value in face.box_xyxy),
            number(face.score, 4),
            tuple(int(value) for value in face.window_xyxy),
            face.scale,
            number(face.consistency_db, 2),
            pixels_sha256(face.original),
            pixels_sha256(face.pixels),
            face.frames,
        )

    def to_dict(self) -> dict[str, Any]:
        """For the manifest; without `frames` if it is 1, as in `ONE_FRAME`."""
        data = asdict(self)
        if self.frames == 1:
            del data["frames"]
        return data


@dataclass(frozen=True)
class FrameRecord:
    """A picture.

    Args:
        index: of its frame in the original, from 0.
        composite_sha256: of the composite before it was encoded, (H, W, 3) uint8 BGR.
        faces: best detection first.
    """

    index: int
    composite_sha256: str
    faces: tuple[FaceRecord, ...]

    @staticmethod
    def of(result: FrameResult, index: int) -> FrameRecord:
        """That of the result of one frame, with a composite."""
        composite = "" if result.frame is None else pixels_sha256(result.frame)
        return FrameRecord(index, composite, tuple(FaceRecord.of(face) for face in result.faces))


@dataclass(frozen=True)
class ChunkRecord:
    """Consecutive frames of a video, at most `CHUNK_FRAMES`.

    Args:
        first: index of the first frame.
        frames: number of frames.
        faces: number of their upscaled faces.
        sha256: of the records of all these faces, see `Chunks`.
    """

    first: int
    frames: int
    faces: int
    sha256: str


class Chunks:
    """Records of the chunks of a video; memory does not grow with its faces."""

    def __init__(self) -> None:
        self._done: list[ChunkRecord] = []
        self._hash = hashlib.sha256()
        self._first = self._frames = self._faces = 0

    def add(self, result: FrameResult, index: int) -> None:
        """Add the next frame."""
        if self._frames == CHUNK_FRAMES:
            self._end()
        if self._frames == 0:
            self._first = index
        records = [FaceRecord.of(face).to_dict() for face in result.faces]
        self._hash.update(json.dumps([index, records], sort_keys=True).encode())
        self._frames, self._faces = self._frames + 1, self._faces + len(records)

    def _end(self) -> None:
        if self._frames:
            self._done.append(ChunkRecord(self._first, self._frames, self._faces, self._hash.hexdigest()))
        self._hash = hashlib.sha256()
        self._first = self._frames = self._faces = 0

    def finish(self) -> tuple[ChunkRecord, ...]:
        """All chunks; the last one may be shorter."""
        self._end()
        return tuple(self._done)


@dataclass(frozen=True)
class Original:
    """The file that an output was made of.

    Args:
        name: without folders.
        bytes: its size.
        sha256: of the file, in hexadecimal.
    """

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class FacesAssertion:
    """All that a signature says about the faces of a file.

    Args:
        network: that made the pixels.
        settings: of the pipeline, see `settings_of`.
        original: None for a live source, or for several files.
        complete: the source was processed to its end.
        frame: of a file of one picture.
        chunks: of a video, an animation or pages.
    """

    network: NetworkUse
    settings: Mapping[str, Any]
    original: Original | None
    complete: bool = True
    frame: FrameRecord | None = None
    chunks: tuple[ChunkRecord, ...] = field(default=())

    @property
    def format(self) -> int:
        """Of the assertion."""
        return SEVERAL_FRAMES if "frames" in self.settings else ONE_FRAME

    @property
    def faces(self) -> int:
        """Number of upscaled faces, in all frames."""
        return len(self.frame.faces) if self.frame else sum(chunk.faces for chunk in self.chunks)

    @property
    def frames(self) -> int:
        """Number of frames."""
        return 1 if self.frame else sum(chunk.frames for chunk in self.chunks)

    def to_dict(self) -> dict[str, Any]:
        """For the manifest."""
        data = {"format": self.format, "statement": STATEMENT, **asdict(self)}
        if self.frame:
            data["frame"]["faces"] = [face.to_dict() for face in self.frame.faces]
        for face in data["frame"]["faces"] if data["frame"] else ():
            for name in ("box_xyxy", "window_xyxy"):  # readers of C2PA take a list of small integers for bytes
                face[name] = dict(zip(_SIDES, face[name], strict=True))
        return data

    @staticmethod
    def from_dict(data: Any) -> FacesAssertion:
        """Read what `to_dict` gives.

        Raises:
            InputError: it is of another form.
        """
        try:
            if data["format"] not in (ONE_FRAME, SEVERAL_FRAMES):
                raise InputError(f"the signature has faces in format {data['format']}; use a newer facesr-edge")
            original, frame = data["original"], data["frame"]
            chunks = tuple(ChunkRecord(**_typed(ChunkRecord, chunk)) for chunk in data["chunks"])
            return FacesAssertion(
                NetworkUse(**_typed(NetworkUse, data["network"])),
                dict(data["settings"]),
                None if original is None else Original(**_typed(Original, original)),
                bool(data["complete"]),
                None if frame is None else _frame(frame),
                chunks,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"the faces in the signature are not in the form of facesr-edge ({error!r})") from error


_TYPES = {"int": int, "str": str}


def _typed(kind: type, data: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a dataclass of integers and texts, checked."""
    fields = {name: _TYPES[str(annotation)] for name, annotation in kind.__annotations__.items()}
    for name, expected in fields.items():
        if type(data[name]) is not expected:
            raise TypeError(f"{name} is {type(data[name]).__name__}")
    return {name: data[name] for name in fields}


def _frame(data: Mapping[str, Any]) -> FrameRecord:
    faces = tuple(
        FaceRecord(
            tuple(_decimal(face["box_xyxy"][side], 2) for side in _SIDES),
            _decimal(face["score"], 4),
            tuple(int(face["window_xyxy"][side]) for side in _SIDES),
            int(face["scale"]),
            _decimal(face["consistency_db"], 2),
            str(face["original_sha256"]),
            str(face["pixels_sha256"]),
            int(face.get("frames", 1)),
        )
        for face in data["faces"]
    )
    return FrameRecord(int(data["index"]), str(data["composite_sha256"]), faces)


def _decimal(value: Any, digits: int) -> float | None:
    """A number as it was written, whatever CBOR made of it."""
    return None if value is None else number(float(value), digits)


def without_figures(record: FaceRecord) -> FaceRecord:
    """What must be the same on every machine: the window and the camera's pixels."""
    return replace(record, box_xyxy=(), score=None, consistency_db=None, pixels_sha256="", frames=1)
