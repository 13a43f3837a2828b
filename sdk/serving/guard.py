"""Refuses requests without the token or from foreign pages, and adds security headers to every response."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from starlette.requests import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from .access import Access

FOREIGN = "unknown host name, or a request from another page; call this server by its IP address, or allow the name"
NO_TOKEN = "expected the token: Authorization: Bearer TOKEN"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with "no-referrer" the login form would come from the origin "null"
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}


class Guard:
    """Stands before an application.

    Args:
        app: gets the requests that are allowed.
        access: decides.
        open_paths: paths that need no token.
        refuse: makes the response to a request that is refused, of its path, a status (401 without the token, 421 for
            another host name or page) and a line of text.
    """

    def __init__(
        self, app: ASGIApp, access: Access, open_paths: Container[str], refuse: Callable[[str, int, str], Response]
    ) -> None:
        self._app, self._access, self._open_paths, self._refuse = app, access, open_paths, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":  # only "lifespan": the server accepts no web sockets
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        response = self._refusal(Request(scope)) or self._app
        await response(scope, receive, send_with_headers)

    def _refusal(self, request: Request) -> Response | None:
        if not self._access.is_for_us(request.headers):
            return self._refuse(request.url.path, 421, FOREIGN)
        if request.url.path in self._open_paths or self._access.has_token(request.headers):
            return None
        response = self._refuse(request.url.path, 401, NO_TOKEN)
        response.headers["WWW-Authenticate"] = "Bearer"
        return response
