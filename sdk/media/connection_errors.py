"""Errors of connections to cameras and servers, by what the user can do about them."""

from __future__ import annotations

import errno

import av
import av.error

from ...engines.errors import (
    InputError,
    SourceAuthenticationError,
    SourceBrokenError,
    SourceNotFoundError,
    SourceTimeoutError,
    SourceUnreachableError,
)
from .reasons import error_reason

CHECK = "check that it is on and reachable"
_REFUSED = (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError)
_UNREACHABLE = frozenset(
    {
        *(errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTDOWN),
        *(errno.EADDRNOTAVAIL, errno.ENOENT, errno.ENODEV, errno.ENXIO),  # the last three: a device that is unplugged
        errno.EIO,  # what FFmpeg says of a host name that cannot be resolved
    }
)


def opening_error(name: str, error: Exception) -> InputError:
    """Error of a camera or URL that cannot be opened.

    Args:
        name: of the source, without credentials.
        error: of FFmpeg or the system.
    """
    reason = error_reason(error)
    if isinstance(error, _REFUSED):
        return SourceAuthenticationError(f"{name} refuses access: {reason}; check the user and password in the URL")
    if isinstance(error, av.error.HTTPNotFoundError):
        return SourceNotFoundError(f"{name} does not exist: {reason}; check the path of the URL")
    if isinstance(error, TimeoutError):
        return SourceTimeoutError(f"{name} cannot be opened: {reason}; {CHECK}")
    if getattr(error, "errno", None) in _UNREACHABLE:
        return SourceUnreachableError(f"{name} cannot be opened: {reason}; {CHECK}")
    return SourceBrokenError(f"{name} cannot be opened: {reason}; expected an image, a video, a camera or a URL")


def disconnected(name: str, reason: str) -> SourceBrokenError:
    """Error of a stream that broke."""
    return SourceBrokenError(f"{name} disconnected: {reason}; {CHECK}")


def silent(name: str, problem: str, timeout_s: float) -> SourceTimeoutError:
    """Error of a camera or URL that was waited for in vain."""
    return SourceTimeoutError(f"{problem} from {name} for {timeout_s:g} s; {CHECK}")
