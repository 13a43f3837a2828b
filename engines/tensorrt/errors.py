"""One-line errors, with a remedy, from TensorRT's log: why parsing, building or loading failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..bundle.engine_info import TURING
from ..errors import AbortedError, BuildError
from .api import TENSORRT, Log, Product, one_line

_OUT_OF_MEMORY = ("out of memory", "outofmemory", "insufficient memory", "memory allocation", "failed_allocation")
_UNSUPPORTED = ("could not find any implementation", "no implementation", "unsupported", "not supported")
_INCOMPATIBLE = ("version tag", "serialization", "platform", "compute capability", "expecting compute", "host code")
"""Phrases that TensorRT's messages share across releases; they select the remedy, the message itself is reported."""


def parser_problem(trt: Any, product: Product, parser: Any, log: Log) -> str:
    """Message for a graph that an `OnnxParser` rejects: its first error; all of them are added to the log."""
    messages = [_parser_error(parser.get_error(index)) for index in range(parser.num_errors)]
    for message in messages:
        log.add("error", message)
    reason = messages[0] if messages else log.last_error
    more = f" (and {len(messages) - 1} more)" if len(messages) > 1 else ""
    return (
        f"{product.name} {trt.__version__} cannot parse the graph: {reason}{more}; "
        f"use a newer {product.name}, another precision, or --engine onnxruntime"
    )


def _parser_error(error: Any) -> str:
    operator, node = error.node_operator(), error.node_name()
    location = f"{operator} at node '{node}'" if operator or node else f"node {error.node()}"
    code = str(error.code()).rpartition(".")[2]  # in 10.3 its `name` is a function, later it is text
    return one_line(f"{location}: {code.lower().replace('_', ' ')}, {error.desc()}")


def build_error(trt: Any, product: Product, log: Log, capabilities: Sequence[str]) -> BuildError:
    """The error of a failed build.

    Args:
        trt, product, log: of the build.
        capabilities: compute capabilities that were asked for.
    """
    # The newest error often states only that the build failed; an earlier one has the cause.
    memory, unsupported = _last_match(log.errors, _OUT_OF_MEMORY), _last_match(log.errors, _UNSUPPORTED)
    name = f"{product.name} {trt.__version__}"
    if memory:
        return AbortedError(
            f"{name} ran out of memory while building: {memory}; use a smaller --workspace-mb, "
            "a lower --builder-level, or stop other programs that use the GPU"
        )
    if unsupported:
        remedies = ["another precision", "another version"]
        if product is TENSORRT:
            remedies.insert(1, "a larger --workspace-mb")
        elif TURING in capabilities:
            remedies.insert(1, f"--compute-capabilities without {TURING}")
        return BuildError(f"{name} has no kernel for a part of the graph: {unsupported}; use {' or '.join(remedies)}")
    return BuildError(f"{name} could not build the engine: {log.last_error}; --log-file FILE keeps its full log")


def load_problem(trt: Any, name: str, log: Log) -> str:
    """Message for an engine that cannot be deserialized."""
    memory = _last_match(log.errors, _OUT_OF_MEMORY)
    if memory:
        return f"{name} does not fit into GPU memory: {memory}; stop other programs that use the GPU"
    reason = _last_match(log.errors, _INCOMPATIBLE) or log.last_error
    return f"{name} cannot be loaded by TensorRT {trt.__version__}: {reason}; compile it again on this device"


def _last_match(errors: tuple[str, ...], phrases: tuple[str, ...]) -> str:
    """Newest error that contains one of the phrases, or ""."""
    matches = [error for error in errors if any(phrase in error.lower() for phrase in phrases)]
    return matches[-1] if matches else ""
