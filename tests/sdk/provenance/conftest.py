"""Real certificates, a small real network, a picture and a clip with one face, and runs that sign."""

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import cache
from pathlib import Path

import av
import cv2
import facesr_edge
import numpy as np
import pytest


@dataclass(frozen=True)
class Identity:
    """PEM files of an authority and of the signer that it issued a certificate for."""

    ca: Path
    cert: Path
    key: Path


@pytest.fixture(scope="session")
def identity(tmp_path_factory):
    """Function: name, kind of key, extended key usage and days of validity -> `Identity`."""
    pytest.importorskip("c2pa")
    return cache(lambda name, kind="p256", usage="email", days=30: _identity(tmp_path_factory, name, kind, usage, days))


def _identity(tmp_path_factory, name, kind, usage, days):
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    keys = {
        "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
        "ed25519": ed25519.Ed25519PrivateKey.generate,
    }
    ca_key, key = keys["p256"](), keys[kind]()

    def subject(common_name):
        return x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, name),
                x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            ]
        )

    def certificate(common_name, public_key, *, ca):
        begin = datetime.now(timezone.utc) - timedelta(days=1 + max(0, -days))
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject(common_name))
            .issuer_name(subject("authority"))
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(datetime.now(timezone.utc) + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca, None), True)
            .add_extension(x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False), True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), False)
        )
        if not ca:
            purpose = {"email": ExtendedKeyUsageOID.EMAIL_PROTECTION, "server": ExtendedKeyUsageOID.SERVER_AUTH}[usage]
            builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), False)
        return builder.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    folder = tmp_path_factory.mktemp("identity")
    found = Identity(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
    found.ca.write_bytes(certificate("authority", ca_key.public_key(), ca=True))
    found.cert.write_bytes(certificate("signer", key.public_key(), ca=False))
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    found.key.write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
    return found


@pytest.fixture(scope="session")
def nano():
    """The smallest camera network, in FP32."""
    detector = facesr_edge.load_detector(engine="onnxruntime", precision="fp32", threads=1)
    with facesr_edge.load(
        "edge-nano-x4-camera", engine="onnxruntime", precision="fp32", threads=1, detector=detector
    ) as pipeline:
        yield pipeline


@pytest.fixture(scope="session")
def face_frame(put_face):
    """(96, 128, 3) with one face of 30 px."""
    frame = np.full((96, 128, 3), 118, np.uint8)
    put_face(frame, 30, 10, 30)
    return frame


@pytest.fixture(scope="session")
def originals(tmp_path_factory, face_frame):
    """Function: suffix -> file with the face: a picture, TIFF of three pages, or a video of three frames."""

    @cache
    def make(name):
        path = tmp_path_factory.mktemp("originals") / name
        if path.suffix == ".mp4":
            _write_clip(path, face_frame)
        elif name.startswith("pages"):
            assert cv2.imwritemulti(str(path), [face_frame] * 3)
        else:
            assert cv2.imwrite(str(path), face_frame)
        return path

    return make


def _write_clip(path, pixels):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", 25, {"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = pixels.shape[1], pixels.shape[0], "yuv420p"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
        container.mux(stream.encode(None))


@pytest.fixture(scope="session")
def write(nano):
    """Function: run a file through the network into an output, signed or not; returns the sink."""

    def run(original, output, identity=None, **options):
        from facesr_edge.sdk.provenance.credentials import load_credentials

        credentials = identity and load_credentials(identity.cert, identity.key)
        with facesr_edge.open_source(original) as source:
            encode = facesr_edge.EncodeOptions(**options)
            sink = facesr_edge.open_sink(output, source, outscale=nano.outscale, options=encode, sign=credentials)
            with sink:
                assert list(facesr_edge.run(nano, source, sink))
        return sink

    return run
