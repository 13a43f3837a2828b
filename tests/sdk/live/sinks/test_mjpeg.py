"""MJPEG over HTTP: read by FFmpeg, made for viewers only, closed to strangers."""

from __future__ import annotations

import base64
import http.client
import logging
import socket
import threading
import time
from contextlib import contextmanager
from itertools import islice
from urllib.error import HTTPError
from urllib.request import urlopen

import cv2
import numpy as np
import pytest
from facesr_edge.engines.errors import OutputError, UsageError
from facesr_edge.sdk.live.sinks import mjpeg
from facesr_edge.sdk.live.sinks.mjpeg import MjpegSink, NewestPictures
from facesr_edge.sdk.live.sinks.queue import SinkQueue
from facesr_edge.sdk.media.sources import open_source
from support.sinks import make_face, make_result, wait_until

TOKEN = "a-token-of-16-or-more"


@contextmanager
def serving(url="mjpeg://127.0.0.1:0"):
    """A queue whose cameras "door" and "a/b" are fed in another thread; yields the queue and its port."""
    queue, stop = SinkQueue(MjpegSink(url)), threading.Event()

    def feed():
        index = 0
        while not stop.wait(0.01):
            for camera in ("door", "a/b"):
                queue.done(make_result(index, camera=camera, faces=(make_face(),)))
            index += 1

    threading.Thread(target=feed, daemon=True).start()
    try:
        wait_until(lambda: len(queue.sink._pictures.cameras()) == 2)
        yield queue, queue.sink.port
    finally:
        stop.set()
        queue.close()


def get(port, path="/", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    return response.status, response.read(100_000).decode()


def test_a_player_reads_the_pictures_and_nothing_is_made_for_nobody():
    with serving() as (queue, port):
        assert queue.statistics().written == 0
        with open_source(f"http://127.0.0.1:{port}/door", timeout_s=5) as source:
            frames = list(islice(source, 5))
            assert frames[0].pixels.shape == (128, 192, 3) and queue.statistics().written >= 5
        wait_until(lambda: not queue.sink._pictures.is_watched("door"))
        written = queue.statistics().written
        time.sleep(0.1)
        assert queue.statistics().written <= written + 1


def test_the_picture_is_that_of_the_camera():
    sink = MjpegSink("mjpeg://127.0.0.1:0")
    result = make_result(10, faces=(make_face(),))
    sink.select(result)
    with urlopen(f"http://127.0.0.1:{sink.port}/door", timeout=5) as response:
        wait_until(lambda: bool(sink.select(result)))
        sink.write([result])
        head = [response.readline() for _ in range(4)]
        jpeg = response.read(int(head[2].split()[1]))
        assert head[0] == b"--frame\r\n"
    assert np.abs(cv2.imdecode(np.frombuffer(jpeg, np.uint8), 1).astype(int) - result.frame).mean() < 4
    sink.close()


def test_the_cameras_are_listed_and_others_are_unknown():
    with serving() as (_, port):
        status, text = get(port)
        assert status == 200 and text.split()[1] == "/door" and text.split()[0].startswith("/a_b-")
        assert get(port, "/garden")[0] == 404 and get(port, "/../etc/passwd")[0] == 404


def test_a_viewer_that_takes_no_data_delays_neither_the_run_nor_others(monkeypatch):
    monkeypatch.setattr(mjpeg._Viewer, "timeout", 0.5)
    with serving() as (queue, port):
        stuck = socket.create_connection(("127.0.0.1", port))
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.sendall(b"GET /door HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
        wait_until(lambda: queue.sink._pictures.is_watched("door"))
        with open_source(f"http://127.0.0.1:{port}/door", timeout_s=5) as source:
            start_s = time.monotonic()
            assert len(list(islice(source, 20))) == 20 and time.monotonic() - start_s < 4
        assert queue.statistics().dropped < queue.statistics().written
        stuck.close()
        wait_until(lambda: not queue.sink._pictures.is_watched("door"))


def test_closing_ends_the_streams_and_frees_the_port():
    with serving() as (queue, port):
        viewer = urlopen(f"http://127.0.0.1:{port}/door", timeout=5)
        assert viewer.read(1000)
        start_s = time.monotonic()
        queue.close()
        assert time.monotonic() - start_s < 2
        while viewer.read(65536):
            pass
    SinkQueue(MjpegSink(f"mjpeg://127.0.0.1:{port}")).close()


def test_a_token_is_asked_for_and_never_logged(caplog):
    caplog.set_level(logging.DEBUG)
    basic = [base64.b64encode(f"me:{word}".encode()).decode() for word in (TOKEN, "wrong")]
    with serving(f"mjpeg://:{TOKEN}@127.0.0.1:0") as (queue, port):
        assert get(port)[0] == 401
        assert get(port, Authorization=f"Basic {basic[1]}")[0] == get(port, Authorization="Basic %")[0] == 401
        assert get(port, Authorization=f"Basic {basic[0]}")[0] == get(port, Authorization=f"Bearer {TOKEN}")[0] == 200
        with open_source(f"http://me:{TOKEN}@127.0.0.1:{port}/door", timeout_s=5) as source:
            assert next(iter(source)).pixels.any()
        assert TOKEN not in queue.statistics().name
    assert not [text for text in caplog.messages if TOKEN in text]


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}]
)
def test_pages_of_other_sites_see_nothing(headers):
    with serving() as (_, port):
        assert get(port, "/", **headers)[0] == 401


def test_the_number_of_viewers_is_limited(monkeypatch):
    monkeypatch.setattr(mjpeg, "MAX_VIEWERS", 2)
    with serving() as (_, port):
        viewers = [urlopen(f"http://127.0.0.1:{port}/door", timeout=5) for _ in range(2)]
        assert get(port, "/door")[0] == 503
        for viewer in viewers:
            viewer.close()
        wait_until(lambda: _status(port) == 200)


def test_viewers_of_a_camera_that_is_off_are_released(monkeypatch):
    monkeypatch.setattr(mjpeg, "MAX_VIEWERS", 3)
    monkeypatch.setattr(mjpeg, "CHECK_S", 0.1)
    sink = MjpegSink("mjpeg://127.0.0.1:0")
    result = make_result(camera="door")
    for camera in ("door", "yard"):
        sink.select(make_result(camera=camera))
    stays, *leave = [urlopen(f"http://127.0.0.1:{sink.port}/door", timeout=5) for _ in range(3)]
    assert _status(sink.port, "yard") == 503
    for viewer in leave:
        viewer.close()
    wait_until(lambda: _status(sink.port, "yard") == 200)
    sink.write(sink.select(result))
    assert stays.readline() == b"--frame\r\n"
    sink.close()


def _status(port, camera="door"):
    try:
        with urlopen(f"http://127.0.0.1:{port}/{camera}", timeout=5) as response:
            return response.status
    except HTTPError as error:
        return error.code


@pytest.mark.parametrize("url", ["mjpeg://host", "mjpeg://127.0.0.1:80/door", "mjpeg://127.0.0.1:x", "mjpeg://:8080"])
def test_wrong_addresses_are_told(url):
    with pytest.raises(UsageError, match="expected mjpeg"):
        MjpegSink(url)


def test_an_open_address_needs_a_token():
    with pytest.raises(UsageError, match=r"can be reached by other machines; give a token"):
        MjpegSink("mjpeg://0.0.0.0:0")
    with pytest.raises(UsageError, match="at least 16"):
        MjpegSink("mjpeg://:short@0.0.0.0:0")


def test_a_port_that_is_taken_is_told():
    sink = MjpegSink("mjpeg://127.0.0.1:0")
    with pytest.raises(OutputError, match="address already in use; choose another port"):
        MjpegSink(f"mjpeg://127.0.0.1:{sink.port}")
    sink.close()


def test_pictures_can_be_used_by_another_server():
    pictures = NewestPictures()
    parts = pictures.parts("door")
    received = []
    reader = threading.Thread(target=lambda: received.extend(parts))
    reader.start()
    wait_until(lambda: pictures.is_watched("door"))
    pictures.put("door", b"jpeg")
    wait_until(lambda: len(received) == 1)
    pictures.close()
    reader.join(2)
    assert received == [b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: 4\r\n\r\njpeg\r\n"]
    assert not pictures.is_watched("door")
