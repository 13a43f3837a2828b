"""The socket of a server, and the address by which others reach it."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from typing import Any

from ...engines.errors import OutputError, UsageError, first_line

START_S = 10.0
"""Maximum time until a server answers."""


def is_no_stop(record: logging.LogRecord) -> bool:
    """Whether a message is not about a request that was open when the server stopped, which is no error."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Args:
        host: name or address of this machine.
        port: 0 for a free one.

    Raises:
        UsageError: there is no such port.
        OutputError: the address is taken or is not one of this machine.
    """
    if not 0 <= port <= 65535:
        raise UsageError(f"expected a port of 0 to 65535, got {port}")
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, dualstack_ipv6=False)
    except OSError as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise OutputError(f"cannot listen at {host} port {port}: {reason}; choose another address or port") from None


def own_address(host: str) -> str:
    """The address by which others reach a server that listens at all addresses."""
    if host not in ("0.0.0.0", "::"):
        return host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("2001:db8::1" if ":" in host else "192.0.2.1", 9))  # sends nothing, chooses the interface
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()


def url_of(listener: socket.socket, host: str) -> str:
    """URL of what listens, without a path."""
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listener.getsockname()[1]}"


def wait_until_started(server: Any, thread: threading.Thread, url: str) -> None:
    """Wait for a server of uvicorn that runs in a thread.

    Raises:
        OutputError: it ended, or does not answer within `START_S`.
    """
    end_s = time.monotonic() + START_S
    while not server.started:
        if not thread.is_alive() or time.monotonic() > end_s:
            raise OutputError(f"the server of {url} does not start; see the log of uvicorn")
        time.sleep(0.01)
