"""Every error that facesr-edge raises on purpose; each says what was expected, what came, and what to do.

FacesrError
├── UsageError             the caller asked for something that cannot be meant (exit code 2)
│   └── UnknownNameError   no model, network, engine or option of that name
├── InputError             a picture, video or folder cannot be read
├── OutputError            a file cannot be written
├── BundleError            a bundle is incomplete, altered, or of another version
├── EngineError            an engine cannot be loaded or run here
├── BuildError             a network cannot be turned into a bundle
│   └── ParityError        a converted network departs from the original
├── TrainingError          a training cannot start or go on
└── MissingDependencyError an optional package is not installed
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class FacesrError(Exception):
    """Root of the tree; its text is one line for the user."""


class UsageError(FacesrError, ValueError):
    """The caller asked for something that cannot be meant."""


class UnknownNameError(UsageError):
    """No model, network, engine or option of that name."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        close = difflib.get_close_matches(name.lower(), names, n=1)
        hint = f"did you mean '{close[0]}'? " if close else ""
        super().__init__(f"unknown {what} '{name}'; {hint}known: {', '.join(names)}")


class InputError(FacesrError):
    """A picture, video or folder cannot be read."""


class OutputError(FacesrError):
    """A file cannot be written."""


class BundleError(FacesrError):
    """A bundle is incomplete, altered, or of another version."""


class EngineError(FacesrError):
    """An engine cannot be loaded or run here."""


class BuildError(FacesrError):
    """A network cannot be turned into a bundle."""


class ParityError(BuildError):
    """A converted network departs from the original by more than its bound."""


class TrainingError(FacesrError):
    """A training cannot start or go on."""


class MissingDependencyError(FacesrError):
    """An optional package is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        what = f"'facesr-edge[{extra}]'" if extra else "facesr-edge"
        super().__init__(f"{purpose} needs {package}, which is not installed; pip install {what}")
