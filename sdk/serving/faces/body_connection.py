"""A connection on which a body may take its time, as long as it goes on, and of which one client has only so many."""

from __future__ import annotations

import asyncio
from typing import Any

from ..connection import Connection
from .admission import network

REQUEST_S = 300.0
"""Time after the head of a request in which bytes that arrive or leave keep its connection open."""


class BodyConnection(Connection):
    """HTTP as `Connection` speaks it; one whose body arrives is not idle. The service limits the time of a body.

    After a response that does not wait for the rest of the body, e.g. 401, the rest is read and dropped for `IDLE_S` to
    twice that time: to close at once would take the response from a client that still sends.
    """

    max_of_client: float = float("inf")
    """Connections of a client, see `network`; more are closed."""
    proxy: str | None = None
    """Address that may have any number of connections."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn
        """See `asyncio.Protocol`."""
        self._received = 0
        self._request: Any = None
        self._since_s = self.loop.time()
        super().connection_made(transport)
        own = _client(self)
        if self.proxy is not None and own == network(self.proxy):
            return
        if sum(_client(other) == own for other in self.connections) > self.max_of_client:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self.cycle is not None and self.cycle.more_body and not self.cycle.response_complete:
            self._received += len(data)
        super().data_received(data)

    def progress(self) -> Any:
        """See `Connection`; a body that is not read at present is not the other side's fault."""
        now_s = self.loop.time()
        if self._request is not self.cycle:
            self._request, self._since_s = self.cycle, now_s
        if now_s - self._since_s > REQUEST_S:
            return None
        return object() if self.flow.read_paused else (super().progress(), self._received)


def connections_of(max_of_client: float, proxy: str | None) -> type[BodyConnection]:
    """Connections of a server.

    Args:
        max_of_client: see `BodyConnection`; inf for any number.
        proxy: address of a reverse proxy, which has the connections of all clients.
    """
    return type("BodyConnection", (BodyConnection,), {"max_of_client": max_of_client, "proxy": proxy})


def _client(connection: Any) -> str:
    return network(connection.client[0] if connection.client else "")
