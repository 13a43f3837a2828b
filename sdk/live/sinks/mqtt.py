"""MQTT: faces and states of cameras as messages, for home automation, dashboards and other programs."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Condition
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from ....engines.errors import InputError, MissingDependencyError, SendError, UsageError
from ...media.reasons import error_reason
from ...media.url import masked
from .safe_name import safe_name
from .sink import LiveSink

if TYPE_CHECKING:
    from paho.mqtt.client import Client

    from ..camera import CameraStatus
    from ..results import LiveResult

ACK_S = 2.0
"""Maximum wait for a broker's acknowledgements in one call, in seconds."""
RECONNECT_S = (0.5, 10.0)
"""Delay before a new connection, and what it grows to, in seconds."""
KEEPALIVE_S = 15
"""Time after which a silent connection is tested; the broker publishes the last will after 1.5 times of it."""
TLS_PORT, PORT = 8883, 1883
_FILES = ("ca", "cert", "key", "password_file")


@dataclass(frozen=True)
class MqttAddress:
    """Where and how messages are published.

    Args:
        host, port: of the broker.
        prefix: of all topics, without a slash at its end.
        user, password: None for a broker without authentication.
        tls: whether the connection is encrypted, and the broker's certificate checked.
        ca: file with the certificates to trust; None for those of the system.
        cert, key: files of the client's certificate; None without one.
    """

    host: str
    port: int
    prefix: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    ca: str | None = None
    cert: str | None = None
    key: str | None = None


def parse_mqtt(url: str) -> MqttAddress:
    """Address of "mqtt[s]://[user[:password]@]host[:port][/prefix][?ca=FILE&cert=FILE&key=FILE&password_file=FILE]".

    Args:
        url: mqtts is encrypted. Without a prefix it is "facesr/HOSTNAME".

    Raises:
        UsageError: another form, or an unknown option.
        InputError: the password file cannot be read.
    """
    try:
        parts = urlsplit(url)
        options, port = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query))), parts.port
    except ValueError:
        parts, options, port = urlsplit(""), {}, None
    prefix = unquote(parts.path).strip("/")
    if (
        parts.scheme not in ("mqtt", "mqtts")
        or not parts.hostname
        or set(options) - set(_FILES)
        or set(prefix) & {*"+#"}
    ):
        raise UsageError(
            "expected mqtt[s]://[user[:password]@]host[:port][/prefix] with the options "
            f"{', '.join(_FILES)}, got {masked(url)}"
        )
    tls = parts.scheme == "mqtts"
    password = unquote(parts.password) if parts.password is not None else None
    if "password_file" in options:
        password = _first_line(Path(options.pop("password_file")))
    user = unquote(parts.username) if parts.username else None
    default = TLS_PORT if tls else PORT
    prefix = prefix or f"facesr/{safe_name(socket.gethostname())}"
    return MqttAddress(parts.hostname, port or default, prefix, user, password, tls, **options)


def _first_line(path: Path) -> str:
    try:
        return path.read_text("utf-8").partition("\n")[0]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the password file {path}: {error_reason(error)}; give a text file") from error


@dataclass(frozen=True)
class Message:
    """A message.

    Args:
        topic: full name.
        payload: JSON or a word.
        retain: the broker keeps it for clients that subscribe later.
    """

    topic: str
    payload: str
    retain: bool = False


class MqttSink(LiveSink[Message]):
    """Publishes, with quality of service 1, below the prefix of the address:

    - CAMERA/faces: a result that has faces, or tracks that ended, as JSON.
    - CAMERA/state: state of the camera as JSON, retained.
    - status: "online", retained; "offline" when the run ends or, as the last will, when the connection is lost.

    The client reconnects by itself, and then publishes the status and the newest states again, as a broker may have
    forgotten them. Messages count as written when the broker has acknowledged them; during an outage they wait in the
    queue.

    Args:
        url: see `parse_mqtt`.

    Raises:
        MissingDependencyError: paho-mqtt is not installed.
        UsageError, InputError: see `parse_mqtt`.
    """

    max_batch = 64
    retry_s, max_delay_s = float("inf"), 1.0

    def __init__(self, url: str) -> None:
        super().__init__(url)
        address = parse_mqtt(url)
        self._prefix = address.prefix
        self._states: dict[str, Message] = {}
        self._changed = Condition()
        self._acknowledged: set[int] = set()
        self._pending: set[int] = set()
        self._batch: Sequence[Message] | None = None
        self._accepted, self._problem = False, "it does not answer"
        self._client = self._connect(address)

    def _connect(self, address: MqttAddress) -> Client:
        client = _client(address)
        client.will_set(f"{self._prefix}/status", "offline", qos=1, retain=True)
        client.on_connect, client.on_connect_fail = self._on_connect, self._on_connect_fail
        client.on_disconnect, client.on_publish = self._on_disconnect, self._on_publish
        client.connect_async(address.host, address.port, KEEPALIVE_S)
        client.loop_start()
        return client

    def _on_connect(self, client: Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        """In the client's thread, as all callbacks."""
        self._accepted = not reason.is_failure
        if reason.is_failure:
            self._problem = str(reason).lower()
            return
        with self._changed:
            messages = [Message(f"{self._prefix}/status", "online", True), *self._states.values()]
        for message in messages:
            self._publish(message, client)

    def _on_connect_fail(self, client: Client, data: Any) -> None:
        error = sys.exc_info()[1]  # paho calls this where it handles the exception
        self._problem = error_reason(error) if isinstance(error, Exception) else "it cannot be reached"

    def _on_disconnect(self, client: Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if self._accepted and reason.is_failure:  # else `_on_connect` knows why
            self._problem = f"disconnected: {str(reason).lower()}"
        self._accepted = False

    def _on_publish(self, client: Client, data: Any, mid: int, reason: Any, properties: Any) -> None:
        with self._changed:
            self._acknowledged.add(mid)
            self._changed.notify_all()

    def _publish(self, message: Message, client: Client) -> int:
        return client.publish(message.topic, message.payload, qos=1, retain=message.retain).mid

    def select(self, result: LiveResult) -> Sequence[Message]:
        """See `LiveSink`."""
        if not (result.faces or result.skipped or result.ended_tracks):
            return []
        return [Message(self._topic(result.camera, "faces"), json.dumps(result.to_dict(), allow_nan=False))]

    def select_status(self, status: CameraStatus) -> Sequence[Message]:
        """See `LiveSink`."""
        payload = json.dumps({"clock_s": round(time.time(), 3), **asdict(status)}, allow_nan=False)
        message = Message(self._topic(status.name, "state"), payload, retain=True)
        with self._changed:
            self._states[message.topic] = message
        return [message]

    def _topic(self, camera: str, leaf: str) -> str:
        return f"{self._prefix}/{safe_name(camera)}/{leaf}"

    def write(self, items: Sequence[Message]) -> None:
        """See `LiveSink`; a batch that was published once is not published again, but waited for."""
        if items is not self._batch:
            if not self._client.is_connected():
                raise self._error()
            with self._changed:
                self._acknowledged.clear()
            self._pending = {self._publish(message, self._client) for message in items}
            self._batch = items
        with self._changed:
            if not self._changed.wait_for(lambda: self._pending <= self._acknowledged, ACK_S):
                raise self._error()

    def _error(self) -> SendError:
        problem = "no acknowledgement" if self._client.is_connected() else self._problem
        return SendError(f"cannot publish to {self.name}: {problem}; check the broker")

    def close(self) -> None:
        """See `LiveSink`."""
        if self._client.is_connected():
            offline = self._publish(Message(f"{self._prefix}/status", "offline", True), self._client)
            with self._changed:
                self._changed.wait_for(lambda: offline in self._acknowledged, ACK_S)
        self._client.disconnect()
        self._client.loop_stop()


def _client(address: MqttAddress) -> Client:
    try:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion
    except ImportError:
        raise MissingDependencyError("paho-mqtt", "cameras", "publishing by MQTT") from None
    client = Client(CallbackAPIVersion.VERSION2)
    client.connect_timeout = 5.0
    client.reconnect_delay_set(*RECONNECT_S)  # type: ignore[arg-type]  # fractions of a second work too
    client.max_inflight_messages_set(MqttSink.max_batch)
    if address.user is not None:
        client.username_pw_set(address.user, address.password)
    if address.tls:
        try:
            client.tls_set(address.ca, address.cert, address.key)
        except (OSError, ValueError) as error:
            raise InputError(f"cannot read the certificates of {address.host}: {error_reason(error)}") from error
    return client
