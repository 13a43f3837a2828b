"""The server of the page over real sockets: updates, token, health, metrics, viewers that hang."""

import json
import socket
import threading
import time
from contextlib import contextmanager, suppress
from email.parser import BytesParser
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

import numpy as np
import pytest
from facesr_edge.engines.errors import OutputError, UsageError
from facesr_edge.sdk.live.monitoring.health import health
from facesr_edge.sdk.live.monitoring.monitor import Monitor
from facesr_edge.sdk.live.monitoring.observed import ObservedRun
from facesr_edge.sdk.live.web import app
from facesr_edge.sdk.live.web.server import MAX_CONNECTIONS, serve
from facesr_edge.sdk.serving import connection
from prometheus_client.parser import text_string_to_metric_families
from support.live_runs import StatusOnly, decode, make_face, make_result, make_run

TOKEN = "a-token-of-the-tests-0123"
PATHS = ["/", "/page.js", "/updates?view=0.0.640", "/updates?faces=0.0", "/metrics", "/unknown"]


@pytest.fixture
def monitor():
    monitor = Monitor()
    monitor.done(make_result(faces=[make_face(1), make_face(5)], skipped=[(7, "too large")], size_wh=(640, 360)))
    return monitor


@contextmanager
def page(monitor, *cameras, **options):
    run = make_run(*(cameras or (StatusOnly(),)), last_turn_s=time.monotonic() + 3600)
    with serve(ObservedRun(run, monitor), port=0, **options) as server:
        yield server


def get(server, path, headers=(), method="GET", body=None):
    """Status, headers and body."""
    connection = HTTPConnection("127.0.0.1", urlsplit(server.url).port, timeout=10)
    try:
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def parts(headers, body):
    """Parts of an update by name; the state as an object."""
    message = BytesParser().parsebytes(b"Content-Type: " + headers["content-type"].encode() + b"\r\n\r\n" + body)
    content = {part.get_param("name", header="content-disposition"): part for part in message.get_payload()}
    data = {name: part.get_payload(decode=True) for name, part in content.items()}
    return {**data, "state": json.loads(data["state"])}


def test_an_update_has_what_the_viewer_lacks(monitor):
    with page(monitor) as server:
        status, headers, body = get(server, "/updates?view=0.0.300&faces=0.0")
        first = parts(headers, body)
        assert status == 200 and decode(first["view-0"]).shape == (180, 320, 3)
        assert {name for name in first if name.startswith(("original", "estimate"))} == {
            "original-0-1", "estimate-0-1", "original-0-5", "estimate-0-5",
        }  # fmt: skip
        frame = first["state"]["frames"]["0"]
        assert frame["number"] == 1 and frame["size_wh"] == [640, 360]
        assert [face["track_id"] for face in frame["faces"]] == [1, 5]
        assert frame["skipped"][0]["reason"] == "too large"
        again = parts(*get(server, "/updates?view=0.1.300&faces=0.1")[1:])
        assert list(again) == ["state"]
        assert list(parts(*get(server, "/updates")[1:])["state"]["frames"]) == []


def test_an_update_has_the_figures(monitor):
    monitor.done(make_result(queue_ms=3, compute_ms=50))
    offline = StatusOnly(name="b", state="offline", error="refused", newest_age_s=None, fps=None, size_wh=None)
    with page(monitor, StatusOnly(), offline) as server:
        state = parts(*get(server, "/updates")[1:])["state"]
    assert not state["healthy"] and state["model"] == "edge-tiny-x4-camera"
    first, second = state["cameras"]
    assert first["latencies_ms"]["queue"][0] == 2.5 and first["latencies_ms"]["compute"][0] == 40
    assert first["dropped"] == {"consumer": 1, "damaged": 0} and first["results"] == 2
    assert ["network", "new track", 2] in first["faces"] and ["skipped", "too large", 1] in first["faces"]
    assert second["state"] == "offline" and second["why"] == "refused (no frame has arrived)"


@pytest.mark.parametrize(
    "query", ["view=0", "view=0.0.640.1", "view=x.0.640", "view=-1.0.640", "faces=0.0.1", "faces="]
)
def test_an_invalid_query_is_refused(monitor, query):
    with page(monitor) as server:
        assert get(server, f"/updates?{query}")[0] == 400


def test_unknown_cameras_and_huge_numbers_are_ignored(monitor):
    with page(monitor) as server:
        status, headers, body = get(server, f"/updates?view=99.0.640&view=0.{'9' * 400}.{'9' * 400}")
        assert status == 200 and set(parts(headers, body)) == {"state", "view-0"}


@pytest.mark.parametrize("path", PATHS)
def test_without_the_token_a_request_is_refused(monitor, path):
    with page(monitor, host="0.0.0.0", token=TOKEN) as server:
        assert server.token == TOKEN and TOKEN not in server.url and server.link.endswith(f"/#token={TOKEN}")
        for headers in ({}, {"Authorization": f"Bearer {TOKEN[:-1]}"}, {"Cookie": "facesr-edge=x"}):
            status, answer, body = get(server, path, headers)
            assert status == 401 and answer["www-authenticate"] == "Bearer"
            assert b"edge-tiny" not in body and b"facesr_edge_" not in body and TOKEN.encode() not in body
        assert get(server, f"{path}{'&' if '?' in path else '?'}token={TOKEN}")[0] == 401  # never in a URL
        assert get(server, path, {"Authorization": f"Bearer {TOKEN}"})[0] == (404 if path == "/unknown" else 200)
        assert get(server, path, method="POST")[0] == 401


def test_a_web_socket_is_refused(monitor):
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "eA==",
    }
    with page(monitor, host="0.0.0.0") as server:
        assert get(server, "/updates", upgrade)[0] == 401


def test_the_token_is_changed_for_a_cookie(monitor):
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    with page(monitor, host="0.0.0.0", token=TOKEN) as server:
        status, headers, body = get(server, "/login", form, "POST", "token=wrong-token-0123456789")
        assert status == 401 and b"That is not the token" in body and "set-cookie" not in headers
        status, headers, _ = get(server, "/login", form, "POST", f"token={TOKEN}")
        assert status == 303 and headers["location"] == "/"
        cookie = headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Secure" not in cookie
        assert get(server, "/metrics", {"Cookie": cookie.partition(";")[0]})[0] == 200
        assert get(server, "/login", form, "POST", "token=" + "x" * 10_000)[0] == 413


def test_health_is_open_without_details(monitor):
    frozen = StatusOnly(name="garden", state="frozen", newest_age_s=7.0)
    with page(monitor, frozen, host="0.0.0.0", token=TOKEN) as server:
        status, _, body = get(server, "/healthz")
        assert (status, json.loads(body)) == (503, {"healthy": False})
        _, _, body = get(server, "/healthz", {"Authorization": f"Bearer {TOKEN}"})
        assert json.loads(body)["cameras"][0]["why"].startswith("connected, but no frame comes")
        frozen.now = StatusOnly(name="garden").now
        assert get(server, "/healthz")[0] == 200


def test_a_foreign_host_or_page_is_refused_on_this_machine_too(monitor):
    with page(monitor, hosts=["box.example"]) as server:
        assert server.token is None and server.link == server.url
        for headers in ({"Host": "attacker.example"}, {"Origin": "http://attacker.example"}):
            status, answer, body = get(server, "/metrics", headers)
            assert status == 421 and b"facesr" not in body and answer["x-frame-options"] == "DENY"
        assert get(server, "/metrics", {"Host": "box.example:8080"})[0] == 200


def test_every_response_has_security_headers(monitor):
    with page(monitor) as server:
        for path in (*PATHS, "/page.css", "/icon.svg", "/login.js", "/healthz"):
            _, headers, _ = get(server, path)
            assert "default-src 'none'" in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff" and headers["cache-control"] == "no-store"
            assert "server" not in headers


def test_metrics_come_in_both_formats(monitor):
    with page(monitor) as server:
        _, headers, body = get(server, "/metrics")
        names = {family.name for family in text_string_to_metric_families(body.decode())}
        assert {"facesr_edge_faces", "process_resident_memory_bytes"} <= names
        assert headers["content-type"].startswith("text/plain; version=")
        _, headers, body = get(server, "/metrics", {"Accept": "application/openmetrics-text"})
        assert headers["content-type"].startswith("application/openmetrics-text") and body.endswith(b"# EOF\n")


def test_an_address_that_is_taken_is_told(monitor):
    with page(monitor) as server, pytest.raises(OutputError, match=r"cannot listen at 127\.0\.0\.1 port \d+: .*in use"):
        serve(ObservedRun(make_run(), monitor), port=urlsplit(server.url).port)
    with pytest.raises(OutputError, match=r"cannot listen at 192\.0\.2\.1 port 0"):
        serve(ObservedRun(make_run(), monitor), host="192.0.2.1", port=0)
    with pytest.raises(UsageError, match="port of 0 to 65535, got 99999"):
        serve(ObservedRun(make_run(), monitor), port=99999)


def test_a_short_token_leaves_the_port_free(monitor):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(UsageError, match="at least 16 ASCII characters") as error:
        serve(ObservedRun(make_run(), monitor), port=port, token="short")
    with serve(ObservedRun(make_run(), monitor), port=port):  # while the error, and with it the frames, is kept
        assert error


def test_the_page_stops_within_a_second_while_viewers_hang(monitor, caplog):
    others = set(threading.enumerate())
    with page(monitor) as server:
        address = ("127.0.0.1", urlsplit(server.url).port)
        idle = socket.create_connection(address)
        stuck = socket.create_connection(address)
        for _ in range(200):  # asks, and never reads
            stuck.sendall(b"GET /updates?view=0.0.960 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert get(server, "/healthz")[0] == 200
        start = time.monotonic()
    assert time.monotonic() - start < 1
    idle.close(), stuck.close()
    server.close()  # idempotent
    with pytest.raises(OSError):
        get(server, "/")
    end = time.monotonic() + 5
    while (left := set(threading.enumerate()) - others) and time.monotonic() < end:
        time.sleep(0.05)
    assert not left and not caplog.records


@pytest.mark.parametrize("start", [b"", b"GET / HTTP/1.1\r\nHost: lo"])
def test_connections_that_do_nothing_do_not_lock_others_out(monitor, monkeypatch, start):
    monkeypatch.setattr(connection, "IDLE_S", 0.3)
    with page(monitor, host="0.0.0.0") as server:
        idle = [socket.create_connection(("127.0.0.1", urlsplit(server.url).port)) for _ in range(MAX_CONNECTIONS - 1)]
        for one in idle:
            one.sendall(start)
        assert not is_answered(server)
        end = time.monotonic() + 5
        while not is_answered(server) and time.monotonic() < end:
            time.sleep(0.1)
        assert is_answered(server)
        for one in idle:
            one.close()


def is_answered(server):
    """Whether the health is told; a server whose places are taken answers something else."""
    with suppress(OSError, HTTPException):
        return b"healthy" in get(server, "/healthz")[2]
    return False


def test_a_connection_that_reads_nothing_is_closed(monitor, monkeypatch):
    monkeypatch.setattr(connection, "IDLE_S", 0.3)
    with page(monitor) as server, socket.create_connection(("127.0.0.1", urlsplit(server.url).port)) as stuck:
        stuck.sendall(b"GET /updates?view=0.0.960 HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200)
        with pytest.raises(ConnectionError):
            for _ in range(100):
                time.sleep(0.1)
                stuck.sendall(b"G")


def test_a_slow_response_is_no_idle_connection(monitor, monkeypatch):
    monkeypatch.setattr(connection, "IDLE_S", 0.1)
    monkeypatch.setattr(app, "health", lambda run: time.sleep(0.6) or health(run))
    with page(monitor) as server:
        assert get(server, "/healthz")[0] == 200


def test_viewers_that_do_not_read_delay_neither_the_run_nor_others(monitor):
    with page(monitor) as server:
        stuck = [socket.create_connection(("127.0.0.1", urlsplit(server.url).port)) for _ in range(8)]
        for viewer in stuck:
            viewer.sendall(b"GET /updates?view=0.0.960 HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
        took = []
        for n in range(50):
            start = time.perf_counter()
            monitor.done(make_result(index=n, faces=[make_face(1)], size_wh=(640, 360)))
            took.append(time.perf_counter() - start)
            assert get(server, "/updates?view=0.0.640")[0] == 200
        assert np.median(took) < 0.02
        for viewer in stuck:
            viewer.close()
