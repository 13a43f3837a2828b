"""URLs of network streams: FFmpeg's timeouts, and credentials masked in messages."""

from __future__ import annotations

import re
from typing import Literal

Transport = Literal["auto", "tcp", "udp"]

_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^\s'\"<>]+", re.IGNORECASE)
_SECRET = re.compile(
    r"(?i)([?&;#](?:(?:[^=&;#]*[_-])?(?:pass|passphrase|pwd|pw|auth|authorization|sig|signature|credential|session"
    r"|sessionid|jwt|code)|[^=&;#]*(?:passwd|password|token|key|secret))=)[^&;#\s]*"
)
_RTSP_PROBE_US = "500000"
_PORT = re.compile(r":\d*")


def timeout_options(location: str, timeout_s: float) -> dict[str, str]:
    """FFmpeg's options that limit connecting and every read of a URL.

    FFmpeg then ends a blocked read by itself. PyAV's own `timeout` calls Python code from inside FFmpeg; a thread that
    does so while the interpreter ends crashes the process.

    Args:
        location: URL; files and devices have no such option.
        timeout_s: maximum wait in seconds.
    """
    scheme, separator, _ = location.partition("://")
    if not separator:
        return {}
    microseconds = str(max(1, round(timeout_s * 1e6)))
    options = {"rw_timeout": microseconds}
    if not scheme.startswith("rtmp"):  # there "timeout" means: wait for an incoming connection
        options["timeout"] = microseconds
    return options


def live_options(location: str, transport: Transport) -> dict[str, str]:
    """FFmpeg's options for a live stream.

    FFmpeg reads 20 frames to measure the frame rate before it opens a stream: 4 s of a camera with 5 frames/s.

    Args:
        location: URL; devices have no such option.
        transport: of RTSP: tcp, udp; auto for TCP, and UDP where the server refuses it.
    """
    if "://" not in location:
        return {}
    options = {"fpsprobesize": "0"}
    if location.startswith("rtsp"):  # which announces its streams; others have to be found
        options["analyzeduration"] = _RTSP_PROBE_US
        options |= {"rtsp_flags": "prefer_tcp"} if transport == "auto" else {"rtsp_transport": transport}
    return options


def masked(text: str) -> str:
    """A URL, or a message with URLs in it, without passwords and tokens: "rtsp://admin:***@host/live?token=***"."""
    return _SECRET.sub(r"\1***", _URL.sub(lambda match: _without_password(match[0]), text))


def _without_password(url: str) -> str:
    """Mask the password before the host; an "@" or "/" that is not percent-encoded may be part of it."""
    scheme, _, rest = url.partition("://")
    rest = masked(rest)  # a URL in the query of another
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    end = authority.rfind("@")
    if end < 0:  # no user, unless what follows the colon is no port: then the password has a slash
        colon = authority.find(":")
        if colon < 0 or authority.startswith("[") or _PORT.fullmatch(authority[colon:]):
            return f"{scheme}://{rest}"
        end = rest.rfind("@")
    if end < 0:
        return f"{scheme}://{rest}"
    user, colon_found, password = rest[:end].partition(":")
    if scheme.lower() in ("http", "https") and not password:  # a token in the place of the user
        return f"{scheme}://***{rest[end:]}"
    return f"{scheme}://{user}{':***' if colon_found else ''}{rest[end:]}"
