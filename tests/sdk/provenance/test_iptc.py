"""The mark of pictures: IPTC's term in the XMP of every format, with what the input holds."""

import json
import shutil
import subprocess

import cv2
import numpy as np
import pytest
from facesr_edge import Frame, ImageMetadata
from facesr_edge.sdk.media.encode_options import EncodeOptions
from facesr_edge.sdk.media.images.animation import open_frames
from facesr_edge.sdk.media.images.image_file import ImageFile, write_image
from facesr_edge.sdk.provenance.iptc import is_packet, marked, source_type
from facesr_edge.sdk.provenance.statement import DIGITAL_SOURCE_TYPE, STATEMENT
from PIL import Image
from support.pictures import exif, rgb_profile

FORMATS = [".png", ".jpg", ".webp", ".tif", ".avif", ".heic", ".jxl"]
CAMERA = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"
SYNTHETIC = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def packet(properties: str, attributes: str = "", rdf: str = "rdf") -> bytes:
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        f'<{rdf}:RDF xmlns:{rdf}="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<{rdf}:Description {rdf}:about="uuid:7" xmlns:dc="http://purl.org/dc/elements/1.1/"'
        ' xmlns:ext="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmlns:ps="http://ns.adobe.com/photoshop/1.0/"'
        f'{attributes}>{properties}</{rdf}:Description></{rdf}:RDF></x:xmpmeta>   <?xpacket end="w"?>'
    ).encode()


def test_a_picture_without_metadata_gets_the_term_and_the_statement():
    xmp = marked().xmp
    assert source_type(xmp) == DIGITAL_SOURCE_TYPE
    assert STATEMENT.encode() in xmp


@pytest.mark.parametrize("rdf", ["rdf", "r"])
@pytest.mark.parametrize(
    "properties, attributes",
    [
        (f"<ext:DigitalSourceType>{CAMERA}</ext:DigitalSourceType><dc:source>A &amp; B</dc:source>", ""),
        ("<dc:source>A &amp; B</dc:source>", f' ext:DigitalSourceType="{CAMERA}"'),
    ],
)
def test_a_camera_s_term_is_replaced_and_the_rest_of_the_packet_stays(properties, attributes, rdf):
    before = packet(properties, attributes, rdf)
    assert source_type(before) == CAMERA
    metadata = marked(ImageMetadata(icc=b"icc", exif=b"exif", xmp=before, dpi=(72, 72)))
    assert source_type(metadata.xmp) == DIGITAL_SOURCE_TYPE
    assert b"<dc:source>A &amp; B</dc:source>" in metadata.xmp
    assert CAMERA.encode() not in metadata.xmp
    assert metadata.xmp.count(b"uuid:7") == 2, "the new description must be of the same picture"
    assert (metadata.icc, metadata.exif, metadata.dpi) == (b"icc", b"exif", (72, 72))


def test_instructions_of_the_input_stay_before_the_statement():
    xmp = marked(ImageMetadata(xmp=packet("<ps:Instructions>Credit &lt;me&gt;.</ps:Instructions>"))).xmp
    assert f"Credit &lt;me&gt;. {STATEMENT}".encode() in xmp


def test_a_wholly_synthetic_picture_keeps_its_term():
    xmp = packet(f"<ext:DigitalSourceType>{SYNTHETIC}</ext:DigitalSourceType>")
    assert source_type(marked(ImageMetadata(xmp=xmp)).xmp) == SYNTHETIC


def test_marking_twice_changes_nothing():
    once = marked(ImageMetadata(xmp=packet("<dc:source>A</dc:source>")))
    assert marked(once) == once


def test_properties_that_a_packet_repeats_are_all_replaced():
    before = packet("<ext:AISystemUsed>x</ext:AISystemUsed>" * 50 + "<dc:source>A</dc:source>")
    xmp = marked(ImageMetadata(xmp=before)).xmp
    assert xmp.count(b"AISystemUsed>") == 2
    assert b"<dc:source>A</dc:source>" in xmp


@pytest.mark.parametrize(
    "xmp",
    [
        b"no packet",
        b"<x>",
        b"\xff\xfe\0",
        b'<!DOCTYPE x [<!ENTITY a "b">]><x:xmpmeta xmlns:x="adobe:ns:meta/">&a;</x:xmpmeta>',
        b"<a>" * 5000 + b"</a>" * 5000,
        packet(f"<dc:source>{'A' * (1 << 20)}</dc:source>"),
        packet("<ext:AISystemUsed/>" * 10_000),
        packet("", "".join(f' dc:a{number}=""' for number in range(10_000))),
    ],
)
def test_a_packet_that_cannot_be_read_is_replaced(xmp):
    assert not is_packet(xmp)
    assert marked(ImageMetadata(xmp=xmp)) == marked()


@pytest.mark.parametrize("suffix", FORMATS)
def test_outputs_with_faces_are_marked_and_keep_exif_and_profile(tmp_path, write, face_frame, suffix):
    original = tmp_path / "in.jpg"
    rgb = Image.fromarray(np.ascontiguousarray(face_frame[:, :, ::-1]))
    xmp = packet("<dc:source>Archive</dc:source>")
    rgb.save(original, exif=b"Exif\0\0" + exif(orientation=1), icc_profile=rgb_profile(), xmp=xmp, quality=95)
    output = tmp_path / f"out{suffix}"
    write(original, output)
    metadata = ImageFile(output).metadata
    assert source_type(metadata.xmp) == DIGITAL_SOURCE_TYPE
    assert b"Archive" in metadata.xmp
    assert b"Maker" in metadata.exif
    assert suffix == ".jxl" or metadata.icc == rgb_profile(), "colors of a JPEG XL are converted"


@pytest.mark.skipif(not shutil.which("exiftool"), reason="needs exiftool")
def test_exiftool_reads_the_mark_of_every_format(tmp_path):
    pixels = np.full((24, 32, 3), 90, np.uint8)
    for suffix in FORMATS:
        write_image(tmp_path / f"marked{suffix}", pixels, upscaled=True)
        write_image(tmp_path / f"plain{suffix}", pixels)
    command = ["exiftool", "-json", "-XMP-iptcExt:DigitalSourceType", "-XMP-photoshop:Instructions", str(tmp_path)]
    found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert len(found) == 2 * len(FORMATS)
    for entry in found:
        is_marked = "marked" in entry["SourceFile"].rpartition("/")[2]
        assert entry.get("DigitalSourceType") == (DIGITAL_SOURCE_TYPE if is_marked else None), entry["SourceFile"]
        assert entry.get("Instructions") == (STATEMENT if is_marked else None), entry["SourceFile"]


def test_a_picture_without_faces_is_not_marked(tmp_path, write):
    cv2.imwrite(str(tmp_path / "wall.png"), np.full((64, 64, 3), 118, np.uint8))
    write(tmp_path / "wall.png", tmp_path / "out.png")
    assert ImageFile(tmp_path / "out.png").metadata.xmp == b""


def test_stripping_metadata_removes_that_of_the_input_and_not_the_mark(tmp_path, write, face_frame):
    rgb = Image.fromarray(np.ascontiguousarray(face_frame[:, :, ::-1]))
    rgb.save(tmp_path / "in.jpg", xmp=packet("<dc:source>Archive</dc:source>"), quality=95)
    write(tmp_path / "in.jpg", tmp_path / "out.jpg", strip_metadata=True)
    xmp = ImageFile(tmp_path / "out.jpg").metadata.xmp
    assert source_type(xmp) == DIGITAL_SOURCE_TYPE
    assert b"Archive" not in xmp


def test_no_provenance_leaves_the_mark_out(tmp_path, write, originals):
    write(originals("face.png"), tmp_path / "out.png", no_provenance=True)
    assert ImageFile(tmp_path / "out.png").metadata.xmp == b""


def test_a_format_without_xmp_gets_a_note(tmp_path, write, originals):
    sink = write(originals("face.png"), tmp_path / "out.bmp")
    assert [note for note in sink.notes if "mark of upscaled faces dropped: BMP" in note]


def test_a_packet_too_large_for_a_jpeg_gives_way_to_the_mark(tmp_path, write, face_frame):
    original = tmp_path / "in.webp"
    rgb = Image.fromarray(np.ascontiguousarray(face_frame[:, :, ::-1]))
    rgb.save(original, lossless=True, xmp=packet(f"<dc:source>{'A' * 65_000}</dc:source>"))
    sink = write(original, tmp_path / "out.jpg")
    assert source_type(ImageFile(tmp_path / "out.jpg").metadata.xmp) == DIGITAL_SOURCE_TYPE
    assert [note for note in sink.notes if note.startswith("XMP dropped: a JPEG holds up to")]


@pytest.mark.parametrize("suffix", [".webp", ".png"])
def test_an_animation_is_marked_if_only_a_later_frame_has_faces(tmp_path, suffix):
    pixels = np.full((24, 32, 3), 90, np.uint8)
    frames = open_frames(tmp_path / f"a{suffix}", EncodeOptions(), 0, lambda note: None)
    for index in range(3):
        frames.write(Frame(pixels, index, time_s=index / 10, upscaled=index == 1), pixels + np.uint8(index))
    frames.close()
    with Image.open(tmp_path / f"a{suffix}") as image:
        assert image.n_frames == 3
        image.seek(2)
        image.load()
        assert source_type(ImageFile(tmp_path / f"a{suffix}").metadata.xmp) == DIGITAL_SOURCE_TYPE
