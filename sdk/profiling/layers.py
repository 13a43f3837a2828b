"""What each layer of a pipeline's two networks takes, on inputs as the profiled frames had them."""

from __future__ import annotations

from collections import Counter

import numpy as np

from ...engines.session import LayerTime
from ..pipeline.pipeline import Pipeline
from ..pipeline.results import Face
from ..pipeline.tiling import Plan

LayerTimes = dict[str, tuple[LayerTime, ...]]
"""Part of a frame, "detect.network" or "super_resolve.network" -> its layers, in the order they run."""
RUNS = 10


def layers_of(pipeline: Pipeline, plan: Plan, faces: tuple[Face, ...], runs: int = RUNS) -> LayerTimes:
    """Time the layers.

    Args:
        pipeline: whose networks are timed.
        plan: how the detector looks at a frame; its first look is timed.
        faces: of a frame: one of the most frequent size is timed alone; without any, the smallest window.
        runs: calls that are averaged.
    """
    frame = np.zeros((1, *plan.looks[0].network_hw, 3), np.uint8)
    sides = Counter(face.original.shape[0] for face in faces)
    side = sides.most_common(1)[0][0] if sides else min(pipeline.session.io_spec.windows)
    crop = next(
        (face.original for face in faces if face.original.shape[0] == side), np.zeros((side, side, 3), np.uint8)
    )
    return {
        "detect.network": pipeline.detector.session.layer_times(frame, runs),
        "super_resolve.network": pipeline.session.layer_times(crop[None], runs),
    }
