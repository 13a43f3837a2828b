"""Messages to systemd, received on a real datagram socket."""

import logging
import os
import socket
import time

import pytest
from facesr_edge.engines.errors import UsageError
from facesr_edge.sdk.live.service.systemd import ServiceNotifier


@pytest.fixture(params=["path", "abstract"])
def systemd(request, tmp_path):
    """Socket that receives, and its name in NOTIFY_SOCKET."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@facesr-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"\0{name[1:]}" if name.startswith("@") else name)
        receiver.settimeout(0.05)
        yield receiver, name


def received(receiver):
    messages = []
    try:
        while True:
            messages.append(receiver.recv(4096).decode())
    except TimeoutError:
        return messages


def test_the_states_of_a_service_are_sent(systemd):
    receiver, name = systemd
    notifier = ServiceNotifier({"NOTIFY_SOCKET": name})
    notifier.ready("2 cameras")
    notifier.status("1 of 2 cameras live\nWATCHDOG=1\x1b")
    notifier.alive()
    notifier.stopping()
    notifier.status("late")
    assert notifier.watchdog_s is None
    status = "STATUS=1 of 2 cameras live WATCHDOG=1\\x1b"  # one message, one line
    assert received(receiver) == ["READY=1\nSTATUS=2 cameras", status, "STOPPING=1"]


def test_the_watchdog_is_fed_four_times_per_interval_at_most(systemd):
    receiver, name = systemd
    notifier = ServiceNotifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "400000", "WATCHDOG_PID": str(os.getpid())})
    assert notifier.watchdog_s == 0.4
    for _ in range(100):
        notifier.alive()
    assert received(receiver) == ["WATCHDOG=1"]
    time.sleep(0.11)
    notifier.alive()
    assert received(receiver) == ["WATCHDOG=1"]


def test_the_watchdog_of_another_process_is_not_fed(systemd):
    receiver, name = systemd
    notifier = ServiceNotifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "400000", "WATCHDOG_PID": "1"})
    notifier.alive()
    assert notifier.watchdog_s is None and received(receiver) == []


def test_nothing_is_sent_without_systemd(monkeypatch):
    opened = []
    monkeypatch.setattr(socket, "socket", lambda *arguments: opened.append(arguments))
    notifier = ServiceNotifier({"WATCHDOG_USEC": "400000"})
    for tell in (lambda: notifier.ready(""), lambda: notifier.status(""), notifier.alive, notifier.stopping):
        tell()
    assert notifier.watchdog_s is None and not opened


def test_a_socket_that_is_gone_is_logged_once(tmp_path, caplog):
    notifier = ServiceNotifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    with caplog.at_level(logging.WARNING):
        notifier.ready("a")
        notifier.status("b")
    assert caplog.messages == ["systemd cannot be told READY=1: [Errno 2] No such file or directory"]


def test_a_full_queue_does_not_block(systemd):
    receiver, name = systemd
    notifier = ServiceNotifier({"NOTIFY_SOCKET": name})
    start = time.perf_counter()
    for number in range(2000):
        notifier.status(str(number))
    assert time.perf_counter() - start < 5 and received(receiver)[0] == "STATUS=0"


@pytest.mark.parametrize("interval", ["x", "-5", "0"])
def test_an_invalid_interval_is_refused(tmp_path, interval):
    with pytest.raises(UsageError, match=f"expected WATCHDOG_USEC in microseconds, got {interval}"):
        ServiceNotifier({"NOTIFY_SOCKET": str(tmp_path / "s"), "WATCHDOG_USEC": interval})
