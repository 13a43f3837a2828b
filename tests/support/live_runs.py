"""Results of a live run for tests: real frames and faces, times as asked for."""

import numpy as np
from facesr_edge.sdk.live.results import FrameTimes, LiveFace, LiveResult, SkippedFace
from facesr_edge.sdk.pipeline.frame import Frame
from facesr_edge.sdk.pipeline.results import DetectorUse
from facesr_edge.sdk.profiling.timing import Span


def live_face(track=1, side=32, treatment="network", reason="new track", detected=True):
    box = np.array([100.25, 50.5, 100.25 + side / 1.5, 50.5 + side / 1.5], np.float32)
    pixels, landmarks = np.zeros((side, side, 3), np.uint8), np.zeros((5, 2), np.float32)
    larger = np.zeros((4 * side, 4 * side, 3), np.uint8)
    values = (box, 0.9, landmarks, (100, 50, 100 + side, 50 + side), pixels, larger, 55.0)
    return LiveFace(*values, track, treatment, reason, detected, None)


def skipped_face(track=9, side=150, reason="too large"):
    return SkippedFace(track, np.array([0, 0, side, side * 0.8], np.float32), reason)


def live_result(camera="door", arrival_s=0.0, queue_ms=5.0, compute_ms=20.0, faces=(), skipped=(), **fields):
    start_ns = round(1e9 * (arrival_s + queue_ms / 1e3))
    spans = [Span("detect", start_ns, 8_000_000), Span("detect.network", start_ns, 6_000_000)]
    spans += [Span("crop", start_ns + 8_000_000, 200_000), Span("upscale", start_ns + 8_200_000, 11_000_000)]
    taken_s = arrival_s + queue_ms / 1e3
    times = fields.pop("times", FrameTimes(arrival_s, taken_s, taken_s + compute_ms / 1e3, None, 1.7e9))
    return LiveResult(
        camera,
        fields.pop("source", Frame(np.zeros((36, 64, 3), np.uint8))),
        tuple(faces),
        tuple(skipped),
        fields.pop("ended_tracks", ()),
        fields.pop("detection", DetectorUse("full", 0.23)),
        times,
        tuple(fields.pop("spans", spans)),
        fields.pop("dropped", 0),
        2,
    )
