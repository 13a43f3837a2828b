"""Export of the figures of faces to Parquet, CSV and JSON lines; memory does not grow with their number."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ...engines.errors import MissingDependencyError, OutputError, UsageError
from ...engines.files import atomic_file
from ..media.reasons import write_error

if TYPE_CHECKING:
    from .records import StoredFace

PART = 10_000
"""Faces of a row group of Parquet."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""First characters of a text that spreadsheets would run."""
COLUMNS = {
    "id": "int64",
    "camera": "string",
    "source": "string",
    "time": "time",
    "clock": "string",
    "stored": "time",
    "frame_index": "int64",
    "track": "int64",
    "track_first_s": "float64",
    "track_last_s": "float64",
    "track_frames": "int64",
    "track_ended": "bool",
    "x0": "float64",
    "y0": "float64",
    "x1": "float64",
    "y1": "float64",
    "score": "float64",
    "scale": "int64",
    "consistency_db": "float64",
    "treatment": "string",
    "reason": "string",
    "verdict": "string",
    "side_px": "float64",
    "sharpness": "float64",
    "brightness": "float64",
    "yaw_deg": "float64",
    "usability_score": "float64",
    "uncertainty_mean": "float64",
    "uncertainty_p90": "float64",
    "original": "string",
    "original_sha256": "string",
    "enlarged": "string",
    "enlarged_sha256": "string",
    "model": "string",
    "model_fingerprint": "string",
    "precision": "string",
    "engine": "string",
    "run": "int64",
}
"""Name → type of each column."""


def columns_of(face: StoredFace) -> dict[str, Any]:
    """A face as one flat row, see `COLUMNS`; what is not known is None."""
    track, quality, network = face.track, face.usability, face.network
    names = ("id", "camera", "source", "time", "clock", "stored", "frame_index", "score", "scale", "consistency_db")
    same = (*names, "treatment", "reason", "uncertainty_mean", "uncertainty_p90", "run")
    row = {name: getattr(face, name) for name in same}
    row |= dict(zip(("x0", "y0", "x1", "y1"), face.box_xyxy, strict=True))
    row |= {"track": track and track.number, "track_first_s": track and track.first_s}
    row |= {"track_last_s": track and track.last_s, "track_frames": track and track.frames}
    row |= {"track_ended": track and track.ended}
    row |= {name: getattr(quality, name) for name in ("verdict", "side_px", "sharpness", "brightness")}
    row |= {"yaw_deg": quality.yaw_deg if math.isfinite(quality.yaw_deg) else None, "usability_score": quality.score}
    for kind, file in (("original", face.original), ("enlarged", face.enlarged)):
        row |= {kind: str(file.path), f"{kind}_sha256": file.sha256}
    row |= {"model": network and network.name, "model_fingerprint": network and network.fingerprint}
    row |= {"precision": network and network.precision, "engine": network and network.engine}
    return {name: row[name] for name in COLUMNS}


def check_suffix(path: Path) -> None:
    """Raises UsageError unless the file can be exported to."""
    if path.suffix.lower() not in WRITERS:
        raise UsageError(f"expected a file that ends in {', '.join(WRITERS)}, got {path}")


def export_faces(faces: Iterable[StoredFace], path: Path, report: Callable[[int], object] = lambda done: None) -> int:
    """Write faces to a file that appears complete or not at all.

    Args:
        faces: to write.
        path: ends in .parquet, .csv or .jsonl.
        report: gets the number of faces so far.

    Returns:
        Number of faces.

    Raises:
        UsageError: another suffix.
        MissingDependencyError: PyArrow, for Parquet, is not installed.
        OutputError: the file cannot be written.
    """
    check_suffix(path)
    count = 0

    def rows() -> Iterator[list[dict[str, Any]]]:
        nonlocal count
        rest = iter(faces)
        while some := [columns_of(face) for face in islice(rest, PART)]:
            yield some
            count += len(some)
            report(count)

    try:
        with atomic_file(path) as file:
            WRITERS[path.suffix.lower()](file, rows())
    except OSError as error:
        raise OutputError(write_error(path, error)) from error
    return count


def _write_parquet(file: IO[bytes], rows: Iterator[list[dict[str, Any]]]) -> None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingDependencyError("pyarrow", "store", "export to Parquet") from None
    types = {"time": pyarrow.timestamp("us", tz="UTC"), "string": pyarrow.string(), "bool": pyarrow.bool_()}
    types |= {"int64": pyarrow.int64(), "float64": pyarrow.float64()}
    schema = pyarrow.schema([(name, types[kind]) for name, kind in COLUMNS.items()])
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for some in rows:
            writer.write_table(pyarrow.Table.from_pylist(some, schema=schema))


def _write_csv(file: IO[bytes], rows: Iterator[list[dict[str, Any]]]) -> None:
    text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
    writer = csv.DictWriter(text, list(COLUMNS))
    writer.writeheader()
    for some in rows:
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in some)
    text.detach()


def _cell(value: Any) -> Any:
    """A value as a spreadsheet may see it: names of cameras and files come from outside."""
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return value.isoformat() if hasattr(value, "isoformat") else value


def _write_json_lines(file: IO[bytes], rows: Iterator[list[dict[str, Any]]]) -> None:
    for some in rows:
        for row in some:
            plain = {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in row.items()}
            file.write(json.dumps(plain, allow_nan=False).encode() + b"\n")


WRITERS: dict[str, Callable[[IO[bytes], Iterator[list[dict[str, Any]]]], None]] = {
    ".parquet": _write_parquet,
    ".csv": _write_csv,
    ".jsonl": _write_json_lines,
}
"""Suffix → writer."""
