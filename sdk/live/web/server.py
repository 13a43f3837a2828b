"""Serves the page of a live run in a thread."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ....engines.errors import MissingDependencyError, OutputError
from ...serving.access import Access, access_for, is_local
from ...serving.listener import is_no_stop, listen, own_address, url_of, wait_until_started

if TYPE_CHECKING:
    from ..monitoring.observed import ObservedRun

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
        self.url = f"{url_of(listener, host)}/"
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
        try:
            wait_until_started(self._server, self._thread, self.url)
        except OutputError:
            self.close()
            raise


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

        from ...serving.connection import Connection
        from .app import application
    except ModuleNotFoundError as error:
        raise MissingDependencyError(error.name or "uvicorn", "cameras", "the page of a live run") from None
    logging.getLogger("uvicorn.error").addFilter(is_no_stop)
    listener = listen(host, port)
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
    page = PageServer(uvicorn.Server(config), listener, host if is_local(host) else own_address(host), access)
    page.wait_until_started()
    return page
