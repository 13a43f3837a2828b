"""What the service refuses: the status, and one line that says what to do; it goes on afterwards."""

import json
import math
import socket
import struct
import threading
import time
from contextlib import ExitStack, suppress

import cv2
import numpy as np
import pytest
from facesr_edge.engines.errors import UsageError
from facesr_edge.sdk.media.images.embed import png_chunk
from facesr_edge.sdk.serving import connection
from facesr_edge.sdk.serving.faces import body_connection, server
from facesr_edge.sdk.serving.faces.jpeg_scans import has_too_many_scans
from facesr_edge.sdk.serving.faces.limits import Limits
from facesr_edge.sdk.serving.faces.picture import open_picture
from facesr_edge.sdk.serving.faces.problem import STATUSES, Problem
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

TOKEN = "a-token-of-the-tests-0123"


def form(*parts):
    """Body of a form of (name, file name or None, content)."""
    lines = []
    for name, file, content in parts:
        named = f'; filename="{file}"' if file else ""
        lines += [f'--XX\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'.encode(), content, b"\r\n"]
    return b"".join([*lines, b"--XX--\r\n"])


def png(width, height):
    return cv2.imencode(".png", np.zeros((height, width, 3), np.uint8))[1].tobytes()


def check_line(answer, *words):
    """A refusal is one printable line."""
    assert list(answer) == ["detail"]
    text = answer["detail"]
    assert text and text.isprintable() and len(text) < 700 and all(word in text for word in words), text


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("?min_face=1", ["min_face", "4", "'1'"]),
        ("?min_face=nan", ["min_face"]),
        ("?score=2", ["score", "1"]),
        ("?format=gif", ["format", "'png', 'jpeg' or 'webp'"]),
        ("?quality=80", ["quality", "png"]),
        ("?quality=0&format=jpeg", ["quality"]),
        ("?max_faces=-1", ["max_faces"]),
        ("?pictures=zip", ["pictures", "'base64', 'parts' or 'none'"]),
        ("?minface=20", ["minface"]),
        ("?format=%0D%0AX:%201", ["format"]),
    ],
)
def test_an_invalid_option_is_refused(client, picture, query, words):
    status, headers, answer = client.post(picture, query)
    assert status == 422 and "x" not in headers
    check_line(answer, *words)


def test_a_body_that_is_no_picture_is_refused(client):
    for body, status, words in [
        (b"", 400, ["0 bytes"]),
        (b"%PDF-1.7 not a picture", 415, ["not a picture", "JPEG", "WebP"]),
        (png(64, 64)[:-20], 422, ["truncated"]),
        (b"\xff\xd8\xff\xe0" + bytes(100), 422, ["truncated or damaged"]),
    ]:
        got = client.post(body)
        assert got[0] == status
        check_line(got[2], *words)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([], ["one file"]),
        ([("picture", "a.png", b"")], ["0 bytes"]),
        ([("picture", "a.png", b"1"), ("picture", "b.png", b"2")], ["one file", "got more"]),
        ([("picture", "a.png", b"1"), ("min_face", None, b"20")], ["options", "query"]),
        ([("picture", None, b"1")], ["one file"]),
    ],
)
def test_a_form_has_one_file(client, parts, words):
    status, _, answer = client.post(form(*parts), content_type="multipart/form-data; boundary=XX")
    assert status == 400
    check_line(answer, *words)


def test_a_damaged_form_is_refused(client, picture):
    whole = form(("picture", "a.png", picture))
    for body, kind in [
        (whole[:-30], "multipart/form-data; boundary=XX"),
        (whole, "multipart/form-data; boundary=YY"),
        (whole, "multipart/form-data"),
        (b"--XX\r\n\r\n", "multipart/form-data; boundary=XX"),
    ]:
        status, _, answer = client.post(body, content_type=kind)
        assert status == 400
        check_line(answer)


def test_other_bodies_are_refused(client, picture):
    status, _, answer = client.post(picture, content_encoding="gzip")
    assert status == 415
    check_line(answer, "gzip")
    status, _, answer = client.post(picture, content_type="multipart/mixed; boundary=XX")
    assert status == 415
    check_line(answer, "multipart/mixed")


def test_too_many_bytes_are_refused_with_and_without_a_length(client):
    status, _, answer = client.post(bytes(500_001))
    assert status == 413
    check_line(answer, "500,000")
    status, _, answer = client.post(bytes(65_536) for _ in range(8))
    assert status == 413
    check_line(answer, "500,000")


def test_a_large_picture_is_refused_before_it_is_decoded(client):
    header = struct.pack(">IIBBBBB", 90_000, 110_000, 8, 2, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", b"no pixels") + png_chunk(b"IEND", b"")
    status, _, answer = client.post(b"\x89PNG\r\n\x1a\n" + chunks)
    assert status == 413
    check_line(answer, "90000x110000", "limit is 1")


def test_a_small_min_face_in_a_large_picture_is_refused(client):
    status, _, answer = client.post(png(1000, 999), "?min_face=4")
    assert status == 413
    check_line(answer, "megapixels of detection", "raise min_face")


@pytest.mark.parametrize("between", [b"", b"\0", b"\xff", b"\xff\x01"])
def test_a_jpeg_of_very_many_scans_is_refused(between):
    """Each takes as long as a decoding; a decoder skips what is between."""
    ok, file = cv2.imencode(".jpg", np.zeros((64, 64, 3), np.uint8), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])
    data = file.tobytes()
    assert ok and not has_too_many_scans(data)
    scan = between + data[data.rindex(b"\xff\xda") : -2]
    assert not has_too_many_scans(data[:-2] + 20 * scan + data[-2:])
    with pytest.raises(Problem, match="more than 40 scans") as raised:
        open_picture(data[:-2] + 41 * scan + data[-2:], Limits())
    assert raised.value.status == 422


def test_unknown_paths_and_methods_are_refused_in_one_line(client):
    for method, path, status in [("GET", "/faces", 405), ("PUT", "/faces", 405), ("POST", "/", 404)]:
        got = client(method, path)
        assert got[0] == status
        check_line(got[2])


def test_requests_above_the_maximum_are_refused_at_once(serving, picture):
    with serving(Limits(max_requests=1)) as client, socket.create_connection(client.address) as slow:
        slow.sendall(b"POST /faces HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n123")
        end_s = time.monotonic() + 10
        while (got := client.post(picture))[0] == 200 and time.monotonic() < end_s:
            time.sleep(0.01)
        status, headers, answer = got
        assert status == 503 and int(headers["retry-after"]) >= 1
        check_line(answer, "try again")
        assert client("GET", "/healthz")[::2] == (200, {"healthy": True})
        slow.close()
        while (got := client.post(picture))[0] == 503 and time.monotonic() < end_s:
            time.sleep(0.01)
        assert got[0] == 200  # the place of a client that left is free


def test_a_client_that_sends_too_often_has_to_wait(serving, picture):
    with serving(Limits(rate=0.01, burst=3)) as client:
        statuses = [client.post(picture, "?pictures=none")[0] for _ in range(3)]
        status, headers, answer = client.post(picture)
        assert statuses == [200, 200, 200] and status == 429 and 90 < int(headers["retry-after"]) <= 100
        check_line(answer, "0.01 requests/s")
        assert client("GET", "/healthz")[0] == 200


def test_a_body_that_does_not_arrive_is_given_up(serving, picture):
    with serving(Limits(body_s=0.3)) as client, socket.create_connection(client.address, timeout=10) as slow:
        slow.sendall(b"POST /faces HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n123")
        head, body = _response(slow)
        assert b" 408 " in head.splitlines()[0]
        check_line(json.loads(body), "0.3 s")
        assert client.post(picture)[0] == 200


def test_a_body_that_goes_on_is_not_idle_and_one_that_stops_is(serving, picture, monkeypatch):
    monkeypatch.setattr(connection, "IDLE_S", 0.4)
    head = f"POST /faces HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(picture)}\r\n\r\n".encode()
    with serving() as client:
        with socket.create_connection(client.address, timeout=20) as slow:
            slow.sendall(head)
            for n in range(20):  # 2 s
                slow.sendall(picture[n * len(picture) // 20 : (n + 1) * len(picture) // 20])
                time.sleep(0.1)
            assert b" 200 " in _response(slow)[0].splitlines()[0]
        with socket.create_connection(client.address, timeout=20) as stopped:
            stopped.sendall(head + picture[:100])
            with suppress(ConnectionResetError):
                assert stopped.recv(1) == b""


def test_the_rest_of_a_body_that_is_not_read_does_not_keep_its_connection(serving, picture, monkeypatch):
    monkeypatch.setattr(connection, "IDLE_S", 0.4)
    head = b"POST /faces HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n"
    with serving(token=TOKEN) as client, socket.create_connection(client.address, timeout=5) as slow:
        slow.sendall(head)
        assert b" 401 " in _response(slow)[0].splitlines()[0]
        assert client.post(picture)[0] == 401  # in spite of a body that is sent
        start_s = time.monotonic()
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            while time.monotonic() < start_s + 4:
                slow.sendall(b"x")
                time.sleep(0.05)


def test_a_request_that_goes_on_for_too_long_is_ended(serving, monkeypatch):
    monkeypatch.setattr(connection, "IDLE_S", 0.3)
    monkeypatch.setattr(body_connection, "REQUEST_S", 0.5)
    head = b"POST /faces HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
    with serving() as client, socket.create_connection(client.address, timeout=5) as slow:
        slow.sendall(head)
        start_s = time.monotonic()
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            while time.monotonic() < start_s + 4:
                slow.sendall(b"x")
                time.sleep(0.05)


def test_one_client_does_not_take_the_connections_of_all(serving, picture):
    with serving(Limits(max_of_client=1)) as client, ExitStack() as opened:
        most = 1 + server.SPARE_OF_CLIENT
        for _ in range(most - 1):
            opened.enter_context(socket.create_connection(client.address))
        assert client.post(picture)[0] == 200
        opened.enter_context(socket.create_connection(client.address))
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            client("GET", "/healthz")
    with serving(Limits(max_of_client=1), proxy="127.0.0.1") as client, ExitStack() as opened:
        for _ in range(most):
            opened.enter_context(socket.create_connection(client.address))
        assert client("GET", "/healthz")[0] == 200


def test_one_client_does_not_take_the_places_of_all(serving, picture):
    with (
        serving(Limits(max_of_client=1), proxy="127.0.0.1") as client,
        socket.create_connection(client.address) as slow,
    ):
        slow.sendall(
            b"POST /faces HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 192.0.2.1\r\nContent-Length: 10\r\n\r\n123"
        )
        end_s = time.monotonic() + 10
        while (got := client.post(picture, x_forwarded_for="192.0.2.1"))[0] == 200 and time.monotonic() < end_s:
            time.sleep(0.01)
        status, headers, answer = got
        assert status == 429 and int(headers["retry-after"]) >= 1
        check_line(answer, "1 requests of this client")
        assert client.post(picture, x_forwarded_for="192.0.2.2")[0] == 200
        slow.close()
        while (got := client.post(picture, x_forwarded_for="192.0.2.1"))[0] == 429 and time.monotonic() < end_s:
            time.sleep(0.01)
        assert got[0] == 200


def _response(client):
    """Head and body of a response with a length."""
    file = client.makefile("rb")
    head = b"".join(iter(file.readline, b"\r\n"))
    length = next(int(line.split(b":")[1]) for line in head.splitlines() if line.lower().startswith(b"content-length"))
    return head, file.read(length)


def test_work_whose_client_has_left_is_not_done(serving, picture):
    with serving() as client:
        for _ in range(10):
            with socket.create_connection(client.address) as gone:
                head = f"POST /faces HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(picture)}\r\n\r\n"
                gone.sendall(head.encode() + picture)
        end_s = time.monotonic() + 20
        while _metric(client, "facesr_edge_service_requests ") and time.monotonic() < end_s:
            time.sleep(0.02)
        assert _metric(client, "facesr_edge_service_requests ") == 0
        left = _metric(client, 'facesr_edge_service_responses_total{status="499"} ')
        done = _metric(client, 'facesr_edge_service_responses_total{status="200"} ')
        assert left + done == 10 and left >= 5


def _metric(client, name):
    lines = client("GET", "/metrics")[2].decode().splitlines()
    return next((float(line.removeprefix(name)) for line in lines if line.startswith(name)), 0.0)


def test_running_requests_end_before_the_service_stops(serving, picture):
    answers = []
    with serving() as client:
        threads = [threading.Thread(target=lambda: answers.append(client.post(picture)[0])) for _ in range(4)]
        for thread in threads:
            thread.start()
        end_s = time.monotonic() + 10
        while _metric(client, "facesr_edge_service_requests ") < 1 and time.monotonic() < end_s:
            time.sleep(0.005)
    for thread in threads:
        with suppress(OSError):
            thread.join(20)
    assert set(answers) == {200}


def test_the_token_is_needed_for_pictures_and_metrics(serving, picture):
    with serving(token=TOKEN) as client:
        for method, path in [("POST", "/faces"), ("GET", "/metrics"), ("GET", "/nothing")]:
            status, headers, answer = client(method, path, picture if method == "POST" else None)
            assert status == 401 and headers["www-authenticate"] == "Bearer"
            check_line(answer, "Authorization: Bearer")
        assert [client("GET", path)[0] for path in ("/healthz", "/openapi.json", "/docs")] == [200, 200, 200]
        assert client.post(picture, authorization=f"Bearer {TOKEN}x")[0] == 401
        assert client.post(picture, authorization=f"Bearer {TOKEN}")[0] == 200


def test_pages_of_other_sites_are_refused(client, picture):
    for headers in ({"host": "evil.example"}, {"origin": "https://evil.example"}, {"sec_fetch_site": "cross-site"}):
        status, _, answer = client.post(picture, **headers)
        assert status == 421
        check_line(answer, "IP address")


@pytest.mark.parametrize(
    "name", ["max_bytes", "max_megapixels", "max_faces", "max_of_client", "rate", "burst", "body_s"]
)
def test_a_limit_is_positive(name):
    for value in (0, -1, math.nan):
        with pytest.raises(UsageError, match=f"positive {name}"):
            Limits(**{name: value})


def test_pictures_have_at_most_100_megapixels():
    with pytest.raises(UsageError, match="at most 100 megapixels"):
        Limits(max_megapixels=101)


SMALL = png(48, 48)
KINDS = st.sampled_from(["", "image/png", "application/octet-stream", "multipart/form-data; boundary=XX", "text/plain"])
MUTATED = st.builds(
    lambda at, by: SMALL[:at] + by + SMALL[at + len(by) :], st.integers(0, len(SMALL)), st.binary(max_size=8)
)
BODIES = st.one_of(
    st.binary(max_size=200),
    MUTATED,
    MUTATED.map(lambda file: form(("picture", "a", file))),
    st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF1234WEBP", b"II*\0", b"\xff\x0a", b"BM"]).flatmap(
        lambda magic: st.binary(max_size=80).map(lambda rest: magic + rest)
    ),
)
QUERIES = st.dictionaries(
    st.sampled_from(["min_face", "score", "max_faces", "pictures", "format", "quality", "originals", "x"]),
    st.sampled_from(["", "0", "1", "20", "-1", "1e9", "nan", "none", "parts", "jpeg", "true", "\u00e9\n"]),
    max_size=3,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES, kind=KINDS, query=QUERIES)
def test_any_request_gets_a_documented_answer(client, body, kind, query):
    from urllib.parse import urlencode

    headers = {"content_type": kind} if kind else {}
    status, _, answer = client.post(body, f"?{urlencode(query)}", **headers)
    assert status in {200, *STATUSES} - {500, 503}
    if status != 200:
        check_line(answer)
