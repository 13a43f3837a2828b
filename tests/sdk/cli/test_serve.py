"""`facesr-edge serve`: a process that serves until it is stopped, and errors before the networks are loaded."""

import re
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from urllib.error import URLError

import pytest
from facesr_edge.samples.face_client import ServiceError, faces_of

FAST = ("--model", "edge-nano-x4", "--engine", "onnxruntime", "--precision", "fp32", "--workers", "1")
UNIT = Path(__file__).parents[3] / "samples" / "facesr-edge-serve.service"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A running command with a token of its own: process, URL, token file."""
    token_file = tmp_path_factory.mktemp("serve") / "token"
    command = [sys.executable, "-m", "facesr_edge", "serve", "--port", "0", *FAST, "--token-file", str(token_file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            line, url = process.stdout.readline(), process.stdout.readline()
            assert "1 worker · edge-nano-x4 fp32 · ONNX Runtime" in line, process.stderr.read()
            yield process, url.strip().removesuffix("/faces"), token_file
        finally:
            process.kill()


def test_the_sample_client_gets_faces_until_the_service_is_stopped(served, image_file):
    process, url, token_file = served
    token = token_file.read_text().strip()
    assert stat.S_IMODE(token_file.stat().st_mode) == 0o600 and len(token) >= 16
    found = faces_of(image_file.read_bytes(), url, token, format="png")
    (face,), others = found.faces, (found.too_large, found.left_out)
    assert others == (0, 0)
    assert face.pixels.startswith(b"\x89PNG") and face.original.startswith(b"\x89PNG") and face.score > 0.6
    with pytest.raises(ServiceError, match="401: expected the token"):
        faces_of(image_file.read_bytes(), url)
    with pytest.raises(ServiceError, match="415: the body is not a picture"):
        faces_of(b"hello", url, token)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert process.stderr.read() == "stopped\n"
    with pytest.raises(URLError):
        faces_of(image_file.read_bytes(), url, token)


def test_a_service_for_others_needs_a_token(facesr):
    done = facesr("serve", "--host", "0.0.0.0")
    assert done.code == 2 and "--token-file FILE" in done.error


def test_a_taken_port_is_known_before_the_networks_are_loaded(facesr):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = facesr("serve", "--port", port, "--model", "edge-nano-x4")
    assert done.code == 1 and re.search(f"cannot listen at 127.0.0.1 port {port}: .*in use", done.error)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "nosuch"], "unknown model 'nosuch'"),
        (["--max-megapixels", "101"], "at most 100 megapixels"),
        (["--max-mb", "0"], "max-mb"),
        (["--proxy", "nowhere"], "IP address"),
        (["--min-face", "0.5"], "min_face"),
    ],
)
def test_usage_errors_exit_with_2(facesr, arguments, words):
    done = facesr("serve", "--port", "0", *arguments)
    assert done.code == 2 and words in done.error


def test_the_systemd_unit_runs_the_command():
    assert "ExecStart=/opt/facesr/bin/facesr-edge serve " in UNIT.read_text("utf-8")
