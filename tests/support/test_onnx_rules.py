"""The rule tables contain only operators, attributes, inputs and types of ONNX."""

import onnx
from support.onnx_rules import (
    ATTRIBUTES,
    CONSTANT,
    DILATED,
    FIRST_OUTPUT,
    OPERATORS,
    OPSETS,
    PIXELS,
    QUANTIZED,
)


def schema(name):
    return onnx.defs.get_schema(name, OPSETS[-1])


def test_every_operator_exists_in_onnx():
    for name in OPERATORS:
        assert schema(name).name == name


def test_every_type_exists_in_onnx():
    known = set(onnx.TensorProto.DataType.keys())
    assert {PIXELS, QUANTIZED, *(name for types in OPERATORS.values() for name in types)} <= known


def test_every_rule_refers_to_a_listed_operator_and_an_existing_attribute_or_input():
    assert {*ATTRIBUTES, *CONSTANT, *DILATED, *FIRST_OUTPUT} <= set(OPERATORS)
    for name, rules in ATTRIBUTES.items():
        assert set(rules) <= set(schema(name).attributes), name
    for name, index in CONSTANT.items():
        assert schema(name).inputs[index].name in ("axes", "axis", "depth"), name
    for name in DILATED:
        assert "dilations" in schema(name).attributes
    for name in FIRST_OUTPUT:
        assert len(schema(name).outputs) > 1


def test_uint8_is_only_for_casts_and_int8_only_for_dequantize_linear():
    assert {name for name, types in OPERATORS.items() if PIXELS in types} == {"Cast", "CastLike"}
    assert {name for name, types in OPERATORS.items() if QUANTIZED in types} == {"DequantizeLinear"}
