"""Who may use a server: the token, and the host names by which it may be called."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from urllib.parse import urlsplit

from ...engines.errors import UsageError

MIN_TOKEN = 16
"""Minimum length of a token that a user chooses."""


@dataclass(frozen=True)
class Access:
    """Decides about requests by their headers.

    Args:
        token: that a request must bring; None for a server that only this machine can reach.
        names: host names by which the server may be called, lower case. A page of another site whose name was pointed
            to this machine (DNS rebinding) comes with its own. IP addresses are always allowed: they cannot be pointed.
        cookie: name of the cookie that holds the token.
    """

    token: str | None
    names: frozenset[str]
    cookie: str

    def has_token(self, headers: Mapping[str, str]) -> bool:
        """Whether the header Authorization or the cookie holds the token; true if none is needed."""
        return self.token is None or self._bearer(headers) or self.is_token(_cookie(headers, self.cookie))

    def is_token(self, text: str) -> bool:
        """Compare in constant time."""
        return self.token is not None and secrets.compare_digest(text.encode(), self.token.encode())

    def is_for_us(self, headers: Mapping[str, str]) -> bool:
        """Whether the request names this machine, and comes from a page of this server or from no page at all."""
        if self._bearer(headers):  # a page of another site cannot know it
            return True
        host = headers.get("host", "")
        if not self._is_name(host):
            return False
        if "origin" in headers and not _is_at(headers["origin"], host):
            return False
        opens = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
        return opens or headers.get("sec-fetch-site", "none") in ("same-origin", "none")

    def _bearer(self, headers: Mapping[str, str]) -> bool:
        scheme, _, value = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self.is_token(value.strip())

    def _is_name(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return is_address(name) or name in self.names


def access_for(host: str, port: int, token: str | None = None, hosts: Iterable[str] = ()) -> Access:
    """Rules for a server at an address.

    Args:
        host, port: address of the server.
        token: chosen by the user; None for a new one, or for none if only this machine can reach the server.
        hosts: further names by which the server may be called, e.g. that of a reverse proxy.

    Raises:
        UsageError: the token is too short, or has characters that a header cannot hold.
    """
    if token is not None and (len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable() or " " in token):
        raise UsageError(f"expected a token of at least {MIN_TOKEN} ASCII characters without spaces, got {len(token)}")
    if token is None and not is_local(host):
        token = secrets.token_urlsafe(24)
    machine = socket.gethostname().lower()
    names = {
        "localhost",
        host.lower(),
        machine,
        f"{machine.partition('.')[0]}.local",
        *(name.lower() for name in hosts),
    }
    return Access(token, frozenset(names), f"facesr-edge-{port}")  # browsers share cookies between the ports of a host


def is_local(host: str) -> bool:
    """Whether only this machine can reach the address."""
    return host == "localhost" or (is_address(host) and ip_address(host).is_loopback)


def _is_at(origin: str, host: str) -> bool:
    try:
        return urlsplit(origin).netloc == host
    except ValueError:  # brackets without an address
        return False


def is_address(name: str) -> bool:
    """Whether a name is an IP address."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _cookie(headers: Mapping[str, str], name: str) -> str:
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return ""
    return "" if morsel is None else morsel.value
