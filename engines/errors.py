"""The exceptions of facesr-edge. Each message says what was expected, what was found, and what to do.

FacesrError
├── UsageError             invalid arguments or options (exit code 2)
│   ├── UnknownNameError   no model, network, engine or option of that name
│   └── ConfigError        a configuration file is not valid
├── InputError             an image, video, folder or camera cannot be read
│   ├── SourceAuthenticationError  a server refuses the user or the password (401, 403)
│   ├── SourceNotFoundError        a server has no stream of that name (404)
│   ├── SourceUnreachableError     no connection to a camera or server
│   ├── SourceTimeoutError         a camera or server does not answer, or stopped sending
│   ├── SourceBrokenError          a stream ended without notice, or cannot be decoded
│   └── SourceClosedError          a source is used after it was closed
├── OutputError            a file cannot be written
│   └── SendError          a server does not take data at present; sending it again may succeed
├── BundleError            a bundle is incomplete, altered, or of an unknown format
├── EngineError            an engine cannot be loaded or run on this device
├── BuildError             a network cannot be converted to a bundle
│   ├── ParityError        a converted network differs too much from the original
│   └── AbortedError       a build was cancelled, or the device ran out of memory
├── TrainingError          training cannot be started or resumed
└── MissingDependencyError an optional package is not installed
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence


class FacesrError(Exception):
    """Base class; its message is one line for the user."""


class UsageError(FacesrError, ValueError):
    """Invalid arguments or options."""


class UnknownNameError(UsageError):
    """No model, network, engine or option of that name."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        close = difflib.get_close_matches(str(name).lower(), names, n=1)
        hint = f"did you mean '{close[0]}'? " if close else ""
        super().__init__(f"unknown {what} '{name}'; {hint}known: {', '.join(names)}")


class ConfigError(UsageError):
    """A configuration file is not valid.

    Args:
        problems: at least one; each is a line with the file, line and column.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(f"{problems[0]}{more}")
        self.problems = tuple(problems)


class InputError(FacesrError):
    """An image, video, folder or camera cannot be read."""


class SourceAuthenticationError(InputError):
    """A server refuses the user or the password of a URL (401, 403)."""


class SourceNotFoundError(InputError):
    """A server has no stream of that name (404)."""


class SourceUnreachableError(InputError):
    """No connection to a camera or server: it is off, its address is wrong, or the network is down."""


class SourceTimeoutError(InputError):
    """A camera or server does not answer, or stopped sending."""


class SourceBrokenError(InputError):
    """A stream ended without notice, or cannot be decoded."""


class SourceClosedError(InputError):
    """A source is used after it was closed."""


class OutputError(FacesrError):
    """A file cannot be written."""


class SendError(OutputError):
    """A server does not take data at present: sending it again may succeed."""


class BundleError(FacesrError):
    """A bundle is incomplete, altered, or of an unknown format."""


class EngineError(FacesrError):
    """An engine cannot be loaded or run on this device."""


class BuildError(FacesrError):
    """A network cannot be converted to a bundle."""


class ParityError(BuildError):
    """A converted network differs from the original by more than its tolerance."""


class AbortedError(BuildError):
    """A build was cancelled, or the device ran out of memory: nothing is wrong with the network."""


class TrainingError(FacesrError):
    """Training cannot be started or resumed."""


class MissingDependencyError(FacesrError):
    """An optional package is not installed."""

    def __init__(self, package: str, extra: str, purpose: str, command: str = "") -> None:
        command = command or f"pip install {repr(f'facesr-edge[{extra}]') if extra else 'facesr-edge'}"
        super().__init__(f"{purpose} needs {package}, which is not installed; {command}")


def first_line(error: Exception) -> str:
    """First line of an exception of another library, at most 200 characters; its type if it has no message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


MAX_MESSAGE = 600
"""Characters of a message; more of a file's content helps nobody."""
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, which a terminal would obey, other than tab and line feed; marks that reverse the direction of
text; and halves of surrogate pairs, which UTF-8 cannot encode."""


def printable(text: str) -> str:
    """A text from outside with its control characters escaped; tab and line feed stay."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def one_line(message: object) -> str:
    """A message as one printable line: white space collapsed, control characters escaped, a long one shortened."""
    text = printable(" ".join(str(message).split()))
    if len(text) <= MAX_MESSAGE:
        return text
    return f"{text[: MAX_MESSAGE * 2 // 3]} … {text[-MAX_MESSAGE // 3 :]}"  # what to do stands at the end
