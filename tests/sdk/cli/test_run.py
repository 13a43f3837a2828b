"""``facesr-edge run``: pictures, folders and videos; bad inputs; JSON; Ctrl-C."""

import json
import pickle
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib

import av
import cv2
import numpy as np
import pytest
from facesr_edge.zoo import catalogue


def frames_of(path):
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_a_picture_comes_out_twice_as_large(facesr, picture, bundle, tmp_path):
    said = facesr("run", picture, "-o", tmp_path / "out.png", "--model", bundle)
    assert said.code == 0, said.err
    assert cv2.imread(str(tmp_path / "out.png")).shape == (240, 320, 3)
    assert "1 frame, 1 face" in said.out and said.out.rstrip().endswith("out.png")


def test_the_model_that_ships_is_taken_by_itself(facesr, picture, tmp_path):
    said = facesr("run", picture, "-o", tmp_path / "out.jpg", "--outscale", "3")
    assert said.code == 0 and f"{catalogue.DEFAULT_MODEL} " in said.err
    assert cv2.imread(str(tmp_path / "out.jpg")).shape == (360, 480, 3)


def test_a_folder_becomes_a_folder(facesr, picture, bundle, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.jpg"):
        cv2.imwrite(str(tmp_path / "in" / name), cv2.imread(str(picture)))
    said = facesr("run", tmp_path / "in", "-o", tmp_path / "out", "--model", bundle)
    assert said.code == 0 and sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.png", "b.jpg"]


def test_a_video_keeps_its_frames(facesr, clips, bundle, tmp_path):
    said = facesr("run", clips(12), "-o", tmp_path / "out.mp4", "--model", bundle, "--json", tmp_path / "f.json")
    assert said.code == 0 and frames_of(tmp_path / "out.mp4") == 12
    document = json.loads((tmp_path / "f.json").read_text())
    assert [frame["index"] for frame in document["frames"]] == list(range(12))
    assert document["detector"] == "detector" and "ONNX Runtime" in document["engine"]
    assert "encode" in document["frames"][0]["timings_ms"]


@pytest.mark.parametrize("spelling", [["--json"], ["--json", "-"], ["--json=-"]])
def test_json_alone_is_all_of_standard_output(facesr, picture, bundle, spelling):
    said = facesr("run", *spelling, picture, "--model", bundle)
    document = json.loads(said.out)
    assert said.code == 0 and document["model"] == "idrn-x4" and len(document["frames"]) == 1


def test_json_beside_an_output_is_all_of_standard_output(facesr, picture, bundle, tmp_path):
    said = facesr("run", picture, "-o", tmp_path / "out.png", "--json", "--model", bundle)
    assert json.loads(said.out)["outscale"] == 2 and (tmp_path / "out.png").exists()


def test_json_never_overwrites_what_is_no_json(facesr, picture):
    before = picture.read_bytes()
    said = facesr("run", "clip.mp4", f"--json={picture}")
    assert said.code == 2 and ".json" in said.error and picture.read_bytes() == before


def test_a_failed_run_leaves_an_older_json_alone_and_standard_output_empty(facesr, tmp_path):
    old = tmp_path / "f.json"
    old.write_text("old")
    assert facesr("run", tmp_path / "missing.mp4", "--json", old).code == 1 and old.read_text() == "old"
    assert facesr("run", tmp_path / "missing.mp4", "--json").out == ""


def test_nothing_to_write_is_wrong_usage(facesr, picture):
    said = facesr("run", picture)
    assert said.code == 2 and "-o OUTPUT" in said.error


def _png_that_claims(width, height):
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


def _bad_inputs(picture):
    whole = picture.read_bytes()
    return {
        "missing.png": (None, "does not exist"),
        "empty.png": (b"", "empty"),
        "truncated.png": (whole[: len(whole) // 2], "cut short"),
        "text.png": (b"this is not a picture\n" * 20, "not a picture"),
        "text.mp4": (b"this is not a video\n" * 20, "text.mp4"),
        "huge.png": (_png_that_claims(60_000, 60_000), "megapixels"),
    }


@pytest.mark.parametrize("name", ["missing.png", "empty.png", "truncated.png", "text.png", "text.mp4", "huge.png"])
def test_a_bad_file_is_one_line_and_leaves_nothing(facesr, picture, tmp_path, name):
    data, expected = _bad_inputs(picture)[name]
    if data is not None:
        (tmp_path / name).write_bytes(data)
    out = tmp_path / f"out{name[-4:]}"
    said = facesr("run", tmp_path / name, "-o", out)
    assert said.code == 1 and expected in said.error and not out.exists()


def test_a_folder_without_pictures_is_one_line(facesr, tmp_path):
    (tmp_path / "in").mkdir()
    said = facesr("run", tmp_path / "in", "-o", tmp_path / "out")
    assert said.code == 1 and "no picture" in said.error


def test_a_folder_that_cannot_be_listed_is_one_line(facesr, tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()

    def refuse(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr("pathlib.Path.iterdir", refuse)
    said = facesr("run", tmp_path / "in", "-o", tmp_path / "out")
    assert said.code == 1 and "permission denied" in said.error.lower()


def test_a_truncated_video_keeps_what_could_be_read(facesr, clips, bundle, tmp_path):
    cut = tmp_path / "cut.mkv"
    _remux(clips(50), cut)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 2 // 3])
    said = facesr("run", cut, "-o", tmp_path / "out.mp4", "--model", bundle)
    assert said.code == 1 and "ends too early" in said.error
    assert "frames are in" in said.err and frames_of(tmp_path / "out.mp4") > 0


def _remux(source, target):
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        stream = writer.add_stream_from_template(reader.streams.video[0])
        for packet in reader.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                writer.mux(packet)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--model", "idrn-x5"], "did you mean 'idrn-x4'?"),
        (["--detector", "detecter"], "did you mean 'detector'?"),
        (["--engine", "tensorrd"], "unknown engine"),
        (["--outscale", "5"], "1<=x<=4"),
        (["--outscale", "two"], "not a valid integer"),
        (["--score", "1.5"], "expected 0 to 1"),
        (["--min-face", "0"], "1 or more"),
        (["--min-face", "nan"], "1 or more"),
        (["--min-face", "inf"], "1 or more"),
        (["--min-face", "small"], "not a valid float"),
        (["--threads", "-1"], "x>=0"),
    ],
)
def test_a_wrong_option_is_wrong_usage(facesr, picture, tmp_path, options, expected):
    said = facesr("run", picture, "-o", tmp_path / "out.png", *options)
    assert said.code == 2 and expected in said.error and not (tmp_path / "out.png").exists()


def _altered(copy):
    with (copy / "model.onnx").open("ab") as file:
        file.write(b"more")


def _without_graph(copy):
    (copy / "model.onnx").unlink()


def _newer(copy):
    card = json.loads((copy / "card.json").read_text())
    (copy / "card.json").write_text(json.dumps({**card, "format": 99}))


def _no_card(copy):
    (copy / "card.json").write_text("{")


@pytest.mark.parametrize(
    ("damage", "expected"),
    [(_altered, "was altered"), (_without_graph, "missing"), (_newer, "card format 99"), (_no_card, "not a card")],
)
def test_a_damaged_bundle_is_refused_in_one_line(facesr, picture, bundle, tmp_path, damage, expected):
    shutil.copytree(bundle, tmp_path / "copy")
    damage(tmp_path / "copy")
    said = facesr("run", picture, "-o", tmp_path / "out.png", "--model", tmp_path / "copy")
    assert said.code == 1 and expected in said.error


def test_a_pickle_as_detector_is_refused_in_one_line(facesr, picture, tmp_path):
    (tmp_path / "detector.onnx").write_bytes(pickle.dumps({"weights": np.zeros(3)}))
    said = facesr("run", picture, "-o", tmp_path / "out.png", "--detector", tmp_path / "detector.onnx")
    assert said.code == 1 and "cannot be loaded" in said.error


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_in_mid_video_keeps_a_playable_file(clips, bundle, tmp_path, number):
    out, faces = tmp_path / "out.mp4", tmp_path / "faces.json"
    command = [sys.executable, "-m", "facesr_edge", "run", clips(4000), "-o", out, "--json", faces, "--model", bundle]
    with subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        _wait_for(lambda: any(tmp_path.glob("*.partial.mp4")) or process.poll() is not None)
        time.sleep(1)
        process.send_signal(number)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 1, errors
    kept = frames_of(out)
    assert 0 < kept < 4000
    assert errors.strip().splitlines()[-1] == f"facesr-edge: stopped; {kept} of 4000 frames are in {out}"
    assert len(json.loads(faces.read_text())["frames"]) == kept
    assert output == "" and sorted(p.name for p in tmp_path.iterdir()) == ["faces.json", "out.mp4"]


def _wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
