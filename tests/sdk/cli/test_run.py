"""``facesr-edge run``: images, folders and videos; JSON; invalid inputs; interrupts."""

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


def frame_count(path):
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_image_is_upscaled_by_two(facesr, image_file, bundle, tmp_path):
    result = facesr("run", image_file, "-o", tmp_path / "out.png", "--model", bundle)
    assert result.code == 0, result.err
    assert cv2.imread(str(tmp_path / "out.png")).shape == (240, 320, 3)
    assert "1 frame, 1 face" in result.out and result.out.rstrip().endswith("out.png")


def test_default_model_is_used(facesr, image_file, tmp_path):
    result = facesr("run", image_file, "-o", tmp_path / "out.jpg", "--outscale", "3")
    assert result.code == 0 and f"{catalogue.DEFAULT_MODEL} " in result.err
    assert cv2.imread(str(tmp_path / "out.jpg")).shape == (360, 480, 3)


def test_folder_is_written_to_a_folder(facesr, image_file, bundle, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.jpg"):
        cv2.imwrite(str(tmp_path / "in" / name), cv2.imread(str(image_file)))
    result = facesr("run", tmp_path / "in", "-o", tmp_path / "out", "--model", bundle)
    assert result.code == 0 and sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.png", "b.jpg"]


def test_video_keeps_every_frame(facesr, clips, bundle, tmp_path):
    result = facesr("run", clips(12), "-o", tmp_path / "out.mp4", "--model", bundle, "--json", tmp_path / "f.json")
    assert result.code == 0 and frame_count(tmp_path / "out.mp4") == 12
    document = json.loads((tmp_path / "f.json").read_text())
    assert [frame["index"] for frame in document["frames"]] == list(range(12))
    assert document["detector"] == "detector" and "(CPU, " in document["engine"]
    assert "encode" in document["frames"][0]["timings_ms"]


@pytest.mark.parametrize("spelling", [["--json"], ["--json", "-"], ["--json=-"]])
def test_json_is_the_only_output_on_stdout(facesr, image_file, bundle, spelling):
    result = facesr("run", *spelling, image_file, "--model", bundle)
    document = json.loads(result.out)
    assert result.code == 0 and document["model"] == "idrn-x4" and len(document["frames"]) == 1


def test_json_is_the_only_output_on_stdout_with_an_output_file(facesr, image_file, bundle, tmp_path):
    result = facesr("run", image_file, "-o", tmp_path / "out.png", "--json", "--model", bundle)
    assert json.loads(result.out)["outscale"] == 2 and (tmp_path / "out.png").exists()


def test_json_does_not_overwrite_other_files(facesr, image_file):
    before = image_file.read_bytes()
    result = facesr("run", "clip.mp4", f"--json={image_file}")
    assert result.code == 2 and ".json" in result.error and image_file.read_bytes() == before


def test_failed_run_keeps_an_existing_json_file_and_prints_nothing(facesr, tmp_path):
    old = tmp_path / "f.json"
    old.write_text("old")
    assert facesr("run", tmp_path / "missing.mp4", "--json", old).code == 1 and old.read_text() == "old"
    assert facesr("run", tmp_path / "missing.mp4", "--json").out == ""


def test_missing_output_is_a_usage_error(facesr, image_file):
    result = facesr("run", image_file)
    assert result.code == 2 and "-o OUTPUT" in result.error


def _png_header(width, height):
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


def _invalid_inputs(image_file):
    data = image_file.read_bytes()
    return {
        "missing.png": (None, "does not exist"),
        "empty.png": (b"", "empty"),
        "truncated.png": (data[: len(data) // 2], "truncated"),
        "text.png": (b"this is not an image\n" * 20, "not an image"),
        "text.mp4": (b"this is not a video\n" * 20, "text.mp4"),
        "huge.png": (_png_header(60_000, 60_000), "megapixels"),
    }


@pytest.mark.parametrize("name", ["missing.png", "empty.png", "truncated.png", "text.png", "text.mp4", "huge.png"])
def test_invalid_file_is_reported_in_one_line_and_leaves_no_output(facesr, image_file, tmp_path, name):
    data, expected = _invalid_inputs(image_file)[name]
    if data is not None:
        (tmp_path / name).write_bytes(data)
    out = tmp_path / f"out{name[-4:]}"
    result = facesr("run", tmp_path / name, "-o", out)
    assert result.code == 1 and expected in result.error and not out.exists()


def test_folder_without_images_is_reported_in_one_line(facesr, tmp_path):
    (tmp_path / "in").mkdir()
    result = facesr("run", tmp_path / "in", "-o", tmp_path / "out")
    assert result.code == 1 and "no images" in result.error


def test_unreadable_folder_is_reported_in_one_line(facesr, tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()

    def reject(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr("pathlib.Path.iterdir", reject)
    result = facesr("run", tmp_path / "in", "-o", tmp_path / "out")
    assert result.code == 1 and "permission denied" in result.error.lower()


def test_truncated_video_keeps_the_decodable_frames(facesr, clips, bundle, tmp_path):
    truncated = tmp_path / "truncated.mkv"
    _remux(clips(50), truncated)
    truncated.write_bytes(truncated.read_bytes()[: truncated.stat().st_size * 2 // 3])
    result = facesr("run", truncated, "-o", tmp_path / "out.mp4", "--model", bundle)
    assert result.code == 1 and "is truncated after" in result.error
    assert "frames are in" in result.err and frame_count(tmp_path / "out.mp4") > 0


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
        (["--quality", "101"], "quality of 1 to 100"),
        (["--crf", "18", "--codec", "av1"], "codec, crf cannot be used for"),
        (["--hwaccel", "cudo"], "did you mean 'cuda'"),
    ],
)
def test_invalid_option_is_a_usage_error(facesr, image_file, tmp_path, options, expected):
    result = facesr("run", image_file, "-o", tmp_path / "out.png", *options)
    assert result.code == 2 and expected in result.error and not (tmp_path / "out.png").exists()


def test_codec_and_crf_of_a_video(facesr, clips, bundle, tmp_path):
    sizes = []
    for crf in ("20", "40"):
        out = tmp_path / f"{crf}.mkv"
        options = ["--codec", "hevc", "--crf", crf, "--preset", "ultrafast", "--threads", "1", "--hwaccel", "auto"]
        result = facesr("run", clips(6), "-o", out, "--model", bundle, *options)
        assert result.code == 0, result.err
        assert "decoded in software" in result.err and "encoded " in result.err
        with av.open(str(out)) as container:
            assert container.streams.video[0].codec_context.codec.canonical_name == "hevc"
        sizes.append(out.stat().st_size)
    assert frame_count(out) == 6 and sizes[0] > sizes[1]


def test_quality_and_compression_of_images(facesr, image_file, bundle, tmp_path):
    sizes = {}
    for name, option in (("o.jpg", "--quality"), ("o.png", "--compression")):
        for value in ("1", "9"):
            assert facesr("run", image_file, "-o", tmp_path / name, "--model", bundle, option, value).code == 0
            sizes[name, value] = (tmp_path / name).stat().st_size
    assert sizes["o.jpg", "1"] < sizes["o.jpg", "9"] and sizes["o.png", "1"] > sizes["o.png", "9"]


@pytest.mark.parametrize(
    ("output", "options", "expected"),
    [
        ("o.avi", ["--codec", "h265"], "it holds h264"),
        ("o.mp4", ["--codec", "h264", "--preset", "warp"], "ultrafast"),
        ("o.mp4", ["--quality", "80"], "quality cannot be used"),
        (None, ["--crf", "18"], "--crf cannot be used without an output"),
    ],
)
def test_invalid_encoding_option_is_a_usage_error(facesr, clips, tmp_path, output, options, expected):
    destination = ["-o", tmp_path / output] if output else ["--json"]
    result = facesr("run", clips(3), *destination, *options)
    assert result.code == 2 and expected in result.error and result.out == ""
    assert output is None or not (tmp_path / output).exists()


def _altered(copy):
    with (copy / "model.onnx").open("ab") as file:
        file.write(b"more")


def _without_graph(copy):
    (copy / "model.onnx").unlink()


def _newer_format(copy):
    card = json.loads((copy / "card.json").read_text())
    (copy / "card.json").write_text(json.dumps({**card, "format": 99}))


def _invalid_card(copy):
    (copy / "card.json").write_text("{")


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (_altered, "was altered"),
        (_without_graph, "missing"),
        (_newer_format, "card format 99"),
        (_invalid_card, "not a card"),
    ],
)
def test_damaged_bundle_is_rejected_in_one_line(facesr, image_file, bundle, tmp_path, damage, expected):
    shutil.copytree(bundle, tmp_path / "copy")
    damage(tmp_path / "copy")
    result = facesr("run", image_file, "-o", tmp_path / "out.png", "--model", tmp_path / "copy")
    assert result.code == 1 and expected in result.error


def test_pickle_as_detector_is_rejected_in_one_line(facesr, image_file, tmp_path):
    (tmp_path / "detector.onnx").write_bytes(pickle.dumps({"weights": np.zeros(3)}))
    result = facesr("run", image_file, "-o", tmp_path / "out.png", "--detector", tmp_path / "detector.onnx")
    assert result.code == 1 and "is not an ONNX file" in result.error


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_keeps_a_playable_file(clips, bundle, tmp_path, number):
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
    count = frame_count(out)
    assert 0 < count < 4000
    assert (
        errors.strip().splitlines()[-1]
        == f"facesr-edge: stopped; {count} of 4000 frames are in {out}; --resume goes on"
    )
    assert len(json.loads(faces.read_text())["frames"]) == count
    journals = [".faces.json.journal", ".out.mp4.journal"]
    assert output == "" and sorted(p.name for p in tmp_path.iterdir()) == [*journals, "faces.json", "out.mp4"]


def _wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_detect_every_detects_fully_in_some_frames_of_a_video(facesr, clips, large_frame, bundle, tmp_path):
    options = ["--model", bundle, "--detect-every", 3, "--json", tmp_path / "f.json"]
    result = facesr("run", clips(7, large_frame), *options)
    kinds = [frame["detection"]["kind"] for frame in json.loads((tmp_path / "f.json").read_text())["frames"]]
    assert result.code == 0 and kinds == ["full", "tracked", "tracked"] * 2 + ["full"]
    assert "detected fully in 3 (43%)" in result.out


@pytest.mark.parametrize("every", ["0", "-2", "1.5", "often"])
def test_an_invalid_detect_every_is_a_usage_error(facesr, clips, bundle, every):
    result = facesr("run", clips(2), "--model", bundle, "--json", "--detect-every", every)
    assert result.code == 2 and "1 or more, or auto" in result.error
