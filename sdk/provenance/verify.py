"""Verification of an output: its signature, who signed, its original, and its faces recomputed from the original."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...engines.errors import FacesrError, InputError, OutputError, first_line, one_line
from ...engines.files import check_regular, read_regular
from ..media.reasons import error_reason, plural
from .check_result import CheckResult, Verification
from .credentials import check_issuers
from .face_records import LABEL, FacesAssertion
from .mark import mark_of
from .seal import original_of
from .signable import content_of

if TYPE_CHECKING:
    from .c2pa_library import SignedFile

MAX_CERTIFICATES = 1 << 20
"""Bytes of a file of certificates."""


@dataclass(frozen=True)
class VerifyOptions:
    """How a file is verified.

    Args:
        original: the file that it was made of, from which the faces are recomputed; None to leave this out.
        trusted: PEM file of the certificates of trusted issuers; None to trust nobody.
        model: bundle folder of the network, if it is not in the package; None for the signed name.
        detector: the same, of the detector.
        track_model: the same, of the multi-frame network.
    """

    original: Path | None = None
    trusted: Path | None = None
    model: str | None = None
    detector: str | None = None
    track_model: str | None = None


_DEFAULTS = VerifyOptions()


def verify(
    file: Path, options: VerifyOptions = _DEFAULTS, report: Callable[[str], None] = lambda line: None
) -> Verification:
    """Verify an output of `run`.

    Args:
        file: image or video.
        options: what it is compared with.
        report: called with a line before the faces are recomputed.

    Raises:
        InputError: the file, the original or the certificates cannot be read.
        UsageError: the certificates are none.
        MissingDependencyError: c2pa-python is not installed.
    """
    trusted = _certificates(options.trusted)
    for path in (file, *([options.original] if options.original else [])):
        _check_readable(path)
    return Verification(str(file), tuple(_checks(file, options, trusted, report)))


def _certificates(path: Path | None) -> bytes:
    if path is None:
        return b""
    try:
        data = read_regular(path, MAX_CERTIFICATES)
    except (OSError, ValueError) as error:
        reason = error_reason(error) if isinstance(error, OSError) else first_line(error)
        raise InputError(f"{path} cannot be read: {reason}") from error
    check_issuers(data, path)
    return data


def _check_readable(path: Path) -> None:
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder; give a file")
        check_regular(path.stat())
        with path.open("rb") as file:
            if not file.read(1):
                raise InputError(f"{path} is empty (0 bytes)")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error_reason(error)}") from error


def _checks(file: Path, options: VerifyOptions, trusted: bytes, report: Callable[[str], None]) -> Iterator[CheckResult]:
    from .c2pa_library import read

    content, signed = content_of(file), None
    if content is None:
        text = "its format is not known: whether it is signed cannot be decided; give a picture or video"
        yield CheckResult("unchecked", "signature", text)
        yield mark_of(file)
        return
    if content.media_type is not None:
        try:
            with file.open("rb") as stream:
                signed = read(stream, content.media_type, str(file), trusted)
        except InputError as error:
            yield CheckResult("wrong", "signature", str(error))
            yield mark_of(file)
            return
    if signed is None:
        yield CheckResult("wrong", "signature", "the file is not signed")
        yield mark_of(file)
        return
    intact = yield from _signature(signed)
    yield from _signer(signed, bool(trusted), intact)
    yield mark_of(file)
    if LABEL not in signed.assertions:
        where = "; that of facesr-edge is in an earlier signature" if LABEL in signed.earlier else ""
        yield CheckResult("wrong", "faces", f"the signature of {signed.generator} says nothing about faces{where}")
        return
    try:
        assertion = FacesAssertion.from_dict(signed.assertions[LABEL])
    except InputError as error:
        yield CheckResult("wrong", "faces", str(error))
        return
    yield _about(assertion)
    if not intact:
        yield CheckResult("unchecked", "original", "what the signature says is not valid: nothing is compared with it")
        return
    for failure in signed.original_failures:
        yield CheckResult("note", "original", f"the original's own signature is not valid: {failure}")
    yield from _original(file, assertion, options, report)


def _signature(signed: SignedFile) -> Generator[CheckResult, None, bool]:
    """Yields the problems, and returns whether the signature is intact."""
    from .c2pa_library import UNTRUSTED

    problems = [f"{_problem(code, text, signed)} ({code})" for code, text in signed.failures if code != UNTRUSTED]
    for problem in problems:
        yield CheckResult("wrong", "signature", problem)
    if not problems and signed.state not in ("Valid", "Trusted"):
        problems = [f"its state is {signed.state}"]
        yield CheckResult("wrong", "signature", problems[0])
    if not problems:
        when = f", at {signed.time}" if signed.time else ", without a time stamp"
        yield CheckResult(
            "right", "signature", f"valid: pictures, sound and metadata are as signed with {signed.generator}{when}"
        )
    return not problems


def _problem(code: str, text: str, signed: SignedFile) -> str:
    from .c2pa_library import EXPIRED

    if code != EXPIRED or signed.time:
        return text
    return "the signer's certificate has expired, and no time stamp shows that it was valid when it signed"


def _signer(signed: SignedFile, trusted: bool, intact: bool) -> Iterator[CheckResult]:
    from .c2pa_library import UNTRUSTED

    if not intact:
        text = f"the signature is not valid, so that it is not established that {signed.signer} made it"
        yield CheckResult("unchecked", "signer", text)
    elif not trusted:
        text = f"signed by {signed.signer}; whether this can be trusted was not checked: give --cert"
        yield CheckResult("unchecked", "signer", text)
    elif UNTRUSTED not in (code for code, _ in signed.failures):
        yield CheckResult("right", "signer", f"signed by {signed.signer}, whom the given certificates vouch for")
    else:
        yield CheckResult("wrong", "signer", f"signed by {signed.signer}, whom the given certificates do not vouch for")


def _about(assertion: FacesAssertion) -> CheckResult:
    network = assertion.network
    faces, frames = plural(assertion.faces, "upscaled face"), plural(assertion.frames, "frame")
    whole = "" if assertion.complete else "; the run was stopped before the end of its source"
    text = f"{faces} in {frames}, by {network.name} {network.precision} on {network.engine}{whole}"
    return CheckResult("note", "faces", one_line(text))


def _original(
    file: Path, assertion: FacesAssertion, options: VerifyOptions, report: Callable[[str], None]
) -> Iterator[CheckResult]:
    signed, path = assertion.original, options.original
    if signed is None:
        text = "no original is signed: the source was live, several files, or a file that changed during the run"
        yield CheckResult("unchecked", "original", text)
        return
    if path is None:
        text = f"not given: {signed.name}, {signed.bytes:,} bytes, SHA-256 {signed.sha256}; give --original"
        yield CheckResult("unchecked", "original", one_line(text))
        return
    try:
        found = original_of(path)
    except OutputError as error:
        raise InputError(str(error)) from error
    if found.sha256 != signed.sha256:
        text = f"{path} is another file than the signed {signed.name}: SHA-256 {found.sha256}, signed {signed.sha256}"
        yield CheckResult("wrong", "original", one_line(text))
        yield CheckResult("unchecked", "faces", "not recomputed, as the original is another one")
        return
    yield CheckResult("right", "original", f"{path} is the signed original, SHA-256 {found.sha256}")
    from .recompute import recompute  # loads the engines

    try:
        yield from recompute(file, path, assertion, options, report)
    except FacesrError as error:
        yield CheckResult("unchecked", "faces", f"not recomputed: {error}")
