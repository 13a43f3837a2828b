"""Texts of files and names of folders reach the terminal without control characters."""

import json
import re
import shutil

import pytest
from facesr_edge.engines.bundle.bundle import CARD, ONNX, write_bundle
from facesr_edge.engines.bundle.card import card_from_json
from facesr_edge.zoo import catalogue

MODEL = "edge-nano-x4"
EVIL = "\x1b[2J\x07\x9b1m\u202e"


def assert_printable(result):
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", result.out + result.err)
    assert r"\x1b[2J" in result.out


def with_evil_texts(values):
    """A document with control characters in each of its texts that has no format of its own."""
    for key in ("name", "licence"):
        values[key] += EVIL
    values["training"] = {f"a{EVIL}": [{f"b{EVIL}": EVIL}], **values["training"]}
    values["limitations"], values["notes"] = [EVIL], [EVIL]
    values["build_versions"][EVIL] = EVIL
    values["evaluations"][0]["dataset"] = EVIL
    values["evaluations"][0]["metrics"][EVIL] = EVIL
    return values


def test_inspect_escapes_texts_of_the_card_and_the_name_of_the_folder(facesr, tmp_path):
    folder = shutil.copytree(catalogue.locate(MODEL), tmp_path / f"folder{EVIL}")
    card = with_evil_texts(json.loads((folder / CARD).read_text("utf-8")))
    (folder / CARD).write_text(json.dumps(card))
    result = facesr("inspect", folder)
    assert result.code == 0
    assert_printable(result)
    assert json.loads(facesr("inspect", "--json", folder).out)["name"] == rf"{MODEL}\x1b[2J\x07\x9b1m\u202e"


@pytest.mark.parametrize("command", ["build", "profile", "eval"])
def test_names_of_folders_and_layers_are_escaped(facesr, image_file, tmp_path, command):
    onnx = pytest.importorskip("onnx")
    folder, model = tmp_path / f"folder{EVIL}", onnx.load(catalogue.find(MODEL).onnx)
    for number, node in enumerate(model.graph.node):
        node.name = f"{number}{EVIL}"
    card = card_from_json((catalogue.locate(MODEL) / CARD).read_text("utf-8"))
    write_bundle(folder, card, {ONNX: model.SerializeToString()})
    faces = tmp_path / f"faces{EVIL}"
    if command == "eval":
        from facesr_edge.calibration.data.faces import sample_faces
        from facesr_edge.sdk.media.images.image_file import write_image

        faces.mkdir()
        write_image(faces / "a.png", sample_faces()[0])
    arguments = {
        "build": (folder, "--engine", "onnxruntime"),
        "profile": (
            image_file,
            "--model",
            folder,
            "--frames",
            1,
            "--warm-up",
            0,
            "--layers",
            "--engine",
            "onnxruntime",
        ),
        "eval": ("--model", folder, "--faces", faces),
    }
    result = facesr(command, *arguments[command])
    assert result.code == 0, result.err
    assert_printable(result)
