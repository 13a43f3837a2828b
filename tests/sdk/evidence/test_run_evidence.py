"""``facesr-edge run --evidence``: cards of real pictures and videos, and inputs that have none."""

from __future__ import annotations

import hashlib
from functools import partial

import av
import cv2
import facesr_edge
import numpy as np
import pytest
from facesr_edge.sdk.cli.main import main
from facesr_edge.sdk.evidence import run_cards
from facesr_edge.sdk.evidence.run_cards import RunCards
from PIL import Image, ImageCms
from support.evidence import checked_record, face_at, result_of

OPTIONS = ("--model", "edge-nano-x4", "--engine", "onnxruntime", "--precision", "fp32", "--threads", "1")


@pytest.fixture
def run(capfd):
    """Run the command in this process: arguments -> exit code, stderr."""

    def call(*arguments):
        with pytest.raises(SystemExit) as exit_info:
            main(["run", *map(str, arguments), *OPTIONS])
        err = capfd.readouterr().err
        assert "Traceback" not in err
        return exit_info.value.code, err

    return call


def write_clip(path, frames, gop_size=12):
    with av.open(str(path), "w") as container:
        container.metadata["creation_time"] = "2026-11-29T17:30:00Z"
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.codec_context.gop_size = "yuv420p", gop_size
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "bgr24")))
        container.mux(stream.encode(None))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory, put_face):
    """A folder with two faces in a picture with EXIF, none in another, and a video of one."""
    folder = tmp_path_factory.mktemp("in")
    frame = np.full((240, 320, 3), 118, np.uint8)
    put_face(frame, 180, 30, 36)
    empty = frame[:, :150].copy()
    put_face(frame, 20, 60, 30)
    exif = Image.Exif()
    exif[0x010F] = "<b>Maker</b>"
    exif.get_ifd(0x8769)[0x9003] = "2026:11:29 17:30:00"
    Image.fromarray(frame[:, :, ::-1]).save(folder / "two <i>.png", exif=exif)
    cv2.imwrite(str(folder / "empty.png"), empty)
    write_clip(folder / "clip.mp4", [np.ascontiguousarray(np.roll(frame, 2 * n, axis=1)) for n in range(5)])
    return folder


def test_the_card_of_a_picture_holds_what_the_pipeline_gives(run, pictures, tmp_path):
    path = pictures / "two <i>.png"
    code, err = run(path, "--evidence", tmp_path / "cards")
    (folder,) = (tmp_path / "cards").iterdir()
    assert code == 0 and f"1 evidence card → {folder}/card.html" in err
    record = checked_record(folder)
    assert record["source"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert record["source"]["details"]["capture time (EXIF)"] == "2026:11:29 17:30:00, no time zone given"
    assert "&lt;b&gt;Maker&lt;/b&gt;" in (folder / "card.html").read_text("utf-8")
    frame = cv2.imread(str(path))
    with facesr_edge.load("edge-nano-x4", engine="onnxruntime", precision="fp32", threads=1) as sr:
        faces = sorted(sr(frame).faces, key=lambda face: face.box_xyxy[0])
    assert len(faces) == len(record["faces"]) == 2
    for face, stated in zip(faces, record["faces"], strict=True):
        x0, y0, x1, y1 = stated["window_xyxy"]
        original = cv2.imread(str(folder / stated["files"]["original"]))
        np.testing.assert_array_equal(original, frame[y0:y1, x0:x1])
        np.testing.assert_array_equal(cv2.imread(str(folder / stated["files"]["estimate"])), face.pixels)
        assert stated["consistency_db"] == round(face.consistency_db, 2) and stated["track"] is None
    assert record["networks"]["network"]["name"] == "edge-nano-x4" and record["frames"] == 1


def test_a_folder_gives_a_card_for_each_picture_and_video_with_faces(run, pictures, tmp_path):
    code, err = run(pictures, "-o", tmp_path / "out", "--evidence", tmp_path / "cards")
    folders = sorted(folder.name for folder in (tmp_path / "cards").iterdir())
    assert code == 0 and len(folders) == 2 and folders[0] == "clip.mp4" and folders[1].startswith("two_i_.png-")
    assert "2 evidence cards" in err and f"without an upscaled face: {pictures / 'empty.png'}" in err
    record = checked_record(tmp_path / "cards" / "clip.mp4")
    assert record["frames"] == 5 and record["source"]["kind"] == "video" and not record["notes"]
    assert record["source"]["details"]["created (container)"].startswith("2026-11-29T17:30:00")
    assert [face["track"]["frames"] for face in record["faces"]] == [5, 5]
    assert all(face["frame"]["time_s"] == pytest.approx(face["frame"]["index"] / 10) for face in record["faces"])


def test_cards_of_an_earlier_run_stay(run, pictures, tmp_path):
    for _ in range(2):
        assert run(pictures / "two <i>.png", "--evidence", tmp_path)[0] == 0
    first, second = sorted(folder.name for folder in tmp_path.iterdir())
    assert second == f"{first}-2"


def test_a_picture_without_faces_has_no_card_and_is_no_error(run, pictures, tmp_path):
    code, err = run(pictures / "empty.png", "--evidence", tmp_path / "cards")
    assert code == 0 and "no evidence card without an upscaled face" in err and not list((tmp_path / "cards").iterdir())


def test_a_video_that_breaks_off_has_a_card_of_the_frames_before(run, pictures, tmp_path):
    frame = cv2.imread(str(pictures / "two <i>.png"))
    write_clip(tmp_path / "cut.mkv", [frame] * 5, gop_size=1)
    data = (tmp_path / "cut.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) // 2])
    _, err = run(tmp_path / "cut.mkv", "--evidence", tmp_path / "cards")
    record = checked_record(tmp_path / "cards" / "cut.mkv")
    assert record["faces"] and 1 <= record["frames"] < 5 and "truncated" in err
    assert any("truncated" in note for note in record["notes"])


def test_pages_are_counted_in_their_own_file_and_keep_the_color_profile(run, pictures, tmp_path):
    (tmp_path / "in").mkdir()
    page = Image.open(pictures / "two <i>.png").convert("RGB")
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    page.save(tmp_path / "in" / "a.png", icc_profile=icc)
    page.save(tmp_path / "in" / "b.tif", save_all=True, append_images=[page.transpose(Image.Transpose.FLIP_LEFT_RIGHT)])
    code, err = run(tmp_path / "in", "--evidence", tmp_path / "cards")
    assert code == 0 and "2 evidence cards" in err
    record = checked_record(tmp_path / "cards" / "b.tif")
    assert [face["frame"]["index"] for face in record["faces"]] == [0, 0, 1, 1] and record["frames"] == 2
    assert not any(face["track"] for face in record["faces"])
    for name in ("face-1-original.png", "face-1-estimate.png", "frame-1.png"):
        with Image.open(tmp_path / "cards" / "a.png" / name) as image:
            assert image.info["icc_profile"] == icc


def test_a_card_of_a_folder_has_the_notes_of_its_own_picture_only(run, pictures, tmp_path):
    (tmp_path / "in").mkdir()
    image = Image.open(pictures / "two <i>.png").convert("RGB")
    image.save(tmp_path / "in" / "a.jpg", quality=95)
    for name in ("aa.jpg", "b.jpg"):
        image.convert("CMYK").save(tmp_path / "in" / name, quality=95)
    code, err = run(tmp_path / "in", "--evidence", tmp_path / "cards")
    assert code == 0 and "and 1 more" in err
    notes = {name: checked_record(tmp_path / "cards" / name)["notes"] for name in ("a.jpg", "aa.jpg", "b.jpg")}
    assert notes["a.jpg"] == [] and len(notes["aa.jpg"]) == 1 and notes["aa.jpg"] == notes["b.jpg"]
    assert notes["b.jpg"][0].startswith("Reading: CMYK converted to sRGB")


def test_a_run_that_is_stopped_has_a_card_of_the_frames_before(pictures, tmp_path):
    with facesr_edge.load("edge-nano-x4", engine="onnxruntime", precision="fp32", threads=1) as sr:
        cards = RunCards(tmp_path, sr)
        with facesr_edge.open_source(pictures / "clip.mp4") as source, cards.of(source) as card:
            for result in sr.stream(source, overlap=False):
                card.add(result)
                if result.source.index == 1:
                    source.close()
    assert cards.written == [tmp_path / "clip.mp4"] and cards.without_faces == []
    record = checked_record(tmp_path / "clip.mp4")
    assert record["frames"] == 2 and "stopped by the user" in record["notes"][0]


def test_of_many_faces_the_most_usable_are_shown_and_all_others_are_listed(monkeypatch):
    monkeypatch.setattr(run_cards, "MAX_FACES", 2)
    large = (10, 10, 300, 300)
    faces = [face_at(100 * n, 50, side=20 + 10 * n) for n in range(1, 5)]
    items, views, left_out = run_cards.picture_faces(result_of(0, *faces, large=[large]))
    assert [item.face.box_xyxy[0] for item in items] == [300, 400] and len(views) == 1
    assert [left.count for left in left_out] == [2, 1]
    assert {box[0] for box in left_out[0].boxes_xyxy} == {100, 200} and left_out[1].boxes_xyxy == (large,)


def test_options_that_contradict_each_other_are_refused_before_the_work(run, pictures, tmp_path):
    path = pictures / "clip.mp4"
    refused = partial(run, path)
    code, err = refused("-o", tmp_path / "out.mp4", "--evidence", tmp_path / "cards", "--resume")
    assert code == 2 and "--evidence needs every frame" in err
    code, err = refused("-o", tmp_path / "a", "--evidence", tmp_path / "a")
    assert code == 2 and "-o and --evidence are both" in err
    (tmp_path / "file").touch()
    code, err = refused("--evidence", tmp_path / "file")
    assert code == 1 and "cannot write" in err and err.count("error:") == 1


def test_the_card_of_a_video_tells_which_frames_a_face_is_made_from(run, put_face, tiny_track_bundle, tmp_path):
    frames = [np.full((120, 160, 3), 118, np.uint8) for _ in range(6)]
    for n, frame in enumerate(frames):  # the last face is the largest and the best
        put_face(frame, 30, 10, 30 + n)
    write_clip(tmp_path / "clip.mp4", frames)
    options = ("--frames", 4, "--track-model", tiny_track_bundle.folder)
    code, err = run(tmp_path / "clip.mp4", "--evidence", tmp_path / "cards", "--min-face", 20, *options)
    (folder,) = (tmp_path / "cards").iterdir()
    assert code == 0 and "up to 4 frames: edge-track-x4 fp32" in err
    record = checked_record(folder)
    several = [face for face in record["faces"] if face["frames"] > 1]
    assert several and set(record["networks"]) == {"network", "several frames"}
    page = (folder / "card.html").read_text("utf-8")
    for face in several:
        used = face["frames_used"]
        assert len(used) == face["frames"] and used[-1] == face["frame"]["index"] and used == sorted(used)
        assert face["treatment"] == "several frames" and face["earlier_frame_used"]
        assert f"{face['frames']} frames: {', '.join(map(str, used[:-1]))} and {used[-1]}" in page
    assert any("registered to it" in limit for limit in record["limits"])
