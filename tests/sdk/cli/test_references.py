"""``facesr-edge references``, and --references of other commands."""

import json

import cv2
import pytest
from facesr_edge.calibration.data.faces import sample_faces
from facesr_edge.zoo import catalogue


@pytest.fixture
def other_faces(tmp_path):
    """Faces that are not in the library: sample faces, upside down."""
    (folder := tmp_path / "other").mkdir()
    for n, face in enumerate(sample_faces()[:2]):
        cv2.imwrite(str(folder / f"{n}.png"), face[::-1])
    return folder


def test_library_is_built_inspected_and_used(facesr, msrnet_bundle, reference_faces, tmp_path, image_file):
    built = tmp_path / "library"
    result = facesr("references", "build", reference_faces, "-o", built, "--model", msrnet_bundle.folder, "--limit", 3)
    assert result.code == 0 and "3 faces, built with msrnet-x8, selection by features of the model" in result.out
    summary = json.loads(facesr("references", "inspect", built, "--json").out)
    assert summary["entries"] == 3 and summary["files"] == ["0.png", "1.png", "2.png"]
    assert summary["bytes"] == sum(path.stat().st_size for path in built.iterdir())
    out = tmp_path / "out.png"
    result = facesr(
        "run", image_file, "-o", out, "--model", msrnet_bundle.folder, "--references", built, "--max-references", 2
    )
    assert result.code == 0 and "2 references per face of 3" in result.err and out.is_file()


def test_sheet_shows_the_result_for_each_number_of_references(
    facesr, msrnet_bundle, library, reference_faces, other_faces, tmp_path
):
    sheet, face = tmp_path / "sheet.png", other_faces / "0.png"
    result = facesr(
        *("references", "show", library.folder, face, "-o", sheet),
        *("--faces", reference_faces, "--model", msrnet_bundle.folder, "--threads", 1),
    )
    lines = result.out.splitlines()
    assert result.code == 0 and lines[0].startswith("bicubic: ") and lines[6].startswith("5 references: ")
    assert cv2.imread(str(sheet)).shape == (2 * (8 + 2 * 136), 2 * (8 + 7 * 136), 3)
    assert len({line.split(": ")[1] for line in lines[1:7]}) > 1


def test_eval_with_references_and_ablation(facesr, msrnet_bundle, library, other_faces):
    command = ("eval", "--model", msrnet_bundle.folder, "--faces", other_faces, "--threads", 1)
    without, with_references = (
        json.loads(facesr(*command, *options, "--json").out) for options in ((), ("--references", library.folder))
    )
    assert with_references["psnr_y_db"] != without["psnr_y_db"]
    assert "4 references per face of 6" in with_references["engine"]
    table = json.loads(facesr(*command, "--references", library.folder, "--ablation", "--json").out)["ablation"]
    assert [row["references"] for row in table] == [0, 1, 2, 3, 4, 5]
    assert table[0]["psnr_y_db"] == pytest.approx(without["psnr_y_db"], abs=1e-3)
    assert table[4]["psnr_y_db"] == pytest.approx(with_references["psnr_y_db"], abs=1e-3)
    result = facesr(*command, "--references", library.folder, "--ablation")
    assert "references" in result.out and sum(line[:1].isdigit() for line in result.out.splitlines()) == 6


def test_invalid_use_is_reported_in_one_line(facesr, msrnet_bundle, library, reference_faces, image_file, tmp_path):
    base = ("run", image_file, "-o", tmp_path / "out.png", "--references")
    assert f"{catalogue.DEFAULT_MODEL} uses no references" in facesr(*base, library.folder).error
    assert "is not a library" in facesr(*base, reference_faces, "--model", msrnet_bundle.folder).error
    assert facesr(*base, library.folder, "--model", msrnet_bundle.folder, "--max-references", 6).code == 2
    command = ("eval", "--model", msrnet_bundle.folder, "--faces", reference_faces)
    assert "6 of 6 faces are in" in facesr(*command, "--references", library.folder).error
    assert "--ablation needs one --model" in facesr(*command, "--ablation").error
    empty = tmp_path / "empty"
    empty.mkdir()
    result = facesr("references", "build", empty, "-o", tmp_path / "l", "--model", msrnet_bundle.folder)
    assert "no images in" in result.error
