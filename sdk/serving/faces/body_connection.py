"""A connection on which a body may take its time, as long as it goes on."""

from __future__ import annotations

import asyncio
from typing import Any

from ..connection import Connection


class BodyConnection(Connection):
    """HTTP as `Connection` speaks it; one whose body arrives is not idle. The service limits the time of a body."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn
        """See `asyncio.Protocol`."""
        self._received = 0
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self.cycle is not None and self.cycle.more_body:
            self._received += len(data)
        super().data_received(data)

    def progress(self) -> Any:
        """See `Connection`; a body that is not read at present is not the other side's fault."""
        return object() if self.flow.read_paused else (super().progress(), self._received)
