"""Certificate and key that sign outputs, checked before any work. The one file that imports `cryptography`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...engines.errors import InputError, MissingDependencyError, UsageError, first_line, one_line
from ...engines.files import read_regular
from ..media.reasons import error_reason

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

MAX_BYTES = 1 << 20
"""Of a file of certificates or of a key."""
MIN_RSA_BITS = 2048


@dataclass(frozen=True)
class Credentials:
    """What signs.

    Args:
        certificates: PEM: that of the signer first, then those that issued it.
        key: PEM of the signer's private key.
        algorithm: of C2PA: "es256", "es384", "es512", "ps256" or "ed25519".
        subject: whom the certificate names.
        fingerprint: SHA-256 of the signer's certificate, in hexadecimal.
        timestamp_url: of a time-stamp authority (RFC 3161); None for no time stamp.
        expires: day on which the first of the certificates does, YYYY-MM-DD; "" if it is not known.
    """

    certificates: bytes = field(repr=False)
    key: bytes = field(repr=False)
    algorithm: str
    subject: str
    fingerprint: str
    timestamp_url: str | None = None
    expires: str = ""


def load_credentials(certificate: str | Path, key: str | Path, timestamp_url: str | None = None) -> Credentials:
    """Read a certificate chain and its private key.

    Args:
        certificate: PEM file: the signer's certificate first, then those that issued it, without the root.
        key: PEM file of the private key, not encrypted: EC P-256, P-384 or P-521, RSA of 2048 bits or more, or Ed25519.
        timestamp_url: see `Credentials`.

    Raises:
        InputError: a file cannot be read.
        UsageError: the files are no certificate and key, do not belong together, or are not valid now.
        OutputError: the time-stamp authority does not answer.
        MissingDependencyError: cryptography or c2pa-python is not installed.
    """
    chain_pem, key_pem = _read(certificate), _read(key)
    chain, private_key = _parsed(certificate, key, chain_pem, key_pem)
    if timestamp_url is not None and not timestamp_url.startswith(("http://", "https://")):
        raise UsageError(f"expected the URL of a time-stamp authority, http:// or https://, got {timestamp_url}")
    leaf = chain[0]
    if leaf.public_key() != private_key.public_key():
        raise UsageError(f"{key} is not the key of the first certificate in {certificate}; give the two that match")
    now = datetime.now(timezone.utc)
    if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
        raise UsageError(f"{certificate} is valid from {begin:%Y-%m-%d} to {end:%Y-%m-%d} only; get another one")
    algorithm = _algorithm(key, private_key)
    expires = min(one.not_valid_after_utc for one in chain)
    credentials = Credentials(
        chain_pem, key_pem, algorithm, _subject(leaf), _fingerprint(leaf), timestamp_url, f"{expires:%Y-%m-%d}"
    )
    from .c2pa_library import check_credentials

    check_credentials(credentials, str(certificate))
    return credentials


def _read(path: str | Path) -> bytes:
    try:
        return read_regular(Path(path), MAX_BYTES)
    except (OSError, ValueError) as error:
        reason = error_reason(error) if isinstance(error, OSError) else first_line(error)
        raise InputError(f"{path} cannot be read: {reason}") from error


def _parsed(certificate: str | Path, key: str | Path, chain: bytes, key_pem: bytes) -> tuple[list[Certificate], Any]:
    try:
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
        from cryptography.x509 import load_pem_x509_certificates
    except ImportError:
        raise MissingDependencyError("cryptography", "evidence", "signing") from None
    try:
        certificates = load_pem_x509_certificates(chain)
    except Exception as error:  # of the parser, of any type
        raise UsageError(
            f"{certificate} holds no PEM certificate ({first_line(error)}); give CERT, then KEY"
        ) from error
    try:
        return certificates, load_pem_private_key(key_pem, None)
    except TypeError as error:
        raise UsageError(f"{key} is encrypted; decrypt it: openssl pkey -in {key} -out decrypted.key") from error
    except Exception as error:
        raise UsageError(f"{key} holds no PEM private key ({first_line(error)}); give CERT, then KEY") from error


def check_issuers(pem: bytes, path: str | Path) -> None:
    """Check certificates of issuers that somebody trusts.

    Args:
        pem: content of the file.
        path: of it, for messages.

    Raises:
        UsageError: a certificate is damaged, or none is of an issuer.
        MissingDependencyError: cryptography is not installed.
    """
    try:
        from cryptography.x509 import BasicConstraints, load_pem_x509_certificates
    except ImportError:
        raise MissingDependencyError("cryptography", "evidence", "verifying") from None
    try:
        certificates = load_pem_x509_certificates(pem)
        extensions = [certificate.extensions for certificate in certificates]
    except Exception as error:  # of the parser, of any type
        raise UsageError(f"{path} holds no PEM certificate ({first_line(error)}); give that of the issuer") from error
    if not any(found.value.ca for one in extensions for found in one if isinstance(found.value, BasicConstraints)):
        names = ", ".join(_subject(certificate) for certificate in certificates)
        raise UsageError(f"{path} is of {names}, which issues no certificates; give that of the issuer (CA)")


def _algorithm(path: str | Path, key: Any) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ec.EllipticCurvePrivateKey):
        curves = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
        if algorithm := curves.get(key.curve.name):
            return algorithm
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= MIN_RSA_BITS:
        return "ps256"
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    raise UsageError(f"{path} is a key that C2PA does not take; use EC P-256, P-384 or P-521, RSA 2048 or Ed25519")


def _subject(certificate: Certificate) -> str:
    return one_line(certificate.subject.rfc4514_string())


def _fingerprint(certificate: Certificate) -> str:
    from cryptography.hazmat.primitives.hashes import SHA256

    return certificate.fingerprint(SHA256()).hex()
