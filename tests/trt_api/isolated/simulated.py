"""TensorRT in parts for doubles: what a build and a run of this package ask it for. A "plan" is JSON, and ONNX Runtime
computes what an engine would; so a wrong address, shape or order gives a wrong picture or none.
"""

import json
from functools import cached_property

import numpy as np
import onnx
import onnxruntime

CACHE = b"timing cache of "
SCRATCH = 4096
TYPES = {onnx.TensorProto.UINT8: "UINT8", onnx.TensorProto.FLOAT: "FLOAT", onnx.TensorProto.FLOAT16: "HALF"}


class Said:
    """What TensorRT is set to say and do, and its logger."""

    def __init__(self, trt, gpu=None):
        self.trt, self.gpu = trt, gpu
        self.device, self.dla_cores = "this GPU", 0
        self.refuses_start = self.refuses_parse = False
        self.parser_errors, self.build_error, self.load_error, self.run_error = [], "", "", ""
        self.while_building = lambda: None
        self.logger = None

    def tell(self, severity, text):
        self.logger.log(getattr(self.trt.ILogger.Severity, severity), text)


class Builder:
    of = "Builder"

    def __init__(self, said):
        self.said, self.num_DLA_cores = said, said.dla_cores

    def create_network(self, flags=0):
        return Network(self.said, flags)

    def create_builder_config(self):
        return Config(self.said)

    def create_optimization_profile(self):
        return Profile()

    def build_serialized_network(self, network, config):
        network, config, said = vars(network)["_part"], vars(config)["_part"], self.said
        said.tell("VERBOSE", "a verbose message")
        said.tell("WARNING", "a warning")
        monitor, pixels = config.progress_monitor, network.inputs[0]
        steps = 4
        monitor.phase_start("Building Engine", None, steps)
        for step in range(steps):
            monitor.phase_start("Choosing kernels", "Building Engine", 2)
            said.while_building()
            goes_on = all(monitor.step_complete("Choosing kernels", n) for n in range(2))
            monitor.phase_finish("Choosing kernels")
            if not (goes_on and monitor.step_complete("Building Engine", step)):
                monitor.phase_finish("Building Engine")
                said.tell("ERROR", "the build was cancelled")
                return None
        monitor.phase_finish("Building Engine")
        profiles = [vars(profile)["_part"].shapes.get(pixels.name) for profile in config.profiles]
        if -1 in pixels.shape and (not profiles or None in profiles):
            said.tell("ERROR", "a dynamic input has no optimization profile")
            return None
        if said.build_error:
            said.tell("ERROR", said.build_error)
            said.tell("ERROR", "the build failed")
            return None
        plan = {"graph": network.path, "profiles": profiles, "version": said.trt.__version__}
        plan["host_code"] = "VERSION_COMPATIBLE" in config.flags
        return Memory(json.dumps(plan).encode())


class Network:
    of = "INetworkDefinition"

    def __init__(self, said, flags):
        self.said, self.flags, self.path, self.inputs, self.outputs = said, flags, None, [], []

    num_inputs = property(lambda self: len(self.inputs))
    num_outputs = property(lambda self: len(self.outputs))

    def get_input(self, index):
        return self.inputs[index]


class Tensor:
    of = "ITensor"

    def __init__(self, trt, value):
        self.name = value.name
        dims = value.type.tensor_type.shape.dim
        self.dims = [dim.dim_value if dim.HasField("dim_value") else dim.dim_param for dim in dims]
        self.shape = trt.Dims([dim if isinstance(dim, int) else -1 for dim in self.dims])
        self.dtype = getattr(trt.DataType, TYPES[value.type.tensor_type.elem_type])


class Parser:
    of = "OnnxParser"

    def __init__(self, said, network):
        self.said, self.network = said, vars(network)["_part"]

    num_errors = property(lambda self: len(self.said.parser_errors))

    def parse_from_file(self, model):
        if self.said.parser_errors or self.said.refuses_parse:
            return False
        graph = onnx.load(model).graph
        self.network.path = model
        self.network.inputs = [Tensor(self.said.trt, value) for value in graph.input]
        self.network.outputs = [Tensor(self.said.trt, value) for value in graph.output]
        return True

    def get_error(self, index):
        return ParserError(self.said.trt, **self.said.parser_errors[index])


class ParserError:
    of = "ParserError"

    def __init__(self, trt, code, desc, operator="", name="", number=0):
        self._values = getattr(trt.ErrorCode, code), desc, operator, name, number

    code = lambda self: self._values[0]  # noqa: E731
    desc = lambda self: self._values[1]  # noqa: E731
    node_operator = lambda self: self._values[2]  # noqa: E731
    node_name = lambda self: self._values[3]  # noqa: E731
    node = lambda self: self._values[4]  # noqa: E731


class Config:
    of = "IBuilderConfig"

    def __init__(self, said):
        trt, self.said = said.trt, said
        self.builder_optimization_level, self.progress_monitor, self.DLA_core = 3, None, -1
        self.profiling_verbosity = trt.ProfilingVerbosity.LAYER_NAMES_ONLY
        self.hardware_compatibility_level = trt.HardwareCompatibilityLevel.NONE
        self.default_device_type = trt.DeviceType.GPU
        self.flags, self.pools, self.profiles, self.cache = {"TF32"}, {}, [], None

    def set_flag(self, flag):
        self.flags.add(flag.name)

    def clear_flag(self, flag):
        self.flags.discard(flag.name)

    def set_memory_pool_limit(self, pool, pool_size):
        self.pools[pool.name] = pool_size

    def add_optimization_profile(self, profile):
        if not vars(profile)["_part"].shapes:
            return -1
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def create_timing_cache(self, serialized_timing_cache):
        data = bytes(serialized_timing_cache)
        return Cache(data) if not data or data.startswith(CACHE) else None

    def set_timing_cache(self, cache, ignore_mismatch):
        data = vars(cache)["_part"].data
        if data and not ignore_mismatch and data != CACHE + self.said.device.encode():
            return False
        self.cache = cache
        return True

    def get_timing_cache(self):
        if self.cache:
            vars(self.cache)["_part"].data = CACHE + self.said.device.encode()
        return self.cache and vars(self.cache)["_part"]


class Profile:
    of = "IOptimizationProfile"

    def __init__(self):
        self.shapes = {}

    def set_shape(self, input, min, opt, max):  # noqa: A002
        if not all(a <= b <= c for a, b, c in zip(min, opt, max, strict=True)):
            raise ValueError("shapes out of order")
        self.shapes[input] = [list(min), list(opt), list(max)]


class Cache:
    of = "ITimingCache"

    def __init__(self, data):
        self.data = data

    def serialize(self):
        return Memory(self.data)


class Memory:
    of = "IHostMemory"

    def __init__(self, data):
        self.data, self.nbytes = data, len(data)


class Runtime:
    of = "Runtime"

    def __init__(self, said):
        self.said, self.engine_host_code_allowed, self.DLA_core = said, False, -1

    def deserialize_cuda_engine(self, serialized_engine):
        said, plan = self.said, json.loads(bytes(serialized_engine))
        error = said.load_error
        if plan["version"] != said.trt.__version__:
            error = "the version tag of the serialized engine is another one"
        if plan["host_code"] and not self.engine_host_code_allowed:
            error = "the engine holds host code, which is not allowed"
        if error:
            said.tell("ERROR", error)
            return None
        return Engine(said, plan)


class Engine:
    of = "ICudaEngine"

    def __init__(self, said, plan):
        self.said, self.plan, self.device_memory_size_v2 = said, plan, SCRATCH
        graph = onnx.load(plan["graph"]).graph
        self.inputs = [Tensor(said.trt, value) for value in graph.input]
        self.outputs = [Tensor(said.trt, value) for value in graph.output]
        self.tensors = {tensor.name: tensor for tensor in [*self.outputs, *self.inputs]}  # in no order that one knows
        self.num_io_tensors, self.num_optimization_profiles = len(self.tensors), len(plan["profiles"])

    @cached_property
    def session(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 4
        return onnxruntime.InferenceSession(self.plan["graph"], options, providers=["CPUExecutionProvider"])

    def get_tensor_name(self, index):
        return list(self.tensors)[index]

    def get_tensor_mode(self, name):
        modes = self.said.trt.TensorIOMode
        return modes.INPUT if name in [tensor.name for tensor in self.inputs] else modes.OUTPUT

    def get_tensor_dtype(self, name):
        return self.tensors[name].dtype

    def get_tensor_profile_shape(self, name, profile_index):
        assert name == self.inputs[0].name, "outputs have no profile"
        return [self.said.trt.Dims(shape) for shape in self.plan["profiles"][profile_index]]

    def create_execution_context(self, strategy=None):
        managed = strategy == self.said.trt.ExecutionContextAllocationStrategy.USER_MANAGED
        return Context(self, managed)

    def create_engine_inspector(self):
        return Inspector()


class Inspector:
    of = "EngineInspector"

    def get_engine_information(self, format):  # noqa: A002
        assert format.name == "JSON"
        return json.dumps({"Layers": [{"Name": "first", "LayerType": "CaskConvolution"}, {"Name": "last"}]})


class Context:
    of = "IExecutionContext"

    def __init__(self, engine, managed):
        self.engine_part, self.said, self.managed = engine, engine.said, managed
        self.profile, self.shape, self.addresses, self.device_memory, self.profiler = None, None, {}, None, None
        self.runs = 0

    def set_optimization_profile_async(self, profile_index, stream_handle):
        assert stream_handle == self.said.gpu.stream.handle
        self.profile, self.shape = profile_index, None
        return profile_index < self.engine_part.num_optimization_profiles

    def set_input_shape(self, name, shape):
        if self.profile is None or name != self.engine_part.inputs[0].name:
            return self._refused("no such input, or no profile yet")
        least, _, most = self.engine_part.plan["profiles"][self.profile]
        if not all(a <= size <= b for a, size, b in zip(least, shape, most, strict=True)):
            return self._refused(f"{tuple(shape)} is outside of the profile")
        self.shape = tuple(shape)
        return True

    def get_tensor_shape(self, name):
        if name == self.engine_part.inputs[0].name:
            return self.said.trt.Dims(self.shape)
        engine = self.engine_part
        sizes = dict(zip(engine.inputs[0].dims, self.shape, strict=True))
        try:  # "4*height"
            shape = [dim if isinstance(dim, int) else eval(dim, {}, sizes) for dim in engine.outputs[0].dims]
        except NameError:  # a size that the graph has no formula for
            shape = self._computed(np.zeros(self.shape, np.uint8)).shape
        return self.said.trt.Dims(shape)

    def set_device_memory(self, memory, size):
        assert size >= SCRATCH and len(self.said.gpu.at(memory, size)) == size
        self.device_memory = memory

    def set_tensor_address(self, name, memory):
        self.addresses[name] = memory
        return name in self.engine_part.tensors

    def execute_async_v3(self, stream_handle):
        self.runs += 1
        gpu, engine = self.said.gpu, self.engine_part
        if self.said.run_error or self.shape is None or set(self.addresses) != set(engine.tensors):
            return self._refused(self.said.run_error or "a shape or an address is missing")
        if self.managed and self.device_memory is None:
            return self._refused("no device memory was given")
        assert stream_handle == gpu.stream.handle and gpu.depth, "another stream, or no context is current"
        gpu.put(self._run)
        if self.profiler:
            gpu.run()
            for name, ms in (("first", 1.5), ("last", 0.25)):
                self.profiler.report_layer_time(name, ms * (100 if self.runs == 1 else 1))
        return True

    def _run(self):
        gpu, engine = self.said.gpu, self.engine_part
        pixels = gpu.at(self.addresses[engine.inputs[0].name], int(np.prod(self.shape))).reshape(self.shape)
        result = self._computed(pixels)
        target = gpu.at(self.addresses[engine.outputs[0].name], result.nbytes)
        np.copyto(target, np.ascontiguousarray(result).reshape(-1).view(np.uint8))

    def _computed(self, pixels):
        session = self.engine_part.session
        return session.run(None, {session.get_inputs()[0].name: pixels})[0]

    def _refused(self, why):
        self.said.tell("ERROR", why)
        return False


def makers(said):
    """Name of a class -> what makes its part, for a `Module`."""

    def with_logger(logger, part):
        said.logger = logger
        if said.refuses_start:
            said.tell("ERROR", "CUDA initialization failure with error: 35")
            return None
        return part

    return {
        "Builder": lambda logger: with_logger(logger, Builder(said)),
        "OnnxParser": lambda network, logger: Parser(said, network),
        "Runtime": lambda logger: with_logger(logger, Runtime(said)),
    }
