"""A connection to a server that ends if the other side does nothing: idle ones would take the places of others."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

IDLE_S = 5.0
"""Time in which the next request, the rest of one, or reading of the response has to go on."""


class Connection(H11Protocol):
    """HTTP, as uvicorn speaks it; closed after once to twice `IDLE_S` in which it waits for the other side."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        self._before: Any = (None, 0)
        self._check_later()

    def _check_later(self) -> None:
        self._due_s = self.loop.time() + IDLE_S
        self.loop.call_later(IDLE_S, self._check)

    def progress(self) -> Any:
        """What changes while the other side does something: the request, and how much of its response is not read."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle, self.transport.get_write_buffer_size()

    def _check(self) -> None:
        unread, cycle = self.transport.get_write_buffer_size(), self.cycle
        waits = unread > 0 or cycle is None or cycle.response_complete or cycle.more_body
        now = self.progress()
        is_late = self.loop.time() - self._due_s > IDLE_S / 10  # this side may be what did not go on
        if waits and self._before == now and not is_late:
            self.transport.abort()
        elif self in self.connections:
            self._before = now
            self._check_later()
