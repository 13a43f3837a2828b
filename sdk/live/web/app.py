"""The web application: the page, its updates, metrics and health."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from ...serving.guard import Guard
from ..monitoring.health import health
from ..monitoring.metrics import registry
from .pictures import WIDTHS, Pictures
from .state import State, frame

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from ...serving.access import Access
    from ..monitoring.observed import ObservedRun
    from .pictures import Shown

FILES = {
    "/": ("page.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
    "/login.js": ("login.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
"""Path -> file beside this one, and its type."""
OPEN = frozenset({"/login", "/login.js", "/page.css", "/icon.svg", "/healthz"})
"""Paths that need no token: they hold no data; without the token /healthz tells only whether all is well."""
MAX_FORM = 4096
"""Maximum length of the login form, in bytes."""

Part = tuple[str, str, bytes]
"""Name, type and content of a part of an update."""


def application(run: ObservedRun, access: Access) -> ASGIApp:
    """The application of a run, behind its guard."""
    page = _Page(run, access)
    routes = [
        *(Route(path, _file(*file)) for path, file in FILES.items()),
        Route("/login", page.login, methods=["POST"]),
        Route("/updates", page.updates),
        Route("/metrics", page.metrics),
        Route("/healthz", page.healthz),
    ]
    return Guard(Starlette(routes=routes), access, OPEN, _refusal)


class _Page:
    """The routes that show the run. Those that are not `async` run in threads of the server."""

    def __init__(self, run: ObservedRun, access: Access) -> None:
        self._run, self._access = run, access
        self._pictures, self._state = Pictures(run.monitor), State(run)
        self._registry = registry(run)

    def updates(self, request: Request) -> Response:
        """Figures, and what is new of the wanted pictures, as parts of a form.

        Queries are `view=CAMERA.NUMBER.WIDTH` and `faces=CAMERA.NUMBER`: index of a camera and number of the result
        that the viewer has.
        """
        state = self._state.to_dict()
        views = {camera: (seen, width) for camera, seen, width in _numbers(request, "view", 3)}
        faces = {camera: seen for camera, seen in _numbers(request, "faces", 2)}  # noqa: C416 (lists, not pairs)
        frames: dict[int, dict[str, Any]] = {}
        parts: list[Part] = []
        for camera, own in enumerate(state["cameras"]):
            wanted = camera in views or camera in faces
            if wanted and (shown := self._pictures.shown(own["name"])) is not None:
                frames[camera] = frame(shown)
                parts += _new_pictures(camera, shown, views.get(camera), faces.get(camera))
        text = json.dumps({**state, "frames": frames}).encode()
        return _form([("state", "application/json", text), *parts])

    def metrics(self, request: Request) -> Response:
        """In the text format of Prometheus, or that of OpenMetrics where it is asked for."""
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(self._registry), headers={"Content-Type": content_type})

    def healthz(self, request: Request) -> Response:
        """200 if all is well, else 503; with the reasons for those who have the token."""
        verdict = health(self._run)
        status = 200 if verdict.healthy else 503
        if self._access.has_token(request.headers):
            return JSONResponse(verdict.to_dict(), status)
        return JSONResponse({"healthy": verdict.healthy}, status)

    async def login(self, request: Request) -> Response:
        """Change the token for a cookie."""
        body = b""
        async for chunk in request.stream():
            if len(body := body + chunk) > MAX_FORM:
                raise HTTPException(413)
        if not self._access.is_token(parse_qs(body.decode("latin-1")).get("token", [""])[0]):
            return _login_page(
                "That is not the token. It is in the file of --token-file; on a terminal it is also printed."
            )
        response = RedirectResponse("/", 303)
        secure, token = request.url.scheme == "https", self._access.token or ""
        response.set_cookie(self._access.cookie, token, httponly=True, samesite="strict", secure=secure)
        return response


def _file(name: str, media_type: str) -> Any:
    content = files(__package__).joinpath(name).read_bytes()

    async def send(request: Request) -> Response:
        return Response(content, media_type=media_type)

    return send


def _refusal(path: str, status: int, text: str) -> Response:
    return _login_page() if (path, status) == ("/", 401) else PlainTextResponse(text, status)


def _login_page(error: str = "") -> Response:
    text = files(__package__).joinpath("login.html").read_text("utf-8").replace("$error", error)
    return Response(text, 401, {"WWW-Authenticate": "Bearer"}, "text/html")


def _numbers(request: Request, name: str, count: int) -> list[list[int]]:
    """The values of a query, each of so many numbers with points between them."""
    values = [value.split(".") for value in request.query_params.getlist(name)]
    if not all(len(value) == count and all(part.isdecimal() for part in value) for value in values):
        raise HTTPException(400, f"expected {name} as {count} numbers with points between them")
    return [[int(part[:12]) for part in value] for value in values]


def _new_pictures(camera: int, shown: Shown, view: tuple[int, int] | None, faces: int | None) -> Iterator[Part]:
    """Pictures of a camera, unless the viewer has them: its view by number and width, its faces by number."""
    if view is not None and view[0] != shown.number:
        yield f"view-{camera}", "image/jpeg", shown.view(_width(view[1]))
    if faces is not None and faces != shown.number:
        for track, (original, estimate) in shown.faces().items():
            yield f"original-{camera}-{track}", "image/png", original
            yield f"estimate-{camera}-{track}", "image/jpeg", estimate


def _width(wanted: int) -> int:
    return next((width for width in WIDTHS if width >= wanted), WIDTHS[-1])


def _form(parts: Sequence[Part]) -> Response:
    """A form, which browsers can take apart."""
    boundary = secrets.token_hex(16)
    body = b"".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n'
        f"Content-Type: {media_type}\r\n\r\n".encode()
        + content
        + b"\r\n"
        for name, media_type, content in parts
    )
    return Response(body + f"--{boundary}--\r\n".encode(), media_type=f"multipart/form-data; boundary={boundary}")
