"""Webhooks, against a real HTTP server that is slow, fails, hangs up or dies."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from facesr_edge.engines.errors import UsageError
from facesr_edge.sdk.live.sinks.queue import SinkQueue
from facesr_edge.sdk.live.sinks.webhook import WebhookSink, webhook_name
from support.sinks import make_face, make_result, wait_until


class Receiver(ThreadingHTTPServer):
    """Keeps what is posted; answers with the next of `answers`, then with 200."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int = 0) -> None:
        self.posts: list[tuple[dict, dict]] = []
        self.answers: list[int] = []
        self.delay_s, self.connections = 0.0, 0
        super().__init__(("127.0.0.1", port), Handler)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def indices(self) -> list[int]:
        return [result["index"] for _, body in self.posts for result in body["results"]]

    def stop(self) -> None:
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Receiver

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(self.server.delay_s)
        status = self.server.answers.pop(0) if self.server.answers else 200
        if status == 0:  # hang up without an answer
            self.close_connection = True
            return
        if status < 300:
            self.server.posts.append((dict(self.headers), json.loads(body)))
        self.send_response(status)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *arguments: object) -> None: ...


@contextmanager
def posting(path: str = "/hook?a=1", user: str = "", timeout_s: float = 5.0):
    server = Receiver()
    queue = SinkQueue(WebhookSink(f"http://{user}127.0.0.1:{server.port}{path}", timeout_s))
    try:
        yield server, queue
    finally:
        queue.close()
        server.stop()


def face_result(index):
    return make_result(index, faces=(make_face(),))


def is_written(queue, count):
    return queue.statistics().written == count


def test_results_with_faces_are_posted_as_json():
    with posting(user="ann:s%3Acret@") as (server, queue):
        result = face_result(1)
        for each in (make_result(0), result, make_result(2, ended=(1,))):
            queue.done(each)
        wait_until(lambda: server.indices() == [1, 2])
        headers, body = server.posts[0]
        assert body["results"][0] == json.loads(json.dumps(result.to_dict()))
        assert headers["Content-Type"] == "application/json" and headers["Authorization"] == "Basic YW5uOnM6Y3JldA=="
        assert queue.statistics().name == f"http://127.0.0.1:{server.port}"


def test_what_waits_is_posted_at_once_over_one_connection():
    with posting() as (server, queue):
        server.delay_s = 0.1
        for index in range(40):
            queue.done(face_result(index))
        wait_until(lambda: len(server.indices()) == 40)
        assert server.indices() == list(range(40)) and len(server.posts) <= 4 and server.connections == 1


def test_a_server_that_fails_gets_the_same_body_again():
    with posting() as (server, queue):
        server.answers = [500, 429, 0]
        queue.done(face_result(1))
        wait_until(lambda: "answered 500" in queue.statistics().error)
        wait_until(lambda: server.indices() == [1])
        wait_until(lambda: queue.statistics().written == 1)
        assert queue.statistics().error == "" and queue.statistics().failed == 0


@pytest.mark.parametrize("status", [301, 302, 400, 401, 404])
def test_a_refused_result_is_counted_and_not_repeated(status):
    with posting() as (server, queue):
        server.answers = [status]
        queue.done(face_result(1))
        wait_until(lambda: queue.statistics().failed == 1)
        assert f"answered {status}" in queue.statistics().error
        queue.done(face_result(2))
        wait_until(lambda: server.indices() == [2])


def test_a_connection_that_was_closed_meanwhile_is_no_error(caplog):
    with posting() as (server, queue):
        for count in (1, 2, 3):
            queue.done(face_result(count))
            wait_until(partial(is_written, queue, count))
            queue.sink._connection.sock.shutdown(socket.SHUT_RDWR)
        assert server.connections == 3 and caplog.messages == []


def test_a_slow_server_never_delays_the_run():
    with posting(timeout_s=0.2) as (server, queue):
        server.delay_s = 0.5
        results = [face_result(index) for index in range(100)]
        start_s = time.monotonic()
        for result in results:
            queue.done(result)
        assert time.monotonic() - start_s < 3
        wait_until(lambda: "timed out" in queue.statistics().error)
        server.delay_s = 0.0
        wait_until(lambda: queue.statistics().queued == 0)
        assert set(server.indices()) == set(range(100)) and queue.statistics().failed == 0


def test_a_server_that_dies_gets_what_it_missed_when_it_is_back():
    with posting() as (server, queue):
        queue.done(face_result(0))
        wait_until(lambda: queue.statistics().written == 1)
        server.stop()
        queue.sink.close()
        for index in range(1, 6):
            queue.done(face_result(index))
        wait_until(lambda: "connection refused" in queue.statistics().error)
        again = Receiver(server.port)
        wait_until(lambda: again.indices() == [1, 2, 3, 4, 5])
        again.stop()


def test_a_server_that_never_ends_its_answer_is_left():
    """It sends headers and a body that is longer than what is read of it."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            client = listener.accept()[0]
            client.recv(1 << 20)
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 200_000)

    threading.Thread(target=serve, daemon=True).start()
    queue = SinkQueue(WebhookSink(f"http://127.0.0.1:{listener.getsockname()[1]}"))
    for count in (1, 2, 3):
        queue.done(face_result(count))
        wait_until(partial(is_written, queue, count))
    queue.close()


def test_an_encrypted_connection_checks_the_certificate(certificates, monkeypatch):
    server = Receiver()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    for trusted, written in (("server.pem", 1), ("stranger.pem", 0)):
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates / trusted))
        queue = SinkQueue(WebhookSink(f"https://localhost:{server.port}/hook"))
        queue.done(face_result(written))
        wait_until(lambda: bool(queue.statistics().written or queue.statistics().error))  # noqa: B023
        queue.close()
        assert queue.statistics().written == written
    assert "certificate" in queue.statistics().error and server.indices() == [1]
    server.stop()


@pytest.mark.parametrize("url", ["ftp://host/x", "http:///x", "https://host:no/", "http://u:secret@:80"])
def test_wrong_urls_are_told_without_the_password(url):
    with pytest.raises(UsageError, match="expected a webhook of the form") as error:
        WebhookSink(url)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(("part", "written"), [(" ", "%20"), ("\u00e4", "%C3%A4"), ("\n", "%0A"), ("\x7f", "%7F")])
def test_urls_that_cannot_be_sent_are_told_at_once(part, written):
    with pytest.raises(UsageError, match=f"which cannot be sent; write {written}") as error:
        WebhookSink(f"https://host/secret{part}b")
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example/services/T0/B0/secret",
        "https://secret@hooks.example",
        "https://secret:@hooks.example/x",
        "https://user:secret/1@hooks.example/x",
        "https://hooks.example?accessToken=secret&apiToken=secret",
        "https://hooks.example#secret",
    ],
)
def test_a_webhook_is_named_by_its_host_as_its_path_may_be_the_secret(url):
    assert webhook_name(url) == "https://hooks.example"
