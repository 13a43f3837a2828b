"""``facesr-edge store``: find, show, export, delete and check the faces of a store."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ...engines.errors import FacesrError, UsageError, one_line
from ..media.reasons import plural
from .console import note, progress, put_json, results, show
from .options import STDOUT, Command, json_option, path_option

if TYPE_CHECKING:
    from ..store.records import FaceFilter, StoreCheck, StoredFace
    from ..store.store import Store

F = TypeVar("F", bound=Callable[..., Any])
VERDICTS = ("ok", "too small", "too dark", "too blurred", "profile")
_UNITS = {"m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_MAX_LISTED = 20
_NUMBER = click.IntRange(min=1, max=2**63 - 1)  # what a database takes


def _duration_s(text: str) -> float | None:
    """Seconds of "30d", "12h", "90m" or "2w"; None for another form."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([mhdw])", text.strip())
    return None if found is None else float(found[1]) * _UNITS[found[2]]


def _time(ctx: click.Context, option: click.Parameter, value: str | None) -> datetime | None:
    """A moment: ISO 8601, in UTC if it has no offset, or how long ago."""
    if value is None:
        return None
    seconds = _duration_s(value)
    try:
        if seconds is not None:
            return datetime.fromtimestamp(time.time() - seconds, timezone.utc)
        found = datetime.fromisoformat(value.replace("Z", "+00:00"))
    except (ValueError, OverflowError, OSError):
        raise click.BadParameter(
            f"expected a time such as 2026-11-29, 2026-11-29T17:30+01:00, or 12h and 30d for how long ago, got {value}"
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


def _age_days(ctx: click.Context, option: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    seconds = _duration_s(value)
    if not seconds or not math.isfinite(seconds):
        raise click.BadParameter(f"expected a duration such as 30d, 12h or 90m, got {value}")
    return seconds / _UNITS["d"]


def filter_options(function: F) -> F:
    """Options of a `FaceFilter`."""
    for one in (
        click.option("--verdict", type=click.Choice(VERDICTS), help="Usability."),
        click.option("--min-side", type=click.FloatRange(min=0), metavar="PX", help="Faces of at least this size."),
        click.option("--until", metavar="TIME", callback=_time, help="Taken before this time."),
        click.option("--since", metavar="TIME", callback=_time, help="Taken at or after this time (UTC), or 12h, 30d."),
        click.option("--source", metavar="FILE", help="Picture: its absolute path, or its URL."),
        click.option("--camera", metavar="NAME", help="Name of a camera."),
    ):
        function = one(function)
    return function


def _filter(options: dict[str, Any], **more: Any) -> FaceFilter:
    from ..store.records import FaceFilter

    names = ("camera", "source", "since", "until", "min_side", "verdict")
    return FaceFilter(**{name: options.get(name) for name in names}, **more)


def _open(address: str) -> Store:
    from ..store.open import open_store

    return open_store(address, create=False)


@click.group("store", short_help="Find, show, export, delete and check the faces of a store.")
def command() -> None:
    """Find, show, export, delete and check faces that `live -o store:DIR` and `run --store DIR` have stored.

    STORE is a folder, or postgresql://user@host/name?pictures=DIR.
    """


@command.command("find", cls=Command, short_help="List the newest faces.")
@click.argument("address", metavar="STORE")
@filter_options
@click.option("--limit", type=_NUMBER, default=20, show_default=True, metavar="N", help="At most N faces.")
@json_option("The faces")
def find(address: str, limit: int, json_file: str | None, **options: Any) -> None:
    """List the newest faces that fulfil all conditions.

    \b
    Examples:
      facesr-edge store find faces --camera door --since 12h --verdict ok
      facesr-edge store find faces --min-side 64 --since 2026-11-01 --until 2026-12-01 --json found.json
    """
    with _open(address) as store:
        query = _filter(options)
        found = store.faces(**{name: options[name] for name in options}, limit=limit)
        total = store.count(query) if len(found) == limit else len(found)
    if json_file is not None:
        put_json([face.to_dict() for face in found], json_file)
    if json_file == STDOUT:
        return
    if found:
        results().print(_table(found))
    show(f"{len(found)} of {plural(total, 'face')}" if total != len(found) else plural(total, "face"))


def _table(found: list[StoredFace]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in (
        "id",
        "time (UTC)",
        "camera or picture",
        "track",
        "side",
        "verdict",
        "score",
        "consistency",
        "treatment",
    ):
        table.add_column(name, justify="right" if name in ("id", "track", "side", "score", "consistency") else "left")
    for face in found:
        consistency = "" if face.consistency_db is None else f"{face.consistency_db:.1f} dB"
        cells = (
            *(str(face.id), face.time.strftime("%Y-%m-%d %H:%M:%S"), one_line(face.camera or face.source or "")),
            str(face.track.number) if face.track else "",
            *(f"{face.usability.side_px:.0f} px", face.usability.verdict, f"{face.usability.score:.2f}"),
            *(consistency, face.treatment),
        )
        table.add_row(*map(Text, cells))  # none of which is rich's markup
    return table


@command.command("show", cls=Command, short_help="Show all figures of a face, or of the store.")
@click.argument("address", metavar="STORE")
@click.argument("face", metavar="[ID]", type=int, required=False)
@json_option("The figures")
def show_face(address: str, face: int | None, json_file: str | None) -> None:
    """Show all figures of a face and the paths of its pictures; without ID the size of the store and its deletions."""
    with _open(address) as store:
        if face is not None:
            document: dict[str, Any] = store.face(face).to_dict()
        else:
            log = [deletion.to_dict() for deletion in store.deletions(_MAX_LISTED)]
            document = {**store.statistics().to_dict(), "names": store.cameras(), "deletions": log}
    if json_file is not None:
        put_json(document, json_file)
    if json_file != STDOUT:
        for name, value in _lines(document):
            show(f"{name}: {value}")


def _lines(document: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    for name, value in document.items():
        if isinstance(value, dict):
            lines += _lines(value, f"{prefix}{name}.")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for one in value:
                lines.append((f"{prefix}{name}", ", ".join(f"{key} {item}" for key, item in one.items())))
        elif value not in (None, []):
            lines.append((f"{prefix}{name}", ", ".join(map(str, value)) if isinstance(value, list) else str(value)))
    return lines


@command.command("export", cls=Command, short_help="Write the figures of faces to Parquet, CSV or JSON lines.")
@click.argument("address", metavar="STORE")
@path_option("-o", "--output", metavar="FILE", required=True, help="File that ends in .parquet, .csv or .jsonl.")
@filter_options
def export(address: str, output: Path, **options: Any) -> None:
    """Write the figures of all faces that fulfil all conditions, oldest id first, with the paths of their pictures.

    \b
    Example:
      facesr-edge store export faces -o faces.parquet --since 30d
    """
    from ..store.export import check_suffix, export_faces

    check_suffix(output)
    query = _filter(options)
    with _open(address) as store, progress("faces") as bar:
        task = bar.add_task(output.name, total=store.count(query))
        count = export_faces(store.each(query), output, report=lambda done: bar.update(task, completed=done))
    show(f"{plural(count, 'face')} → {output}")


@command.command("prune", cls=Command, short_help="Delete faces, with their pictures, by age, size or condition.")
@click.argument("address", metavar="STORE")
@click.option("--older-than", "days", metavar="AGE", callback=_age_days, help="Stored longer ago than AGE, e.g. 30d.")
@click.option(
    *("--max-gb", "max_gb"),
    type=click.FloatRange(min=0, min_open=True),
    metavar="GB",
    help="The oldest, until the pictures of all have at most GB (10⁹ bytes).",
)
@click.option("--face", "ids", type=_NUMBER, metavar="ID", multiple=True, help="This face; repeatable.")
@filter_options
@click.option("--reason", metavar="TEXT", help="For the log of deletions.  [asked for on the command line]")
@click.option("--dry-run", is_flag=True, help="Count, and delete nothing.")
def prune(
    address: str,
    days: float | None,
    max_gb: float | None,
    ids: tuple[int, ...],
    reason: str | None,
    dry_run: bool,
    **options: Any,
) -> None:
    """Delete faces: rows, pictures and empty folders. The store keeps a log of what was deleted, when and why.

    \b
    Examples:
      facesr-edge store prune faces --older-than 30d --max-gb 10
      facesr-edge store prune faces --camera door --until 2026-11-01
      facesr-edge store prune faces --face 17 --reason "request of 29 November"
    """
    query = _filter(options, ids=ids or None)
    limits, conditions = days is not None or max_gb is not None, any((*options.values(), ids))
    if limits == conditions:
        raise UsageError(
            "expected --older-than, --max-gb or both, or conditions such as --camera and --face; "
            + ("give one of the two kinds" if limits else "got none")
        )
    if dry_run and limits:
        raise UsageError("--dry-run is for conditions such as --camera; leave it out, or give a condition")
    with _open(address) as store:
        if dry_run:
            show(f"{plural(store.count(query), 'face')} would be deleted")
            return
        if limits:
            done = store.prune(days=days, max_gb=max_gb)
        else:
            done = store.delete(query, reason or "asked for on the command line")
    show(f"{plural(done.faces, 'face')} deleted, {done.bytes / 1e6:.1f} MB of pictures")


@command.command("check", cls=Command, short_help="Compare rows and pictures; exit code 1 if they differ.")
@click.argument("address", metavar="STORE")
@click.option("--hashes", is_flag=True, help="Read every picture and compare its SHA-256.")
@click.option("--repair", is_flag=True, help="Remove pictures without a row, and faces without a picture.")
@json_option("What was found")
def check(address: str, hashes: bool, repair: bool, json_file: str | None) -> None:
    """Check that every face has its pictures, every picture its face, and that the database is not damaged."""
    with _open(address) as store:
        found, name = store.check(hashes=hashes, repair=repair), store.name
    if json_file is not None:
        put_json(found.to_dict(), json_file)
    if json_file != STDOUT:
        note(_problems(found))
        show(f"{plural(found.faces, 'face')} checked, {'nothing is wrong' if found.faultless else _count(found)}")
    if found.changed or found.damage or not (repair or found.faultless):
        raise FacesrError(f"the store {name} has faults, see above; --repair removes what is incomplete")


def _problems(found: StoreCheck) -> list[str]:
    lines = [f"database: {line}" for line in found.damage]
    for what in ("missing", "changed", "orphans"):
        paths = getattr(found, what)
        label = {"missing": "missing", "changed": "changed", "orphans": "without a face"}[what]
        lines += [f"{label}: {path}" for path in paths[:_MAX_LISTED]]
        lines += [f"{label}: {len(paths) - _MAX_LISTED} more"] if len(paths) > _MAX_LISTED else []
    return lines


def _count(found: StoreCheck) -> str:
    missing = f"{plural(len(found.missing), 'picture')} missing"
    counts = f"{missing}, {len(found.changed)} changed, {len(found.orphans)} without a face"
    return f"{counts}{'; missing and orphans removed' if found.repaired else ''}"
