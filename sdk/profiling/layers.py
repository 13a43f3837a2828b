"""Per-layer latency of the detector and the super-resolution network, on inputs of the profiled sizes."""

from __future__ import annotations

from collections import Counter

import numpy as np

from ...engines.session import LayerTime
from ..pipeline.pipeline import Pipeline
from ..pipeline.results import Face
from ..pipeline.tiling import Plan

LayerTimes = dict[str, tuple[LayerTime, ...]]
"""Stage, "detect.network" or "upscale.network" -> its layers in execution order."""
RUNS = 10


def time_layers(pipeline: Pipeline, plan: Plan, faces: tuple[Face, ...], runs: int = RUNS) -> LayerTimes:
    """Measure the latency of each layer.

    Args:
        pipeline: pipeline whose networks are measured.
        plan: detection plan of a frame; its first pass is measured.
        faces: faces of a frame; one face of the most frequent crop size is measured, without faces the smallest size.
        runs: number of runs to average.
    """
    frame = np.zeros((1, *plan.passes[0].network_hw, 3), np.uint8)
    sides = Counter(face.original.shape[0] for face in faces)
    side = sides.most_common(1)[0][0] if sides else min(pipeline.session.io_spec.crop_sizes)
    crop = next(
        (face.original for face in faces if face.original.shape[0] == side), np.zeros((side, side, 3), np.uint8)
    )
    return {
        "detect.network": pipeline.detector.session.layer_times(frame, runs),
        "upscale.network": pipeline.session.layer_times(crop[None], runs),
    }
