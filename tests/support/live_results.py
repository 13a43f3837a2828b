"""Results of a live run made by hand, for tests of what consumes them."""

from __future__ import annotations

import numpy as np
from facesr_edge.sdk.live.results import FrameTimes, LiveFace, LiveResult, SkippedFace
from facesr_edge.sdk.live.tracks.usability import Usability
from facesr_edge.sdk.pipeline.frame import Frame


def live_face(track_id=1, box=(20, 20, 52, 60), score=0.9, quality=0.5, treatment="network", **changes):
    """A face in a window of 64 px around its box, enlarged four times; its pixels tell the track."""
    x, y = (int((box[0] + box[2]) / 2) - 32, int((box[1] + box[3]) / 2) - 32)
    width = box[2] - box[0]
    points = [(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)]
    values = {
        "box_xyxy": np.array(box, np.float32),
        "score": score,
        "landmarks": np.array([(box[0] + u * width, box[1] + v * (box[3] - box[1])) for u, v in points], np.float32),
        "window_xyxy": (x, y, x + 64, y + 64),
        "original": np.full((64, 64, 3), track_id, np.uint8),
        "pixels": np.full((256, 256, 3), 100 + track_id % 100, np.uint8),
        "consistency_db": 50.0,
        "track_id": track_id,
        "treatment": treatment,
        "reason": "new track",
        "detected": True,
        "usability": Usability("ok", 40.0, 0.7, 90.0, 3.0, quality),
    }
    return LiveFace(**{**values, **changes})


def live_result(*faces, camera="door", index=0, ended=(), size_wh=(320, 180), outscale=2, pixels=None, **changes):
    """A result at 10 frames/s."""
    pixels = np.full((size_wh[1], size_wh[0], 3), 90, np.uint8) if pixels is None else pixels
    source = Frame(pixels, index, index / 10, damaged=changes.pop("damaged", False))
    values = {
        "skipped": (),
        "detection": None,
        "times": FrameTimes(index / 10, index / 10 + 0.01, index / 10 + 0.03),
        "spans": (),
        "dropped": 0,
    }
    return LiveResult(
        camera=camera, source=source, faces=faces, ended_tracks=ended, outscale=outscale, **{**values, **changes}
    )


def skipped_face(track_id=9, box=(200, 40, 300, 160), reason="too large"):
    return SkippedFace(track_id, np.array(box, np.float32), 0.8, reason)
