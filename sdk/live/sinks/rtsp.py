"""Live video of a camera, published to an RTSP server."""

from __future__ import annotations

from urllib.parse import urlsplit

from ....engines.errors import OutputError, SendError, UsageError
from ...media.reasons import error_reason
from ...media.url import masked
from .live_encoder import StreamTarget
from .stream import StreamSink

CONNECT_S = 1.0
"""Maximum wait for the server in each step of the connection, and for each packet that it takes, in seconds."""


class RtspSink(StreamSink):
    """Publishes to an RTSP server that accepts it (RECORD), e.g. MediaMTX or GStreamer's, over TCP.

    Args:
        url: may have user and password.
        camera, by_arrival: see `StreamSink`.

    Raises:
        UsageError: the URL has no host, or another scheme.
    """

    max_delay_s = 2.0

    def __init__(self, url: str, camera: str, *, by_arrival: bool = True) -> None:
        super().__init__(url, camera, by_arrival=by_arrival)
        check_rtsp(url)
        self._url = url

    def _target(self) -> StreamTarget:
        options = {"rtsp_transport": "tcp", "timeout": str(round(CONNECT_S * 1e6))}
        return StreamTarget(self._url, "rtsp", options, CONNECT_S)

    def _error(self, error: Exception) -> OutputError:
        reason = error_reason(error).partition(": 'rtsp")[0]
        return SendError(f"cannot publish to {self.name}: {reason}; check that the server runs and accepts RECORD")


def check_rtsp(url: str) -> None:
    """Check the address of an `RtspSink`.

    Raises:
        UsageError: it has no host, or another scheme.
    """
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("rtsp", "rtsps") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is not a number
        valid = False
    if not valid:
        raise UsageError(f"expected rtsp[s]://[user:password@]host[:port]/name, got {masked(url)}")
