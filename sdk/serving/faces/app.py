"""The web application of the face service: its routes, its errors, and its OpenAPI document. Only this file imports
FastAPI."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from .... import __version__
from ....engines.errors import FacesrError, one_line
from ...provenance.statement import STATEMENT
from ...serving.guard import Guard
from .admission import Admission
from .answer import Answer, answer
from .body import read_picture
from .docs_page import docs_page
from .gate import Gate
from .metrics import Metrics
from .problem import STATUSES, Problem
from .schema import FaceOptions, FacesAnswer, HealthAnswer, ProblemAnswer

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from ..access import Access
    from .limits import Limits
    from .pool import Pool

OPEN = frozenset({"/healthz", "/openapi.json", "/docs"})
"""Paths that need no token: they hold no data; without the token /healthz says only whether all is well."""
CLIENT_LEFT = 499
"""Status in the metrics of a request whose client has left; as in nginx."""
_BINARY = {"type": "string", "format": "binary"}
_BODY = {
    "required": True,
    "description": "The file of one picture: JPEG, PNG, WebP, BMP, TIFF, AVIF, HEIC or JPEG XL; the format is "
    "identified by content.",
    "content": {
        "multipart/form-data": {
            "schema": {"type": "object", "required": ["picture"], "properties": {"picture": _BINARY}},
        },
        "application/octet-stream": {"schema": _BINARY},
        "image/*": {"schema": _BINARY},
    },
}
_FACES = {"model": FacesAnswer, "description": "The faces.", "content": {"multipart/mixed": {"schema": _BINARY}}}
_SECURITY: list[dict[str, list[str]]] = [{"token": []}, {}]
_SCHEMES = {"token": {"type": "http", "scheme": "bearer", "description": "Not needed by a service that has no token."}}
_DESCRIPTION = f"Finds the faces of a picture and upscales them. {STATEMENT} Pictures are neither stored nor logged."
_log = logging.getLogger(__name__)


def application(pool: Pool, limits: Limits, access: Access) -> ASGIApp:
    """The application, behind its guard."""
    service = _Service(pool, limits, access)
    app = FastAPI(title="facesr-edge", version=__version__, description=_DESCRIPTION, docs_url=None, redoc_url=None)
    app.post(
        "/faces",
        operation_id="faces",
        summary="The faces of a picture, upscaled",
        response_model=None,
        responses={200: _FACES, **_problems(*STATUSES)},
        openapi_extra={"requestBody": _BODY, "security": _SECURITY},
    )(service.faces)
    app.get(
        "/healthz",
        operation_id="healthz",
        summary="Whether the service works",
        response_model=HealthAnswer,
        responses={
            200: {"description": "It works."},
            503: {"model": HealthAnswer, "description": "It does not, or it has too many connections."},
            **_problems(421),
        },
    )(service.healthz)
    app.get(
        "/metrics",
        operation_id="metrics",
        summary="Metrics for Prometheus",
        response_class=PlainTextResponse,
        responses={200: {"description": "The metrics."}, **_problems(401, 421)},
        openapi_extra={"security": _SECURITY},
    )(service.metrics_page)
    app.get("/docs", include_in_schema=False)(partial(_docs, app))
    app.openapi()["components"]["securitySchemes"] = _SCHEMES  # the document is made once
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    gate = Gate(app, "/faces", service.admission, _problem, service.metrics.responded)
    return Guard(gate, access, OPEN, lambda path, status, text: _problem(Problem(status, text)))


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Documentation of the responses of these statuses."""
    answers: dict[int | str, dict[str, Any]] = {
        status: {"model": ProblemAnswer, "description": STATUSES[status]} for status in statuses
    }
    for status in {429, 503} & answers.keys():
        answers[status]["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return answers


class _Service:
    """The routes, and what they share.

    Attributes:
        admission: of requests with pictures.
        metrics: of the service.
    """

    def __init__(self, pool: Pool, limits: Limits, access: Access) -> None:
        self._pool, self._limits, self._access = pool, limits, access
        self.admission = Admission(limits)
        self.metrics = Metrics(lambda: self.admission.count, lambda: pool.busy, len(pool.pipelines))

    async def faces(self, request: Request, options: Annotated[FaceOptions, Query()]) -> Response:
        """The file of a picture is the body, or the one file of a form. Options are in the query."""
        start = time.perf_counter()
        try:
            done = await self._answer(request, options)
        except ClientDisconnect:
            return Response(status_code=CLIENT_LEFT)
        except Problem as problem:
            return _problem(problem)
        except Exception as error:  # its message may hold what is in the picture
            _log.error("a request failed: %s", error if isinstance(error, FacesrError) else type(error).__name__)
            return _problem(Problem(500, f"unexpected {type(error).__name__}; the log of the service has more"))
        self.metrics.done(time.perf_counter() - start, done.timings_s, done.verdicts)
        return Response(done.content, media_type=done.media_type)

    async def _answer(self, request: Request, options: FaceOptions) -> Answer:
        data = await read_picture(request, self._limits)
        work = self._pool.submit(lambda pipeline, waited_s: answer(data, options, pipeline, self._limits, waited_s))
        future = asyncio.wrap_future(work)
        left = asyncio.ensure_future(_disconnected(request))
        try:
            await asyncio.wait((future, left), return_when=asyncio.FIRST_COMPLETED)
            if future.done():
                return future.result()
            raise ClientDisconnect
        finally:
            left.cancel()
            future.cancel()

    def healthz(self, request: Request) -> Response:
        """200 if all is well, else 503."""
        why = self._pool.stuck()
        document: dict[str, Any] = {"healthy": why is None}
        if why is not None and self._access.has_token(request.headers):
            document["why"] = why
        return JSONResponse(document, 503 if why else 200)

    def metrics_page(self, request: Request) -> Response:
        """In the text format of Prometheus, or that of OpenMetrics where it is asked for."""
        content, media_type = self.metrics.page(request.headers.get("accept", ""))
        return Response(content, headers={"Content-Type": media_type})


async def _disconnected(request: Request) -> None:
    """Wait until the client leaves; its body has been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _docs(app: FastAPI) -> Response:
    return Response(docs_page(app.openapi()), media_type="text/html")


def _problem(problem: Problem) -> Response:
    return JSONResponse({"detail": problem.detail}, problem.status, problem.headers)


async def _invalid(request: Request, error: Exception) -> Response:
    """A query that is not valid, in one line."""
    assert isinstance(error, RequestValidationError)
    return _problem(Problem(422, "; ".join(map(_invalid_option, error.errors()))))


def _invalid_option(error: Mapping[str, Any]) -> str:
    name = ".".join(str(part) for part in error["loc"][1:])
    return f"{name}: {error['msg']}, got {error['input']!r}" if name else str(error["msg"])


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"detail": one_line(error.detail)}, error.status_code, error.headers)
