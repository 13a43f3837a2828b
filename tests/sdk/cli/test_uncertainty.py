"""``--uncertainty`` of ``facesr-edge run``, and the uncertainty head in ``models``, ``inspect`` and ``doctor``."""

import json

import cv2
import pytest
from facesr_edge.sdk.media.images.image_file import ImageFile
from facesr_edge.sdk.provenance.iptc import source_type
from facesr_edge.sdk.provenance.statement import DIGITAL_SOURCE_TYPE
from facesr_edge.zoo import catalogue
from PIL import Image, ImageCms

MODEL = ("--model", "edge-nano-x4", "--engine", "onnxruntime", "--precision", "fp32")


def test_run_writes_a_sheet_for_each_face_and_the_figures_to_the_json(facesr, image_file, tmp_path):
    result = facesr("run", image_file, "--uncertainty", tmp_path / "u", "--json", tmp_path / "f.json", *MODEL)
    assert result.code == 0, result.err
    (face,) = json.loads((tmp_path / "f.json").read_text())["frames"][0]["faces"]
    (sheet,) = (tmp_path / "u").iterdir()
    assert sheet.name == "image.png-face-1.png" and face["uncertainty"]["p90"] > 0
    assert cv2.imread(str(sheet)).shape[1] == 3 * 4 * (face["window_xyxy"][2] - face["window_xyxy"][0]) + 8


def test_uncertainty_alone_is_an_output(facesr, image_file, tmp_path):
    result = facesr("run", image_file, "--uncertainty", tmp_path / "u", *MODEL)
    assert result.code == 0 and result.err.rstrip().endswith(f"1 sheet of uncertainty → {tmp_path / 'u'}")


def test_frames_of_a_video_have_their_number(facesr, clips, tmp_path):
    result = facesr("run", clips(2), "-o", tmp_path / "o.mp4", "--uncertainty", tmp_path / "u", *MODEL)
    assert result.code == 0, result.err
    assert sorted(path.name for path in (tmp_path / "u").iterdir()) == [f"2.mp4-00000{n}-face-1.png" for n in range(2)]


def test_pictures_of_subfolders_stay_apart(facesr, image_file, tmp_path):
    for name in ("a", "b"):
        (tmp_path / "in" / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "in" / name / "x.png"), cv2.imread(str(image_file)))
    result = facesr("run", tmp_path / "in", "--recursive", "--uncertainty", tmp_path / "u", *MODEL)
    assert result.code == 0, result.err
    written = sorted(str(path.relative_to(tmp_path / "u")) for path in (tmp_path / "u").rglob("*.png"))
    assert written == ["a/x.png-face-1.png", "b/x.png-face-1.png"]


def test_inputs_of_one_name_and_pages_lose_no_sheet(facesr, clips, small_frame, tmp_path):
    inputs = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        inputs.append((tmp_path / name / "c.mp4").absolute())
        inputs[-1].write_bytes(clips(2).read_bytes())
    cv2.imwritemulti(str(tmp_path / "p.tif"), [small_frame] * 2)
    cv2.imwrite(str(tmp_path / "p.png"), small_frame)
    inputs += [tmp_path / "p.tif", tmp_path / "p.png"]
    result = facesr("run", *inputs, "-o", tmp_path / "o", "--uncertainty", tmp_path / "u", *MODEL)
    assert result.code == 2 and "would both be written" in result.err
    result = facesr("run", *inputs, "--json", tmp_path / "j.json", "--uncertainty", tmp_path / "u", *MODEL)
    assert result.code == 0 and "7 sheets" in result.err and f"c.mp4-2 is {inputs[1]}" in result.err
    written = {path.name for path in (tmp_path / "u").rglob("*.png")}
    stems = {
        "c.mp4-000000",
        "c.mp4-000001",
        "c.mp4-2-000000",
        "c.mp4-2-000001",
        "p.tif-000000",
        "p.tif-000001",
        "p.png",
    }
    assert written == {f"{stem}-face-1.png" for stem in stems}


def test_sheets_carry_the_mark_and_the_color_profile(facesr, small_frame, tmp_path):
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(small_frame[:, :, ::-1].copy()).save(tmp_path / "in.png", icc_profile=icc)
    assert facesr("run", tmp_path / "in.png", "--uncertainty", tmp_path / "u", *MODEL).code == 0
    (sheet,) = (tmp_path / "u").iterdir()
    metadata = ImageFile(sheet).metadata
    assert source_type(metadata.xmp) == DIGITAL_SOURCE_TYPE and metadata.icc == icc


def test_a_run_that_fails_says_what_was_written(facesr, clips, tmp_path):
    data = clips(30).read_bytes()
    folder = tmp_path / "taken"
    for number in (3, 2):  # the disk has a folder where a sheet of a later frame belongs
        (folder / f"30.mp4-00000{number}-face-1.png").mkdir(parents=True)
    (tmp_path / "30.mp4").write_bytes(data)
    result = facesr("run", tmp_path / "30.mp4", "--uncertainty", folder, *MODEL)
    assert result.code == 1 and "cannot write" in result.error and f"2 sheets of uncertainty → {folder}" in result.err


def test_model_without_calibration_is_one_line(facesr, image_file, tmp_path):
    result = facesr("run", image_file, "--uncertainty", tmp_path / "u", "--model", "srcnn-x4")
    assert result.code == 1 and "not calibrated for srcnn-x4" in result.err and "Traceback" not in result.err


def test_resume_is_refused(facesr, image_file, tmp_path):
    result = facesr("run", image_file, "--uncertainty", tmp_path / "u", "--resume", *MODEL)
    assert result.code == 2 and "--uncertainty needs every frame" in result.err


@pytest.mark.parametrize("place", ["file", "below a file"])
def test_folder_that_cannot_be_made_is_one_line(facesr, image_file, tmp_path, place):
    (tmp_path / "u").write_text("")
    folder = tmp_path / "u" if place == "file" else tmp_path / "u" / "v"
    result = facesr("run", image_file, "--uncertainty", folder, *MODEL)
    assert result.code in (1, 2) and str(tmp_path / "u") in result.err and "Traceback" not in result.err


def test_models_inspect_and_doctor_show_the_head(facesr):
    listed = facesr("models")
    assert listed.code == 0 and catalogue.UNCERTAINTY in listed.out and "pixels covered" in listed.out
    shown = facesr("inspect", catalogue.UNCERTAINTY)
    assert shown.code == 0 and "calibration.json" in shown.out and "coverage" in shown.out
    checks = facesr("doctor", "--json")
    names = {check["name"]: check["state"] for check in json.loads(checks.out)["checks"]}
    assert names[f"model {catalogue.UNCERTAINTY}"] == "ok"


def test_head_as_model_is_one_line(facesr, image_file, tmp_path):
    result = facesr("run", image_file, "-o", tmp_path / "o.png", "--model", catalogue.UNCERTAINTY)
    assert result.code == 1 and "runs beside a model" in result.err
