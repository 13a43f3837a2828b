"""The doubles refuse what the release has not: faults planted one by one, or the other tests would prove nothing."""

import pytest
from double import Double, NotSimulatedError
from signatures import Types, signatures
from simulated import Said


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
def gone(real):
    """Whether this is a release without what was removed in 11."""
    return int(real.__version__.split(".")[0]) >= 11


def test_a_misspelt_class_is_refused(trt):
    with pytest.raises(AttributeError, match="Bilder"):
        _ = trt.Bilder


def test_a_misspelt_method_is_refused(builder):
    with pytest.raises(AttributeError, match="'Builder' object has no attribute 'create_config'"):
        builder.create_config()


def test_a_misspelt_attribute_is_not_set(config):
    with pytest.raises(AttributeError, match="'IBuilderConfig' object has no attribute 'builder_optimisation_level'"):
        config.builder_optimisation_level = 3


def test_an_attribute_that_is_there_to_be_read_is_not_set(builder):
    with pytest.raises(AttributeError, match="num_DLA_cores cannot be set"):
        builder.num_DLA_cores = 2


def test_an_attribute_is_not_set_to_another_type(config):
    with pytest.raises(TypeError, match="builder_optimization_level is int, got '3'"):
        config.builder_optimization_level = "3"


@pytest.mark.parametrize("flag", ["FP16", "INT8", "OBEY_PRECISION_CONSTRAINTS"])
def test_a_flag_removed_in_11_is_there_before_and_refused_from_then_on(trt, config, gone, flag):
    if gone:
        with pytest.raises(AttributeError, match=flag):
            config.set_flag(getattr(trt.BuilderFlag, flag))
    else:
        config.set_flag(getattr(trt.BuilderFlag, flag))


def test_what_was_removed_in_11_is_refused_of_an_object_too(builder, gone):
    with pytest.raises(AttributeError if gone else NotSimulatedError, match="platform_has_fast_fp16"):
        _ = builder.platform_has_fast_fp16


@pytest.mark.parametrize("name", ["execute_async_v2", "get_binding_shape", "max_workspace_size"])
@pytest.mark.parametrize("kind", ["IExecutionContext", "ICudaEngine", "IBuilderConfig"])
def test_what_was_removed_in_10_is_refused(trt, kind, name):
    class Part:
        of = kind

    with pytest.raises(AttributeError, match=name):
        getattr(Double(trt, Part()), name)


def test_too_few_arguments_are_refused(builder):
    with pytest.raises(TypeError, match="lacks 'config'"):
        builder.build_serialized_network(builder.create_network())


def test_too_many_arguments_are_refused(builder):
    with pytest.raises(TypeError, match="takes 0 arguments, got 1"):
        builder.create_builder_config(1)


def test_an_unknown_keyword_is_refused(builder):
    with pytest.raises(TypeError, match="the keyword 'flag'"):
        builder.create_network(flag=1)


def test_an_argument_given_twice_is_refused(builder):
    with pytest.raises(TypeError, match="the keyword 'flags'"):
        builder.create_network(1, flags=1)


@pytest.mark.parametrize("value", ["1", None, True])
def test_an_argument_of_another_type_is_refused(builder, value):
    with pytest.raises(TypeError, match="'flags' is"):
        builder.create_network(value)


def test_an_object_of_another_class_is_refused(trt, builder, config):
    with pytest.raises(TypeError, match="'network' is"):
        builder.build_serialized_network(config, config)


def test_a_path_is_no_string(trt, builder, logger, idrn):
    parser = trt.OnnxParser(builder.create_network(), logger)
    with pytest.raises(TypeError, match="'model' is str"):
        parser.parse_from_file(idrn.onnx)


def test_an_enum_of_another_kind_is_refused(trt, config):
    with pytest.raises(TypeError, match="'flag' is"):
        config.set_flag(trt.MemoryPoolType.WORKSPACE)


def test_a_constructor_wants_its_arguments(trt):
    with pytest.raises(TypeError, match="lacks 'logger'"):
        trt.Builder()
    with pytest.raises(TypeError, match="'logger' is"):
        trt.Builder(print)


def test_a_logger_whose_base_was_not_made_is_refused_by_the_real_class(real):
    class Logger(real.ILogger):
        def __init__(self):
            pass

    with pytest.raises(TypeError, match="__init__"):
        Logger()


def test_every_overload_is_taken(trt, real):
    class Part:
        of = "ICudaEngine"

        def get_tensor_format(self, name, profile_index=0):
            return real.TensorFormat.LINEAR

    engine = Double(trt, Part())
    assert engine.get_tensor_format("pixels") == engine.get_tensor_format("pixels", 1) == real.TensorFormat.LINEAR
    with pytest.raises(TypeError, match="get_tensor_format"):
        engine.get_tensor_format("pixels", "1")


def test_a_part_that_says_what_the_real_class_never_would_is_refused(trt):
    class Part:
        of = "IExecutionContext"

        def set_tensor_address(self, name, memory):
            return None

    with pytest.raises(AssertionError, match="gives bool, not None"):
        Double(trt, Part()).set_tensor_address("pixels", 1)


def test_what_the_real_class_has_and_the_part_has_not_is_not_answered(config):
    with pytest.raises(NotSimulatedError, match="reset is not simulated"):
        config.reset()


def test_a_type_that_cannot_be_judged_is_not_let_pass(real):
    with pytest.raises(LookupError, match="cannot tell"):
        Types(real, lambda value: None).fits(1, "std::vector<Something>")


def test_every_signature_of_what_is_simulated_can_be_read(real):
    import simulated

    parts = [part for part in vars(simulated).values() if isinstance(part, type) and hasattr(part, "of")]
    assert len(parts) > 10
    for part in parts:
        there = getattr(real, part.of)
        methods = [name for name in vars(part) if callable(vars(part)[name]) and not name.startswith("_")]
        for name in methods:
            assert signatures(getattr(there, name).__doc__), f"{part.of}.{name}"


def test_a_run_is_refused_before_its_addresses_are_set(trt, said, logger, simulation, idrn):
    import json

    plan = {"graph": str(idrn.onnx), "profiles": [[[1, 32, 32, 3]] * 3], "version": trt.__version__, "host_code": False}
    engine = trt.Runtime(logger).deserialize_cuda_engine(json.dumps(plan).encode())
    context = engine.create_execution_context()
    handle = simulation.stream.handle
    assert context.set_optimization_profile_async(0, handle) and context.set_input_shape("pixels", (1, 32, 32, 3))
    with simulation.current():
        assert not context.execute_async_v3(handle)
        for name in ("pixels", "enlarged"):
            assert not context.execute_async_v3(handle)
            context.set_tensor_address(name, simulation.empty((4 * 4 * 32 * 32 * 3,), "u1").pointer)
        assert context.execute_async_v3(handle)


def test_the_gpu_double_knows_only_what_the_real_gpu_has(simulation):
    with pytest.raises(AttributeError):
        simulation.gpu.malloc(3)
    with pytest.raises(TypeError):
        simulation.gpu.upload(1, 2, 3, 4)
    with pytest.raises(AttributeError):
        simulation.stream.wait()


def test_the_stand_in_is_of_the_release_that_is_tested(real, said):
    assert isinstance(said, Said) and said.trt is real
