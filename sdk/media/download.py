"""Pictures behind HTTP URLs, recognized by their content."""

from __future__ import annotations

import http.client
import time
import urllib.request
from urllib.parse import unquote, urlsplit

from ...engines.errors import InputError
from .images.header import image_header
from .url import masked

MAX_BYTES = 512 << 20
MAX_SECONDS = 60
_BLOCK = 1 << 16
_STREAMS = ("multipart/", "video/", "audio/")


def download_image(url: str, timeout_s: float) -> bytes | None:
    """Download a picture.

    Args:
        url: http or https, with or without user and password.
        timeout_s: maximum wait for the connection, and for each block of data, in seconds. A download may take
            `MAX_SECONDS` in all.

    Returns:
        The file; None if the content is no image, or the server refuses a plain request.

    Raises:
        InputError: no answer in time, or the image is too large, arrives too slowly or incomplete.
    """
    request = urllib.request.Request(_without_user(url), headers={"User-Agent": "facesr-edge"})
    try:
        with _opener(url).open(request, timeout=timeout_s) as response:
            if response.headers.get_content_type().startswith(_STREAMS):
                return None
            head = response.read(32)
            return _whole(response, head, masked(url)) if image_header(head) else None
    except (OSError, ValueError, http.client.HTTPException) as error:
        if not isinstance(getattr(error, "reason", error), TimeoutError):
            return None  # FFmpeg tries, and reports why
        message = f"no answer from {masked(url)} for {timeout_s:g} s; check that it is on and reachable"
        raise InputError(message) from None


def _whole(response: http.client.HTTPResponse, head: bytes, name: str) -> bytes:
    """Read to the end, within the limits."""
    length = int(response.headers.get("Content-Length") or 0)
    blocks, size, end = [head], len(head), time.monotonic() + MAX_SECONDS
    while size <= MAX_BYTES and length <= MAX_BYTES:
        block = response.read(_BLOCK)
        if not block:
            if size < length:
                raise InputError(f"{name} ended after {size} of {length} bytes; try again")
            return b"".join(blocks)
        blocks.append(block)
        size += len(block)
        if time.monotonic() > end:
            raise InputError(f"{name} was not complete after {MAX_SECONDS} s; download it first")
    raise InputError(f"{name} is larger than {MAX_BYTES >> 20} MiB, the limit of an image; download and resize it")


def _without_user(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _opener(url: str) -> urllib.request.OpenerDirector:
    """Opener that answers requests for basic and digest authentication with the user of the URL."""
    parts = urlsplit(url)
    if not parts.username:
        return urllib.request.build_opener()
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    passwords.add_password(None, _without_user(url), unquote(parts.username), unquote(parts.password or ""))
    handlers = urllib.request.HTTPBasicAuthHandler(passwords), urllib.request.HTTPDigestAuthHandler(passwords)
    return urllib.request.build_opener(*handlers)
