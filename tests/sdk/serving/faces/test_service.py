"""The face service over real sockets: answers equal the pipeline's, every format, every refusal in one line."""

import base64
import hashlib
import io
import json
from email.parser import BytesParser

import cv2
import numpy as np
import pytest
from facesr_edge.sdk.live.tracks.usability import usability
from facesr_edge.sdk.pipeline.crop import Window
from facesr_edge.sdk.provenance.iptc import source_type
from facesr_edge.sdk.provenance.network_use import NetworkUse
from facesr_edge.sdk.provenance.statement import DIGITAL_SOURCE_TYPE, STATEMENT
from facesr_edge.sdk.serving.faces.schema import FacesAnswer
from PIL import Image, ImageCms


def form(*files, name="picture", end=True):
    """Body and content type of a form."""
    parts = [
        f'--XX\r\nContent-Disposition: form-data; name="{name}"; filename="a b.jpg"\r\n\r\n'.encode() + file + b"\r\n"
        for file in files
    ]
    return b"".join([*parts, b"--XX--\r\n" if end else b""]), "multipart/form-data; boundary=XX"


def pixels_of(listed):
    return cv2.imdecode(np.frombuffer(base64.b64decode(listed["data"]), np.uint8), cv2.IMREAD_COLOR)


def test_the_faces_are_those_of_the_pipeline_bit_for_bit(client, picture, two_faces, direct):
    status, headers, answer = client.post(picture, "?originals=true")
    result = direct(two_faces)
    assert status == 200 and headers["content-type"] == "application/json" and headers["cache-control"] == "no-store"
    assert len(answer["faces"]) == len(result.faces) == 2 and answer["size_wh"] == [320, 240]
    for listed, face in zip(answer["faces"], result.faces, strict=True):
        expected = face.to_dict()
        assert expected.pop("frames") == 1  # a picture has one
        assert {name: listed[name] for name in expected} == expected
        np.testing.assert_array_equal(pixels_of(listed["pixels"]), face.pixels)
        np.testing.assert_array_equal(pixels_of(listed["original"]), face.original)
        assert listed["pixels"]["sha256"] == hashlib.sha256(face.pixels.tobytes()).hexdigest()
        assert (listed["pixels"]["width"], listed["pixels"]["height"]) == face.pixels.shape[1::-1]
        left, top, right, _ = face.window_xyxy
        own = usability(face.original, face.box_xyxy, face.landmarks, Window(left, top, right - left), face.score)
        assert listed["usability"] == own.to_dict()
    assert answer["network"] == NetworkUse.of(direct).to_dict()
    assert (answer["statement"], answer["digital_source_type"]) == (STATEMENT, DIGITAL_SOURCE_TYPE)
    FacesAnswer.model_validate(answer, strict=True)


def test_a_form_and_a_plain_body_give_the_same(client, picture):
    body, kind = form(picture)
    status, _, answer = client.post(body, content_type=kind)
    assert status == 200
    assert answer["faces"] == client.post(picture, content_type="image/jpeg")[2]["faces"] != []


def test_pictures_come_as_parts(client, picture):
    status, headers, content = client.post(picture, "?pictures=parts&originals=true&format=jpeg")
    message = BytesParser().parsebytes(b"Content-Type: " + headers["content-type"].encode() + b"\r\n\r\n" + content)
    first, *files = message.get_payload()
    answer = json.loads(first.get_payload(decode=True))
    by_id = {file["content-id"].strip("<>"): file for file in files}
    assert status == 200 and message.get_content_type() == "multipart/mixed" and len(by_id) == 4
    for face in answer["faces"]:
        for listed in (face["pixels"], face["original"]):
            file = by_id[listed["content_id"]]
            data = file.get_payload(decode=True)
            assert file.get_content_type() == "image/jpeg" == listed["media_type"] and "data" not in listed
            assert len(data) == int(file["content-length"])
            assert Image.open(io.BytesIO(data)).size == (listed["width"], listed["height"])


def test_without_pictures_there_are_boxes_and_figures(client, picture):
    _, _, answer = client.post(picture, "?pictures=none&originals=true")
    assert len(answer["faces"]) == 2
    assert not any({"pixels", "original"} & face.keys() for face in answer["faces"])


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WebP", "BMP", "TIFF", "AVIF", "HEIF", "JXL"])
def test_every_format_of_pictures_is_read(client, two_faces, name):
    if name == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    if name == "JXL":
        pytest.importorskip("pillow_jxl")
    buffer = io.BytesIO()
    Image.fromarray(two_faces[:, :, ::-1]).save(buffer, name)
    status, _, answer = client.post(buffer.getvalue())
    assert (status, len(answer["faces"])) == (200, 2)


@pytest.mark.parametrize(("name", "suffix"), [("png", "PNG"), ("jpeg", "JPEG"), ("webp", "WEBP")])
def test_the_format_of_the_faces_can_be_chosen_and_holds_the_mark(client, picture, name, suffix):
    face = client.post(picture, f"?format={name}&originals=true")[2]["faces"][0]
    assert face["pixels"]["media_type"] == f"image/{name}"
    file, original = (Image.open(io.BytesIO(base64.b64decode(face[kind]["data"]))) for kind in ("pixels", "original"))
    assert file.format == original.format == suffix
    assert source_type(file.info["xmp"]) == DIGITAL_SOURCE_TYPE and STATEMENT.encode() in file.info["xmp"].replace(
        b"&apos;", b"'"
    )
    assert "xmp" not in original.info  # the camera's pixels


def test_a_lower_quality_makes_smaller_files(client, picture):
    sizes = [len(client.post(picture, f"?format=jpeg&quality={q}")[2]["faces"][0]["pixels"]["data"]) for q in (30, 95)]
    assert 2 * sizes[0] < sizes[1]


def test_a_color_profile_stays_and_other_metadata_goes(client, two_faces):
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010F] = "Camera of Mr. Miller"
    for size, kept in ((len(icc), icc), (70_000, None)):
        buffer = io.BytesIO()
        padded = icc[:4].replace(icc[:4], size.to_bytes(4, "big")) + icc[4:] + bytes(size - len(icc))
        Image.fromarray(two_faces[:, :, ::-1]).save(buffer, "JPEG", icc_profile=padded, exif=exif, quality=95)
        answer = client.post(buffer.getvalue())[2]
        data = base64.b64decode(answer["faces"][0]["pixels"]["data"])
        assert Image.open(io.BytesIO(data)).info.get("icc_profile") == kept and b"Miller" not in data
        assert any("ICC profile dropped" in note for note in answer["notes"]) == (kept is None)


def test_options_of_a_request_replace_those_of_the_service(client, picture):
    assert len(client.post(picture, "?min_face=200")[2]["faces"]) == 0
    assert len(client.post(picture, "?score=1")[2]["faces"]) == 0
    limited = client.post(picture, "?max_faces=1")[2]
    assert len(limited["faces"]) == 1 and limited["left_out"] == 1
    assert limited["faces"] == client.post(picture)[2]["faces"][:1]


def test_a_picture_without_faces_gives_an_empty_list(client):
    gray = cv2.imencode(".png", np.full((64, 64, 3), 128, np.uint8))[1].tobytes()
    status, _, answer = client.post(gray)
    assert (status, answer["faces"], answer["too_large"]) == (200, [], [])


def test_of_an_animation_the_first_picture_is_used(client, two_faces):
    buffer = io.BytesIO()
    frames = [Image.fromarray(two_faces[:, :, ::-1]), Image.new("RGB", (320, 240))]
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:])
    answer = client.post(buffer.getvalue())[2]
    assert len(answer["faces"]) == 2 and "the first of 2 pictures was used" in answer["notes"]
