"""``facesr-edge references``, and the commands that take a library: from a folder of faces to what they lend."""

import json

import cv2
import numpy as np
import pytest
from facesr_edge.calibration.data.faces import sample_faces
from facesr_edge.zoo import catalogue


@pytest.fixture
def strangers(tmp_path):
    """Faces that are not in the library: the sample's, upside down."""
    (folder := tmp_path / "strangers").mkdir()
    for n, face in enumerate(sample_faces()[:2]):
        cv2.imwrite(str(folder / f"{n}.png"), face[::-1])
    return folder


def test_a_library_is_built_inspected_and_borrowed_from(facesr, msrnet_bundle, reference_faces, tmp_path, picture):
    made = tmp_path / "library"
    said = facesr("references", "build", reference_faces, "-o", made, "--model", msrnet_bundle.folder, "--limit", 3)
    assert said.code == 0 and "3 faces, made with msrnet-x8, chosen by the model's own features" in said.out
    told = json.loads(facesr("references", "inspect", made, "--json").out)
    assert told["entries"] == 3 and told["files"] == ["0.png", "1.png", "2.png"]
    assert told["bytes"] == sum(path.stat().st_size for path in made.iterdir())
    out = tmp_path / "out.png"
    said = facesr("run", picture, "-o", out, "--model", msrnet_bundle.folder, "--references", made, "--most", 2)
    assert said.code == 0 and "2 references a face of 3" in said.err and out.is_file()


def test_a_sheet_shows_what_each_number_of_references_makes(
    facesr, msrnet_bundle, library, reference_faces, strangers, tmp_path
):
    sheet, face = tmp_path / "sheet.png", strangers / "0.png"
    said = facesr(
        *("references", "show", library.folder, face, "-o", sheet),
        *("--faces", reference_faces, "--model", msrnet_bundle.folder, "--threads", 1),
    )
    lines = said.out.splitlines()
    assert said.code == 0 and lines[0].startswith("bicubic: ") and lines[6].startswith("5 references: ")
    assert cv2.imread(str(sheet)).shape == (2 * (8 + 2 * 136), 2 * (8 + 7 * 136), 3)
    assert len({line.split(": ")[1] for line in lines[1:7]}) > 1


def test_eval_measures_with_references_and_by_their_number(facesr, msrnet_bundle, library, strangers):
    given = ("eval", "--model", msrnet_bundle.folder, "--faces", strangers, "--threads", 1)
    alone, borrowing = (
        json.loads(facesr(*given, *more, "--json").out) for more in ((), ("--references", library.folder))
    )
    assert borrowing["psnr_y_db"] != alone["psnr_y_db"] and "4 references a face of 6" in borrowing["engine"]
    table = json.loads(facesr(*given, "--references", library.folder, "--ablation", "--json").out)["ablation"]
    assert [row["references"] for row in table] == [0, 1, 2, 3, 4, 5]
    assert table[0]["psnr_y_db"] == pytest.approx(alone["psnr_y_db"], abs=1e-3)
    assert table[4]["psnr_y_db"] == pytest.approx(borrowing["psnr_y_db"], abs=1e-3)
    said = facesr(*given, "--references", library.folder, "--ablation")
    assert "references" in said.out and np.count_nonzero([line[:1].isdigit() for line in said.out.splitlines()]) == 6


def test_what_cannot_be_is_said_in_one_line(facesr, msrnet_bundle, library, reference_faces, picture, tmp_path):
    base = ("run", picture, "-o", tmp_path / "out.png", "--references")
    assert f"{catalogue.DEFAULT_MODEL} borrows from no references" in facesr(*base, library.folder).error
    assert "is no library" in facesr(*base, reference_faces, "--model", msrnet_bundle.folder).error
    assert facesr(*base, library.folder, "--model", msrnet_bundle.folder, "--most", 6).code == 2
    given = ("eval", "--model", msrnet_bundle.folder, "--faces", reference_faces)
    assert "6 of 6 faces are in" in facesr(*given, "--references", library.folder).error
    assert "--ablation needs one --model" in facesr(*given, "--ablation").error
    empty = tmp_path / "empty"
    empty.mkdir()
    assert (
        "no picture in"
        in facesr("references", "build", empty, "-o", tmp_path / "l", "--model", msrnet_bundle.folder).error
    )
