"""Certificates for servers of the tests."""

import subprocess

import pytest


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """Certificates of localhost, each its own authority: server.pem and stranger.pem, with their keys."""
    folder = tmp_path_factory.mktemp("certificates")
    subject = ["-subj", "/CN=localhost", "-nodes", "-days", "2", "-newkey", "rsa:2048"]
    names = ["-addext", "subjectAltName=DNS:localhost"]
    for name in ("server", "stranger"):
        command = ["openssl", "req", "-x509", *subject, *names, "-keyout", f"{name}.key", "-out", f"{name}.pem"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder
