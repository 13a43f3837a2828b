"""C2PA manifests: signing and reading. The one file that imports `c2pa`. Nothing is fetched from the internet."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from ...engines.errors import InputError, MissingDependencyError, OutputError, UsageError, first_line, one_line
from .credentials import Credentials
from .signable import utf8

SETTINGS: dict[str, Any] = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    "builder": {"thumbnail": {"enabled": False}},
}
"""A file may name any address; thumbnails of faces belong into no manifest."""
UNTRUSTED = "signingCredential.untrusted"
EXPIRED = "signingCredential.expired"


@dataclass(frozen=True)
class Ingredient:
    """The file that an output was made of.

    Args:
        path: of the file.
        media_type: None if C2PA does not know its format, or if its content must not be read: then only its name stands
            in the manifest.
    """

    path: Path
    media_type: str | None

    @property
    def title(self) -> str:
        """Its name, as it can be written in UTF-8."""
        return utf8(self.path.name)


@dataclass(frozen=True)
class SignedFile:
    """What the newest manifest of a file says.

    Args:
        state: "Invalid", "Valid" or "Trusted".
        failures: code and explanation of each check that failed.
        issuer: organisation of the signer's certificate.
        name: of the signer.
        time: of the time stamp, ISO 8601; "" without one.
        generator: software that signed.
        assertions: label → content.
        earlier: labels of the assertions of earlier manifests.
        original_failures: checks of the original's own signature that failed, one line each.
    """

    state: str
    failures: tuple[tuple[str, str], ...]
    issuer: str
    name: str
    time: str
    generator: str
    assertions: Mapping[str, Any]
    earlier: frozenset[str]
    original_failures: tuple[str, ...] = ()

    @property
    def signer(self) -> str:
        """For people."""
        return ", ".join(part for part in (self.name, self.issuer) if part) or "an unnamed signer"


def _c2pa() -> Any:
    try:
        import c2pa.c2pa as library
    except ImportError:
        raise MissingDependencyError("c2pa-python", "evidence", "signing") from None
    except Exception as error:  # its binary does not load
        raise OutputError(f"c2pa-python does not work here ({first_line(error)}); install it again") from error
    return library


def sign(
    credentials: Credentials,
    media_type: str,
    source: IO[bytes],
    target: IO[bytes],
    manifest: Mapping[str, Any],
    ingredient: Ingredient | None,
    note: Callable[[str], None] = lambda line: None,
) -> None:
    """Write a signed copy of a file.

    Args:
        credentials: that sign.
        media_type: of the file.
        source: the file, open for reading.
        target: the copy, open for reading and writing.
        manifest: definition, without ingredients.
        ingredient: what the file was made of; None for a live source.
        note: called with what is not right of the ingredient.

    Raises:
        OutputError: it cannot be signed; one line without the name of the file.
        MissingDependencyError: c2pa-python is not installed.
    """
    library = _c2pa()
    try:
        with (
            library.Context(library.Settings.from_dict(SETTINGS)) as context,
            library.Builder(dict(manifest), context=context) as builder,
        ):
            _add_ingredient(library, builder, ingredient, note)
            with library.Signer.from_info(_signer_info(library, credentials)) as signer:
                builder.sign(signer, media_type, source, target)
    except library.C2paError as error:
        raise OutputError(f"cannot be signed: {one_line(first_line(error))}") from error


def _add_ingredient(library: Any, builder: Any, ingredient: Ingredient | None, note: Callable[[str], None]) -> None:
    if ingredient is None:
        intent, kind = library.C2paBuilderIntent, library.C2paDigitalSourceType
        builder.set_intent(intent.CREATE, kind.COMPOSITE_WITH_TRAINED_ALGORITHMIC_MEDIA)
        return
    builder.set_intent(library.C2paBuilderIntent.EDIT)
    about = {"title": ingredient.title, "relationship": "parentOf"}
    if ingredient.media_type is not None:
        try:
            with ingredient.path.open("rb") as file:
                own = read(file, ingredient.media_type, ingredient.title)
                if own is not None and (problems := [text for code, text in own.failures if code != UNTRUSTED]):
                    note(f"{ingredient.title}: its own signature is not valid: {problems[0]}")
                file.seek(0)
                builder.add_ingredient(about, ingredient.media_type, file)
                return
        except (library.C2paError, InputError) as error:
            reason = one_line(first_line(error))
            note(f"{ingredient.title}: only its name and hash are signed: C2PA cannot read it ({reason})")
    builder.add_ingredient(about, "application/octet-stream", io.BytesIO())


def _signer_info(library: Any, credentials: Credentials) -> Any:
    url = credentials.timestamp_url.encode() if credentials.timestamp_url else None
    return library.C2paSignerInfo(credentials.algorithm.encode(), credentials.certificates, credentials.key, url)


_SAMPLE = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b550000000a49444154789c63600000000200015be5eaf8"
    "0000000049454e44ae426082"
)
"""A PNG of one pixel."""


def check_credentials(credentials: Credentials, name: str) -> None:
    """Sign a sample and read it.

    Raises:
        UsageError: C2PA does not take this certificate.
        OutputError: the time-stamp authority does not answer.
        MissingDependencyError: c2pa-python is not installed.
    """
    sample, about = io.BytesIO(_SAMPLE), {"title": "sample", "assertions": []}
    try:
        sign(replace(credentials, timestamp_url=None), "image/png", sample, signed := io.BytesIO(), about, None)
        found = read(signed, "image/png", "sample")
        problems = [] if found is None else [text for code, text in found.failures if code != UNTRUSTED]
    except (OutputError, InputError) as error:
        problems = [str(error)]
    if problems:
        raise UsageError(
            f"{name} does not sign ({problems[0]}); C2PA needs the key usage digitalSignature and an extended key "
            "usage such as emailProtection, and the certificates of its issuers in the same file"
        )
    if credentials.timestamp_url is not None:
        try:
            sign(credentials, "image/png", sample, io.BytesIO(), about, None)
        except OutputError as error:
            raise OutputError(f"no time stamp from {credentials.timestamp_url}: {error}") from error


def read(file: IO[bytes], media_type: str, name: str, trusted: bytes = b"") -> SignedFile | None:
    """Read and check the newest manifest of a file; None if it has none.

    Args:
        file: open for reading.
        media_type: of the file.
        name: for messages.
        trusted: PEM certificates of the trusted issuers.

    Raises:
        InputError: the file or its manifest is damaged.
        MissingDependencyError: c2pa-python is not installed.
    """
    library = _c2pa()
    settings = dict(SETTINGS)
    if trusted:
        settings |= {"trust": {"trust_anchors": trusted.decode(errors="replace")}}
        settings["verify"] = {**SETTINGS["verify"], "verify_trust": True}
    try:
        with (
            library.Context(library.Settings.from_dict(settings)) as context,
            library.Reader(media_type, file, context=context) as reader,
        ):
            return _signed_file(json.loads(reader.json()))
    except library.C2paError.ManifestNotFound:
        return None
    except (library.C2paError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{name} cannot be read as C2PA: {one_line(first_line(error))}") from error


def _signed_file(store: Mapping[str, Any]) -> SignedFile:
    manifests = store["manifests"]
    active = manifests[store["active_manifest"]]
    results = store.get("validation_results", {}).get("activeManifest", {})
    generators = [
        f"{one.get('name', '')}/{one.get('version', '')}".strip("/") for one in active["claim_generator_info"]
    ]
    earlier = {
        str(assertion["label"])
        for label, manifest in manifests.items()
        for assertion in manifest.get("assertions", ())
        if label != store["active_manifest"]
    }
    signature = active.get("signature_info", {})
    return SignedFile(
        state=str(store["validation_state"]),
        failures=tuple(
            (str(found["code"]), one_line(found.get("explanation", found["code"])))
            for found in results.get("failure", ())
        ),
        issuer=one_line(signature.get("issuer") or ""),
        name=one_line(signature.get("common_name") or ""),
        time=one_line(signature.get("time") or ""),
        generator=one_line(", ".join(generators)),
        assertions={str(found["label"]): found["data"] for found in active.get("assertions", ())},
        earlier=frozenset(earlier),
        original_failures=tuple(dict.fromkeys(_original_failures(store, active))),
    )


def _original_failures(store: Mapping[str, Any], active: Mapping[str, Any]) -> Iterator[str]:
    """What was wrong with the signatures of the ingredients when they were added, and what is wrong now."""
    results = [(one.get("validation_results") or {}).get("activeManifest") for one in active.get("ingredients", ())]
    deltas = store.get("validation_results", {}).get("ingredientDeltas") or ()
    for result in (*results, *(one.get("validationDeltas") for one in deltas)):
        for found in (result or {}).get("failure", ()):
            if found["code"] != UNTRUSTED:
                yield f"{one_line(found.get('explanation', found['code']))} ({found['code']})"
