"""Results of a live run, made from figures; the pixels are noise."""

from types import SimpleNamespace

import cv2
import numpy as np
from facesr_edge.sdk.live.camera import CameraStatus
from facesr_edge.sdk.live.results import FrameTimes, LiveFace, LiveResult, SkippedFace
from facesr_edge.sdk.live.sinks.queue import SinkStatistics
from facesr_edge.sdk.pipeline.frame import Frame
from facesr_edge.sdk.profiling.timing import Span


def make_face(track, treatment="network", reason="new track", *, verdict="ok", box=(20, 20, 40, 44), seed=0):
    """A face of 20x24 px in a window of 32 px, upscaled by 4."""
    pixels = np.random.default_rng(seed).integers(0, 256, (128, 128, 3), np.uint8)
    original = np.ascontiguousarray(pixels[::4, ::4])
    usability = SimpleNamespace(verdict=verdict, to_dict=lambda: {"verdict": verdict})
    box_xyxy, landmarks, window = np.array(box, np.float32), np.zeros((5, 2), np.float32), (14, 16, 46, 48)
    return LiveFace(box_xyxy, 0.9, landmarks, window, original, pixels, 44.5, track, treatment, reason, True, usability)


def make_result(
    camera="a", faces=(), skipped=(), *, index=0, arrival_s=100.0, queue_ms=2.0, compute_ms=30.0, clock_ms=None,
    ended=(), size_wh=(64, 48), outscale=2,
):  # fmt: skip
    """A result whose times are given."""
    taken_s = arrival_s + queue_ms / 1e3
    done_s = taken_s + compute_ms / 1e3
    clock_s = None if clock_ms is None else 5000.0 - clock_ms / 1e3
    times = FrameTimes(arrival_s, taken_s, done_s, clock_s, 5000.0)
    pixels = np.random.default_rng(index).integers(0, 256, (size_wh[1], size_wh[0], 3), np.uint8)
    left_out = tuple(SkippedFace(track, np.array([1, 2, 30, 40], np.float32), 0.8, reason) for track, reason in skipped)
    spans = (Span("detect", 0, 5_000_000), Span("upscale", 0, int(1e6 * compute_ms) - 5_000_000))
    return LiveResult(
        camera, Frame(pixels, index), tuple(faces), left_out, tuple(ended), None, times, spans, 0, outscale
    )


def make_status(name="a", state="live", **changes):
    """The state of a camera that is well."""
    known = {
        "error": "", "received": 10, "taken": 9, "dropped": {"consumer": 1, "damaged": 0}, "damaged_packets": 0,
        "reconnects": 0, "newest_age_s": 0.02, "fps": 25.0, "size_wh": (64, 48),
    }  # fmt: skip
    return CameraStatus(name, state, **{**known, **changes})


class StatusOnly:
    """A camera that has a state and nothing else."""

    def __init__(self, **status):
        self.now = make_status(**status)

    def status(self):
        return self.now


class SinkFigures:
    """A sink that has figures and nothing else; see `SinkStatistics`."""

    def __init__(self, *figures):
        self._figures = SinkStatistics(*figures)

    def statistics(self):
        return self._figures


def make_run(*cameras, last_turn_s=0.0):
    """What metrics, health and the page need of a run."""
    card = SimpleNamespace(name="edge-tiny-x4-camera")
    return SimpleNamespace(cameras=cameras, last_turn_s=last_turn_s, card=card, budget_ms=100.0)


def decode(data):
    """Pixels of a JPEG or PNG."""
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
