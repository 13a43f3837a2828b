"""Cards: reading, writing, conversion of format 1, and rejection of invalid content."""

import json
from dataclasses import replace

import pytest
from facesr_edge.engines.bundle.card import (
    FORMAT,
    Card,
    Evaluation,
    card_from_json,
    evaluation_from_title,
    find_metrics,
    with_evaluation,
    with_metrics,
)
from facesr_edge.engines.bundle.engine_info import EngineInfo
from facesr_edge.engines.bundle.io_spec import IOSpec, super_resolution
from facesr_edge.engines.bundle.projection import Projection
from facesr_edge.engines.errors import BundleError

CARD = Card(
    name="idrn-x4",
    io_spec=super_resolution(4),
    precision="fp16",
    network="idrn",
    config={"depth": 8, "width": 64, "scale": 4, "bicubic_skip": True},
    files={"model.onnx": "0" * 64},
    parity={"traced_psnr_db": 99.0},
    evaluations=(Evaluation("test", 8, "bicubic", "fp16", {"psnr_y_db": 30.25}),),
    training={"data": "faces", "deviations": ["fewer steps"]},
    licence="Apache-2.0",
    limitations=("faces from 8 px", "not for identification"),
    build_versions={"torch": "2.9.0"},
    notes=("prepared",),
    projection=Projection("low-pass", sigma=2.0),
)
INFO = EngineInfo("TensorRT", "10.3.0", "Orin", "8.7", "12.6", "0" * 64, jetpack="6.2", jetson={"power_mode": "MAXN"})
FORMAT_1 = {
    "name": "idrn-x4",
    "contract": {"task": "super-resolution", "scale": 4, "windows": [32, 48], "batches": [1, 2]},
    "precision": "int8",
    "network": "idrn",
    "config": {},
    "files": {},
    "parity": {},
    "quality": {},
    "training": {},
    "licence": "",
    "limits": ["faces from 8 px"],
    "made_with": {"torch": "2.9.0"},
    "notes": [],
    "format": 1,
}


def card_text(**changes):
    return json.dumps({**json.loads(CARD.to_json()), **changes})


def from_format_1(**changes):
    return card_from_json(json.dumps({**FORMAT_1, **changes}))


@pytest.mark.parametrize(
    "card",
    [
        CARD,
        replace(CARD, limitations=(), notes=(), evaluations=(), licence="Größe – 顔"),
        replace(CARD, precision="int8", calibration="f" * 64, engine=INFO),
        replace(CARD, projection=Projection()),
        replace(CARD, projection=Projection("adaptive", sigma=2.0, threshold=0.07)),
        replace(
            CARD,
            io_spec=IOSpec("face-detection", multiple=32, sizes_hw=((320, 640), (736, 1280))),
            config={},
            projection=None,
        ),
    ],
)
def test_written_card_is_read_unchanged(card):
    read = card_from_json(card.to_json())
    assert read == card and hash(read.io_spec) == hash(card.io_spec)


def test_card_is_json_with_one_key_per_field():
    values = json.loads(CARD.to_json())
    assert values["format"] == FORMAT == 2 and values["io_spec"]["crop_sizes"] == [32, 48, 64, 80, 96, 112, 128]
    metrics = {"psnr_y_db": 30.25}
    assert values["evaluations"] == [
        {"dataset": "test", "n": 8, "degradation": "bicubic", "precision": "fp16", "metrics": metrics}
    ]
    assert CARD.to_json().endswith("}\n")


@pytest.mark.parametrize("text", ["", "not json", "[]", "7", "null", '"format"', "{}", '{"format"'])
def test_other_text_is_rejected(text):
    with pytest.raises(BundleError, match=r"here/card.json is not a card; rebuild the bundle"):
        card_from_json(text, "here/card.json")


@pytest.mark.parametrize("version", [FORMAT + 1, 0, "1", None, True])
def test_unknown_format_is_rejected_with_the_known_formats(version):
    with pytest.raises(BundleError, match=f"card format {version}, this release reads 1 and {FORMAT}"):
        card_from_json(card_text(format=version))


@pytest.mark.parametrize("missing", sorted(set(json.loads(CARD.to_json())) - {"format", "projection"}))
def test_card_with_a_missing_field_is_rejected(missing):
    values = json.loads(CARD.to_json())
    del values[missing]
    with pytest.raises(BundleError, match=f"invalid .*{missing}"):
        card_from_json(json.dumps(values))


@pytest.mark.parametrize(
    "changes",
    [
        {"engine": "model.engine"},
        {"engine": {"runtime": "TensorRT"}},
        {"engine": {**json.loads(replace(CARD, engine=INFO).to_json())["engine"], "gpu": 7}},
        {"calibration": 7},
        {"io_spec": None},
        {"io_spec": []},
        {"io_spec": {"task": "super-resolution", "scale": "4", "crop_sizes": [32]}},
        {"io_spec": {"task": "super-resolution", "scale": 4, "crop_sizes": 32}},
        {"io_spec": {"task": "super-resolution", "scale": 4, "crop_sizes": ["32"]}},
        {"io_spec": {"task": "paint", "scale": 4, "crop_sizes": [32]}},
        {"files": ["model.onnx"]},
        {"files": {"model.onnx": 7}},
        {"config": None},
        {"evaluations": {"dataset": "test"}},
        {"evaluations": [{"dataset": "test"}]},
        {"evaluations": [{"dataset": "test", "n": "8", "degradation": "none", "precision": "fp32", "metrics": {}}]},
        {"evaluations": [{"dataset": "test", "n": 8, "degradation": "none", "precision": "fp32", "metrics": []}]},
        {"precision": "fp4"},
        {"name": 7},
        {"limitations": "one text"},
        {"projection": "full"},
        {"projection": {"sigma": 2.0}},
        {"projection": {"kind": "half", "sigma": 0.0, "threshold": 0.0}},
        {"projection": {"kind": "low-pass", "sigma": "2", "threshold": 0.0}},
        {"projection": {"kind": "low-pass", "sigma": 0.0, "threshold": 0.0}},
        {"projection": {"kind": "full", "sigma": 2.0, "threshold": 0.0}},
        {"projection": {"kind": "adaptive", "sigma": 2.0, "threshold": -1}},
    ],
)
def test_field_of_the_wrong_type_is_rejected(changes):
    with pytest.raises(BundleError):
        card_from_json(card_text(**changes))


@pytest.mark.parametrize("part", ["card", "io_spec", "engine", "projection", "evaluations"])
def test_card_with_a_newer_field_asks_for_an_upgrade(part):
    values = json.loads(replace(CARD, engine=INFO).to_json())
    target = values if part == "card" else values[part][0] if part == "evaluations" else values[part]
    target["color"] = "red"
    with pytest.raises(BundleError, match="has the field 'color', made by a newer version; upgrade facesr-edge"):
        card_from_json(json.dumps(values))


def test_control_characters_are_escaped():
    card = card_from_json(card_text(name="a\x1b[2J\x07", limitations=["b\r\nc\u202e"], licence="MIT – ×4"))
    assert card.name == r"a\x1b[2J\x07"
    assert card.limitations == ("b\\r\nc\\u202e",)
    assert card.licence == "MIT – ×4"


@pytest.mark.parametrize("text", ["[" * 100_000, '{"format":' + '{"a":' * 100_000, '{"format": 2, "name": NaN}'])
def test_text_that_is_no_card_is_rejected_in_one_line(text):
    with pytest.raises(BundleError, match="is not a card") as error:
        card_from_json(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("changes", [{"notes": [1.5]}, {"limitations": [None]}, {"build_versions": {"torch": []}}])
def test_lists_of_texts_hold_texts_only(changes):
    with pytest.raises(BundleError, match=next(iter(changes))):
        card_from_json(card_text(**changes))


def test_with_evaluation_replaces_the_one_of_the_same_dataset_degradation_and_precision():
    newer = Evaluation("test", 9, "bicubic", "fp16", {"ssim_y": 0.9})
    assert with_evaluation(CARD, newer).evaluations == (newer,)
    other = replace(newer, precision="int8")
    assert with_evaluation(CARD, other).evaluations == (*CARD.evaluations, other)


def test_with_metrics_keeps_the_metrics_measured_before():
    card = with_metrics(CARD, Evaluation("test", 8, "bicubic", "fp16", {"ssim_y": 0.9}))
    assert [evaluation.metrics for evaluation in card.evaluations] == [{"psnr_y_db": 30.25, "ssim_y": 0.9}]
    assert find_metrics(card, replace(CARD.evaluations[0], precision="fp32")) == {}


@pytest.mark.parametrize(
    ("title", "metrics", "expected"),
    [
        ("127 faces of test", {"faces": 127}, Evaluation("test", 127, "bicubic", "int8", {})),
        ("127 faces of test, camera", {}, Evaluation("test", 127, "camera", "int8", {})),
        (
            "9 pictures of detect",
            {"average_precision": 0.9, "faces": 9},
            Evaluation("detect", 9, "none", "int8", {"average_precision": 0.9, "faces": 9}),
        ),
        ("8 views of the astronaut (NASA)", {}, Evaluation("the astronaut (NASA)", 8, "bicubic", "int8", {})),
        ("elsewhere", {"faces": 2}, Evaluation("elsewhere", 2, "none", "int8", {"faces": 2})),
    ],
)
def test_evaluation_from_title(title, metrics, expected):
    assert evaluation_from_title(title, "int8", metrics) == expected


def test_card_format_1_is_still_read():
    training = {"data": "train", "started_from": {"taught": 0.5, "started_from": {"finishes": True}}}
    card = from_format_1(training=training)
    assert card.io_spec == IOSpec("super-resolution", scale=4, crop_sizes=(32, 48), batches=(1, 2))
    assert card.limitations == ("faces from 8 px",) and card.build_versions == {"torch": "2.9.0"}
    assert (card.calibration, card.engine, card.format) == ("", None, FORMAT)
    assert card.training == {"data": "train", "init_from": {"distill_weight": 0.5, "init_from": {"finetune": True}}}


@pytest.mark.parametrize(("size", "sizes"), [(None, ()), ([320, 640], ((320, 640),))])
def test_format_1_with_at_most_one_input_size_is_read(size, sizes):
    contract = {"task": "face-detection", "multiple": 32, "size_hw": size}
    assert from_format_1(contract=contract).io_spec.sizes_hw == sizes


def test_engine_info_of_format_1_is_converted():
    values = json.loads(replace(CARD, engine=INFO).to_json())["engine"]
    values["board"] = values.pop("jetson")
    values["any_gpu"], values["any_version"] = values.pop("hardware_compatible"), values.pop("version_compatible")
    assert from_format_1(engine=values).engine == INFO


def test_quality_of_format_1_becomes_evaluations():
    quality = {
        "3 faces of test, camera": {"precision": "int8", "faces": 3, "psnr_y_db": 27.0},
        "3 faces of test": {"precision": "int8", "faces": 3, "psnr_y_db": 32.0},
        "fewer bits": {"fp16": {"psnr_y_db": 31.9, "drop_db": 0.1}, "int8": {"kept_out": "drop of 2 dB"}},
        "int8 beside fp32, 3 faces of test": {"drop": 0.2},
        "on this device, TensorRT 10.3.0 (Orin)": {"psnr_db": 60.0, "timed_nhwc": [8, 32, 32, 3]},
        "vif": 0.5,
    }
    check = {"runtime": "TensorRT 10.3.0 (Orin)", "psnr_db": 60.0, "timed_nhwc": [8, 32, 32, 3]}
    assert from_format_1(quality=quality).evaluations == (
        Evaluation("test", 3, "camera", "int8", {"psnr_y_db": 27.0}),
        Evaluation("test", 3, "bicubic", "int8", {"psnr_y_db": 32.0, "rejected": "drop of 2 dB", "drop": 0.2}),
        Evaluation("test", 3, "bicubic", "fp16", {"psnr_y_db": 31.9, "drop_db": 0.1}),
        Evaluation("engine check", 8, "none", "int8", check),
        Evaluation("", 0, "none", "int8", {"vif": 0.5}),
    )


def test_detector_evaluation_of_format_1_has_no_degradation():
    metrics = {"average_precision": 0.9, "false_alarms": {"of": 4}}
    (evaluation,) = from_format_1(quality={"9 pictures of detect": metrics}).evaluations
    expected = {"average_precision": 0.9, "false_positives": {"of": 4}}
    assert evaluation == Evaluation("detect", 9, "none", "int8", expected)


@pytest.mark.parametrize(
    ("training", "projection"),
    [
        ({}, Projection()),
        ({"degradation": "bicubic"}, Projection()),
        ({"degradation": "camera"}, Projection("low-pass", sigma=2.0)),
    ],
)
def test_earlier_card_has_the_projection_of_its_training(training, projection):
    values = json.loads(replace(CARD, training=training).to_json())
    del values["projection"]
    assert card_from_json(json.dumps(values)).projection == projection
    assert from_format_1(training=training).projection == projection
    values["io_spec"] = {"task": "face-detection", "multiple": 32}
    assert card_from_json(json.dumps(values)).projection is None


@pytest.mark.parametrize("missing", sorted(set(FORMAT_1) - {"format"}))
def test_format_1_with_a_missing_field_is_rejected(missing):
    values = {key: value for key, value in FORMAT_1.items() if key != missing}
    with pytest.raises(BundleError, match="invalid"):
        card_from_json(json.dumps(values))
