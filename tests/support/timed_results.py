"""Results of a live run with times and crop sizes as asked for, for tests of what records and traces them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from facesr_edge.sdk.live.results import FrameTimes
from facesr_edge.sdk.pipeline.results import DetectorUse
from facesr_edge.sdk.profiling.timing import Span

from . import live_results
from .live_results import skipped_face

__all__ = ["live_face", "live_result", "skipped_face"]


def live_face(track=1, side=32, treatment="network", reason="new track", detected=True):
    pixels, larger = np.zeros((side, side, 3), np.uint8), np.zeros((4 * side, 4 * side, 3), np.uint8)
    changes = {"original": pixels, "pixels": larger, "reason": reason, "detected": detected}
    face = live_results.live_face(1, (100.25, 50.5, 120.25, 75.5), treatment=treatment, **changes)
    return replace(face, track_id=track)


def live_result(camera="door", arrival_s=0.0, queue_ms=5.0, compute_ms=20.0, faces=(), skipped=(), **changes):
    """A result whose detection, crops and network take 8, 0.2 and 11 ms."""
    taken_s = arrival_s + queue_ms / 1e3
    start_ns = round(1e9 * taken_s)
    spans = [Span("detect", start_ns, 8_000_000), Span("detect.network", start_ns, 6_000_000)]
    spans += [Span("crop", start_ns + 8_000_000, 200_000), Span("upscale", start_ns + 8_200_000, 11_000_000)]
    values = {
        "skipped": tuple(skipped),
        "detection": DetectorUse("full", 0.23),
        "times": FrameTimes(arrival_s, taken_s, taken_s + compute_ms / 1e3, None, 1.7e9),
        "spans": tuple(spans),
        **changes,
    }
    return live_results.live_result(*faces, camera=camera, size_wh=(64, 36), **values)
