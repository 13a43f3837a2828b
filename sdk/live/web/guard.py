"""Refuses requests without the token or from foreign pages, and adds security headers to every response."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from .access import Access

OPEN = frozenset({"/login", "/login.js", "/page.css", "/icon.svg", "/healthz"})
"""Paths that need no token: they hold no data; without the token /healthz tells only whether all is well."""
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
        login: the response to a page request without the token.
    """

    def __init__(self, app: ASGIApp, access: Access, login: Callable[[], Response]) -> None:
        self._app, self._access, self._login = app, access, login

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
            text = (
                "unknown host name, or a request from another page; call this page by its IP address, or allow the name"
            )
            return PlainTextResponse(text, 421)
        if request.url.path in OPEN or self._access.has_token(request.headers):
            return None
        if request.url.path == "/":
            return self._login()
        return PlainTextResponse("expected the token: Authorization: Bearer TOKEN", 401, {"WWW-Authenticate": "Bearer"})
