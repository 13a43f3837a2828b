"""Why TensorRT would not parse, build or load, in one line with what to do; the reason itself stands in its log."""

from __future__ import annotations

from typing import Any

from .api import Log, one_line

_MEMORY = ("out of memory", "outofmemory", "insufficient memory", "memory allocation", "failed_allocation")
_TACTIC = ("could not find any implementation", "no implementation", "unsupported", "not supported")
_ELSEWHERE = ("version tag", "serialization", "platform", "compute capability", "expecting compute", "host code")
"""What TensorRT's reasons have in common, release by release; only the remedy depends on them, the reason is told."""


def parser_problem(trt: Any, parser: Any, log: Log) -> str:
    """What the ONNX parser refused: the first error in words, all of them into the log.

    Args:
        trt: the TensorRT module.
        parser: an `OnnxParser` whose parse failed.
        log: where every error is kept.
    """
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    told = [_parser_error(error) for error in errors]
    for line in told:
        log.add("error", line)
    reason = told[0] if told else log.last_error
    more = f" (and {len(told) - 1} more)" if len(told) > 1 else ""
    return (
        f"TensorRT {trt.__version__} cannot take the graph: {reason}{more}; "
        "use a newer TensorRT, another precision, or --target onnxruntime"
    )


def _parser_error(error: Any) -> str:
    operator, node = error.node_operator(), error.node_name()
    where = f"{operator} at node '{node}'" if operator or node else f"node {error.node()}"
    code = str(error.code()).rpartition(".")[2]  # in 10.3 its `name` is a function, later it is text
    return one_line(f"{where}: {code.lower().replace('_', ' ')}, {error.desc()}")


def build_problem(trt: Any, log: Log) -> str:
    """Why a build gave nothing, read from the log."""
    # The newest error is often no more than that the build failed; the one with the cause comes before it.
    errors = log.errors
    memory = [error for error in errors if _speaks_of(error, _MEMORY)]
    tactic = [error for error in errors if _speaks_of(error, _TACTIC)]
    if memory:
        return (
            f"TensorRT {trt.__version__} ran out of memory while building: {memory[-1]}; give less --workspace-mb, "
            "a lower --builder-level, or stop what else uses the GPU"
        )
    if tactic:
        return (
            f"TensorRT {trt.__version__} has no kernel for a part of the graph: {tactic[-1]}; "
            "use a newer TensorRT, more --workspace-mb, or another precision"
        )
    return f"TensorRT {trt.__version__} could not build the engine: {log.last_error}; --log-file FILE keeps all it says"


def load_problem(trt: Any, what: str, log: Log) -> str:
    """Why an engine could not be deserialised, read from the log."""
    errors = log.errors
    memory = [error for error in errors if _speaks_of(error, _MEMORY)]
    if memory:
        return f"{what} does not fit into the GPU's memory: {memory[-1]}; stop what else uses it"
    elsewhere = [error for error in errors if _speaks_of(error, _ELSEWHERE)]
    reason = (elsewhere or [log.last_error])[-1]
    return f"{what} cannot be loaded by TensorRT {trt.__version__}: {reason}; compile it again on this device"


def _speaks_of(error: str, words: tuple[str, ...]) -> bool:
    return any(word in error.lower() for word in words)
