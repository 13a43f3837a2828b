"""`Reconnect`: delays, and the errors after which no attempt is made; `open_source(reconnect=…)`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import pairwise

import pytest
from facesr_edge.engines.errors import (
    InputError,
    SourceAuthenticationError,
    SourceBrokenError,
    SourceNotFoundError,
    SourceTimeoutError,
    SourceUnreachableError,
    UsageError,
)
from facesr_edge.sdk.media.live.reconnect import Reconnect, is_fatal
from facesr_edge.sdk.media.sources import open_source
from support.media import encoded
from support.servers import MJPEG_HEAD, TcpServer, multipart

QUICK = Reconnect(first_s=0.05, max_s=0.1)


def test_delays_double_up_to_the_maximum() -> None:
    reconnect = Reconnect(first_s=0.5, max_s=10, jitter=0.5)
    assert [reconnect.delay_s(failures, 5.0, 0.0) for failures in range(1, 8)] == [0.5, 1, 2, 4, 8, 10, 10]
    assert [reconnect.delay_s(failures, 5.0, 1.0) for failures in (1, 2, 50, 5000)] == [0.25, 0.5, 5, 5]


def test_delays_after_a_refusal_are_short() -> None:
    assert [Reconnect().delay_s(failures, 0.01, 0.0) for failures in range(1, 5)] == [0.5, 1, 1, 1]


@pytest.mark.parametrize(
    "wrong",
    [{"first_s": 0.0}, {"first_s": 2, "max_s": 1}, {"jitter": 1.5}, {"jitter": -0.1}, {"give_up_s": 0}],
    ids=str,
)
def test_values_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="expected"):
        Reconnect(**wrong)


@pytest.mark.parametrize(
    ("error", "seen", "fatal"),
    [
        (SourceAuthenticationError, False, True),
        (SourceAuthenticationError, True, True),
        (SourceNotFoundError, False, True),
        (SourceNotFoundError, True, False),
        (SourceUnreachableError, False, False),
        (SourceTimeoutError, False, False),
        (SourceBrokenError, False, False),
    ],
)
def test_a_refused_user_and_an_unknown_stream_are_fatal(error: type[InputError], seen: bool, fatal: bool) -> None:
    assert is_fatal(error("x"), seen) == fatal


def status_server(status: str) -> str:
    head = f"HTTP/1.0 {status}\r\nContent-Length: 0\r\n\r\n".encode()
    return f"http://127.0.0.1:{TcpServer(b'', head).port}/live"


def silent_server() -> str:
    return f"rtsp://127.0.0.1:{TcpServer(b'').port}/live"


@pytest.mark.parametrize(
    ("url", "error"),
    [
        (lambda: status_server("401 Unauthorized"), SourceAuthenticationError),
        (lambda: status_server("403 Forbidden"), SourceAuthenticationError),
        (lambda: status_server("404 Not Found"), SourceNotFoundError),
        (lambda: "rtsp://127.0.0.1:9/live", SourceUnreachableError),
        (lambda: "rtsp://no-such-host.invalid/live", SourceUnreachableError),
        (lambda: "/dev/video99", SourceUnreachableError),
        (silent_server, SourceTimeoutError),
        (lambda: status_server("500 Internal Server Error"), SourceBrokenError),
    ],
    ids=["401", "403", "404", "port", "host", "device", "silent", "500"],
)
def test_class_of_the_error_tells_why_opening_failed(url: Callable[[], str], error: type[InputError]) -> None:
    with pytest.raises(error) as raised:
        open_source(url(), timeout_s=1)
    assert type(raised.value) is error
    assert ";" in str(raised.value)


class Restarting:
    """An MJPEG server at one port that hangs up some times after a few pictures."""

    def __init__(self, times: int) -> None:
        self.server = TcpServer(multipart(encoded(".jpg"), 10), MJPEG_HEAD)
        self.url = f"http://127.0.0.1:{self.server.port}/"
        threading.Thread(target=self._hang_up, args=(times,), daemon=True).start()

    def _hang_up(self, times: int) -> None:
        for _ in range(times):
            time.sleep(0.4)
            self.server.drop_clients()


def test_source_goes_on_after_reconnection() -> None:
    server = Restarting(2)
    with open_source(server.url, timeout_s=2, reconnect=QUICK) as source:
        frames = []
        for frame in source:
            frames.append(frame)
            if source.reconnects == 2:  # type: ignore[attr-defined]
                break
    assert all(later.index > earlier.index for earlier, later in pairwise(frames))
    assert all(later.time_s > earlier.time_s for earlier, later in pairwise(frames))
    assert frames[-1].index == len(frames) + source.dropped - 1


def test_source_gives_up() -> None:
    server = TcpServer(multipart(encoded(".jpg"), 10), MJPEG_HEAD)
    reconnect = Reconnect(0.05, 0.1, give_up_s=0.6)
    with open_source(f"http://127.0.0.1:{server.port}/", timeout_s=2, reconnect=reconnect) as source:
        frames = iter(source)
        next(frames)
        server.stop()
        start_s = time.monotonic()
        with pytest.raises((SourceBrokenError, SourceUnreachableError)):
            list(frames)
        assert 0.3 < time.monotonic() - start_s < 3


def test_unknown_stream_raises_at_once() -> None:
    with pytest.raises(SourceNotFoundError):
        open_source(status_server("404 Not Found"), timeout_s=5, reconnect=Reconnect())
