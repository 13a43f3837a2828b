"""What an evidence card states: a source, its faces with their figures, and what was left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..live.tracks.usability import Usability
from ..multiframe.held_out import HeldOutGain
from ..pipeline.results import Face, number
from ..provenance.network_use import NetworkUse

SEVERAL_FRAMES = "several frames"
"""Treatment of a face that the multi-frame network made from crops of several frames."""
SourceKind = Literal["picture", "video", "camera"]
Clock = Literal["camera", "host"]


@dataclass(frozen=True)
class CardSource:
    """Where the faces of a card come from.

    Args:
        name: of the file or the camera, without credentials; any text.
        kind: of the source.
        sha256: of the file; None if it is no file.
        size_bytes: of the file; None if it is no file.
        modified_s: Unix time of the last change of the file; None if it is no file.
        details: what the file or the camera states about itself, by its name, e.g. the capture time of EXIF; any text.
        note: why there is no hash, or what is wrong with it; "" otherwise.
    """

    name: str
    kind: SourceKind
    sha256: str | None = None
    size_bytes: int | None = None
    modified_s: float | None = None
    details: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "kind": self.kind,
            "sha256": self.sha256,
            "bytes": self.size_bytes,
            "modified": None if self.modified_s is None else utc(self.modified_s),
            "details": dict(self.details),
            "note": self.note,
        }


@dataclass(frozen=True, eq=False)
class FrameView:
    """A frame of the source, reduced, to show where its faces are.

    Args:
        index: of the frame in its source.
        pixels: (h, w, 3) uint8 BGR, reduced; nothing is drawn on it.
        frame_wh: width and height of the frame itself, pixels.
    """

    index: int
    pixels: NDArray[np.uint8]
    frame_wh: tuple[int, int]

    @property
    def ratio(self) -> float:
        """Width of the view, relative to that of the frame."""
        return float(self.pixels.shape[1] / self.frame_wh[0])


@dataclass(frozen=True)
class FrameTime:
    """The frame that a face is from, and when it was taken.

    Args:
        index: of the frame in its source, from 0.
        time_s: presentation time in the source, seconds; None for a picture.
        pts: presentation timestamp of a video, in units of `time_base`; None if unknown.
        time_base: seconds per unit of `pts`.
        unix_s: Unix time at which it was taken; None if unknown.
        clock: which clock `unix_s` is from; None if it is unknown.
        damaged: whether the decoder concealed damage in it.
    """

    index: int
    time_s: float | None = None
    pts: int | None = None
    time_base: Fraction | None = None
    unix_s: float | None = None
    clock: Clock | None = None
    damaged: bool = False

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "index": self.index,
            "time_s": None if self.time_s is None else number(self.time_s, 6),
            "pts": self.pts,
            "time_base": None if self.time_base is None else str(self.time_base),
            "time": None if self.unix_s is None else utc(self.unix_s),
            "clock": self.clock,
            "damaged": self.damaged,
        }


@dataclass(frozen=True)
class TrackSpan:
    """The track that a face stands for.

    Args:
        id: of the track in its source.
        first_s, last_s: times of the first and the last frame with the face, seconds.
        frames: number of frames in which it was detected.
        ended: whether the track has ended; else the source has.
    """

    id: int
    first_s: float
    last_s: float
    frames: int
    ended: bool

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "id": self.id,
            "first_s": number(self.first_s, 3),
            "last_s": number(self.last_s, 3),
            "frames": self.frames,
            "ended": self.ended,
        }


@dataclass(frozen=True, eq=False)
class EvidenceItem:
    """One face of a card.

    Args:
        face: with its pixels.
        usability: whether it is good enough to be compared, with the figures.
        frame: that the face is from; the only one that its pixels depend on, unless the treatment is "reused" or
            `SEVERAL_FRAMES`.
        track: None for a picture.
        treatment: how the face was upscaled, see `sdk.live.results.Treatment`; or `SEVERAL_FRAMES`.
        reason: for the treatment, in words; "" if there was no choice.
        gain: of several frames over one in this track, measured on frames that the faces were not made from; None if
            it was not measured.
    """

    face: Face
    usability: Usability
    frame: FrameTime
    track: TrackSpan | None = None
    treatment: str = "network"
    reason: str = ""
    gain: HeldOutGain | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON, without pixels."""
        return {
            "frame": self.frame.to_dict(),
            "frames_used": [*self.face.earlier_frames, self.frame.index],
            "earlier_frame_used": self.treatment in ("reused", SEVERAL_FRAMES),
            "track": self.track and self.track.to_dict(),
            "treatment": self.treatment,
            "reason": self.reason,
            "gain_of_several_frames": self.gain and self.gain.to_dict(),
            **Face.to_dict(self.face),
            "usability": self.usability.to_dict(),
        }


@dataclass(frozen=True)
class LeftOut:
    """Faces that were detected and are not on the card.

    Args:
        reason: in words.
        count: number of faces or tracks.
        boxes_xyxy: where they are, in frame pixels; empty if there are too many to be listed.
    """

    reason: str
    count: int
    boxes_xyxy: tuple[tuple[float, ...], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"reason": self.reason, "count": self.count, "boxes_xyxy": [list(box) for box in self.boxes_xyxy]}


@dataclass(frozen=True, eq=False)
class Card:
    """An evidence card.

    Args:
        source: of the faces.
        networks: treatment -> the network that makes its pixels; empty if it is not known.
        items: faces, in the order of their numbers, which begin with 1.
        created_s: Unix time.
        frames: number of frames that were processed.
        views: of the frames with the faces, as far as they are known.
        left_out: what was detected and is not on the card.
        notes: what else limits the card, one line each.
        icc: ICC profile of the source's pixels, which the pictures of the card get; b"" for none.
    """

    source: CardSource
    networks: Mapping[str, NetworkUse]
    items: tuple[EvidenceItem, ...]
    created_s: float
    frames: int = 1
    views: tuple[FrameView, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()
    icc: bytes = b""


def utc(unix_s: float) -> str:
    """Unix time as UTC to the millisecond, e.g. "2026-11-29T17:30:00.250Z"; in seconds if no calendar has it, since a
    camera's clock may tell anything."""
    try:
        text = datetime.fromtimestamp(unix_s, timezone.utc).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return f"{unix_s:.3f} s since 1970-01-01"
    return text.replace("+00:00", "Z")
