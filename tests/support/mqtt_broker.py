"""A real MQTT broker for tests: mosquitto, on a port of its own, that can be killed and started again."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROGRAM = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin:/opt/homebrew/sbin")


class Broker:
    """A process with a configuration of its own.

    Args:
        folder: for its files.
        settings: further lines of the configuration.
    """

    def __init__(self, folder: Path, settings: str = "allow_anonymous true") -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self._config = folder / "mosquitto.conf"
        self._config.write_text(f"listener {self.port} 127.0.0.1\n{settings}\nuser root\n")
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen([PROGRAM, "-c", str(self._config)], stderr=subprocess.DEVNULL)
        end_s = time.monotonic() + 10
        while time.monotonic() < end_s:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                time.sleep(0.01)
        raise AssertionError("mosquitto did not start")

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Subscriber:
    """Receives everything below a topic; connects again at once."""

    def __init__(self, port: int, topic: str, user: str | None = None, password: str | None = None) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self.messages: list[tuple[str, str, bool]] = []
        self.subscribed = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.username_pw_set(user, password)
        self._client.reconnect_delay_set(0.02, 0.02)
        self._client.on_connect = lambda client, *rest: client.subscribe(topic, qos=1)
        self._client.on_subscribe = lambda *rest: self.subscribed.set()
        self._client.on_message = lambda client, data, message: self.messages.append(
            (message.topic, message.payload.decode(), message.retain)
        )
        self._client.connect_async("127.0.0.1", port)
        self._client.loop_start()
        assert self.subscribed.wait(10)

    def of(self, topic: str) -> list[str]:
        return [payload for name, payload, _ in self.messages if name == topic]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def mqtt_broker(folder: Path, settings: str = "allow_anonymous true") -> Iterator[Broker]:
    """A running broker; the test is skipped where mosquitto is not installed."""
    pytest.importorskip("paho.mqtt.client")
    if PROGRAM is None:
        pytest.skip("mosquitto is not installed")
    broker = Broker(folder, settings)
    try:
        yield broker
    finally:
        broker.kill()


@contextmanager
def subscriber(
    broker: Broker, topic: str = "#", user: str | None = None, password: str | None = None
) -> Iterator[Subscriber]:
    client = Subscriber(broker.port, topic, user, password)
    try:
        yield client
    finally:
        client.close()
