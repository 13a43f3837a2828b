"""Model repositories of Triton: configurations that agree with their graphs, and the model that takes frames.

Triton itself is not run here. `Server` stands for it: it checks each request against the configuration of the model, as
Triton does, and runs the graph in ONNX Runtime with a dynamic size. `triton_python_backend_utils` exists only inside of
the server: a stand-in has the names that the model uses. The protocol between client and server is Triton's own.
"""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import cv2
import facesr_edge
import numpy as np
import onnx
import onnxruntime
import pytest
from facesr_edge.engines.bundle.bundle import ONNX, engine_file, open_bundle, write_bundle
from facesr_edge.engines.bundle.engine_info import EngineInfo
from facesr_edge.engines.errors import BundleError, EngineError, OutputError, UnknownNameError, UsageError
from facesr_edge.sdk.serving.triton.config import ServingOptions
from facesr_edge.sdk.serving.triton.repository import FacesOptions, export_repository
from facesr_edge.zoo import catalogue

pytest.importorskip("tritonclient.grpc")
import grpc
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

NETWORK, FACES = "edge-nano-x4", "edge-nano-x4-faces"
DTYPES = {"TYPE_UINT8": np.uint8, "TYPE_FP32": np.float32, "TYPE_FP16": np.float16, "TYPE_INT32": np.int32}


def config_of(folder):
    return text_format.Parse((folder / "config.pbtxt").read_text("utf-8"), model_config_pb2.ModelConfig())


def dtype_of(tensor):
    return DTYPES[model_config_pb2.DataType.Name(tensor.data_type)]


def graph_dims(tensor, config):
    """Dimensions of a graph's tensor that a configuration describes: with a batch if Triton adds one."""
    dims = list(tensor.reshape.shape if tensor.HasField("reshape") else tensor.dims)
    return [-1, *dims] if config.max_batch_size else dims


def onnx_tensors(values):
    return [
        (
            value.name,
            onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type),
            [dim.dim_value or -1 for dim in value.type.tensor_type.shape.dim],
        )
        for value in values
    ]


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("triton") / "models"
    export_repository([catalogue.find(NETWORK)], folder, detector=catalogue.find("detector"), max_batch=4)
    return folder


OPENVINO_MODELS = ["detector", NETWORK, "msrnet-x8"]
"""Enough for the one difference, that the batch is a dimension of the configuration."""


@pytest.mark.parametrize(("backend", "names"), [("onnxruntime", catalogue.names()), ("openvino", OPENVINO_MODELS)])
def test_every_configuration_is_that_of_its_graph(tmp_path, backend, names):
    detector = catalogue.find("detector")
    bundles = [catalogue.find(name) for name in names if name != "detector"]
    exported = export_repository(bundles, tmp_path / "models", detector=detector, backend=backend)
    networks = [one for one in exported if one.backend == backend]
    assert sorted(one.name for one in networks) == names
    for one in networks:
        folder = tmp_path / "models" / one.name
        config, graph = config_of(folder), onnx.load(folder / "1" / "model.onnx").graph
        assert (config.name, config.backend) == (folder.name, backend)
        assert (config.max_batch_size > 0) == (backend == "onnxruntime")
        for tensors, values in ((config.input, graph.input), (config.output, graph.output)):
            configured = [(tensor.name, dtype_of(tensor), graph_dims(tensor, config)) for tensor in tensors]
            assert configured == onnx_tensors(values), one.name
    assert (tmp_path / "models" / NETWORK / "1" / "model.onnx").read_bytes() == catalogue.find(
        NETWORK
    ).onnx.read_bytes()


def test_requests_are_batched_and_every_size_is_warmed_up(repository):
    config = config_of(repository / NETWORK)
    assert config.max_batch_size == 4 and config.HasField("dynamic_batching")
    assert config.version_policy.latest.num_versions == 1
    sizes = [tuple(one.inputs["pixels"].dims) for one in config.model_warmup]
    assert sizes == [(side, side, 3) for side in catalogue.find(NETWORK).card.io_spec.crop_sizes]
    assert all(one.batch_size == 1 and one.inputs["pixels"].zero_data for one in config.model_warmup)
    detector = config_of(repository / "detector")
    assert detector.max_batch_size == 1 and not detector.HasField("dynamic_batching")


def test_instances_threads_and_delay_are_those_of_the_options(tmp_path):
    bundles, options = [catalogue.find(NETWORK)], ServingOptions(instances=3, threads=2, queue_delay_us=500)
    export_repository(bundles, tmp_path / "ort", options=options)
    config = config_of(tmp_path / "ort" / NETWORK)
    assert config.instance_group[0].count == 3
    assert config.dynamic_batching.max_queue_delay_microseconds == 500
    assert config.parameters["intra_op_thread_count"].string_value == "2"
    export_repository(bundles, tmp_path / "ov", options=options, backend="openvino")
    config = config_of(tmp_path / "ov" / NETWORK)
    assert config.parameters["INFERENCE_NUM_THREADS"].string_value == "2"
    assert model_config_pb2.ModelInstanceGroup.Kind.Name(config.instance_group[0].kind) == "KIND_CPU"


def test_the_int8_graph_is_the_one_that_every_processor_runs_correctly(tmp_path):
    bundle = catalogue.find(NETWORK)
    export_repository([bundle], tmp_path / "models", precision="int8")
    assert (tmp_path / "models" / NETWORK / "1" / "model.onnx").read_bytes() == bundle.read("int8.onnx")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A bundle with an engine of TensorRT for two sizes, as far as its files and its card say."""
    bundle = catalogue.find(NETWORK)
    info = EngineInfo("TensorRT", "10.3.0", "Orin", "8.7", "12.6", "0" * 64)
    contents = {ONNX: bundle.read(ONNX), **{engine_file(side, side): b"plan %d" % side for side in (32, 128)}}
    card = replace(bundle.card, engine=info, io_spec=replace(bundle.card.io_spec, crop_sizes=(32, 128)))
    return write_bundle(tmp_path_factory.mktemp("compiled") / "bundle", card, contents)


def test_tensorrt_gets_one_model_for_each_engine(compiled, tmp_path):
    exported = export_repository([compiled], tmp_path / "models", backend="tensorrt")
    assert [one.name for one in exported] == [f"{NETWORK}-32x32", f"{NETWORK}-128x128"]
    for side, batch in ((32, 8), (128, 1)):
        folder = tmp_path / "models" / f"{NETWORK}-{side}x{side}"
        config = config_of(folder)
        assert (folder / "1" / "model.plan").read_bytes() == b"plan %d" % side
        assert (config.backend, config.max_batch_size) == ("tensorrt", batch)
        assert list(config.input[0].dims) == [side, side, 3]
        assert list(config.output[0].dims) == [4 * side, 4 * side, 3]
        assert sorted({one.batch_size for one in config.model_warmup}) == sorted({1, batch})


def test_a_bundle_without_engines_is_refused_for_tensorrt(tmp_path):
    with pytest.raises(BundleError, match=r"facesr-edge build .* --engine tensorrt"):
        export_repository([catalogue.find(NETWORK)], tmp_path / "models", backend="tensorrt")
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"backend": "caffe"}, UnknownNameError, "unknown backend"),
        ({"max_batch": 0}, UsageError, "maximum batch of 1 or more"),
        ({"precision": "fp16"}, EngineError, "no graph in fp16"),
        ({"detector": NETWORK}, UsageError, "expected a face detector"),
    ],
)
def test_invalid_options_are_refused_before_anything_is_written(tmp_path, settings, error, message):
    if "detector" in settings:
        settings = {"detector": catalogue.find(settings["detector"])}
    with pytest.raises(error, match=message):
        export_repository([catalogue.find(NETWORK)], tmp_path / "models", **settings)
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_for_another_task_is_refused(tmp_path):
    bundle = catalogue.find(NETWORK)
    object.__setattr__(bundle.card.io_spec, "task", "uncertainty")
    with pytest.raises(UsageError, match="edge-nano-x4 is for uncertainty; expected a bundle for super-resolution or"):
        export_repository([bundle], tmp_path / "models")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (ServingOptions, {"instances": 0}),
        (ServingOptions, {"threads": -1}),
        (ServingOptions, {"pipelines": -1}),
        (ServingOptions, {"queue_delay_us": -1}),
        (FacesOptions, {"outscale": 5}),
        (FacesOptions, {"score": 1.5}),
        (FacesOptions, {"min_face": 0}),
    ],
)
def test_options_out_of_range_are_refused(kind, values):
    with pytest.raises(UsageError, match="expected"):
        kind(**values)


def test_the_same_bundle_twice_is_refused(tmp_path):
    with pytest.raises(UsageError, match="exported twice"):
        export_repository([catalogue.find(NETWORK)] * 2, tmp_path / "models")


def files_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_existing_model_is_refused_and_stays_as_it_is(repository):
    before = files_of(repository)
    with pytest.raises(OutputError, match="--add-version"):
        export_repository([catalogue.find("edge-tiny-x4"), catalogue.find(NETWORK)], repository)
    assert files_of(repository) == before


def test_a_version_is_added_beside_the_old_one(tmp_path):
    bundle, folder = catalogue.find(NETWORK), tmp_path / "models"
    export_repository([bundle], folder)
    first = files_of(folder)
    (written,) = export_repository([bundle], folder, precision="int8", add_version=True)
    assert written.version == 2
    assert (folder / NETWORK / "2" / "model.onnx").read_bytes() == bundle.read("int8.onnx")
    assert first.items() <= files_of(folder).items()
    export_repository([catalogue.find("edge-tiny-x4")], folder, add_version=True)
    assert config_of(folder / "edge-tiny-x4").name == "edge-tiny-x4"


def test_a_model_is_added_to_a_repository_whose_detector_stays_as_it_is(tmp_path):
    detector, folder = catalogue.find("detector"), tmp_path / "models"
    export_repository([catalogue.find(NETWORK)], folder, detector=detector)
    before = files_of(folder)
    exported = export_repository([catalogue.find("edge-tiny-x4")], folder, detector=detector, add_version=True)
    assert [(one.name, one.version) for one in exported] == [
        ("edge-tiny-x4", 1),
        ("detector", 1),
        ("edge-tiny-x4-faces", 1),
    ]
    added = files_of(folder)
    assert before.items() <= added.items()
    assert {path.parts[0] for path in added.keys() - before.keys()} == {"edge-tiny-x4", "edge-tiny-x4-faces"}


def test_a_version_that_would_break_clients_is_refused(tmp_path):
    folder = tmp_path / "models"
    export_repository([catalogue.find(NETWORK)], folder)
    before = files_of(folder)
    with pytest.raises(OutputError, match="on which its clients depend"):
        export_repository([catalogue.find(NETWORK)], folder, max_batch=2, add_version=True)
    (folder / NETWORK / "config.pbtxt").write_text("not a configuration {")
    with pytest.raises(OutputError, match="not a model of Triton"):
        export_repository([catalogue.find(NETWORK)], folder, add_version=True)
    (folder / NETWORK / "config.pbtxt").write_bytes(before[Path(NETWORK) / "config.pbtxt"])
    assert files_of(folder) == before


@pytest.mark.parametrize("exists", [False, True])
def test_a_full_disk_leaves_no_half_repository(tmp_path, no_file_larger_than, exists):
    folder = tmp_path / "models"
    if exists:
        export_repository([catalogue.find("edge-tiny-x4")], folder)
    before = files_of(tmp_path)
    with no_file_larger_than(50_000), pytest.raises(OutputError, match=r"cannot write .*models"):
        export_repository([catalogue.find(NETWORK)], folder)
    assert files_of(tmp_path) == before and len(list(tmp_path.iterdir())) == exists


class Server:
    """What Triton does with the networks of a repository; counts the calls of each model."""

    def __init__(self, repository):
        self.repository, self.calls, self.fails = repository, [], False
        self._loaded = {}

    def infer(self, name, arrays, outputs):
        config, session = self._model(name)
        assert {tensor.name for tensor in config.input} == set(arrays)
        for tensor in config.input:
            array = arrays[tensor.name]
            assert array.dtype == dtype_of(tensor) and 1 <= len(array) <= config.max_batch_size
            assert all(dim in (-1, size) for dim, size in zip(tensor.dims, array.shape[1:], strict=True))
        self.calls.append((name, arrays[config.input[0].name].shape))
        results = dict(zip([node.name for node in session.get_outputs()], session.run(None, arrays), strict=True))
        for tensor in config.output:
            if tensor.HasField("reshape"):  # what clients see has the dimensions of the configuration
                results[tensor.name] = results[tensor.name].reshape(-1, *tensor.dims)
        return [results[name] for name in outputs]

    def _model(self, name):
        if name not in self._loaded:
            config = config_of(self.repository / name)
            path = self.repository / name / "1" / config.default_model_filename
            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            self._loaded[name] = config, session
        return self._loaded[name]


class Tensor:
    """Of the Python backend."""

    def __init__(self, name, array):
        self._name, self._array = name, array

    def name(self):
        return self._name

    def as_numpy(self):
        return self._array


class Response:
    """Of the Python backend."""

    def __init__(self, output_tensors, error=None):
        self.tensors, self._error = {tensor.name(): tensor for tensor in output_tensors}, error

    def has_error(self):
        return self._error is not None

    def error(self):
        return self._error

    def array(self, name):
        return self.tensors[name].as_numpy()


def backend_utils(server):
    """A stand-in for `triton_python_backend_utils`."""

    class InferenceRequest:
        def __init__(self, model_name, requested_output_names, inputs, preferred_memory):
            self.model, self.outputs, self.inputs = model_name, requested_output_names, inputs

        def exec(self):
            if server.fails:
                return Response([], SimpleNamespace(message=lambda: "model is not ready"))
            arrays = {tensor.name(): tensor.as_numpy() for tensor in self.inputs}
            pairs = zip(self.outputs, server.infer(self.model, arrays, self.outputs), strict=True)
            return Response([Tensor(*pair) for pair in pairs])

    module = ModuleType("triton_python_backend_utils")
    module.Tensor, module.InferenceRequest, module.InferenceResponse = Tensor, InferenceRequest, Response
    module.TritonError = lambda message: SimpleNamespace(message=lambda: message)
    module.PreferredMemory, module.TRITONSERVER_MEMORY_CPU = (lambda kind, index: None), 0
    module.get_input_tensor_by_name = lambda request, name: request.tensors[name]
    module.get_output_tensor_by_name = lambda response, name: response.tensors[name]
    return module


def request_of(frame, *outputs):
    return SimpleNamespace(tensors={"frame": Tensor("frame", frame)}, requested_output_names=lambda: list(outputs))


@pytest.fixture(scope="module")
def server(repository):
    return Server(repository)


@pytest.fixture(scope="module")
def faces_model(repository, server):
    """The model of the repository, loaded from its file as the Python backend loads it."""
    config, source = config_of(repository / FACES), repository / FACES / "1" / "model.py"
    scope = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "triton_python_backend_utils", backend_utils(server))
        exec(compile(source.read_text("utf-8"), source, "exec"), scope)
        model = scope["TritonPythonModel"]()
        parameters = {key: {"string_value": value.string_value} for key, value in config.parameters.items()}
        model.initialize(
            {
                "model_config": json.dumps({"parameters": parameters}),
                "model_repository": str(repository / FACES),
                "model_version": "1",
            }
        )
        yield model
        model.finalize()


@pytest.fixture(scope="module")
def pipeline():
    with facesr_edge.load(NETWORK, engine="onnxruntime", precision="fp32", threads=1) as sr:
        yield sr


@pytest.fixture(scope="module")
def crowd(put_face):
    """A frame with faces of three sizes."""
    frame = np.full((260, 420, 3), 118, np.uint8)
    for x, y, side in ((10, 10, 24), (90, 10, 24), (170, 10, 24), (10, 90, 40), (200, 70, 62)):
        put_face(frame, x, y, side)
    return frame


def test_a_frame_gives_the_faces_of_the_pipeline_bit_for_bit(faces_model, pipeline, server, crowd):
    server.calls.clear()
    (response,) = faces_model.execute([request_of(crowd)])
    assert not response.has_error()
    result = pipeline(crowd)
    assert len(result.faces) >= 4
    arrays = {name: response.array(name) for name in response.tensors}
    assert np.array_equal(arrays["composite"], result.frame)
    assert np.array_equal(arrays["boxes_xyxy"], [face.box_xyxy for face in result.faces])
    assert np.array_equal(arrays["scores"], np.array([face.score for face in result.faces], np.float32))
    assert np.array_equal(arrays["landmarks"], [face.landmarks for face in result.faces])
    assert np.array_equal(arrays["windows_xyxy"], [face.window_xyxy for face in result.faces])
    decibels = np.array([face.consistency_db for face in result.faces], np.float32)
    assert np.allclose(arrays["consistency_db"], decibels, atol=0.01)
    ends = np.cumsum(arrays["sides"].astype(np.int64) ** 2 * 3)
    for end, side, face in zip(ends, arrays["sides"], result.faces, strict=True):
        assert np.array_equal(arrays["pixels"][end - side * side * 3 : end].reshape(side, side, 3), face.pixels)
    assert ends[-1] == len(arrays["pixels"])
    assert any(name == NETWORK and shape[0] > 1 for name, shape in server.calls)  # faces of one size in one call


def test_outputs_have_the_types_and_dimensions_of_the_configuration(faces_model, repository, crowd):
    grey = np.full((64, 64, 3), 118, np.uint8)
    for frame in (crowd, grey):
        (response,) = faces_model.execute([request_of(frame)])
        config = config_of(repository / FACES)
        assert [tensor.name for tensor in config.output] == list(response.tensors)
        for tensor in config.output:
            array = response.array(tensor.name)
            assert array.dtype == dtype_of(tensor)
            assert all(dim in (-1, size) for dim, size in zip(tensor.dims, array.shape, strict=True))
    assert len(response.array("scores")) == 0


def test_the_composite_is_computed_only_if_it_is_requested(faces_model, crowd):
    (response,) = faces_model.execute([request_of(crowd, "scores", "sides")])
    assert list(response.tensors) == ["scores", "sides"] and len(response.array("scores")) >= 4


def test_each_request_gets_its_own_error_of_one_line(faces_model, server, crowd):
    requests = [
        request_of(np.zeros((2, 4, 4, 3), np.uint8)),
        request_of(crowd),
        request_of(np.zeros((4, 4, 2), np.uint8)),
    ]
    first, second, third = faces_model.execute(requests)
    assert "expected a frame of (H, W, 3)" in first.error().message() and third.has_error()
    assert not second.has_error()
    server.fails = True
    try:
        (failed,) = faces_model.execute([request_of(crowd)])
    finally:
        server.fails = False
    assert failed.error().message() == "the model detector of this server failed: model is not ready"


def test_sizes_of_tensorrt_are_called_by_their_models(compiled, tmp_path):
    from facesr_edge.sdk.serving.triton.session import ServedModel, TritonSession

    called = []

    def infer(name, inputs, outputs):
        called.append((name, inputs["pixels"].shape[0], tuple(outputs)))
        count, height, width, _ = inputs["pixels"].shape
        return [np.zeros((count, 4 * height, 4 * width, 3), np.uint8), np.ones((count, 1), np.float32)]

    model = ServedModel(NETWORK, True, "pixels", ("residual", "enlarged"), 4, "fp32", "tensorrt")
    assert ServedModel.from_dict(json.loads(json.dumps(model.to_dict()))) == model
    session = TritonSession(compiled.card.io_spec, model, infer)
    small, large = session.infer_batches([np.zeros((n, side, side, 3), np.uint8) for n, side in ((5, 32), (2, 128))])
    assert called == [
        *[(f"{NETWORK}-32x32", n, ("enlarged", "residual")) for n in (4, 1)],
        *[(f"{NETWORK}-128x128", 1, ("enlarged", "residual"))] * 2,
    ]
    assert small.tensor.shape == (5, 128, 128, 3) and small.residual.shape == (5,) and large.residual.shape == (2,)
    session.close()
    with pytest.raises(EngineError, match="closed"):
        session.infer(np.zeros((1, 32, 32, 3), np.uint8))


def test_an_altered_bundle_is_refused(tmp_path):
    bundle = catalogue.find(NETWORK)
    folder = tmp_path / "bundle"
    write_bundle(folder, bundle.card, {ONNX: bundle.read(ONNX)})
    copied = open_bundle(folder)
    (folder / ONNX).write_bytes(b"altered")
    with pytest.raises(BundleError, match="altered"):
        export_repository([copied], tmp_path / "models")


class Servicer(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Triton's gRPC service, as far as a request of one model goes."""

    def __init__(self, model):
        self._model = model

    def ModelInfer(self, request, context):  # noqa: N802 (of the protocol)
        if request.model_name != FACES:
            context.abort(grpc.StatusCode.NOT_FOUND, f"unknown model: '{request.model_name}'")
        shape = tuple(request.inputs[0].shape)
        frame = np.frombuffer(request.raw_input_contents[0], np.uint8).reshape(shape)
        (response,) = self._model.execute([request_of(frame, *(one.name for one in request.outputs))])
        if response.has_error():
            context.abort(grpc.StatusCode.INTERNAL, response.error().message())
        answer = service_pb2.ModelInferResponse(model_name=FACES, model_version="1")
        for name, tensor in response.tensors.items():
            array = tensor.as_numpy()
            kind = {"uint8": "UINT8", "float32": "FP32", "int32": "INT32"}[array.dtype.name]
            answer.outputs.add(name=name, datatype=kind, shape=array.shape)
            answer.raw_output_contents.append(np.ascontiguousarray(array).tobytes())
        return answer


@pytest.fixture
def url(faces_model):
    """Address of a gRPC server with the model that takes frames."""
    running = grpc.server(ThreadPoolExecutor(2))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Servicer(faces_model), running)
    port = running.add_insecure_port("127.0.0.1:0")
    running.start()
    yield f"127.0.0.1:{port}"
    running.stop(None)


def sample(*arguments):
    command = [sys.executable, "-m", "facesr_edge.samples.triton_client", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_the_sample_writes_the_faces_that_a_server_returns(url, crowd, pipeline, tmp_path):
    cv2.imwrite(str(tmp_path / "crowd.png"), crowd)
    done = sample(tmp_path / "crowd.png", tmp_path / "faces", "--url", url, "--model", FACES, "--composite")
    assert done.returncode == 0, done.stderr
    result = pipeline(crowd)
    for n, face in enumerate(result.faces):
        assert np.array_equal(cv2.imread(str(tmp_path / "faces" / f"crowd-{n}.png")), face.pixels)
    assert np.array_equal(cv2.imread(str(tmp_path / "faces" / "crowd-composite.png")), result.frame)
    assert done.stdout.splitlines()[-1] == f"{len(result.faces)} faces"


def test_the_sample_reports_a_model_that_the_server_lacks(url, crowd, tmp_path):
    cv2.imwrite(str(tmp_path / "crowd.png"), crowd)
    done = sample(tmp_path / "crowd.png", tmp_path / "faces", "--url", url, "--model", "nosuch")
    (line,) = done.stderr.strip().splitlines()
    assert done.returncode == 1 and "unknown model: 'nosuch'" in line and not (tmp_path / "faces").exists()


def test_openvino_reads_the_exported_graphs_with_the_configured_shapes(tmp_path):
    openvino = pytest.importorskip("openvino")
    export_repository([catalogue.find(NETWORK)], tmp_path, detector=catalogue.find("detector"), backend="openvino")
    for name in (NETWORK, "detector"):
        config = config_of(tmp_path / name)
        model = openvino.Core().read_model(tmp_path / name / "1" / config.default_model_filename)
        for tensors, nodes in ((config.input, model.inputs), (config.output, model.outputs)):
            shapes = {
                node.any_name: [dim.get_length() if dim.is_static else -1 for dim in node.partial_shape]
                for node in nodes
            }
            assert shapes == {tensor.name: list(tensor.dims) for tensor in tensors}
