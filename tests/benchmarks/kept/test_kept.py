"""The measurement of what is kept: the judge sees losses, and a small part of the matrix loses nothing in silence."""

from dataclasses import replace

import numpy as np
import pytest
from facesr_edge.benchmarks.kept.command import Run
from facesr_edge.benchmarks.kept.contents import Contents, Sound
from facesr_edge.benchmarks.kept.made_pictures import PICTURES, display_p3
from facesr_edge.benchmarks.kept.made_videos import VIDEOS
from facesr_edge.benchmarks.kept.matrix import Matrix, judged, pairs
from facesr_edge.benchmarks.kept.properties import PROPERTIES
from facesr_edge.benchmarks.kept.tables import markdown, tables

SMALL_PART = (
    ("JPEG, turned", ".png"),
    ("PNG", ".jpg"),
    ("PNG", ".webp"),
    ("PNG, 16 bit, alpha", ".tif"),
    ("WebP", ".png"),
    ("TIFF", ".png"),
    ("animated WebP", ".webp"),
    ("animated GIF", ".gif"),
    ("APNG", ".tif"),
    ("animated WebP", ".gif"),
    ("TIFF, 3 pages", ".tif"),
    ("MP4, late sound", ".avi"),
    ("WebM, alpha", "%05d.png"),
    ("MKV, everything", ".mkv"),
    ("MKV, everything", ".mp4"),
    ("MKV, everything", ".avi"),
    ("MP4, sound, chapters", ".webm"),
    ("MP4, HDR10", ".mp4"),
    ("MP4, rotated, SAR", ".webm"),
    ("MKV, variable rate", ".mov"),
    ("TS at 36,000 s", ".mp4"),
    ("TS, other size", ".mkv"),
    ("MP4, interlaced, top first", ".mp4"),
    ("MP4, damaged", ".mp4"),
)
FRAMES = tuple(np.full((16, 16, 3), 100, np.float32) for _ in range(3))
for i, frame in enumerate(FRAMES):
    frame[:, 5 * i : 5 * i + 5] = 200
ALPHA = np.repeat([[255, 130]], 8, axis=1).repeat(16, axis=0).astype(np.float32)
SOUND = Sound("aac", (b"abc", b"def"), 0.0, (0.0, 40.0), "", True)
FULL = Contents(
    frames=FRAMES,
    alpha=(ALPHA,) * 3,
    bits=16,
    times_ms=(0.0, 40.0, 80.0),
    duration_ms=120.0,
    loop=3,
    icc=display_p3(),
    xmp=b"<x:xmpmeta/>",
    exif={"0x010f": "Camera"},
    dpi=300.0,
    hdr={"transfer": "PQ"},
    sounds=(SOUND,),
    chapters=((0, "One"),),
    tags={"title": "Scene"},
    attachments={"font.ttf": b"abc"},
)


def compare(name, before, after, suffix=".mkv"):
    (one,) = [one for one in PROPERTIES if one.name == name]
    return one.compare(before, after, suffix)


@pytest.fixture(scope="module")
def matrix(tmp_path_factory):
    return Matrix(tmp_path_factory.mktemp("kept"))


@pytest.mark.parametrize(("kind", "output"), SMALL_PART)
def test_nothing_is_lost_in_silence(matrix, kind, output):
    assert [cell for cell in matrix.cells([(kind, output)]) if cell.faulty] == []


@pytest.mark.parametrize("kind", [*PICTURES, *VIDEOS])
def test_inputs_have_the_properties_that_their_names_promise(matrix, kind):
    _, contents = matrix.input(kind)
    promised = {"alpha": contents.alpha, "turned": contents.turned, "rotated": contents.turned}
    promised |= {"bit": contents.bits > 8, "everything": contents.attachments and contents.chapters and contents.tags}
    promised |= {"interlaced": contents.interlaced, "HDR10": len(contents.hdr) == 4, "SAR": contents.aspect != 1}
    promised |= {"damaged": contents.damaged, "animated": len(contents.frames) == 4, "pages": len(contents.frames) == 3}
    words = set(kind.replace(",", "").split())
    assert contents.frames
    assert [word for word, found in promised.items() if word in words and not found and word != "bit"] == []


@pytest.mark.parametrize("one", PROPERTIES, ids=lambda one: one.name)
def test_a_property_that_the_output_has_is_kept_and_one_that_it_lacks_is_not(one):
    same = one.compare(FULL, FULL, ".mkv")
    assert same is None or same[0] == "kept" or one.name in ("damage", "change of size")
    blank = Contents(frames=tuple(frame - 40 for frame in FRAMES[:2]), times_ms=(0.0, 90.0), duration_ms=500.0)
    other = one.compare(FULL, blank, ".mkv")
    assert (same is None) == (other is None)
    assert other is None or other[0] != "kept"


def test_sound_that_starts_late_is_not_kept():
    late = replace(FULL, sounds=(replace(SOUND, start_ms=21.0, heard_ms=(21.0, 61.0)),))
    assert compare("sound", FULL, late) == ("changed", "1 of 1, 21 ms off")
    assert compare("sound", FULL, late, ".avi") == ("kept", "1 of 1")


def test_a_loss_without_a_note_is_silent(tmp_path):
    target = tmp_path / "missing.mp4"
    (failed,) = judged("MP4", ".mp4", FULL, Run(1, "error: disk is full\n", (), (), 0), target)
    (refused,) = judged("MP4", ".mp4", FULL, Run(2, "error: .mp4 is too small\n", (), (), 0), target)
    assert failed.faulty and failed.state == "FAULT"
    assert not refused.faulty and refused.notes == ("error: .mp4 is too small",)


def test_tables_merge_inputs_with_the_same_states(matrix):
    cells = list(matrix.cells([("gray JPEG", ".png"), ("CMYK JPEG", ".png"), ("BMP", ".png")]))
    (pixels,) = [table for table in tables(cells) if table.name == "pixels"]
    assert pixels.rows == (("gray JPEG; CMYK JPEG; BMP", "kept"),)
    assert "### Pixels\n\nKept in .png: gray JPEG; CMYK JPEG; BMP." in markdown(cells)


def test_every_kind_is_in_the_matrix():
    assert {kind for kind, _ in pairs()} >= {*VIDEOS, "JPEG, turned", "animated WebP"}
