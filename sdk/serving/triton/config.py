"""``config.pbtxt``: the configuration of a Triton model, written and read with Triton's own protocol buffers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....engines.errors import InputError, MissingDependencyError, UsageError, first_line
from ....engines.tensor_spec import TensorSpec
from .layout import MODEL_FILES, TritonModel

CONFIG = "config.pbtxt"
MAX_INSTANCES = 256
DATA_TYPES = {"uint8": "TYPE_UINT8", "float32": "TYPE_FP32", "float16": "TYPE_FP16", "int32": "TYPE_INT32"}
"""Type of numpy -> type of Triton."""
_KINDS = {"onnxruntime": "KIND_AUTO", "openvino": "KIND_CPU", "tensorrt": "KIND_GPU"}


@dataclass(frozen=True)
class ServingOptions:
    """How Triton runs the models.

    Args:
        instances: copies of each model that run at once, on each GPU or on the CPU.
        threads: CPU threads of each instance; 0 for the backend's default, one per core.
        queue_delay_us: microseconds that the dynamic batcher waits for more requests; 0 to batch what is queued.
        pipelines: frames in work at once, instances of each model that takes frames; 0 for `instances`. With more than
            `instances`, faces of several frames meet in the queue of the network and share its batches.

    Raises:
        UsageError: a value out of its range.
    """

    instances: int = 1
    threads: int = 0
    queue_delay_us: int = 0
    pipelines: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.instances <= MAX_INSTANCES:
            raise UsageError(f"expected 1 to {MAX_INSTANCES} instances, got {self.instances}")
        if not 0 <= self.pipelines <= MAX_INSTANCES:
            raise UsageError(f"expected 0 to {MAX_INSTANCES} pipelines, got {self.pipelines}")
        if not 0 <= self.threads <= 256:
            raise UsageError(f"expected 0 to 256 threads, got {self.threads}")
        if not 0 <= self.queue_delay_us <= 10_000_000:
            raise UsageError(f"expected a queue delay of 0 to 10000000 microseconds, got {self.queue_delay_us}")


def _protocol() -> tuple[Any, Any]:
    """The modules of Triton's ModelConfig and of the text format of protocol buffers."""
    try:
        from google.protobuf import text_format
        from tritonclient.grpc import model_config_pb2
    except ImportError:
        raise MissingDependencyError("tritonclient", "triton", "exporting for Triton") from None
    return model_config_pb2, text_format


def network_config(model: TritonModel, options: ServingOptions) -> str:
    """Configuration of a network or detector.

    With `onnxruntime` and `tensorrt`, Triton's batch dimension is that of the graph, and requests of the same size are
    batched. Triton's OpenVINO backend fixes the batch of a graph to the largest one, so it gets the graph as it is,
    without a batch dimension of Triton: a request may hold any batch, and requests are not merged.

    Args:
        model: to configure.
        options: how to run it.

    Returns:
        Text format of ``inference.ModelConfig``.
    """
    batched = model.backend != "openvino"
    config = _config(model.name, model.backend, options, _KINDS[model.backend])
    config.default_model_filename = MODEL_FILES[model.backend]
    config.max_batch_size = model.max_batch if batched else 0
    for spec in model.tensors.inputs:
        _fill(config.input.add(), spec, batched)
    for spec in model.tensors.outputs:
        _fill(config.output.add(), spec, batched)
    if batched and model.max_batch > 1:
        config.dynamic_batching.max_queue_delay_microseconds = options.queue_delay_us
    for name, value in _backend_parameters(model.backend, options).items():
        config.parameters[name].string_value = value
    for height, width in model.sizes_hw:
        for batch in sorted({1, model.max_batch if model.backend == "tensorrt" else 1}):
            _add_warm_up(config, model, (height, width), batch, batched)
    return _text(config)


def pipeline_config(
    name: str,
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    parameters: Mapping[str, str],
    options: ServingOptions,
) -> str:
    """Configuration of a model of the Python backend, without a batch dimension.

    Args:
        name: of the model.
        inputs, outputs: all dimensions.
        parameters: for the model.
        options: how to run it; the number of threads is the networks'.

    Returns:
        Text format of ``inference.ModelConfig``.
    """
    config = _config(name, "python", options, "KIND_CPU")
    config.instance_group[0].count = options.pipelines or options.instances
    for spec in inputs:
        _fill(config.input.add(), spec, False)
    for spec in outputs:
        _fill(config.output.add(), spec, False)
    for key, value in parameters.items():
        config.parameters[key].string_value = value
    return _text(config)


def parse_config(text: str, path: str) -> Any:
    """Parse a configuration.

    Args:
        text: of ``config.pbtxt``.
        path: for the message.

    Returns:
        ``inference.ModelConfig``.

    Raises:
        InputError: the text is not a configuration of Triton.
    """
    proto, text_format = _protocol()
    try:
        return text_format.Parse(text, proto.ModelConfig())
    except text_format.ParseError as error:
        raise InputError(
            f"{path} is not a configuration of Triton: {first_line(error)}; export to another folder"
        ) from None


def interface(config: Any) -> tuple[Any, ...]:
    """What clients of a model depend on: backend, maximum batch, and names, types and shapes of the tensors."""
    tensors = [*((True, one) for one in config.input), *((False, one) for one in config.output)]
    listed = tuple((is_input, one.name, one.data_type, tuple(one.dims)) for is_input, one in tensors)
    return config.backend, config.max_batch_size, listed


def _text(config: Any) -> str:
    _, text_format = _protocol()
    return str(text_format.MessageToString(config))


def _config(name: str, backend: str, options: ServingOptions, kind: str) -> Any:
    """A configuration with the parts that all models have; Triton serves the newest version."""
    proto, _ = _protocol()
    config = proto.ModelConfig(name=name, backend=backend)
    config.version_policy.latest.num_versions = 1
    group = config.instance_group.add()
    group.count, group.kind = options.instances, getattr(proto.ModelInstanceGroup, kind)
    return config


def _fill(tensor: Any, spec: TensorSpec, batched: bool) -> None:
    """Fill in an input or output; Triton wants a dimension for one number per element of the batch."""
    proto, _ = _protocol()
    dims = spec.shape[1:] if batched else spec.shape
    tensor.name, tensor.data_type = spec.name, getattr(proto, DATA_TYPES[spec.dtype.name])
    tensor.dims.extend(dims or (1,))
    if not dims:
        tensor.reshape.SetInParent()  # to no dimension


def _backend_parameters(backend: str, options: ServingOptions) -> dict[str, str]:
    if backend == "openvino":
        threads = {"INFERENCE_NUM_THREADS": str(options.threads)} if options.threads else {}
        return {"PERFORMANCE_HINT": "LATENCY", **threads}
    return {"intra_op_thread_count": str(options.threads)} if backend == "onnxruntime" and options.threads else {}


def _add_warm_up(config: Any, model: TritonModel, size_hw: tuple[int, int], batch: int, batched: bool) -> None:
    """Add a request of zeros, so that the first request of a size is not slower than the others."""
    proto, _ = _protocol()
    warm_up = config.model_warmup.add()
    warm_up.name = "{1}x{0}".format(*size_hw) + (f" batch {batch}" if batch > 1 else "")
    warm_up.batch_size = batch if batched else 1
    for index, spec in enumerate(model.tensors.inputs):
        full = (batch, *size_hw, 3) if index == 0 else (batch, *(1 if size == -1 else size for size in spec.shape[1:]))
        tensor = warm_up.inputs[spec.name]
        tensor.data_type, tensor.zero_data = getattr(proto, DATA_TYPES[np.dtype(spec.dtype).name]), True
        tensor.dims.extend(full[1:] if batched else full)
