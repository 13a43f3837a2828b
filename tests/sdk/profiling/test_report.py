"""The HTML report: self-contained, complete and well-formed."""

import dataclasses
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
from facesr_edge.engines.errors import OutputError
from facesr_edge.sdk.load import load
from facesr_edge.sdk.media.sources import open_source
from facesr_edge.sdk.profiling.profile import profile
from facesr_edge.sdk.profiling.report import (
    ESTIMATE,
    MAX_BARS,
    MAX_FACES,
    report_from_profile,
    timeline,
    write_report,
)
from facesr_edge.sdk.profiling.timing import FrameTiming, Span

VOID = {"meta", "img"}


@pytest.fixture(scope="module")
def measured(tiny_bundle, put_face, tmp_path_factory):
    frame = np.full((180, 320, 3), 118, np.uint8)
    put_face(frame, 40, 30, 40)
    path = tmp_path_factory.mktemp("report") / "a <b> & c.png"
    cv2.imwrite(str(path), frame)
    with load(tiny_bundle().folder) as pipeline, open_source(path) as source:
        return profile(pipeline, source, frames=4, warm_up=1, layers=True)


class TagChecker(HTMLParser):
    """Fails on unbalanced tags."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_page_is_well_formed(measured):
    page = report_from_profile(measured)
    checker = TagChecker()
    checker.feed(page)
    assert checker.open == [] and "$" not in page


def test_page_has_no_scripts_and_no_external_resources(measured):
    page = report_from_profile(measured)
    assert "<script" not in page and "@import" not in page and "url(" not in page
    assert not re.search(r"https?://", page)
    assert set(re.findall(r'src="([a-z]+:[a-z]+/[a-z]+)', page)) == {"data:image/png"}


def test_layers_are_shown_if_they_were_measured(measured):
    page = report_from_profile(measured)
    slowest = max(measured.layers["upscale.network"], key=lambda layer: layer.ms)
    assert "<h2>Layers</h2>" in page and slowest.name in page and f"<td>{slowest.ms:.3f}</td>" in page
    assert "<h2>Layers</h2>" not in report_from_profile(dataclasses.replace(measured, layers={}))


def test_names_are_escaped(measured):
    page = report_from_profile(measured)
    assert "a &lt;b&gt; &amp; c.png" in page and "<b> &" not in page


def test_faces_are_shown_with_input_and_bicubic_and_labeled_as_estimates(measured):
    page = report_from_profile(measured)
    assert ESTIMATE in page and page.count("<img") == 3
    for caption in (">input<", "bicubic", "network estimate", "consistency"):
        assert caption in page
    many = dataclasses.replace(measured, faces=measured.faces * 9)
    assert report_from_profile(many).count("<img") == 3 * MAX_FACES
    assert ESTIMATE not in report_from_profile(dataclasses.replace(measured, faces=()))


def test_page_has_machine_model_and_versions(measured):
    page = report_from_profile(measured)
    card = measured.card
    for text in (measured.machine.cpu, card.name, *card.limitations, measured.versions["onnxruntime"]):
        assert text in page


def test_page_has_the_detector_input(measured):
    assert "320x180 whole at full size, 0.06 Mpx, faces from 8 px" in report_from_profile(measured)


@pytest.mark.parametrize("count", [1, 2, MAX_BARS, MAX_BARS + 1, 5 * MAX_BARS])
def test_timeline_has_a_limited_number_of_bars(count):
    frames = tuple(FrameTiming(n, 1, (Span("detect", 0, 10**6 + n),)) for n in range(count))
    assert min(count, MAX_BARS // 2) <= timeline(frames).count("<g>") <= MAX_BARS


def test_unwritable_report_raises(measured, tmp_path):
    with pytest.raises(OutputError, match="choose another"):
        write_report(measured, tmp_path)
