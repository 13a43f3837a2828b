"""Fixtures for several test folders: the sample image, the shared data, and tiny real bundles."""

import resource
import signal
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import pytest

_AXES = np.array([1, 2, 3], np.int64)


@pytest.fixture(scope="session", autouse=True)
def cache_home(tmp_path_factory):
    """A cache folder of the test session's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def default_signals():
    """Ctrl-C and hang-ups reach the processes that tests start, also where the tests run in the background."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture(scope="session")
def shared():
    """The folder of images and models next to the repository."""
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
    """Paste the portrait into a frame at x, y (top left), its face `side` px high; returns the center of the face."""
    import cv2

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
    """Scale -> a weights file of IDRN with one unit and eight channels, random with a fixed seed."""

    @cache
    def build_once(scale):
        import torch
        from facesr_edge.networks import build_network
        from facesr_edge.networks.weights import Provenance, weights_bytes

        config = {"depth": 1, "width": 8, "scale": scale, "bicubic_skip": True}
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = build_network("idrn", config)
        path = tmp_path_factory.mktemp("weights") / f"tiny-x{scale}.safetensors"
        origin = Provenance({"data": "none: random weights"}, "CC0-1.0", ("not trained",))
        path.write_bytes(weights_bytes(network, "idrn", config, origin))
        return path

    return lambda scale=4: build_once(scale)


@pytest.fixture(scope="session")
def export_cache(tmp_path_factory):
    """Export each network once in a test session: traced graphs are shared through a folder by all xdist workers.

    Tracing takes about 8 s of CPU time, whatever the size of the network.
    """
    import hashlib
    import os

    import onnx
    from facesr_edge.converters.export import onnx as export
    from facesr_edge.converters.export import references
    from facesr_edge.engines.files import write_atomic

    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "exports"
    folder.mkdir(exist_ok=True)
    trace = export.trace

    def cached(network, examples, *names_and_shapes):
        path = folder / f"{hashlib.sha256(_network_key(network, examples, names_and_shapes)).hexdigest()}.onnx"
        if not path.exists():
            write_atomic(path, trace(network, examples, *names_and_shapes).SerializeToString())
        return onnx.load(path)

    with pytest.MonkeyPatch.context() as patch:
        for module in (export, references):
            patch.setattr(module, "trace", cached)
        yield


def _network_key(network, examples, names_and_shapes):
    """Bytes that differ for modules of different classes, attributes or weights, and for different inputs."""
    import torch

    plain = (bool, int, float, str, tuple, torch.dtype)
    parts = [repr(([(tensor.shape, tensor.dtype) for tensor in examples], names_and_shapes)).encode()]
    for name, module in network.named_modules():
        attributes = {key: value for key, value in vars(module).items() if isinstance(value, plain)}
        parts.append(repr((name, type(module), sorted(attributes.items()))).encode())
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        parts.append(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode() + tensor.detach().numpy().tobytes())
    return b"\n".join(parts)


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory, tiny_weights, export_cache):
    """Scale, precision -> a bundle of the tiny network, built once per session."""

    @cache
    def build_once(scale, precision):
        from facesr_edge.converters.build import build
        from facesr_edge.converters.options import BuildOptions

        folder = tmp_path_factory.mktemp("bundles") / f"tiny-x{scale}-{precision}"
        return build("idrn", folder, BuildOptions(precision=precision), weights=tiny_weights(scale))

    return lambda scale=4, precision="fp32": build_once(scale, precision)


@pytest.fixture(scope="session")
def tiny_track_bundle(tmp_path_factory, export_cache):
    """A bundle of a multi-frame network of scale 4 with eight channels, random with a fixed seed, built once."""
    import torch
    from facesr_edge.converters.build import build
    from facesr_edge.converters.options import BuildOptions
    from facesr_edge.networks import build_network
    from facesr_edge.networks.weights import Provenance, weights_bytes

    config = {"width": 8, "depth": 1, "scale": 4}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network("edge-track", config)
        torch.nn.init.normal_(network.seen.weight, std=0.05)
        torch.nn.init.normal_(network.tail.weight, std=0.05)
    path = tmp_path_factory.mktemp("weights") / "tiny-track.safetensors"
    origin = Provenance({"data": "none: random weights"}, "CC0-1.0", ("not trained",))
    path.write_bytes(weights_bytes(network, "edge-track", config, origin))
    folder = tmp_path_factory.mktemp("bundles") / "tiny-track"
    return build("edge-track", folder, BuildOptions(precision="fp32"), weights=path)


@pytest.fixture(scope="session")
def track_weights(tmp_path_factory):
    """Weights of a small multi-frame network, random with a fixed seed."""
    import torch
    from facesr_edge.networks import build_network
    from facesr_edge.networks.weights import Provenance, weights_bytes

    config = {"width": 16, "depth": 2, "scale": 4, "branches": False}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network("edge-track", config)
        torch.nn.init.normal_(network.seen.weight, std=0.1)
    path = tmp_path_factory.mktemp("weights") / "track.safetensors"
    path.write_bytes(weights_bytes(network, "edge-track", config, Provenance({"data": "none: random weights"})))
    return path


@pytest.fixture(scope="session")
def track_bundle(tmp_path_factory, track_weights, export_cache):
    """Precision -> a bundle of the small multi-frame network, built once per session."""

    @cache
    def build_once(precision):
        from facesr_edge.converters.build import build
        from facesr_edge.converters.options import BuildOptions

        options = BuildOptions(precision=precision, engine="onnxruntime", max_psnr_drop=0.5)
        return build("edge-track", tmp_path_factory.mktemp("track") / precision, options, weights=track_weights)

    return lambda precision="fp32": build_once(precision)


@pytest.fixture(scope="session")
def two_precisions(tiny_bundle, tmp_path_factory):
    """A bundle of the tiny network with an INT8 graph beside the FP32 one, and an INT8 evaluation of a given loss."""
    from dataclasses import replace

    from facesr_edge.engines.bundle.bundle import INT8_ONNX, ONNX, write_bundle
    from facesr_edge.engines.bundle.card import Evaluation, with_evaluation

    @cache
    def write_once(drop_db):
        fp32, int8 = tiny_bundle(), tiny_bundle(precision="int8")
        card = replace(fp32.card, name=f"two-precisions-{drop_db}")
        if drop_db is not None:
            card = with_evaluation(card, Evaluation("test", 1, "bicubic", "int8", {"drop_db": drop_db}))
        contents = {ONNX: fp32.onnx.read_bytes(), INT8_ONNX: int8.onnx.read_bytes()}
        return write_bundle(tmp_path_factory.mktemp("two") / "bundle", card, contents)

    return lambda drop_db=0.01: write_once(drop_db)


@pytest.fixture(scope="session")
def residual_bundle(tiny_bundle, tmp_path_factory):
    """A bundle of the tiny network whose residual is the mean of each crop's pixels."""
    import onnx
    from facesr_edge.engines.bundle.bundle import ONNX, write_bundle

    bundle = tiny_bundle()
    model = onnx.load(bundle.onnx)
    pixels = model.graph.input[0].name
    del model.graph.output[1:]
    next(node for node in model.graph.node if "residual" in node.output).output[:] = ["true_residual"]
    model.graph.initializer.append(onnx.numpy_helper.from_array(_AXES, "residual_axes"))
    model.graph.node.extend(
        [
            onnx.helper.make_node("Cast", [pixels], ["residual_pixels"], to=onnx.TensorProto.FLOAT),
            onnx.helper.make_node("ReduceMean", ["residual_pixels", "residual_axes"], ["residual"], keepdims=0),
        ]
    )
    batch = model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    model.graph.output.append(onnx.helper.make_tensor_value_info("residual", onnx.TensorProto.FLOAT, [batch]))
    folder = tmp_path_factory.mktemp("residual") / "bundle"
    return write_bundle(folder, bundle.card, {ONNX: model.SerializeToString()})


@pytest.fixture
def without_root(tmp_path):
    """Context manager: without the rights of root, for whom no folder is read-only."""
    import os

    @contextmanager
    def ordinary_user():
        if os.geteuid():
            yield
            return
        for folder in (tmp_path, *tmp_path.rglob("*")):
            os.chown(folder, 65534, -1)
        parents = [folder for folder in tmp_path.parents if folder.stat().st_mode & 0o077 == 0]
        for folder in parents:
            folder.chmod(0o711)
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)
            for folder in parents:
                folder.chmod(0o700)

    return ordinary_user


@pytest.fixture
def no_file_larger_than():
    """Context manager: writing more than `size` bytes to a file fails, as on a full disk."""

    @contextmanager
    def limit(size):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limit
