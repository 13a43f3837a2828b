"""Stubs of the TensorRT classes that load and run an engine, and of the values that they share with a build.

A serialized engine is JSON, and ONNX Runtime computes its results, so a wrong address, shape or order gives a wrong
result or none.
"""

import base64
import json
from functools import cached_property

import numpy as np
import onnx
import onnxruntime
from strict_mock import stub_of

SCRATCH = 4096
TYPES = {onnx.TensorProto.UINT8: "UINT8", onnx.TensorProto.FLOAT: "FLOAT", onnx.TensorProto.FLOAT16: "HALF"}


class Tensor:
    of = "ITensor"

    def __init__(self, trt, value):
        self.name = value.name
        dims = value.type.tensor_type.shape.dim
        self.dims = [dim.dim_value if dim.HasField("dim_value") else dim.dim_param for dim in dims]
        self.shape = trt.Dims([dim if isinstance(dim, int) else -1 for dim in self.dims])
        self.dtype = getattr(trt.DataType, TYPES[value.type.tensor_type.elem_type])


class Memory:
    of = "IHostMemory"

    def __init__(self, data):
        self.data, self.nbytes = data, len(data)


class Runtime:
    of = "Runtime"

    def __init__(self, scenario):
        self.scenario, self.engine_host_code_allowed, self.DLA_core = scenario, False, -1

    def deserialize_cuda_engine(self, serialized_engine):
        scenario, plan = self.scenario, json.loads(bytes(serialized_engine))
        error = scenario.load_error
        if plan["version"] != scenario.trt.__version__:
            error = "the version tag of the serialized engine does not match"
        if plan["host_code"] and not self.engine_host_code_allowed:
            error = "the engine contains host code, which is not allowed"
        if error:
            scenario.log("ERROR", error)
            return None
        return Engine(scenario, plan)


class Engine:
    of = "ICudaEngine"

    def __init__(self, scenario, plan):
        self.scenario, self.plan, self.device_memory_size_v2 = scenario, plan, SCRATCH
        graph = onnx.load_from_string(base64.b64decode(plan["graph"])).graph
        self.inputs = [Tensor(scenario.trt, value) for value in graph.input]
        self.outputs = [Tensor(scenario.trt, value) for value in graph.output]
        # Outputs first, and the last one before the others: callers must not rely on the order.
        self.tensors = {tensor.name: tensor for tensor in [*reversed(self.outputs), *self.inputs]}
        self.num_io_tensors, self.num_optimization_profiles = len(self.tensors), len(plan["profiles"])

    @cached_property
    def session(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 4
        return onnxruntime.InferenceSession(
            base64.b64decode(self.plan["graph"]), options, providers=["CPUExecutionProvider"]
        )

    def get_tensor_name(self, index):
        return list(self.tensors)[index]

    def get_tensor_mode(self, name):
        modes = self.scenario.trt.TensorIOMode
        return modes.INPUT if name in [tensor.name for tensor in self.inputs] else modes.OUTPUT

    def get_tensor_dtype(self, name):
        return self.tensors[name].dtype

    def get_tensor_profile_shape(self, name, profile_index):
        return [self.scenario.trt.Dims(shape) for shape in self.plan["profiles"][profile_index][name]]

    def get_tensor_shape(self, name):
        return self.tensors[name].shape

    def create_execution_context(self, strategy=None):
        config = stub_of(strategy) if hasattr(strategy, "set_runtime_cache") else None
        strategy = config.strategy if config else strategy
        managed = strategy == self.scenario.trt.ExecutionContextAllocationStrategy.USER_MANAGED
        if config:
            config.cache.kernels.add(f"kernels of {self.plan['profiles']}")
        return Context(self, managed)

    def create_runtime_config(self):
        return RuntimeConfig(self.scenario)

    def create_engine_inspector(self):
        return Inspector(self.scenario)


class RuntimeConfig:
    """Of TensorRT for RTX: how contexts are created, and the cache of the kernels that it finishes for the GPU."""

    of = "IRuntimeConfig"

    def __init__(self, scenario):
        self.scenario, self.strategy, self.cache = scenario, None, None
        self.dynamic_shapes_kernel_specialization_strategy = scenario.trt.DynamicShapesKernelSpecializationStrategy.LAZY

    def set_execution_context_allocation_strategy(self, strategy):
        self.strategy = strategy

    def create_runtime_cache(self):
        return RuntimeCache(self.scenario)

    def set_runtime_cache(self, cache):
        self.cache = stub_of(cache)
        return True


class RuntimeCache:
    of = "IRuntimeCache"

    def __init__(self, scenario):
        self.scenario, self.kernels = scenario, set()

    def deserialize(self, blob):
        if not bytes(blob).startswith(b"{"):
            return False
        self.kernels = set(json.loads(bytes(blob))["kernels"])
        return True

    def serialize(self):
        return Memory(json.dumps({"kernels": sorted(self.kernels)}).encode())


class Inspector:
    of = "EngineInspector"

    def __init__(self, scenario):
        self.scenario = scenario

    def get_engine_information(self, format):  # noqa: A002
        assert format.name == "JSON"
        return json.dumps({"Layers": self.scenario.engine_layers})


class Context:
    of = "IExecutionContext"

    def __init__(self, engine, managed):
        self.engine_stub, self.scenario, self.managed = engine, engine.scenario, managed
        self.profile, self.shapes, self.addresses, self.device_memory, self.profiler = None, {}, {}, None, None
        self.runs = 0

    def set_optimization_profile_async(self, profile_index, stream_handle):
        assert stream_handle == self.scenario.gpu.stream.handle
        self.profile, self.shapes = profile_index, {}
        return profile_index < self.engine_stub.num_optimization_profiles

    def set_input_shape(self, name, shape):
        if self.profile is None or name not in self._dims():
            return self._fail("no such input, or no profile yet")
        min_shape, _, max_shape = self.engine_stub.plan["profiles"][self.profile][name]
        if not all(a <= size <= b for a, size, b in zip(min_shape, shape, max_shape, strict=True)):
            return self._fail(f"{tuple(shape)} is outside of the profile")
        self.shapes[name] = tuple(shape)
        return True

    def _dims(self):
        """Input -> its dimensions, sizes or names."""
        return {tensor.name: tensor.dims for tensor in self.engine_stub.inputs}

    def get_tensor_shape(self, name):
        if name in self.shapes:
            return self.scenario.trt.Dims(self.shapes[name])
        engine, sizes = self.engine_stub, {}
        for tensor, dims in self._dims().items():
            sizes |= zip(dims, self.shapes[tensor], strict=True)
        try:  # "4*height"
            shape = [dim if isinstance(dim, int) else eval(dim, {}, sizes) for dim in engine.tensors[name].dims]
        except NameError:  # a dimension without a formula
            shape = self._compute(*(np.zeros(shape, dtype) for shape, dtype in self._layouts()))[name].shape
        return self.scenario.trt.Dims(shape)

    def set_device_memory(self, memory, size):
        assert size >= SCRATCH and len(self.scenario.gpu.at(memory, size)) == size
        self.device_memory = memory

    def set_tensor_address(self, name, memory):
        self.addresses[name] = memory
        return name in self.engine_stub.tensors

    def execute_async_v3(self, stream_handle):
        self.runs += 1
        gpu, engine = self.scenario.gpu, self.engine_stub
        if (
            self.scenario.run_error
            or self.shapes.keys() != self._dims().keys()
            or set(self.addresses) != set(engine.tensors)
        ):
            return self._fail(self.scenario.run_error or "a shape or an address is missing")
        if self.managed and self.device_memory is None:
            return self._fail("no device memory was given")
        assert stream_handle == gpu.stream.handle and gpu.depth, "another stream, or no context is current"
        gpu.put(self._run)
        if self.profiler:
            gpu.run()
            for name, ms in (("first", 1.5), ("last", 0.25)):
                self.profiler.report_layer_time(name, ms * (100 if self.runs == 1 else 1))
        return True

    def _run(self):
        gpu, arrays = self.scenario.gpu, []
        for name, (shape, dtype) in zip(self._dims(), self._layouts(), strict=True):
            memory = gpu.at(self.addresses[name], int(np.prod(shape)) * dtype.itemsize)
            arrays.append(memory.view(dtype).reshape(shape))
        for name, result in self._compute(*arrays).items():
            target = gpu.at(self.addresses[name], result.nbytes)
            np.copyto(target, np.ascontiguousarray(result).reshape(-1).view(np.uint8))

    def _layouts(self):
        """Shape and dtype of each input, in their order."""
        nptype = self.scenario.trt.nptype
        return [(self.shapes[one.name], np.dtype(nptype(one.dtype))) for one in self.engine_stub.inputs]

    def _compute(self, *arrays):
        """Name of an output -> its array, from the inputs in their order."""
        session, names = self.engine_stub.session, [tensor.name for tensor in self.engine_stub.outputs]
        return dict(zip(names, session.run(names, dict(zip(self._dims(), arrays, strict=True))), strict=True))

    def _fail(self, reason):
        self.scenario.log("ERROR", reason)
        return False
