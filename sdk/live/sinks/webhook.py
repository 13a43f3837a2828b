"""HTTP POST of results as JSON."""

from __future__ import annotations

import hashlib
import json
import re
import ssl
from base64 import b64encode
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, quote, unquote, urlsplit

from .... import __version__
from ....engines.errors import OutputError, SendError, UsageError
from ...media.reasons import error_reason
from ...media.url import masked
from .sink import LiveSink

if TYPE_CHECKING:
    from ..results import LiveResult

TRY_LATER = (408, 425, 429)
"""Status codes below 500 after which the same request may succeed."""
MAX_ANSWER = 1 << 16
"""Bytes of an answer that are read, so that the connection can be used again."""

_UNSENDABLE = re.compile(r"[^!-~]")


class WebhookSink(LiveSink[dict[str, Any]]):
    """Posts results that have faces, or tracks that ended, as ``{"results": [...]}``, several at once if they wait.

    A server that does not answer, or answers with 408, 425, 429 or 5xx, gets the same body again; the header
    Idempotency-Key tells that it is the same. Redirections are not followed, and proxies are not used.

    Args:
        url: of the schemes http and https; user and password become Basic authentication. The name of the sink is
            only its scheme and host.
        timeout_s: maximum wait for the connection, and for each part of the answer, in seconds.

    Raises:
        UsageError: see `check_webhook`.
    """

    max_batch = 64

    def __init__(self, url: str, timeout_s: float = 5.0) -> None:
        super().__init__(webhook_name(url))
        self._parts, self._timeout_s = check_webhook(url), timeout_s
        path = self._parts.path or "/"
        self._path = f"{path}?{self._parts.query}" if self._parts.query else path
        self._headers = {"Content-Type": "application/json", "User-Agent": f"facesr-edge/{__version__}"}
        if self._parts.username is not None:
            login = f"{unquote(self._parts.username)}:{unquote(self._parts.password or '')}"
            self._headers["Authorization"] = f"Basic {b64encode(login.encode()).decode()}"
        self._connection: HTTPConnection | None = None

    def select(self, result: LiveResult) -> Sequence[dict[str, Any]]:
        """See `LiveSink`."""
        return [result.to_dict()] if result.faces or result.skipped or result.ended_tracks else []

    def write(self, items: Sequence[dict[str, Any]]) -> None:
        """See `LiveSink`."""
        body = json.dumps({"results": list(items)}, allow_nan=False).encode()
        try:
            status, reason = self._post(body)
        except (OSError, HTTPException) as error:
            self.close()
            raise SendError(f"no answer from {self.name}: {error_reason(error)}; check that it runs") from error
        if 200 <= status < 300:
            return
        problem = f"{self.name} answered {status} {reason}"
        if status >= 500 or status in TRY_LATER:
            raise SendError(f"{problem}; check the server")
        raise OutputError(f"{problem}; check the URL and what the server expects")

    def _post(self, body: bytes) -> tuple[int, str]:
        """Send a body; once more if a connection that was kept open has been closed by the server meanwhile."""
        reused = self._connection is not None
        try:
            return self._exchange(body)
        except (ConnectionError, HTTPException):
            if not reused:
                raise
            self.close()
            return self._exchange(body)

    def _exchange(self, body: bytes) -> tuple[int, str]:
        if self._connection is None:
            self._connection = self._connect()
        key = hashlib.sha256(body).hexdigest()[:32]
        self._connection.request("POST", self._path, body, {**self._headers, "Idempotency-Key": key})
        response = self._connection.getresponse()
        response.read(MAX_ANSWER)
        if not response.isclosed():
            self.close()
        return response.status, response.reason

    def _connect(self) -> HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._parts.scheme == "https":
            return HTTPSConnection(host, port, timeout=self._timeout_s, context=ssl.create_default_context())
        return HTTPConnection(host, port, timeout=self._timeout_s)

    def close(self) -> None:
        """See `LiveSink`."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def webhook_name(url: str) -> str:
    """Scheme, host and port of a webhook: its path is often the secret itself."""
    return re.sub(r"^([^/]*//)(?:[^/?#]*@)?([^/?#]*).*", r"\1\2", masked(url), flags=re.DOTALL)


def check_webhook(url: str) -> SplitResult:
    """Parts of the address of a webhook.

    Raises:
        UsageError: it has no host, another scheme, or characters that cannot be sent.
    """
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        (parts.hostname or "").encode("idna")
    except ValueError:  # the port is not a number, or the host is no name
        valid = False
    if not valid:
        raise UsageError(f"expected a webhook of the form https://host[:port]/path, got {webhook_name(url)}")
    if found := _UNSENDABLE.search(url):
        raise UsageError(
            f"the URL of {webhook_name(url)} has {found[0]!r} in it, which cannot be sent; write {quote(found[0])}"
        )
    return parts
