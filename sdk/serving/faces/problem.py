"""Requests that get no faces: the status of the response and one line of text."""

from __future__ import annotations

from collections.abc import Mapping

from ....engines.errors import one_line

STATUSES: Mapping[int, str] = {
    400: "The body is not one picture: it is empty, ends early, or is a form with anything else than one file.",
    401: "The token is missing or wrong.",
    408: "The body did not arrive in time.",
    413: "The body has too many bytes, or the picture too many pixels.",
    415: "The body is not a picture of a format that the service reads.",
    421: "The host name of the request is not one of this server, or the request comes from a page of another site.",
    422: "An option is not valid, or the picture is truncated, damaged or of an unsupported layout.",
    429: "The client sends more requests than it may, or has too many in; see the header Retry-After.",
    500: "An unexpected error; the log of the service has its type.",
    503: "The service is busy or stops; see the header Retry-After.",
}
"""Status -> what it means."""


class Problem(Exception):  # noqa: N818 (the term of RFC 9457)
    """A request that is refused.

    Args:
        status: one of `STATUSES`.
        detail: what was expected, what came, what to do; becomes one line.
        retry_after_s: when the client may try again, in whole seconds; None if trying again does not help.
    """

    def __init__(self, status: int, detail: object, retry_after_s: int | None = None) -> None:
        super().__init__(one_line(detail))
        self.status, self.retry_after_s = status, retry_after_s

    @property
    def detail(self) -> str:
        """The line of text."""
        return str(self)

    @property
    def headers(self) -> dict[str, str]:
        """Further headers of the response."""
        return {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}
