"""The commands of a store, and the outputs of run, batch and live that write one."""

from __future__ import annotations

import csv
import json
import time
from collections import Counter
from dataclasses import replace
from datetime import datetime, timezone
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet
import pytest
from facesr_edge.benchmarks.store_kills import make_shot
from facesr_edge.engines.postprocess import Detections
from facesr_edge.sdk.cli.main import main
from facesr_edge.sdk.live.results import FrameTimes
from facesr_edge.sdk.live.sinks.open import open_live_sink
from facesr_edge.sdk.media.images.source import open_image
from facesr_edge.sdk.media.sources import open_source
from facesr_edge.sdk.media.video.pipe import STDIN_NAME
from facesr_edge.sdk.pipeline.frame import Frame, ImageMetadata
from facesr_edge.sdk.pipeline.results import Face, FrameResult
from facesr_edge.sdk.provenance.network_use import NetworkUse
from facesr_edge.sdk.store.open import open_store
from facesr_edge.sdk.store.picture_time import time_taken
from facesr_edge.sdk.store.run_output import StoreOutput
from PIL import Image
from support.live_results import live_result
from support.live_runs import make_status
from support.media import make_video
from support.postgresql import create_schema
from support.sinks import make_face, make_result, wait_until

LARGE = NetworkUse("large", "1", "int8", "onnxruntime", 4, "d", "0.1.0")
SMALL = replace(LARGE, name="small")


@pytest.fixture
def call(capfd):
    """Run a command: exit code, standard output, standard error."""

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([*map(str, arguments)])
        out, err = capfd.readouterr()
        assert "Traceback" not in err and err.count("error:") <= 1
        return ended.value.code, out, err

    return run


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """Three faces of two cameras, which no test changes."""
    folder = tmp_path_factory.mktemp("filled")
    with open_store(folder) as store:
        for number, camera in enumerate(("door", "=cmd()", "door")):
            shot = make_shot(number, camera)
            face = replace(shot.face, usability=replace(shot.face.usability, side_px=20.0 * (number + 1)))
            store.add_shot(replace(shot, face=face), LARGE, time=time.time() - 3600 * (3 - number))
    return folder


def test_find_prints_a_table_and_json(call, filled):
    code, out, _ = call("store", "find", filled, "--camera", "door", "--since", "90m")
    assert code == 0 and "door" in out and "60 px" in out and out.endswith("1 face\n")
    code, out, _ = call("store", "find", filled, "--min-side", 30, "--limit", 1, "--json")
    (found,) = json.loads(out)
    assert found["usability"]["side_px"] == 60 and found["network"]["name"] == "large"
    assert call("store", "find", filled, "--limit", 2)[1].endswith("2 of 3 faces\n")
    assert call("store", "find", filled, "--until", "2020-01-01")[1] == "0 faces\n"


def test_a_name_is_printed_as_it_is(call, tmp_path):
    names = ("a[/b]", "[red]door[/red]", ":door:", "two\nlines", "bell\a", "ein[")
    with open_store(tmp_path) as store:
        for number, name in enumerate(names):
            store.add_shot(make_shot(number, name))
    code, out, _ = call("store", "find", tmp_path)
    assert code == 0 and out.endswith("6 faces\n") and out.count("\n") == 8 and "\a" not in out
    assert all(text in out for text in ("a[/b] ", "[red]door[/red] ", ":door: ", "two lines ", "bell\\x07 ", "ein[ "))


def test_faults_of_a_store_are_told_without_its_password(call, tmp_path, postgresql):
    create_schema(postgresql, "faults")
    options = f"host={postgresql}&options=-csearch_path%3Dfaults&pictures={tmp_path}"
    address = f"postgresql://postgres:secret@/postgres?{options}"
    with open_store(address) as store:
        store.add_shot(make_shot(1))
        store.faces()[0].original.path.unlink()
    code, out, err = call("store", "check", address)
    assert code == 1 and "has faults" in err and "postgres:***@" in err and "secret" not in out + err


def test_show_prints_a_face_or_the_store(call, filled):
    code, out, _ = call("store", "show", filled, 1)
    assert code == 0 and "camera: door\n" in out and "usability.side_px: 20.0\n" in out and "-original.png" in out
    assert "faces: 3\n" in call("store", "show", filled)[1]
    assert call("store", "show", filled, 9)[0] == 1


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_export_writes_every_face(call, filled, tmp_path, suffix):
    path = tmp_path / f"faces{suffix}"
    assert call("store", "export", filled, "-o", path, "--camera", "door")[:2] == (0, f"2 faces → {path}\n")
    if suffix == ".parquet":
        rows = pyarrow.parquet.read_table(path).to_pylist()
        assert rows[0]["time"].tzinfo is not None and rows[0]["source"] is None
    elif suffix == ".csv":
        rows = list(csv.DictReader(path.open(newline="")))
    else:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [float(row["side_px"]) for row in rows] == [20, 60] and rows[0]["model"] == "large"
    assert all(cv2.imread(row["original"]) is not None for row in rows)


def test_a_spreadsheet_does_not_run_the_name_of_a_camera(call, filled, tmp_path):
    call("store", "export", filled, "-o", tmp_path / "faces.csv", "--camera", "=cmd()")
    assert next(csv.DictReader((tmp_path / "faces.csv").open()))["camera"] == "'=cmd()"


def test_prune_and_check(call, tmp_path):
    with open_store(tmp_path) as store:
        for number in range(3):
            store.add_shot(make_shot(number))
        first = store.faces()[-1]
    assert call("store", "check", tmp_path, "--hashes")[:2] == (0, "3 faces checked, nothing is wrong\n")
    assert call("store", "prune", tmp_path, "--face", first.id, "--dry-run")[1] == "1 face would be deleted\n"
    assert call("store", "prune", tmp_path, "--face", first.id, "--reason", "asked")[1].startswith("1 face deleted")
    assert not first.original.path.exists() and "reason asked" in call("store", "show", tmp_path)[1]
    (first.original.path.parent / "stray.png").touch()
    code, out, err = call("store", "check", tmp_path)
    assert code == 1 and "1 without a face" in out and "stray.png" in err
    assert call("store", "check", tmp_path, "--repair")[0] == call("store", "check", tmp_path)[0] == 0
    assert call("store", "prune", tmp_path, "--older-than", "30d", "--max-gb", "1e-9")[1].startswith("2 faces deleted")


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["find", "{}/missing"], 1, "is missing, expected a store"),
        (["find", "{}", "--since", "yesterday"], 2, "expected a time such as"),
        (["find", "{}", "--since", "9999999999d"], 2, "expected a time such as"),
        (["find", "mysql://host/db"], 2, "unknown store mysql://host/db"),
        (["find", "postgresql://u:secret@127.0.0.1:9/db"], 2, "add ?pictures=DIR"),
        (["find", "postgresql://u:secret@127.0.0.1:9/db?pictures={}"], 1, "check the database"),
        (["find", "{}?days=x"], 2, "wrong options"),
        (["find", "{}", "--limit", "99999999999999999999"], 2, "is not in the range"),
        (["prune", "{}", "--face", "99999999999999999999", "--dry-run"], 2, "is not in the range"),
        (["prune", "{}", "--max-gb", "1e300"], 2, "at most 1e+12"),
        (["show", "{}", "99999999999999999999"], 1, "has no face"),
        (["prune", "{}"], 2, "got none"),
        (["prune", "{}", "--older-than", "30"], 2, "expected a duration"),
        (["prune", "{}", "--older-than", "1d", "--camera", "door"], 2, "one of the two kinds"),
        (["export", "{}", "-o", "faces.xlsx"], 2, ".parquet, .csv, .jsonl"),
        (["export", "{}", "-o", "/missing/faces.csv"], 1, "cannot write"),
    ],
)
def test_a_mistake_is_one_line(call, filled, arguments, code, text):
    found, _, err = call("store", *(one.replace("{}", str(filled)) for one in arguments))
    assert found == code and text in err and err.count("\n") == 1 and "secret" not in err


def test_a_live_sink_stores_the_best_shot_of_each_track_with_its_network(address):
    output = address if "://" in address else f"store:{address}"
    with open_live_sink(output, about={"model": "large"}) as group:
        group.started(LARGE, SMALL)
        group.done(make_result(0, faces=(make_face(1, quality=0.2), make_face(2, treatment="small network"))))
        group.done(make_result(1, faces=(make_face(1, quality=0.9),), ended=(2,)))
        group.done(make_result(2, faces=(make_face(3, treatment="bicubic"),), ended=(1,)))
        wait_until(lambda: group.statistics()[0].written == 2)
        group.changed(make_status(name="door", state="offline"))
    assert group.statistics()[0].written == 3 and group.statistics()[0].error == ""
    with open_store(address) as store:
        found = {face.track.number: face for face in store.faces(camera="door")}
        assert {number: face.network and face.network.name for number, face in found.items()} == {
            **{1: "large", 2: "small", 3: None}
        }
        assert found[1].usability.score == 0.9 and found[1].frame_index == 1 and found[1].track.frames == 2
        marks = {
            number: "DigitalSourceType" in face.enlarged.path.read_bytes().decode("latin-1")
            for number, face in found.items()
        }
        assert marks == {1: True, 2: True, 3: False} and store.check(hashes=True).faultless


def test_the_network_of_a_face_of_several_frames_is_that_of_the_tracks(tmp_path):
    with open_live_sink(f"store:{tmp_path}") as group:
        group.started(LARGE, SMALL, replace(LARGE, name="tracks"))
        group.done(make_result(0, faces=(make_face(1, frames=5), make_face(2))))
        group.done(make_result(1, ended=(1, 2)))
    with open_store(tmp_path) as store:
        found = {face.track.number: (face.treatment, face.network.name) for face in store.faces()}
    assert found == {1: ("several frames", "tracks"), 2: ("network", "large")}


def test_the_limits_of_a_live_sink_hold(tmp_path):
    with open_live_sink(f"store:{tmp_path}?max_gb=0.00005&days=3") as group:
        pixels = np.random.default_rng(0).integers(0, 255, (96, 96, 3), np.uint8)
        for number in range(3):
            group.done(make_result(2 * number, faces=(make_face(number, pixels=pixels),)))
            group.done(make_result(2 * number + 1, ended=(number,)))
        wait_until(lambda: group.statistics()[0].written == 3)
        group.queues[0].sink.idle()
    with open_store(tmp_path) as store:
        assert 0 < store.statistics().bytes <= 50_000 and store.count() < 3 and store.check().faultless
        assert {face.track.number for face in store.faces()} <= {2}


def test_a_wrong_clock_of_a_camera_is_stored_as_such(tmp_path):
    with open_live_sink(f"store:{tmp_path}") as group:
        group.done(live_result(make_face(1), times=FrameTimes(0, 0, 0, 1_700_000_000.25, time.time())))
    with open_store(tmp_path) as store:
        (face,) = store.faces()
    assert face.clock == "camera" and face.time == datetime(2023, 11, 14, 22, 13, 20, 250_000, timezone.utc)


def test_pictures_of_run_and_batch_are_stored_once_and_videos_left_out(call, tmp_path, put_face):
    frame = np.full((120, 160, 3), 118, np.uint8)
    put_face(frame, 30, 20, 30)
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / "in" / name), frame)
    make_video(tmp_path / "in" / "c.mp4", 2)
    options = ["--model", "edge-nano-x4-camera", "--engine", "onnxruntime", "--threads", "1"]
    code, _, err = call("run", tmp_path / "in", "--store", tmp_path / "store", *options)
    assert code == 0 and f"2 faces → {tmp_path / 'store'}" in err and "1 video left out" in err
    inputs = [tmp_path / "in" / name for name in ("b.png", "c.mp4")]
    batch = ["batch", *inputs, "-o", tmp_path / "out", "--workers", "1", *options]
    code, _, err = call(*batch, "--store", tmp_path / "store")
    assert code == 0 and "no faces of videos: 1 left out" in err, err
    assert '"upscaled":1' in (tmp_path / "out" / "batch.jsonl").read_text()
    with open_store(tmp_path / "store") as store:
        found = {face.source.rpartition("/")[2]: face for face in reversed(store.faces())}
        assert store.count() == 2, [(face.id, face.run, face.source) for face in store.faces()]
        assert sorted(found) == ["a.png", "b.png"] and found["a.png"].run < found["b.png"].run
        assert found["a.png"].network.name == "edge-nano-x4-camera" and found["a.png"].treatment == "network"
        np.testing.assert_array_equal(*(cv2.imread(str(face.enlarged.path)) for face in found.values()))
        assert store.check(hashes=True).faultless
    assert call("run", tmp_path / "in", "--store", tmp_path / "store", "--resume", *options)[0] == 2


def add_all(output, source):
    """Give a result of one face for each picture of a source to an output of run."""
    none = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32))
    pixels, points = np.zeros((32, 32, 3), np.uint8), np.full((5, 2), np.nan, np.float32)
    face = Face(np.array([4, 4, 28, 28], np.float32), 0.8, points, (0, 0, 32, 32), pixels, pixels, 48.0)
    with open_source(source) if isinstance(source, str) else source as opened, output.of(opened):
        for frame in opened:
            output.add(FrameResult(frame, None, (face,), none))


def test_pictures_of_the_same_name_do_not_replace_each_other(tmp_path, monkeypatch):
    monkeypatch.setattr("facesr_edge.sdk.store.run_output.NetworkUse.of", lambda pipeline: LARGE)
    pages = [Image.new("RGB", (64, 48), color) for color in ("gray", "white", "black")]
    with open_store(tmp_path / "store") as store:
        for folder in ("one", "two"):
            (tmp_path / folder).mkdir()
            monkeypatch.chdir(tmp_path / folder)
            pages[0].save("a.png")
            pages[0].save("pages.tif", save_all=True, append_images=pages[1:])
            for source in ("a.png", str(tmp_path / folder / "a.png"), "."):
                add_all(StoreOutput(store, None), source)
        found = Counter((face.source, face.frame_index) for face in store.faces())
        places = [("a.png", 0), *(("pages.tif", page) for page in range(3))]
        assert found == {(str(tmp_path / folder / name), at): 1 for folder in ("one", "two") for name, at in places}


def test_pictures_of_standard_input_do_not_replace_each_other(tmp_path, monkeypatch):
    monkeypatch.setattr("facesr_edge.sdk.store.run_output.NetworkUse.of", lambda pipeline: LARGE)
    with open_store(tmp_path / "store") as store:
        for color in ("gray", "white", "gray"):
            data = BytesIO()
            Image.new("RGB", (64, 48), color).save(data, "PNG")
            add_all(StoreOutput(store, None), open_image(Path(STDIN_NAME), data.getvalue()))
        assert [face.source.rpartition(" ")[0] for face in store.faces()] == ["standard input"] * 2


def test_the_time_of_a_picture_is_that_of_its_exif():
    exif = Image.Exif()
    exif.get_ifd(0x8769).update({0x9003: "2026:11:29 18:30:00", 0x9011: "+01:00", 0x9291: "25"})
    block = exif.tobytes()[6:]

    def frame(data):
        return Frame(np.zeros((4, 4, 3), np.uint8), metadata=ImageMetadata(exif=data))

    assert time_taken(frame(block)) == datetime(2026, 11, 29, 17, 30, 0, 250_000, timezone.utc).timestamp()
    rng = np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(block)
        for at in rng.integers(0, len(block), 3):
            damaged[at] = rng.integers(256)
        assert time_taken(frame(bytes(damaged))) is None or isinstance(time_taken(frame(bytes(damaged))), float)
    assert time_taken(frame(b"")) is None and time_taken(frame(b"\xff" * 9)) is None
