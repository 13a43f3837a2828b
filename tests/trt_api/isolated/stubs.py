"""Stubs of the TensorRT classes that build an engine; those that run it are in `runtime_stubs`."""

import base64
import json

import onnx
from runtime_stubs import Memory, Runtime, Tensor
from strict_mock import stub_of

CACHE = b"timing cache of "


RTX_ONLY = {
    ("IBuilderConfig", "set_compute_capability"),
    ("ICudaEngine", "create_runtime_config"),
    *[("IRuntimeConfig", f"{verb}_runtime_cache") for verb in ("create", "set")],
    ("IRuntimeConfig", "set_execution_context_allocation_strategy"),
    *[("IRuntimeCache", name) for name in ("deserialize", "serialize")],
}
"""Class and method: of TensorRT for RTX, which has them in every release."""


class Scenario:
    """Configured behaviour of TensorRT (failures, DLA cores, hooks), and its logger."""

    def __init__(self, trt, gpu=None):
        self.trt, self.gpu = trt, gpu
        self.device, self.dla_cores = "this GPU", 0
        self.fails_to_start = self.fails_to_parse = False
        self.parser_errors, self.build_error, self.load_error, self.run_error = [], "", "", ""
        self.on_build_step = lambda: None
        self.rejected_capabilities, self.listing = (), ""  # the message that lists the layers of an engine
        self.network_layers = []  # type, inputs and outputs, each a name and a data type
        self.engine_layers = [{"Name": "first", "LayerType": "CaskConvolution"}, {"Name": "last"}]
        self.logger = None

    def log(self, severity, text):
        self.logger.log(getattr(self.trt.ILogger.Severity, severity), text)


class Builder:
    of = "Builder"

    def __init__(self, scenario):
        self.scenario, self.num_DLA_cores = scenario, scenario.dla_cores

    def create_network(self, flags=0):
        return Network(self.scenario, flags)

    def create_builder_config(self):
        return Config(self.scenario)

    def create_optimization_profile(self):
        return Profile()

    def build_serialized_network(self, network, config):
        network, config, scenario = stub_of(network), stub_of(config), self.scenario
        scenario.log("VERBOSE", "a verbose message")
        scenario.log("WARNING", "a warning")
        if scenario.listing:
            scenario.log("VERBOSE", scenario.listing)
        monitor = config.progress_monitor
        steps = 4
        monitor.phase_start("Building Engine", None, steps)
        for step in range(steps):
            monitor.phase_start("Choosing kernels", "Building Engine", 2)
            scenario.on_build_step()
            proceed = all(monitor.step_complete("Choosing kernels", n) for n in range(2))
            monitor.phase_finish("Choosing kernels")
            if not (proceed and monitor.step_complete("Building Engine", step)):
                monitor.phase_finish("Building Engine")
                scenario.log("ERROR", "the build was cancelled")
                return None
        monitor.phase_finish("Building Engine")
        profiles = [stub_of(profile).shapes for profile in config.profiles]
        dynamic = {tensor.name for tensor in network.inputs if -1 in tensor.shape}
        if dynamic and not (profiles and all(dynamic <= profile.keys() for profile in profiles)):
            scenario.log("ERROR", "a dynamic input has no optimization profile")
            return None
        if scenario.build_error:
            scenario.log("ERROR", scenario.build_error)
            scenario.log("ERROR", "the build failed")
            return None
        plan = {
            "graph": base64.b64encode(network.onnx).decode(),
            "profiles": profiles,
            "version": scenario.trt.__version__,
        }
        plan["host_code"] = "VERSION_COMPATIBLE" in config.flags
        return Memory(json.dumps(plan).encode())


class Network:
    of = "INetworkDefinition"

    def __init__(self, scenario, flags):
        self.scenario, self.flags, self.onnx, self.inputs, self.outputs = scenario, flags, None, [], []

    num_inputs = property(lambda self: len(self.inputs))
    num_layers = property(lambda self: len(self.scenario.network_layers))
    num_outputs = property(lambda self: len(self.outputs))

    def get_input(self, index):
        return self.inputs[index]

    def get_output(self, index):
        return self.outputs[index]

    def get_layer(self, index):
        return Layer(self.scenario.trt, *self.scenario.network_layers[index])


class Layer:
    """A layer of a parsed network: its type, and the name and type of each input and output."""

    of = "ILayer"

    def __init__(self, trt, kind, inputs, outputs):
        self.type = getattr(trt.LayerType, kind)
        self._inputs, self._outputs = ([Value(trt, *value) for value in values] for values in (inputs, outputs))
        self.num_inputs, self.num_outputs = len(inputs), len(outputs)

    def get_input(self, index):
        return self._inputs[index]

    def get_output(self, index):
        return self._outputs[index]


class Value:
    of = "ITensor"

    def __init__(self, trt, name, dtype):
        self.name, self.dtype = name, getattr(trt.DataType, dtype)


class Parser:
    of = "OnnxParser"

    def __init__(self, scenario, network):
        self.scenario, self.network = scenario, stub_of(network)

    num_errors = property(lambda self: len(self.scenario.parser_errors))

    def parse(self, model, path=None):
        if self.scenario.parser_errors or self.scenario.fails_to_parse:
            return False
        graph = onnx.load_from_string(bytes(model)).graph
        self.network.onnx = bytes(model)
        self.network.inputs = [Tensor(self.scenario.trt, value) for value in graph.input]
        self.network.outputs = [Tensor(self.scenario.trt, value) for value in graph.output]
        return True

    def get_error(self, index):
        return ParserError(self.scenario.trt, **self.scenario.parser_errors[index])


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

    def __init__(self, scenario):
        trt, self.scenario = scenario.trt, scenario
        self.builder_optimization_level, self.progress_monitor, self.DLA_core = 3, None, -1
        self.profiling_verbosity = trt.ProfilingVerbosity.LAYER_NAMES_ONLY
        self.hardware_compatibility_level = trt.HardwareCompatibilityLevel.NONE
        self.default_device_type = trt.DeviceType.GPU
        self.flags, self.pools, self.profiles, self.cache = {"TF32"}, {}, [], None
        self.num_compute_capabilities, self.capabilities = 0, []

    def set_flag(self, flag):
        self.flags.add(flag.name)

    def clear_flag(self, flag):
        self.flags.discard(flag.name)

    def set_compute_capability(self, compute_capability, index):
        assert index == len(self.capabilities) < self.num_compute_capabilities
        self.capabilities.append(compute_capability.name)
        return compute_capability.name not in self.scenario.rejected_capabilities

    def set_memory_pool_limit(self, pool, pool_size):
        self.pools[pool.name] = pool_size

    def add_optimization_profile(self, profile):
        if not stub_of(profile).shapes:
            return -1
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def create_timing_cache(self, serialized_timing_cache):
        data = bytes(serialized_timing_cache)
        return Cache(data) if not data or data.startswith(CACHE) else None

    def set_timing_cache(self, cache, ignore_mismatch):
        data = stub_of(cache).data
        if data and not ignore_mismatch and data != CACHE + self.scenario.device.encode():
            return False
        self.cache = cache
        return True

    def get_timing_cache(self):
        if self.cache:
            stub_of(self.cache).data = CACHE + self.scenario.device.encode()
        return self.cache and stub_of(self.cache)


class Profile:
    of = "IOptimizationProfile"

    def __init__(self):
        self.shapes = {}

    def set_shape(self, input, min, opt, max):  # noqa: A002
        if not all(a <= b <= c for a, b, c in zip(min, opt, max, strict=True)):
            raise ValueError("shapes are not ordered")
        self.shapes[input] = [list(min), list(opt), list(max)]


class Cache:
    of = "ITimingCache"

    def __init__(self, data):
        self.data = data

    def serialize(self):
        return Memory(self.data)


def factories(scenario):
    """Class name -> function that creates its stub, for a `MockModule`."""

    def with_logger(logger, stub):
        scenario.logger = logger
        if scenario.fails_to_start:
            scenario.log("ERROR", "CUDA initialization failure with error: 35")
            return None
        return stub

    return {
        "Builder": lambda logger: with_logger(logger, Builder(scenario)),
        "OnnxParser": lambda network, logger: Parser(scenario, network),
        "Runtime": lambda logger: with_logger(logger, Runtime(scenario)),
    }
