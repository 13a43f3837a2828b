"""Serves the page of a live run in a thread."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ....engines.errors import MissingDependencyError, OutputError, UsageError, first_line
from .access import Access, access_for, is_local

if TYPE_CHECKING:
    from ..monitoring.observed import ObservedRun

START_S = 10.0
"""Maximum time until the server answers."""
STOP_S = 0.8
"""Maximum time to wait for its end."""
MAX_CONNECTIONS = 64


class PageServer:
    """The page of a run; a context manager.

    Args:
        server: that is not started yet.
        listener: bound socket.
        host: to be called by.
        access: rules.

    Attributes:
        url: of the page, without the token.
        token: that requests must bring; None if none is needed.
    """

    def __init__(self, server: Any, listener: socket.socket, host: str, access: Access) -> None:
        name = f"[{host}]" if ":" in host else host
        self.url = f"http://{name}:{listener.getsockname()[1]}/"
        self.token = access.token
        self._server, self._listener = server, listener
        self._thread = threading.Thread(target=server.run, args=([listener],), name="live page", daemon=True)
        self._thread.start()

    @property
    def link(self) -> str:
        """The URL to open first. It holds the token behind "#", which browsers neither send nor log."""
        return self.url if self.token is None else f"{self.url}#token={self.token}"

    def close(self) -> None:
        """Stop within a second; connections are closed. Idempotent."""
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(STOP_S)
        self._listener.close()

    def __enter__(self) -> PageServer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def wait_until_started(self) -> None:
        """Raises OutputError if the server does not start."""
        end_s = time.monotonic() + START_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > end_s:
                self.close()
                raise OutputError(f"the server of {self.url} does not start; see the log of uvicorn")
            time.sleep(0.01)


def serve(
    run: ObservedRun, *, host: str = "127.0.0.1", port: int = 8080, token: str | None = None, hosts: Iterable[str] = ()
) -> PageServer:
    """Serve the page of a live run, its metrics at /metrics and its health at /healthz, until the result is closed.

    Args:
        run: to be shown.
        host: address to listen at; only this machine can reach the default. Others need the token.
        port: 0 for a free one.
        token: at least 16 characters; None for a new one, or for none if only this machine can reach the page.
        hosts: names by which the page may be called, besides that of this machine and IP addresses.

    Raises:
        MissingDependencyError: the extra `cameras` is not installed.
        UsageError: the token is too short, or there is no such port.
        OutputError: the address is taken or is not one of this machine.
    """
    try:
        import uvicorn

        from .app import application
        from .connection import Connection
    except ModuleNotFoundError as error:
        raise MissingDependencyError(error.name or "uvicorn", "cameras", "the page of a live run") from None
    logging.getLogger("uvicorn.error").addFilter(_is_no_stop)
    listener = _listen(host, port)
    try:
        access = access_for(host, listener.getsockname()[1], token, hosts)
        config = uvicorn.Config(
            application(run, access),
            http=Connection,
            limit_concurrency=MAX_CONNECTIONS,
            log_config=None,
            access_log=False,
            server_header=False,
            ws="none",
            lifespan="off",
        )
    except BaseException:
        listener.close()
        raise
    page = PageServer(uvicorn.Server(config), listener, host if is_local(host) else _own_address(host), access)
    page.wait_until_started()
    return page


def _is_no_stop(record: logging.LogRecord) -> bool:
    """Whether a message is not about a request that was open when the server stopped, which is no error."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise UsageError(f"expected a port of 0 to 65535, got {port}")
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, dualstack_ipv6=False)
    except OSError as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise OutputError(f"cannot listen at {host} port {port}: {reason}; choose another address or port") from None


def _own_address(host: str) -> str:
    """The address by which others reach a page that listens at all addresses."""
    if host not in ("0.0.0.0", "::"):
        return host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("2001:db8::1" if ":" in host else "192.0.2.1", 9))  # sends nothing, chooses the interface
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()
