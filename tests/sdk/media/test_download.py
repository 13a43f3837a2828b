"""Pictures behind HTTP, from a real server: by content, with limits, credentials and refusals."""

import base64
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from facesr_edge.engines.errors import FacesrError, InputError
from facesr_edge.sdk.media import download
from facesr_edge.sdk.media.sinks import open_sink
from facesr_edge.sdk.media.sources import open_source
from support.media import encoded, one_line, pattern

PNG = encoded(".png")


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.partition("?")[0]
        if name == "/private.png" and self.headers.get("Authorization") != "Basic " + _basic("user", "p@ss"):
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.end_headers()
        elif name == "/missing.png":
            self.send_error(404)
        elif name == "/moved.png":
            self.send_response(302)
            self.send_header("Location", "/a.png")
            self.end_headers()
        elif name == "/silent":
            time.sleep(3)
        else:
            self._send(name)

    def _send(self, name):
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace" if name == "/stream" else "text/plain")
        cut = name == "/cut.png"
        if name != "/endless.png":
            self.send_header("Content-Length", str(len(PNG)))
        self.end_headers()
        self.wfile.write(b"--boundary" if name == "/stream" else PNG[: len(PNG) // 2] if cut else PNG)
        while name == "/endless.png":
            self.wfile.write(bytes(1 << 16))

    def log_message(self, *arguments):
        pass


def _basic(user, password):
    return base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture
def host():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("path", ["a.png", "snapshot?channel=1", "picture.jpg", "moved.png"])
def test_an_image_is_recognized_by_its_content(host, path, tmp_path):
    with open_source(f"http://{host}/{path}") as source:
        frames = list(source)
    assert source.kind == "image" and source.path is None and source.name == f"http://{host}/{path}"
    assert len(frames) == 1 and np.array_equal(frames[0].pixels, pattern())


def test_the_output_in_a_folder_has_the_name_of_the_url(host, tmp_path):
    with open_source(f"http://{host}/a%20b.png?x=1") as source, open_sink(tmp_path, source) as sink:
        assert sink.path == tmp_path / "a b.png"


def test_credentials_are_sent_and_masked(host):
    with open_source(f"http://user:p%40ss@{host}/private.png") as source:
        assert source.name == f"http://user:***@{host}/private.png" and len(list(source)) == 1


@pytest.mark.parametrize("path", ["stream", "missing.png", "private.png"])
def test_what_is_no_image_is_left_to_ffmpeg(host, path):
    assert download.download_image(f"http://{host}/{path}", 5) is None


def test_a_missing_image_is_an_error(host):
    with pytest.raises(FacesrError) as error:
        open_source(f"http://{host}/missing.png")
    assert "404" in one_line(error)


def test_limits_of_size_and_time(host, monkeypatch):
    monkeypatch.setattr(download, "MAX_BYTES", 1 << 20)
    with pytest.raises(InputError, match="larger than 1 MiB"):
        open_source(f"http://{host}/endless.png")
    monkeypatch.setattr(download, "MAX_SECONDS", 0)
    with pytest.raises(InputError, match="not complete after 0 s"):
        open_source(f"http://{host}/endless.png")
    with pytest.raises(InputError, match="no answer"):
        open_source(f"http://{host}/silent", timeout_s=0.3)


def test_an_incomplete_image_is_an_error(host):
    with pytest.raises(InputError, match="ended after"):
        open_source(f"http://{host}/cut.png")
