"""What ``facesr-edge run`` prints: the summary, what was lost, and what failed."""

from __future__ import annotations

from collections.abc import Iterable

from ....engines.errors import FacesrError
from ...media.reasons import plural
from ...pipeline.crop import MARGIN
from ...pipeline.pipeline import Pipeline
from ...pipeline.summary import RunSummary
from ..console import print_failures, say


def summary_line(summary: RunSummary, duration_s: float, full: int) -> str:
    """Counts of a run in one line.

    Args:
        summary: of the run.
        duration_s: of the processing.
        full: number of frames in which the whole frame was searched for faces.
    """
    frames = summary.frames
    rate = f" ({frames / duration_s:.1f} frames/s)" if frames else ""
    parts = [plural(frames, "frame"), _faces(summary), f"{duration_s:.1f} s{rate}"]
    if full < frames:
        parts.append(f"detected fully in {full} ({full / frames:.0%})")
    counts = {
        "{} from an earlier run": summary.resumed,
        f"{plural(summary.dropped, 'frame')} dropped": summary.dropped,
        f"{plural(summary.damaged_frames, 'frame')} damaged": summary.damaged_frames,
        f"{plural(summary.damaged_packets, 'packet')} damaged": summary.damaged_packets,
        "{} skipped": len(summary.skipped),
        "{} failed": len(summary.failures),
    }
    return ", ".join([*parts, *(text.format(count) for text, count in counts.items() if count)])


def _faces(summary: RunSummary) -> str:
    faces = plural(summary.faces, "face")
    if not summary.too_large:
        return faces
    return f"{faces} ({summary.upscaled} upscaled, {summary.too_large} too large, left alone)"


def print_details(summary: RunSummary, pipeline: Pipeline, raised: BaseException | None = None) -> None:
    """Print faces that are too large, skipped files, and failures.

    Args:
        summary: of the run.
        pipeline: that ran.
        raised: an error that is printed at the end, and is not printed here.
    """
    if summary.too_large:
        limit = max(pipeline.session.io_spec.crop_sizes) / MARGIN
        say(f"faces above {limit:.0f} px are too large for {pipeline.card.name}; downscale the input to upscale them")
    print_failures(summary.skipped, [failure for failure in summary.failures if failure.reason != str(raised)])


def note_lines(notes: Iterable[str], name: str) -> list[str]:
    """Notes of one of several inputs, with its name."""
    return [line if name in line else f"{name}: {line}" for line in notes]


def check(summary: RunSummary, strict: bool) -> None:
    """Raise an error that says why a finished run is no success.

    Args:
        summary: of the run.
        strict: notes and damaged frames are errors, too.

    Raises:
        FacesrError: files failed, or something was lost in a strict run.
    """
    if summary.failures:
        rest = "the others are done" if summary.frames else "no frame was processed"
        raise FacesrError(f"{plural(len(summary.failures), 'input')} failed; {rest}")
    lost = {
        "note": len(summary.notes),
        "damaged frame": summary.damaged_frames,
        "damaged packet": summary.damaged_packets,
    }
    if strict and any(lost.values()):
        counts = " and ".join(plural(count, noun) for noun, count in lost.items() if count)
        raise FacesrError(f"--strict: {counts}; the output is complete otherwise")
