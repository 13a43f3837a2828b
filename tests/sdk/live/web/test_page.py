"""The page in a real browser, on a live run of simulated cameras."""

import time
from base64 import b64decode
from contextlib import contextmanager

import cv2
import numpy as np
import pytest
from facesr_edge.sdk.live.web.server import serve
from support.live_runs import decode

WAIT_S = 30.0
VIEW = "document.querySelectorAll('.view canvas')[0]"
TOTALS = "return [...document.querySelectorAll('tbody td:last-child')].map((cell) => cell.textContent).join()"


def wait_for(browser, script):
    """The value of a script once it is true."""
    end_s = time.monotonic() + WAIT_S
    while time.monotonic() < end_s:
        if value := browser.execute_script(f"return {script}"):
            return value
        time.sleep(0.1)
    raise AssertionError(f"not true within {WAIT_S:.0f} s: {script}; {browser.find_element('tag name', 'body').text}")


def changes(browser, script):
    """Whether the value of a script changes."""
    first = browser.execute_script(script)
    end_s = time.monotonic() + WAIT_S
    while browser.execute_script(script) == first:
        if time.monotonic() > end_s:
            return False
        time.sleep(0.1)
    return True


def errors(browser):
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


@contextmanager
def opened(browser, run, **options):
    """The page in the browser."""
    with serve(run, port=0, **options) as server:
        browser.get_log("browser")
        browser.get(server.link)
        yield server
        browser.get("about:blank")  # asks for no more


@pytest.fixture(scope="module")
def shown(browser, run):
    with opened(browser, run) as server:
        wait_for(browser, "document.querySelectorAll('.face').length > 1")
        yield server


def test_pictures_move_and_figures_change(browser, shown):
    browser.execute_script("for (const details of document.querySelectorAll('details')) details.open = true")
    assert changes(browser, f"return {VIEW}.toDataURL()")
    assert changes(browser, "return document.querySelector('.face .original').toDataURL()")
    assert changes(browser, TOTALS)
    assert changes(browser, "return document.querySelector('.figures').textContent")
    assert wait_for(browser, "parseFloat(document.querySelector('#rate').textContent)") > 0
    assert errors(browser) == []


def test_the_view_shows_the_frame_of_the_camera(browser, shown, run):
    browser.execute_script("document.querySelector('#boxes').checked = false")
    time.sleep(0.5)
    url = browser.execute_script(f"return {VIEW}.toDataURL()")
    browser.execute_script("document.querySelector('#boxes').checked = true")
    seen = decode(b64decode(url.partition(",")[2]))
    frame = run.monitor.newest("door")[1].source.pixels
    expected = cv2.resize(frame, seen.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.median(np.abs(seen.astype(int) - expected)) < 8  # JPEG, noise of the camera, and people who walk


def test_the_camera_stands_beside_each_result_with_treatment_and_verdict(browser, shown):
    faces = browser.execute_script(
        "return [...document.querySelectorAll('.face')].map((face) => ({"
        " captions: [...face.querySelectorAll('figcaption')].map((node) => node.textContent),"
        " sizes: [...face.querySelectorAll('canvas')].map((node) => node.width),"
        " texts: ['.track', '.verdict', '.treatment', '.reason', '.measures']"
        ".map((selector) => face.querySelector(selector).textContent)}))"
    )
    assert faces
    for face in faces:
        assert face["captions"][0] == "camera" and face["captions"][1] in ("estimate", "interpolated")
        assert 8 <= face["sizes"][0] < face["sizes"][1]
        track, verdict, treatment, reason, measures = face["texts"]
        assert track.startswith("#") and verdict and reason and "px" in measures
        assert treatment in ("network", "reused", "small network", "bicubic")
    assert "Enlarged faces are estimates." in browser.find_element("class name", "notice").text


def test_the_state_of_each_camera_is_told(browser, shown):
    cards = browser.find_elements("css selector", ".camera")
    assert [card.find_element("tag name", "h2").text for card in cards][:2] == ["door", "<b>hall</b>"]
    states = [card.find_element("class name", "state").text for card in cards]
    assert states == ["● live", "● live", "✕ offline"]
    assert browser.find_element("id", "status").text == "2 of 3 cameras live"
    why = cards[2].find_element("class name", "why").text
    assert "127.0.0.1:9" in why and "secret" not in browser.page_source


def test_outputs_have_their_figures(browser, shown):
    text = browser.find_element("id", "sinks").text
    assert text == "results.jsonl: 120 written, 3 dropped, 2 waiting · disk full"


def test_the_page_needs_no_other_server(browser, shown):
    names = browser.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert names and all(name.startswith(shown.url) for name in names)


def test_pause_stops_the_requests(browser, shown):
    count = "return performance.getEntriesByType('resource').length"
    pause = browser.find_element("id", "pause")
    browser.execute_script("performance.setResourceTimingBufferSize(10000)")
    assert changes(browser, count)
    pause.click()
    assert (pause.text, pause.get_attribute("aria-pressed")) == ("Resume", "true")
    time.sleep(0.5)
    before = browser.execute_script(count)
    time.sleep(0.6)
    assert browser.execute_script(count) == before
    pause.click()
    assert changes(browser, count)


def test_the_page_is_accessible(browser, shown):
    unnamed = browser.execute_script(
        "return [...document.querySelectorAll('canvas, button, input, a, .shares:not([hidden])')].filter((node) => "
        "!(node.ariaLabel || node.textContent.trim() || node.closest('label')?.textContent.trim()))"
        ".map((node) => node.outerHTML)"
    )
    assert unnamed == []
    assert browser.execute_script("return document.documentElement.lang") == "en"


@pytest.mark.parametrize(("width", "height"), [(360, 780), (768, 1024), (1920, 1080)])
def test_the_page_fits_phones_and_monitors(browser, shown, width, height, tmp_path):
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        time.sleep(0.5)
        assert browser.execute_script("return [innerWidth, document.documentElement.scrollWidth <= innerWidth]") == [
            width,
            True,
        ]
        browser.save_screenshot(str(tmp_path / f"page-{width}.png"))
        assert (tmp_path / f"page-{width}.png").stat().st_size > 20_000
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_page_that_gets_no_answer_says_so(browser, run):
    with opened(browser, run) as server:
        wait_for(browser, "document.querySelectorAll('.face').length")
        server.close()
        text = wait_for(
            browser, "!document.querySelector('#problem').hidden && document.querySelector('#problem').textContent"
        )
        assert "what you see is old" in text


def test_a_link_with_the_token_opens_the_page_and_leaves_no_token_behind(browser, run):
    with opened(browser, run, host="0.0.0.0") as server:
        wait_for(browser, "document.querySelectorAll('.face').length")
        assert browser.current_url == server.url
        browser.get(server.url)  # by the cookie
        wait_for(browser, "document.querySelectorAll('.face').length")
        assert server.token not in browser.page_source
        assert browser.execute_script("return document.cookie") == ""  # scripts cannot read it
        browser.delete_all_cookies()
        browser.get(server.url)
        assert wait_for(browser, "document.querySelector('#token') && document.title") == "facesr-edge live: token"
        browser.get_log("browser")


def test_the_form_takes_the_token_and_refuses_another(browser, run):
    with serve(run, host="0.0.0.0", port=0) as server:
        browser.get(server.url)
        browser.find_element("id", "token").send_keys("not-the-token-0123456789")
        browser.find_element("tag name", "button").click()
        assert wait_for(browser, "document.querySelector('#error')?.textContent").startswith("That is not the token")
        browser.find_element("id", "token").send_keys(server.token)
        browser.find_element("tag name", "button").click()
        wait_for(browser, "document.querySelectorAll('.face').length")
        browser.get("about:blank")
