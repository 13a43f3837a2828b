"""Pixels become numbers before anything else is done with them: TensorRT lets no operator but Cast read uint8."""

from __future__ import annotations

import onnx


def cast_first(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model, changed in place: Cast is the one node that reads an input of bytes.

    A Transpose that stands between the two changes places with it, and a Shape asks the Cast's output: neither knows
    the type of what it moves or measures, so results stay the same to the bit.

    Args:
        model: its uint8 inputs are read by Transpose, Shape and Cast; whatever else reads them is left alone.
    """
    graph = model.graph
    del graph.value_info[:]  # types of what lies between have changed
    for tensor in graph.input:
        if tensor.type.tensor_type.elem_type == onnx.TensorProto.UINT8:
            _move_cast(graph, tensor.name)
    return model


def _move_cast(graph: onnx.GraphProto, pixels: str) -> None:
    readers = [node for node in graph.node if pixels in node.input]
    moves = [node for node in readers if node.op_type == "Transpose"]
    casts = [node for node in readers if node.op_type == "Cast"]
    for move in moves:
        after = [node for node in graph.node if move.output[0] in node.input]
        if len(after) == 1 and after[0].op_type == "Cast":
            cast, numbers = after[0], f"{pixels}_as_numbers_{len(casts)}"
            moved = cast.output[0]
            cast.input[0], cast.output[0] = pixels, numbers
            move.input[0], move.output[0] = numbers, moved
            casts.append(cast)
    for shape in readers:
        if shape.op_type == "Shape" and casts:
            shape.input[0] = casts[0].output[0]
    for cast in casts:  # they read the graph's input alone, so they may stand before everything
        first = onnx.NodeProto()
        first.CopyFrom(cast)
        graph.node.remove(cast)
        graph.node.insert(0, first)
