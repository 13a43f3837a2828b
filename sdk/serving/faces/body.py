"""The picture in the body of a request: as it is, or as the one file of a form. It stays in memory."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from .problem import Problem

if TYPE_CHECKING:
    from starlette.requests import Request

    from .limits import Limits

_FORM = "multipart/form-data"
_ONE_FILE = "expected a form with one file and nothing else; options belong into the query: /faces?min_face=20"


class _InMemory(MultiPartParser):
    """Keeps files in memory: by default those above 1 MB go to the disk."""

    spool_max_size = sys.maxsize


async def read_picture(request: Request, limits: Limits) -> bytes:
    """Read the body.

    Args:
        request: its headers are checked before the body is read.
        limits: of bytes and time.

    Returns:
        The file of the picture.

    Raises:
        Problem: 400, 408, 413 or 415.
        ClientDisconnect: the client has gone.
    """
    _check_headers(request, limits)
    try:
        data = await asyncio.wait_for(_read(request, limits), limits.body_s)
    except (asyncio.TimeoutError, TimeoutError):
        raise Problem(408, f"the body did not arrive within {limits.body_s:g} s; send a smaller picture") from None
    if not data:
        raise Problem(400, "expected a picture, got 0 bytes; send its file as the body or as the one file of a form")
    return data


def _check_headers(request: Request, limits: Limits) -> None:
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limits.max_bytes:
        raise Problem(413, _too_large(int(length), limits))
    encoding = request.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise Problem(415, f"expected a body without Content-Encoding, got {encoding}; send the file as it is")
    kind = _media_type(request)
    if kind.startswith("multipart/") and kind != _FORM:
        raise Problem(415, f"expected a picture or {_FORM}, got {kind}")


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _too_large(size: int, limits: Limits) -> str:
    return f"the body has {size:,} bytes or more, the limit is {limits.max_bytes:,}; send a smaller picture"


async def _read(request: Request, limits: Limits) -> bytes:
    chunks = _limited(request.stream(), limits)
    if _media_type(request) == _FORM:
        return await _file_of_form(request, chunks)
    return b"".join([chunk async for chunk in chunks])


async def _limited(chunks: AsyncIterator[bytes], limits: Limits) -> AsyncIterator[bytes]:
    """The chunks of a body, up to the limit: the header that says its length may lack."""
    size = 0
    async for chunk in chunks:
        if (size := size + len(chunk)) > limits.max_bytes:
            raise Problem(413, _too_large(size, limits))
        yield chunk


async def _file_of_form(request: Request, chunks: AsyncIterator[bytes]) -> bytes:
    parser = _InMemory(request.headers, chunks, max_files=1, max_fields=0)  # type: ignore[arg-type]  # any iterator
    try:
        form = await parser.parse()
    except MultiPartException as error:
        text = f"{_ONE_FILE}, got more" if error.message.startswith("Too many") else f"the form is damaged: {error}"
        raise Problem(400, text) from error
    files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
    if len(files) != 1:
        raise Problem(400, f"{_ONE_FILE}, got none, or one that ends early")
    return await files[0].read()
