"""Simulated cameras, and live runs on them."""

from __future__ import annotations

import numpy as np
import pytest
from facesr_edge.sdk.bench.scenes import Portrait
from facesr_edge.sdk.bench.walkers import make_view
from support.simulated import SimulatedCamera


@pytest.fixture(scope="session")
def portraits(portrait: np.ndarray) -> list[Portrait]:
    """The sample face in two lights."""
    face = portrait[:220, 20:240]
    return [Portrait(face, 2.0), Portrait(np.asarray(face * 0.7, np.uint8), 2.0)]


@pytest.fixture
def simulated(portraits):
    """Make a simulated camera: ``simulated(faces, seed=…, count=…, rate=…, speed=…)``."""

    def make(faces: int = 2, *, seed: int = 0, count: int = 0, rate: float = 10.0, **view: float) -> SimulatedCamera:
        return SimulatedCamera(make_view(portraits, faces, seed=seed, **view), count, rate)

    return make


@pytest.fixture(scope="session")
def track_bundle(tmp_path_factory, export_cache):
    """A small multi-frame network of random weights, for up to seven crops of a face."""
    import torch
    from facesr_edge.converters.build import build
    from facesr_edge.converters.options import BuildOptions
    from facesr_edge.networks import build_network
    from facesr_edge.networks.weights import Provenance, weights_bytes

    config = {"width": 8, "depth": 2, "scale": 4, "branches": False}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network("edge-track", config)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, 0, 0.1)
    folder = tmp_path_factory.mktemp("track")
    weights = folder / "weights.safetensors"
    origin = Provenance({"data": "none: random weights"}, "CC0-1.0", ("not trained",))
    weights.write_bytes(weights_bytes(network, "edge-track", config, origin))
    return build("edge-track", folder / "bundle", BuildOptions(precision="fp32"), weights=weights)


@pytest.fixture
def several(track_bundle, tiny_bundle):
    """Settings of a run whose faces are made from up to six crops, with networks that are quick."""
    return {
        "model": tiny_bundle().folder,
        "track_model": track_bundle.folder,
        "small_model": None,
        "frames": 6,
        "engine": "onnxruntime",
        "precision": "fp32",
        "threads": 1,
    }
