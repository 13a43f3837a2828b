"""The table itself: every name is one of ONNX's, every type a real one, and no rule speaks of what is not there."""

import onnx
from support.onnx_rules import (
    ATTRIBUTES,
    CONSTANT,
    DILATED,
    FIRST_OUTPUT,
    OPERATORS,
    OPSETS,
    PIXELS,
    QUANTISED,
)


def schema(name):
    return onnx.defs.get_schema(name, OPSETS[-1])


def test_every_operator_is_one_of_onnx():
    for name in OPERATORS:
        assert schema(name).name == name


def test_every_type_is_one_of_onnx():
    known = set(onnx.TensorProto.DataType.keys())
    assert {PIXELS, QUANTISED, *(name for types in OPERATORS.values() for name in types)} <= known


def test_every_rule_is_about_an_operator_that_is_listed_and_a_thing_that_it_has():
    assert {*ATTRIBUTES, *CONSTANT, *DILATED, *FIRST_OUTPUT} <= set(OPERATORS)
    for name, rules in ATTRIBUTES.items():
        assert set(rules) <= set(schema(name).attributes), name
    for name, place in CONSTANT.items():
        assert schema(name).inputs[place].name in ("axes", "axis", "depth"), name
    for name in DILATED:
        assert "dilations" in schema(name).attributes
    for name in FIRST_OUTPUT:
        assert len(schema(name).outputs) > 1


def test_bytes_are_for_casts_and_int8_for_dequantising_alone():
    assert {name for name, types in OPERATORS.items() if PIXELS in types} == {"Cast", "CastLike"}
    assert {name for name, types in OPERATORS.items() if QUANTISED in types} == {"DequantizeLinear"}
