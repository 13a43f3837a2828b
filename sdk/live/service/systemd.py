"""Messages of a service to systemd by its datagram protocol, see sd_notify(3)."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping

from ....engines.errors import UsageError, first_line, one_line

_log = logging.getLogger(__name__)


class ServiceNotifier:
    """Tells systemd that the service is ready, what it does, and that it is alive; without systemd it does nothing.

    Args:
        environment: with systemd's variables NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID.

    Attributes:
        watchdog_s: time without `alive` after which systemd restarts the service, in seconds; None for never.

    Raises:
        UsageError: WATCHDOG_USEC is no number of microseconds.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        path = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{path[1:]}" if path.startswith("@") else path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if path else None
        self.watchdog_s = _watchdog_s(environment) if path else None
        self._alive_s = -float("inf")
        self._failed = False

    def ready(self, status: str) -> None:
        """The service has started."""
        self._send(f"READY=1\nSTATUS={one_line(status)}")

    def status(self, text: str) -> None:
        """What `systemctl status` shows."""
        self._send(f"STATUS={one_line(text)}")

    def alive(self) -> None:
        """The service works; may be called at any rate: systemd is told four times per `watchdog_s`."""
        now_s = time.monotonic()
        if self.watchdog_s is not None and now_s - self._alive_s >= self.watchdog_s / 4:
            self._alive_s = now_s
            self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """The service ends; systemd gets no further message."""
        self._send("STOPPING=1")
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, message: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto(message.encode(), socket.MSG_DONTWAIT, self._address)
        except OSError as error:  # must not stop the cameras; the watchdog restarts a service that systemd cannot hear
            if not self._failed:
                _log.warning("systemd cannot be told %s: %s", message.splitlines()[0], first_line(error))
            self._failed = True


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    interval = environment.get("WATCHDOG_USEC", "")
    if not interval or environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    if not interval.isdecimal() or int(interval) == 0:
        raise UsageError(f"expected WATCHDOG_USEC in microseconds, got {interval}; systemd sets it by WatchdogSec=")
    return int(interval) / 1e6
