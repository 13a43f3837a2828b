"""Networks with fresh weights, and bundles of them; every network is exported once, see `export_cache`."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def _exports(export_cache):
    """All tests of this folder share exported graphs."""


@pytest.fixture
def weights(tmp_path):
    """Network and configuration -> a weights file of the network, randomly initialized, always the same."""

    def made(network="idrn", training=None, **config):
        import torch
        from facesr_edge.networks import build_network
        from facesr_edge.networks.weights import Provenance, weights_bytes

        with torch.random.fork_rng():
            torch.manual_seed(0)
            module = build_network(network, config)
        path = tmp_path / f"{network}.safetensors"
        path.write_bytes(weights_bytes(module, network, config, Provenance(training or {})))
        return path

    return made
