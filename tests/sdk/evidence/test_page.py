"""The page of a card: self-contained, complete, and safe with names from strangers."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace

import cv2
import numpy as np
import pytest
from facesr_edge.sdk.evidence.card import CardSource, LeftOut, TrackSpan
from facesr_edge.sdk.evidence.page import card_html
from facesr_edge.sdk.evidence.pictures import face_pictures, view_picture
from facesr_edge.sdk.multiframe.held_out import HeldOutGain
from facesr_edge.sdk.provenance.iptc import source_type
from facesr_edge.sdk.provenance.statement import DIGITAL_SOURCE_TYPE, STATEMENT
from PIL import Image
from support.evidence import Page, evidence_card, evidence_item

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onload='alert(1)",
    "</title></style></table><svg onload=alert(1)>",
    "$style ${name} $$",
    "javascript:alert(1)",
    "<!-- ",
    "&lt;b&gt;&#x3c;script>",
)


def html_of(card):
    faces = [face_pictures(item, n) for n, item in enumerate(card.items, 1)]
    return card_html(card, faces, [view_picture(view, n) for n, view in enumerate(card.views, 1)], b"{}")


def named(text):
    """A card with a text at every place that takes text from outside."""
    item = replace(evidence_item(), reason=text, treatment=text)
    source = CardSource(text, "camera", text, 5, details={text: text}, note=text)
    return evidence_card(item, source=source, left_out=(LeftOut(text, 1),), notes=(text,))


def test_the_page_needs_nothing_from_outside_and_has_no_scripts():
    page = Page(html := html_of(evidence_card(evidence_item(1), evidence_item(2))))
    assert {"script", "link", "iframe", "object", "form", "a"}.isdisjoint(page.tags)
    links = [value for name, value in page.attributes if name in ("src", "href", "xlink:href", "srcset", "action")]
    assert len(links) == 9 and all(value.startswith("data:image/png;base64,") for value in links)
    assert not re.search(r"url\(|@import", html) and "://" not in html
    policy = next(value for name, value in page.attributes if name == "content" and "default-src 'none'" in value)
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)[1]
    assert f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'" in policy
    assert not [name for name, _ in page.attributes if name == "style" or name.startswith("on")]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_name_from_outside_stays_text(text):
    harmless, page = Page(html_of(named("name"))), Page(html_of(named(text)))
    assert page.tags == harmless.tags
    assert [name for name, _ in page.attributes] == [name for name, _ in harmless.attributes]
    assert page.text.count(text) == harmless.text.count("name") - Page(html_of(named("other"))).text.count("name")


def test_characters_that_hide_or_turn_text_are_shown_as_codes():
    html = html_of(named("a\u202egpj.exe\x1b[31m\udcff\0\u2028"))
    assert r"a\u202egpj.exe\x1b[31m\udcff\x00\u2028" in html
    html.encode()
    assert not re.search("[\u202e\x1b\0\u2028]", html)


def test_limits_come_first_and_begin_with_the_statement():
    text = Page(html_of(evidence_card(evidence_item()))).text
    assert text.index("Limits") < text.index(STATEMENT) < text.index("Source") < text.index("Network estimate")


def test_every_limit_that_applies_is_stated_and_no_other():
    levels = np.full((128, 128), 7, np.uint8)
    plain, item = html_of(evidence_card(evidence_item())), evidence_item()
    uncertain = html_of(evidence_card(replace(item, face=replace(item.face, uncertainty=levels))))
    reused = html_of(evidence_card(evidence_item(treatment="reused", consistency_db=float("nan"))))
    tracked = html_of(evidence_card(replace(item, track=TrackSpan(3, 0.5, 2.0, 9, True))))
    for words, html in (("uncertainty map", uncertain), ("marked as reused", reused), ("pass over to", tracked)):
        assert words in html and words not in plain
    assert "mean 7.0, largest 7 gray levels" in uncertain and "not measured" in reused
    assert "3: 0.500 to 2.000 s, in 9 frames" in tracked


def test_figures_of_the_face_are_on_the_page():
    face = evidence_item(consistency_db=41.26, score=0.87).face
    html = html_of(
        evidence_card(replace(evidence_item(), face=face), left_out=(LeftOut("too large", 2, ((1, 2, 3, 4),)),))
    )
    for words in (
        "41.3 dB",
        "0.87 of 1",
        "20.0, 20.0, 52.0, 60.0 px",
        "4, 8, 68, 72 px",
        "too large: 2; boxes (1, 2, 3, 4)",
    ):
        assert words in html
    assert "idrn-x4 ×4, fp32, onnxruntime" in html and "0123456789abcdef" in html and "ab" * 32 in html


@pytest.mark.parametrize("treatment", ["network", "small network", "reused", "bicubic"])
def test_only_pictures_with_pixels_of_a_network_are_marked(tmp_path, treatment):
    item = evidence_item(treatment=treatment)
    item = replace(item, face=replace(item.face, uncertainty=np.zeros((128, 128), np.uint8)))
    types = {}
    for role, picture in face_pictures(item, 1).items():
        (path := tmp_path / picture.name).write_bytes(picture.data)
        with Image.open(path) as image:
            types[role] = source_type(image.info.get("XML:com.adobe.xmp", "").encode())
    marked = {role for role, term in types.items() if term == DIGITAL_SOURCE_TYPE}
    assert marked == (set() if treatment == "bicubic" else {"estimate", "uncertainty"})


def test_files_hold_the_pixels_of_the_camera_and_of_the_network():
    item = evidence_item()
    pictures = {role: picture.data for role, picture in face_pictures(item, 1).items()}
    pixels = {role: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) for role, data in pictures.items()}
    np.testing.assert_array_equal(pixels["original"], item.face.original)
    np.testing.assert_array_equal(pixels["estimate"], item.face.pixels)
    np.testing.assert_array_equal(pixels["nearest"][::4, ::4], item.face.original)
    assert pixels["bicubic"].shape == pixels["estimate"].shape


def test_the_measured_gain_of_several_frames_is_shown_with_its_limits():
    item = replace(evidence_item(treatment="several frames"), gain=HeldOutGain(0.84, 12))
    text = " ".join(html_of(evidence_card(item)).split())
    assert "measured on the camera&#x27;s own frames: +0.8 dB (12 frames)" in text
    assert "which neither was made from" in text
    assert "own frames" not in html_of(evidence_card(evidence_item()))
