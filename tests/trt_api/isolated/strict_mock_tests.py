"""Strict mocks reject what the release does not have: names, arguments, types and results, one fault per test."""

import base64

import pytest
from signatures import Types, signatures
from strict_mock import NotStubbedError, StrictMock
from stubs import Scenario


@pytest.fixture
def logger(trt):
    from facesr_edge.engines.tensorrt.api import Log, logger

    return logger(trt, Log())


@pytest.fixture
def builder(trt, logger):
    return trt.Builder(logger)


@pytest.fixture
def config(builder):
    return builder.create_builder_config()


@pytest.fixture
def removed_in_11(real):
    """Whether this release is 11 or later."""
    return int(real.__version__.split(".")[0]) >= 11


def test_a_misspelled_class_raises(trt):
    with pytest.raises(AttributeError, match="Bilder"):
        _ = trt.Bilder


def test_a_misspelled_method_raises(builder):
    with pytest.raises(AttributeError, match="'Builder' object has no attribute 'create_config'"):
        builder.create_config()


def test_a_misspelled_attribute_cannot_be_set(config):
    with pytest.raises(AttributeError, match="'IBuilderConfig' object has no attribute 'builder_optimisation_level'"):
        config.builder_optimisation_level = 3


def test_a_read_only_attribute_cannot_be_set(builder):
    with pytest.raises(AttributeError, match="num_DLA_cores cannot be set"):
        builder.num_DLA_cores = 2


def test_an_attribute_cannot_be_set_to_another_type(config):
    with pytest.raises(TypeError, match="builder_optimization_level is int, got '3'"):
        config.builder_optimization_level = "3"


@pytest.mark.parametrize("flag", ["FP16", "INT8", "OBEY_PRECISION_CONSTRAINTS"])
def test_a_flag_removed_in_11_raises_from_11_on(trt, config, removed_in_11, flag):
    if removed_in_11:
        with pytest.raises(AttributeError, match=flag):
            config.set_flag(getattr(trt.BuilderFlag, flag))
    else:
        config.set_flag(getattr(trt.BuilderFlag, flag))


def test_an_attribute_removed_in_11_raises_from_11_on(builder, removed_in_11):
    with pytest.raises(AttributeError if removed_in_11 else NotStubbedError, match="platform_has_fast_fp16"):
        _ = builder.platform_has_fast_fp16


@pytest.mark.parametrize("name", ["execute_async_v2", "get_binding_shape", "max_workspace_size"])
@pytest.mark.parametrize("kind", ["IExecutionContext", "ICudaEngine", "IBuilderConfig"])
def test_attributes_removed_in_10_raise(trt, kind, name):
    class Stub:
        of = kind

    with pytest.raises(AttributeError, match=name):
        getattr(StrictMock(trt, Stub()), name)


def test_too_few_arguments_raise(builder):
    with pytest.raises(TypeError, match="missing 'config'"):
        builder.build_serialized_network(builder.create_network())


def test_too_many_arguments_raise(builder):
    with pytest.raises(TypeError, match="takes 0 arguments, got 1"):
        builder.create_builder_config(1)


def test_an_unknown_keyword_raises(builder):
    with pytest.raises(TypeError, match="unexpected keyword 'flag'"):
        builder.create_network(flag=1)


def test_an_argument_passed_twice_raises(builder):
    with pytest.raises(TypeError, match="unexpected keyword 'flags'"):
        builder.create_network(1, flags=1)


@pytest.mark.parametrize("value", ["1", None, True])
def test_an_argument_of_another_type_raises(builder, value):
    with pytest.raises(TypeError, match="'flags' is"):
        builder.create_network(value)


def test_an_object_of_another_class_raises(trt, builder, config):
    with pytest.raises(TypeError, match="'network' is"):
        builder.build_serialized_network(config, config)


def test_a_path_instead_of_a_buffer_raises(trt, builder, logger, idrn):
    parser = trt.OnnxParser(builder.create_network(), logger)
    with pytest.raises(TypeError, match="'model' is"):
        parser.parse(idrn.onnx)


def test_an_enum_of_another_class_raises(trt, config):
    with pytest.raises(TypeError, match="'flag' is"):
        config.set_flag(trt.MemoryPoolType.WORKSPACE)


def test_constructor_arguments_are_checked(trt):
    with pytest.raises(TypeError, match="missing 'logger'"):
        trt.Builder()
    with pytest.raises(TypeError, match="'logger' is"):
        trt.Builder(print)


def test_the_real_class_rejects_a_logger_without_base_init(real):
    class Logger(real.ILogger):
        def __init__(self):
            pass

    with pytest.raises(TypeError, match="__init__"):
        Logger()


def test_every_overload_is_accepted(trt, real):
    class Stub:
        of = "ICudaEngine"

        def get_tensor_format(self, name, profile_index=0):
            return real.TensorFormat.LINEAR

    engine = StrictMock(trt, Stub())
    assert engine.get_tensor_format("pixels") == engine.get_tensor_format("pixels", 1) == real.TensorFormat.LINEAR
    with pytest.raises(TypeError, match="get_tensor_format"):
        engine.get_tensor_format("pixels", "1")


def test_a_stub_result_of_the_wrong_type_raises(trt):
    class Stub:
        of = "IExecutionContext"

        def set_tensor_address(self, name, memory):
            return None

    with pytest.raises(AssertionError, match="returns bool, not None"):
        StrictMock(trt, Stub()).set_tensor_address("pixels", 1)


def test_an_attribute_without_a_stub_raises(config):
    with pytest.raises(NotStubbedError, match="reset is not stubbed"):
        config.reset()


def test_an_unknown_type_name_raises(real):
    with pytest.raises(LookupError, match="cannot check"):
        Types(real, lambda value: None).fits(1, "std::vector<Something>")


def test_every_stubbed_method_has_a_parsable_signature(real):
    import runtime_stubs
    import stubs

    found = {**vars(stubs), **vars(runtime_stubs)}
    classes = [stub for stub in found.values() if isinstance(stub, type) and hasattr(stub, "of")]
    assert len(classes) > 10
    for stub in classes:
        methods = [name for name in vars(stub) if callable(vars(stub)[name]) and not name.startswith("_")]
        for name in methods:
            if (stub.of, name) in stubs.RTX_ONLY:
                continue
            assert signatures(getattr(getattr(real, stub.of), name).__doc__), f"{stub.of}.{name}"


def test_a_run_fails_before_its_addresses_are_set(trt, scenario, logger, simulation, idrn):
    import json

    graph = base64.b64encode(idrn.onnx.read_bytes()).decode()
    plan = {
        "graph": graph,
        "profiles": [{"pixels": [[1, 32, 32, 3]] * 3}],
        "version": trt.__version__,
        "host_code": False,
    }
    engine = trt.Runtime(logger).deserialize_cuda_engine(json.dumps(plan).encode())
    context = engine.create_execution_context()
    handle = simulation.stream.handle
    assert context.set_optimization_profile_async(0, handle) and context.set_input_shape("pixels", (1, 32, 32, 3))
    with simulation.current():
        assert not context.execute_async_v3(handle)
        for name in ("pixels", "enlarged", "residual"):
            assert not context.execute_async_v3(handle)
            context.set_tensor_address(name, simulation.empty((4 * 4 * 32 * 32 * 3,), "u1").pointer)
        assert context.execute_async_v3(handle)


def test_the_gpu_mock_has_only_attributes_of_the_real_gpu(simulation):
    with pytest.raises(AttributeError):
        simulation.gpu.malloc(3)
    with pytest.raises(TypeError):
        simulation.gpu.upload(1, 2, 3, 4)
    with pytest.raises(AttributeError):
        simulation.stream.wait()


def test_the_scenario_uses_the_tested_release(real, scenario):
    assert isinstance(scenario, Scenario) and scenario.trt is real
