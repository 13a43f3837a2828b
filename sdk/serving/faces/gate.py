"""Stands before the routes: lets a request in, keeps its place until its answer was sent, and counts its status."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .admission import Admission
from .problem import Problem

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

SLICE = 256 * 1024
"""Bytes of an answer that are handed to the connection at once; the next follow when most of them were sent. The whole
answer at once would look as if it were sent."""


class Gate:
    """The requests of one path pass through it, others go by.

    Args:
        app: gets the requests.
        path: of the requests that are limited.
        admission: decides.
        refuse: makes the response to a problem.
        responded: called with the status of each response.
    """

    def __init__(
        self,
        app: ASGIApp,
        path: str,
        admission: Admission,
        refuse: Callable[[Problem], Response],
        responded: Callable[[int], None],
    ) -> None:
        self._app, self._path, self._admission = app, path, admission
        self._refuse, self._responded = refuse, responded

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["path"] != self._path:
            await self._app(scope, receive, send)
            return

        async def send_in_slices(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._responded(message["status"])
            body = message.get("body", b"")
            for at in range(0, len(body) - SLICE, SLICE):
                await send({"type": "http.response.body", "body": body[at : at + SLICE], "more_body": True})
            await send({**message, "body": body[last_slice(len(body)) :]} if body else message)

        try:
            with self._admission.enter((scope["client"] or ("",))[0]):
                await self._app(scope, receive, send_in_slices)
        except Problem as problem:  # of the admission: the routes handle theirs
            await self._refuse(problem)(scope, receive, send_in_slices)


def last_slice(size: int) -> int:
    """Where the last slice of a body of so many bytes, 1 or more, starts."""
    return (size - 1) // SLICE * SLICE
