"""What a store holds, as frozen dataclasses: faces, the question for them, and what was deleted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from ...engines.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from ..live.tracks.usability import Usability
    from ..pipeline.results import Face
    from ..provenance.network_use import NetworkUse

Clock = Literal["camera", "host"]
Time = datetime | float | int
"""A moment: a `datetime`, in UTC if it has no time zone, or Unix time in seconds."""
MAX_INTEGER = 2**63 - 1
"""Largest that a database takes."""


@dataclass(frozen=True)
class TrackSpan:
    """The track that a face was chosen from.

    Args:
        number: of the track in its camera.
        first_s, last_s: times of its first and last frame in the source, in seconds.
        frames: in which the face was detected and upscaled.
        ended: whether the track had ended when the face was chosen.
    """

    number: int
    first_s: float
    last_s: float
    frames: int
    ended: bool


@dataclass(frozen=True, eq=False)
class NewFace:
    """A face that is going to be stored.

    Args:
        face: with its pixels.
        usability: of the face.
        time_s: when its frame was taken, in Unix time.
        clock: the clock of `time_s`.
        frame_index: of its frame in the source.
        camera: name; None for a face of a picture.
        source: name of the picture; None for a face of a camera.
        track: None for a face of a picture.
        treatment, reason: how the face was upscaled, and why.
        number: of the face in its run, unique; it names the files.
    """

    face: Face
    usability: Usability
    time_s: float
    clock: Clock
    frame_index: int
    number: int
    camera: str | None = None
    source: str | None = None
    track: TrackSpan | None = None
    treatment: str = "network"
    reason: str = ""


@dataclass(frozen=True)
class StoredFile:
    """A picture of a face.

    Args:
        path: of the PNG file.
        sha256: of its content.
        bytes: its size.
    """

    path: Path
    sha256: str
    bytes: int


@dataclass(frozen=True)
class StoredFace:
    """A face in a store.

    Args:
        id: in the store; ids are not used twice.
        camera: name; None for a face of a picture.
        source: name of the picture; None for a face of a camera.
        time: when its frame was taken, UTC.
        clock: whose clock `time` is: that of the camera or of the host.
        stored: when it was stored by the clock of the host, UTC; retention counts from here.
        frame_index: of its frame in the source.
        track: None for a face of a picture.
        box_xyxy: in frame pixels.
        score: of the detector, 0..1.
        landmarks: five points x, y in frame pixels; None where unknown.
        window_xyxy: window of the crop in frame pixels.
        scale: ratio of the size of the enlarged face to the original.
        consistency_db: see `Face`; None if it is not finite.
        treatment, reason: how it was upscaled, and why.
        usability: verdict and figures.
        uncertainty_mean, uncertainty_p90: of `Face.uncertainty`, in gray levels; None without it.
        original, enlarged: the crop of the frame, and the network's estimate.
        network: that enlarged it; None for bicubic, and if it is not known. Reused pixels are those of an earlier frame
            of the track, which the run's smaller network may have enlarged.
        run: id of the run that stored it.
    """

    id: int
    camera: str | None
    source: str | None
    time: datetime
    clock: Clock
    stored: datetime
    frame_index: int
    track: TrackSpan | None
    box_xyxy: tuple[float, float, float, float]
    score: float
    landmarks: tuple[tuple[float | None, float | None], ...]
    window_xyxy: tuple[int, int, int, int]
    scale: int
    consistency_db: float | None
    treatment: str
    reason: str
    usability: Usability
    uncertainty_mean: float | None
    uncertainty_p90: float | None
    original: StoredFile
    enlarged: StoredFile
    network: NetworkUse | None
    run: int

    def to_dict(self) -> dict[str, Any]:
        """For JSON; times in ISO 8601, paths as text, figures rounded as by `Face.to_dict`."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        rounded = {
            "box_xyxy": [round(value, 2) for value in self.box_xyxy],
            "score": round(self.score, 4),
            "landmarks": [[value if value is None else round(value, 2) for value in point] for point in self.landmarks],
            "window_xyxy": list(self.window_xyxy),
        }
        for name in ("consistency_db", "uncertainty_mean", "uncertainty_p90"):
            rounded[name] = values[name] if values[name] is None else round(values[name], 2)
        return {name: rounded[name] if name in rounded else _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if isinstance(value, (TrackSpan, StoredFile)):
        return {name: str(one) if isinstance(one, Path) else one for name, one in asdict(value).items()}
    return value


@dataclass(frozen=True)
class FaceFilter:
    """Which faces are asked for; what is None does not count.

    Args:
        camera: exact name.
        source: exact name of the picture: its absolute path or its URL for those that `run` and `batch` store.
        since, until: bounds of `StoredFace.time`, the first included, the second not.
        min_side: longer side of the box, in pixels, at least.
        verdict: of the usability.
        ids: of the faces.

    Raises:
        UsageError: a bound that is not finite, `since` after `until`, or an id below 1 or above `MAX_INTEGER`.
        UnknownNameError: no such verdict.
    """

    camera: str | None = None
    source: str | None = None
    since: Time | None = None
    until: Time | None = None
    min_side: float | None = None
    verdict: str | None = None
    ids: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        from ..live.tracks.usability import UsabilityVerdict

        if self.verdict is not None and self.verdict not in get_args(UsabilityVerdict):
            raise UnknownNameError("verdict", self.verdict, get_args(UsabilityVerdict))
        for name, value in (("since", self.since_s), ("until", self.until_s), ("min_side", self.min_side)):
            if value is not None and not math.isfinite(value):
                raise UsageError(f"expected a finite {name}, got {value}")
        for one in self.ids or ():
            check_integer("id", one)
        if self.since_s is not None and self.until_s is not None and self.since_s > self.until_s:
            raise UsageError(f"since ({self.since}) is after until ({self.until}); exchange them")

    @property
    def since_s(self) -> float | None:
        """Unix time."""
        return None if self.since is None else unix_s(self.since)

    @property
    def until_s(self) -> float | None:
        """Unix time."""
        return None if self.until is None else unix_s(self.until)


@dataclass(frozen=True)
class Deletion:
    """Faces that were deleted together, without anything that identifies a person.

    Args:
        time: of the deletion, UTC.
        reason: why, e.g. "older than 30 days".
        camera: None for faces of pictures.
        faces, bytes: how many, and the size of their pictures.
        first_id, last_id: smallest and largest id.
        oldest, newest: `StoredFace.time` of the faces, UTC.
        done: whether all their pictures are removed.
    """

    time: datetime
    reason: str
    camera: str | None
    faces: int
    bytes: int
    first_id: int
    last_id: int
    oldest: datetime
    newest: datetime
    done: bool

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: _plain(value) for name, value in asdict(self).items()}


@dataclass(frozen=True)
class StoreStatistics:
    """Size of a store.

    Args:
        faces, cameras, runs: numbers of rows.
        bytes: of the pictures.
        oldest, newest: `StoredFace.time`, UTC; None in an empty store.
        schema_version: of the database.
    """

    faces: int
    cameras: int
    runs: int
    bytes: int
    oldest: datetime | None
    newest: datetime | None
    schema_version: int

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: _plain(value) for name, value in asdict(self).items()}


@dataclass(frozen=True)
class StoreCheck:
    """What a check found; all lists are empty in a store without faults.

    Args:
        faces: that were checked.
        missing: pictures of rows, which are not there.
        changed: pictures whose size, or hash if it was computed, differs from the row.
        orphans: files in the folder of pictures that no row names; those being written are not counted.
        damage: what the database itself reports.
        repaired: whether orphans, and rows with a missing picture, were removed.
    """

    faces: int
    missing: tuple[Path, ...] = ()
    changed: tuple[Path, ...] = ()
    orphans: tuple[Path, ...] = ()
    damage: tuple[str, ...] = ()
    repaired: bool = False

    @property
    def faultless(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.missing or self.changed or self.orphans or self.damage)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        paths = {name: [str(one) for one in getattr(self, name)] for name in ("missing", "changed", "orphans")}
        return {"faces": self.faces, **paths, "damage": list(self.damage), "repaired": self.repaired}


def check_integer(name: str, value: int) -> None:
    """Raise UsageError if a limit or an id is below 1 or above `MAX_INTEGER`."""
    if not 1 <= value <= MAX_INTEGER:
        raise UsageError(f"expected {'an' if name == 'id' else 'a'} {name} of at least 1 and below 2⁶³, got {value}")


def unix_s(time: Time) -> float:
    """Unix time of a moment."""
    if isinstance(time, datetime):
        return (time if time.tzinfo else time.replace(tzinfo=timezone.utc)).timestamp()
    return float(time)


def utc(time_s: float) -> datetime:
    """A moment of a store; the clock of a camera may be wrong by any amount: years above 9999 are its last moment."""
    try:
        return datetime.fromtimestamp(time_s, timezone.utc)
    except (OverflowError, ValueError, OSError):
        edge = datetime.max if time_s > 0 else datetime.min
        return edge.replace(tzinfo=timezone.utc)


def storable(text: str) -> str:
    """A text that every database takes: no null character, and nothing that UTF-8 cannot encode."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")


def plain_about(about: Mapping[str, Any]) -> dict[str, Any]:
    """Facts of a run for JSON."""
    return {name: value if isinstance(value, (str, int, float, bool)) else str(value) for name, value in about.items()}
