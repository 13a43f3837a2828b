"""What every layer of a TensorRT engine takes."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from .errors import EngineError
from .session import LayerTime
from .trt_call import Call, Loaded


def layer_times(loaded: Loaded, call: Call, runs: int) -> tuple[LayerTime, ...]:
    """Run a call, on what its input holds, with a clock round every layer.

    In a context of its own: the clocks would stay in the call's, and a graph cannot hold them.

    Args:
        loaded: the engine.
        call: the shape to run.
        runs: that are averaged, after one that does not count.

    Raises:
        EngineError: TensorRT refused.
    """
    context = loaded.context(call.profile, call.input.shape)
    call.bind(context)
    taken: dict[str, list[float]] = defaultdict(list)
    clocks = _profiler(loaded.trt, taken)
    context.profiler = clocks
    for _ in range(runs + 1):
        loaded.execute(context)  # with a profiler it waits for the run, and reports every layer
    loaded.stream.synchronize()
    if not taken:
        raise EngineError("TensorRT timed no layer; compile the bundle again: facesr-edge build BUNDLE")
    kinds = _kinds(loaded)
    return tuple(LayerTime(name, kinds.get(name, ""), sum(ms[1:]) / runs) for name, ms in taken.items())


def _profiler(trt: Any, taken: dict[str, list[float]]) -> Any:
    class Profiler(trt.IProfiler):  # type: ignore[misc]  # the module is untyped
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            taken[layer_name].append(ms)

    return Profiler()


def _kinds(loaded: Loaded) -> dict[str, str]:
    """Name -> kind of every layer that the engine's inspector tells of."""
    inspector = loaded.engine.create_engine_inspector()
    text = inspector.get_engine_information(loaded.trt.LayerInformationFormat.JSON)
    try:
        layers = json.loads(text).get("Layers", [])
    except ValueError:  # names alone do without
        return {}
    return {layer["Name"]: str(layer.get("LayerType", "")) for layer in layers if isinstance(layer, dict)}
