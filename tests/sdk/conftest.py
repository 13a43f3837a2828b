"""The shipped pipeline, frames with real faces, and a small network with a library of reference faces."""

import facesr_edge
import numpy as np
import pytest
from facesr_edge.calibration.data.faces import astronaut


@pytest.fixture(scope="session")
def sr():
    with facesr_edge.load("idrn-x4", threads=2, engine="onnxruntime", precision="fp32") as pipeline:
        yield pipeline


@pytest.fixture(scope="session")
def portrait():
    """(256, 256, 3): the top center of the sample image, with a face about 100 px high."""
    return astronaut()[0:256, 96:352]


@pytest.fixture
def grey_frame():
    return np.full((360, 640, 3), 118, np.uint8)


@pytest.fixture(scope="session")
def msrnet(tmp_path_factory, export_cache):
    """The bundle and the weights file of a tiny MSRNet whose output depends visibly on its references."""
    import torch
    from facesr_edge.converters.build import build
    from facesr_edge.converters.options import BuildOptions
    from facesr_edge.networks import build_network
    from facesr_edge.networks.weights import Provenance, weights_bytes

    config = {"width": 4, "growth": 1, "trunk": 1, "match_width": 4, "scale": 8, "side": 16, "bicubic_skip": True}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network("msrnet", config)
    network.tail.weight.data.mul_(20)
    folder = tmp_path_factory.mktemp("msrnet")
    (weights := folder / "w.safetensors").write_bytes(weights_bytes(network, "msrnet", config, Provenance()))
    options = BuildOptions(engine="onnxruntime")
    return build("msrnet", folder / "bundle", options, weights=weights), weights


@pytest.fixture(scope="session")
def msrnet_bundle(msrnet):
    return msrnet[0]


@pytest.fixture(scope="session")
def reference_faces(tmp_path_factory):
    """A folder of six views of the sample face."""
    import cv2
    from facesr_edge.calibration.data.faces import sample_faces

    folder = tmp_path_factory.mktemp("faces")
    for n, face in enumerate(sample_faces()[2:]):
        cv2.imwrite(str(folder / f"{n}.png"), face)
    return folder


@pytest.fixture(scope="session")
def library(msrnet_bundle, reference_faces, tmp_path_factory):
    from facesr_edge.sdk.pipeline.references import build_library

    return build_library(reference_faces, tmp_path_factory.mktemp("made") / "library", msrnet_bundle, threads=1)
