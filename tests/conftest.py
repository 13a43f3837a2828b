"""What several folders of tests need: the sample picture, the shared data where it is there, and tiny real bundles."""

import resource
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def cache_home(tmp_path_factory):
    """Whatever the package remembers between runs: nobody's but the tests'."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared():
    """The folder of pictures and models beside the repository."""
    folder = Path(__file__).parents[1].parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"needs {folder}")
    return folder


@pytest.fixture(scope="session")
def astronaut():
    from facesr_edge.calibration.data.faces import astronaut

    return astronaut()


@pytest.fixture(scope="session")
def put_face(astronaut):
    """Set the portrait into a frame, its top left at x, y, its face `side` px high; returns the face's centre."""
    import cv2
    import numpy as np

    portrait = astronaut[0:256, 96:352]

    def put(frame, x, y, side):
        small = cv2.resize(portrait, None, fx=side / 100, fy=side / 100, interpolation=cv2.INTER_AREA)
        rows = min(small.shape[0], frame.shape[0] - y)
        columns = min(small.shape[1], frame.shape[1] - x)
        frame[y : y + rows, x : x + columns] = small[:rows, :columns]
        return np.array([x + 1.28 * side, y + 1.2 * side])

    return put


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory):
    """Scale -> a file of weights: IDRN of one unit and eight channels, random but always the same."""

    @cache
    def made(scale):
        import torch
        from facesr_edge.networks import build_network
        from facesr_edge.networks.weights import Provenance, weights_bytes

        config = {"depth": 1, "width": 8, "scale": scale, "bicubic_skip": True}
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = build_network("idrn", config)
        path = tmp_path_factory.mktemp("weights") / f"tiny-x{scale}.safetensors"
        origin = Provenance({"data": "none: random weights"}, "CC0-1.0", ("of no use",))
        path.write_bytes(weights_bytes(network, "idrn", config, origin))
        return path

    return lambda scale=4: made(scale)


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory, tiny_weights):
    """Scale and precision -> a bundle of the tiny network, converted as any other; each is made once."""

    @cache
    def made(scale, precision):
        from facesr_edge.converters.build import build

        folder = tmp_path_factory.mktemp("bundles") / f"tiny-x{scale}-{precision}"
        return build("idrn", folder, precision=precision, weights=tiny_weights(scale))

    return lambda scale=4, precision="fp32": made(scale, precision)


@pytest.fixture
def no_file_larger_than():
    """Within it, the operating system refuses to write more to a file, as a full disk would."""

    @contextmanager
    def limit(size):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limit
