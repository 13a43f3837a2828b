"""`run --sign` and `verify` from the command line: exit codes, lines and JSON."""

import json
import os
import subprocess

import pytest

NETWORK = ("--model", "edge-nano-x4-camera", "--engine", "onnxruntime", "--precision", "fp32")


@pytest.fixture(scope="module")
def credentials(tmp_path_factory):
    """CA, certificate and key of an authority made with openssl, or skip."""
    pytest.importorskip("c2pa")
    folder = tmp_path_factory.mktemp("credentials")
    ec = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
    script = f"""
    openssl req -x509 {ec} -days 9 -keyout ca-key.pem -out ca.pem -subj /O=Lab/CN=CA -addext keyUsage=keyCertSign
    openssl req -new {ec} -keyout key.pem -out request.pem -subj /O=Lab/CN=desk
    printf "basicConstraints=CA:false\\nkeyUsage=digitalSignature\\nextendedKeyUsage=emailProtection\\n" > extensions
    printf "authorityKeyIdentifier=keyid\\n" >> extensions
    openssl x509 -req -in request.pem -CA ca.pem -CAkey ca-key.pem -days 9 -extfile extensions -out leaf.pem
    cat leaf.pem ca.pem > cert.pem"""
    try:
        subprocess.run(["sh", "-ec", script], cwd=folder, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs openssl")
    return folder


def test_a_signed_picture_is_verified_and_a_changed_one_is_not(facesr, tmp_path, image_file, credentials):
    output, sign = tmp_path / "out.png", ("--sign", credentials / "cert.pem", credentials / "key.pem")
    done = facesr("run", image_file, "-o", output, *NETWORK, *sign)
    assert done.code == 0, done.err
    found = facesr("verify", output, "--original", image_file, "--cert", credentials / "ca.pem")
    assert found.code == 0, found.out
    lines = found.out.splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["ok:", "ok:", "note:", "note:", "ok:", "ok:", "ok:", "ok:"]
    data = bytearray(output.read_bytes())
    data[data.find(b"IDAT") + 100] ^= 1
    output.write_bytes(data)
    found = facesr("verify", output, "--json", tmp_path / "report.json")
    assert found.code == 1
    assert "is not verified" in found.error
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["ok"] is False
    assert report["checks"][0]["state"] == "wrong"
    assert found.out.startswith("WRONG: signature: ")


def test_wrong_use_gets_one_line(facesr, tmp_path, image_file, credentials):
    cert, key = credentials / "cert.pem", credentials / "key.pem"
    out = ("-o", tmp_path / "out.png")
    os.mkfifo(tmp_path / "pipe.png")
    for arguments, code, problem in (
        (("run", image_file, "-o", tmp_path / "out.bmp", "--sign", cert, key), 2, "out.bmp cannot be signed"),
        (("run", image_file, *out, "--sign", key, cert), 2, "holds no PEM certificate"),
        (("run", image_file, *out, "--sign", tmp_path / "none.pem", key), 1, "none.pem cannot be read"),
        (("run", image_file, "--json", tmp_path / "f.json", "--sign", cert, key), 2, "without an output"),
        (("run", image_file, *out, "--timestamp-url", "http://stamp"), 2, "give --sign CERT KEY too"),
        (("verify", tmp_path / "none.png"), 1, "none.png cannot be read"),
        (("verify", tmp_path), 1, "is a folder"),
        (("verify", tmp_path / "pipe.png"), 1, "is not a regular file"),
        (("verify", image_file, "--original", tmp_path / "pipe.png"), 1, "is not a regular file"),
        (("verify", image_file, "--cert", key), 2, "holds no PEM certificate"),
        (("verify", image_file), 1, "1 check is wrong"),
    ):
        found = facesr(*arguments)
        assert (found.code, problem in found.error) == (code, True), (arguments, found.err)
    assert not (tmp_path / "out.png").exists()
