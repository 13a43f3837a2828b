"""Cards: what is written is read again; what is not a card of this release is refused in one line."""

import json
from dataclasses import replace

import pytest
from facesr_edge.engines.bundle.card import FORMAT, Card, card_from_json
from facesr_edge.engines.bundle.engine_info import EngineInfo
from facesr_edge.engines.bundle.io_spec import IOSpec, super_resolution
from facesr_edge.engines.errors import BundleError

CARD = Card(
    name="idrn-x4",
    io_spec=super_resolution(4),
    precision="fp16",
    network="idrn",
    config={"depth": 8, "width": 64, "scale": 4, "bicubic_skip": True},
    files={"model.onnx": "0" * 64},
    parity={"traced_psnr_db": 99.0},
    quality={"8 faces": {"psnr_y_db": 30.25, "faces": 8}},
    training={"data": "faces", "deviations": ["fewer steps"]},
    licence="Apache-2.0",
    limits=("faces from 8 px", "not for identifying anybody"),
    build_versions={"torch": "2.9.0"},
    notes=("prepared",),
)


KEY = EngineInfo("TensorRT", "10.3.0", "Orin", "8.7", "12.6", "0" * 64, jetpack="6.2", board={"power_mode": "MAXN"})
LATER = {"calibration", "engine"}
"""Fields that cards had not from the beginning."""


def text_with(**changes):
    return json.dumps({**json.loads(CARD.to_json()), **changes})


@pytest.mark.parametrize(
    "card",
    [
        CARD,
        replace(CARD, limits=(), notes=(), quality={}, licence="Größe – 顔"),
        replace(CARD, precision="int8", calibration="f" * 64, engine=KEY),
        replace(CARD, io_spec=IOSpec("face-detection", multiple=32, sizes_hw=((320, 640), (736, 1280))), config={}),
    ],
)
def test_a_card_is_read_as_it_was_written(card):
    again = card_from_json(card.to_json())
    assert again == card and hash(again.io_spec) == hash(card.io_spec)


def test_a_card_is_plain_json_with_a_key_a_field():
    values = json.loads(CARD.to_json())
    assert values["format"] == FORMAT and values["contract"]["windows"] == [32, 48, 64, 96, 128]
    assert CARD.to_json().endswith("}\n")


@pytest.mark.parametrize("text", ["", "not json", "[]", "7", "null", '"format"', "{}", '{"format"'])
def test_what_is_not_a_card_is_refused(text):
    with pytest.raises(BundleError, match=r"here/card.json is not a card; build the bundle again"):
        card_from_json(text, "here/card.json")


@pytest.mark.parametrize("version", [FORMAT + 1, 0, "1", None])
def test_a_card_of_another_format_is_refused_with_both_numbers(version):
    with pytest.raises(BundleError, match=f"card format {version}, this release reads {FORMAT}"):
        card_from_json(text_with(format=version))


@pytest.mark.parametrize("missing", sorted(set(json.loads(CARD.to_json())) - {"format"} - LATER))
def test_a_card_that_lacks_a_field_is_refused(missing):
    values = json.loads(CARD.to_json())
    del values[missing]
    with pytest.raises(BundleError, match=f"incomplete .*{missing}"):
        card_from_json(json.dumps(values))


@pytest.mark.parametrize(("size", "sizes"), [(None, ()), ([320, 640], ((320, 640),))])
def test_a_card_from_when_there_was_one_size_at_most_is_read(size, sizes):
    io_spec = {"task": "face-detection", "multiple": 32, "size_hw": size}
    assert card_from_json(text_with(io_spec=io_spec)).io_spec.sizes_hw == sizes


def test_a_card_from_before_there_were_engines_tells_of_none():
    values = json.loads(CARD.to_json())
    for name in LATER:
        del values[name]
    assert card_from_json(json.dumps(values)) == CARD


@pytest.mark.parametrize(
    "changes",
    [
        {"engine": "model.engine"},
        {"engine": {"runtime": "TensorRT"}},
        {"engine": {**json.loads(replace(CARD, engine=KEY).to_json())["engine"], "gpu": 7}},
        {"calibration": 7},
        {"contract": None},
        {"contract": []},
        {"contract": {"task": "super-resolution", "colour": "red"}},
        {"contract": {"task": "super-resolution", "scale": "4", "windows": [32]}},
        {"contract": {"task": "super-resolution", "scale": 4, "windows": 32}},
        {"contract": {"task": "super-resolution", "scale": 4, "windows": ["32"]}},
        {"contract": {"task": "paint", "scale": 4, "windows": [32]}},
        {"files": ["model.onnx"]},
        {"files": {"model.onnx": 7}},
        {"config": None},
        {"quality": []},
        {"precision": "fp4"},
        {"name": 7},
        {"limits": "one text"},
    ],
)
def test_a_card_with_a_field_of_the_wrong_kind_is_refused(changes):
    with pytest.raises(BundleError):
        card_from_json(text_with(**changes))


def test_fields_of_no_meaning_here_are_passed_over():
    assert card_from_json(text_with(colour="red")) == CARD
