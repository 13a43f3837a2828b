"""Layers of an engine in the texts of TensorRT: the inspector's JSON, and the verbose log of a build."""

import json

import pytest
from facesr_edge.engines.tensorrt.layers import EngineLayer, count_layers, layers_from_inspector, layers_from_log

LOG = """Layers:
Name: a, b_myl0_1, LayerType: kgen, Inputs: [ { Name: pixels, Datatype: UInt8, Format: (Linear) }], Constants: [], Out
Name: conv_2, LayerType: correlation, Inputs: [ { Name: x, Datatype: Int8 }, { Name: y, Datatype: Half }], Constants: [
Name: matmul_3, LayerType: gemm, Inputs: [ { Name: x, Dimensions: [8,64], Datatype: Float, F }], Constants: [
Name: wait_4, LayerType: wait, Inputs: [], Constants: [], Outputs: [], TacticName: , StreamId: 0, EventId: 5
Name: shapes_5, LayerType: shape_call, Inputs: [], Constants: [], Outputs: []

I/O Tensors:
 Name: pixels, IOMode: Input, DataType: UInt8
"""


def test_the_log_of_a_build_is_read():
    layers = layers_from_log(LOG)
    assert [(layer.name, layer.precision) for layer in layers[:3]] == [
        ("a, b_myl0_1", "uint8"),
        ("conv_2", "int8"),
        ("matmul_3", "fp32"),
    ]
    assert count_layers(layers) == {"kernels": 3, "fp32": 1, "int8": 1}


@pytest.mark.parametrize(
    ("text", "precision"),
    [
        ("Thirty-two wide channel vectorized row major Int8 format", "int8"),
        ("Channel major FP16 format where channel % 8 == 0", "fp16"),
        ("Row major linear FP32", "fp32"),
        ("Row major linear BFloat16", "bf16"),
        ("an unknown format", ""),
    ],
)
def test_formats_of_the_inspector_name_the_precision(text, precision):
    inputs = [{"Name": "x", "Dimensions": [1, 3, 64, 64], "Format/Datatype": text}]
    layer = {"Name": "conv", "LayerType": "CaskConvolution", "Inputs": inputs}
    assert layers_from_inspector(json.dumps({"Layers": [layer]})) == (
        EngineLayer("conv", "CaskConvolution", precision),
    )


@pytest.mark.parametrize("text", ["", "not JSON", "[]", '{"Layers": ["conv1 + relu1"]}', '{"Layers": []}'])
def test_texts_without_details_give_no_layers(text):
    assert layers_from_inspector(text) == ()


def test_layers_without_a_type_count_as_kernels_only():
    layers = layers_from_inspector('{"Layers": [{"Name": "conv", "LayerType": "CaskConvolution"}]}')
    assert count_layers(layers) == {"kernels": 1}
