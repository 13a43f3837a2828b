"""Tracks of given faces, recorded by simulated cameras, for multi-frame networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType

import numpy as np

from ...calibration.data.tracks import RecordTracks, Tracks
from ...calibration.metrics.evaluate import SEED, Images
from ...training.data.cameras.background import Backgrounds
from ...training.data.cameras.chain import NAMED
from ...training.data.cameras.tracks import FRAMES, given_tracks

CAMERAS = ("frame", "h264-23", "h264-28", "h264-33")
"""Default cameras: without compression, and with H.264 at three rate factors."""
EARLIER = 4
"""Frames before the first crop of a track: the codec has a past."""


def record(faces: Images, scale: int, camera: str) -> Tracks:
    """Record a track of each face.

    Args:
        faces: (N, S, S, 3) uint8 BGR.
        scale: S / s.
        camera: a key of `NAMED`.
    """
    chain = replace(NAMED[camera], frames=FRAMES + EARLIER)
    rng = np.random.default_rng(SEED)
    recorded = given_tracks(list(faces), chain, Backgrounds(None), scale, faces.shape[1] // scale, rng)
    return Tracks(recorded.lr, recorded.hr, recorded.registered)


RECORDERS: Mapping[str, RecordTracks] = MappingProxyType({name: partial(record, camera=name) for name in NAMED})
"""Name of a camera -> records tracks of faces."""
