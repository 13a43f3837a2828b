"""Networks of the timing tables, exported for a fixed size with the TorchScript exporter in about one second each.

The exporter of a build keeps batch and size dynamic and takes about 15 s per network. With known sizes ONNX Runtime
executes the same arithmetic for both graphs; a test compares their multiply-adds.
"""

import logging
import warnings
from functools import cache

import pytest


@pytest.fixture(scope="session")
def bundle_of(tmp_path_factory):
    """Depth and width -> cached bundle of IDRN with random weights, for one face of 32 px."""

    @cache
    def made(size):
        import torch
        from facesr_edge.converters.export.wrapper import Uint8SRWrapper
        from facesr_edge.engines.bundle.bundle import ONNX, Bundle
        from facesr_edge.engines.bundle.card import Card
        from facesr_edge.engines.bundle.io_spec import super_resolution
        from facesr_edge.networks import build_network
        from facesr_edge.sdk.bench.paper import SCALE, SIDE, config

        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = Uint8SRWrapper(build_network("idrn", config(size)), SCALE)
        card = Card("idrn-{}x{}".format(*size), super_resolution(SCALE), "fp32", "idrn", config(size))
        bundle = Bundle(tmp_path_factory.mktemp(card.name), card)
        example = torch.zeros((1, SIDE, SIDE, 3), dtype=torch.uint8)
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # sizes become constants, as intended
            torch.onnx.export(
                network,
                (example,),
                bundle.folder / ONNX,
                dynamo=False,
                opset_version=18,
                input_names=["pixels"],
                output_names=["enlarged", "residual"],
            )
        return bundle

    return made


@pytest.fixture(scope="session")
def session_of(bundle_of):
    """Depth and width -> cached session with one thread, warmed up with one face."""
    import numpy as np
    from facesr_edge.engines.onnxruntime.session import OrtSession
    from facesr_edge.sdk.bench.paper import SIDE

    sessions = []

    @cache
    def made(size):
        session = OrtSession(bundle_of(size), 1)
        session.infer(np.zeros((1, SIDE, SIDE, 3), np.uint8))
        sessions.append(session)
        return session

    yield made
    for session in sessions:
        session.close()


@pytest.fixture(scope="session")
def face():
    """(1, 32, 32, 3) noise: latency does not depend on the pixels."""
    import numpy as np

    return np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def macs(bundle_of):
    """Depth and width -> multiply-adds counted in the graph."""
    from facesr_edge.converters.macs import macs_of
    from facesr_edge.sdk.bench.paper import SIDE

    return cache(lambda size: macs_of(bundle_of(size).onnx, SIDE, ["Conv"]))
