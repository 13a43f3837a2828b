"""Exit codes, error messages, closed pipes, and the help of every command."""

import errno
import json
import subprocess
import sys
from pathlib import Path

import facesr_edge
import pytest
from facesr_edge.sdk.cli.main import COMMANDS

ROOT = Path(facesr_edge.__file__).parent


def test_version(facesr):
    result = facesr("--version")
    assert (result.code, result.out) == (0, f"facesr-edge {facesr_edge.__version__}\n")


def test_help_lists_every_command_and_imports_no_heavy_library():
    code = (
        "import sys; sys.argv = ['facesr-edge', '--help']\n"
        "from facesr_edge.sdk.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as error: assert error.code == 0\n"
        "heavy = {'cv2', 'onnxruntime', 'torch', 'av', 'skimage'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(f"\n  {command} " in done.stdout for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(facesr, command):
    result = facesr(command, "--help")
    assert result.code == 0 and result.out.startswith(f"Usage: facesr-edge {command}")
    assert result.err == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_readme(command):
    assert f"facesr-edge {command}" in (ROOT / "README.md").read_text("utf-8")


def test_missing_command_shows_the_help_and_is_a_usage_error(facesr):
    result = facesr()
    assert result.code == 2 and "Commands:" in result.err and result.out == ""


def test_misspelled_command_gets_a_suggestion(facesr):
    result = facesr("profle")
    assert result.code == 2 and "did you mean 'profile'?" in result.error


def test_unknown_option_is_a_usage_error(facesr):
    result = facesr("models", "--colour")
    assert result.code == 2 and "--colour" in result.error


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x/y.png"), "no space left on the device for /x/y.png"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "/x: permission denied"),
        (MemoryError(), "out of memory"),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), "pip install 'facesr-edge[build]'"),
        (KeyboardInterrupt(), "interrupted before any output was written"),
        (RuntimeError("two\nlines"), "unexpected RuntimeError: two lines; use --debug"),
    ],
)
def test_exception_is_reported_in_one_line(facesr, monkeypatch, raised, expected):
    def fail():
        raise raised

    monkeypatch.setattr("facesr_edge.zoo.catalogue.names", fail)
    result = facesr("models")
    assert result.code == 1 and expected in result.error


def test_debug_shows_the_traceback(monkeypatch):
    from facesr_edge.sdk.cli.main import main

    def fail():
        raise RuntimeError("inside")

    monkeypatch.setattr("facesr_edge.zoo.catalogue.names", fail)
    with pytest.raises(RuntimeError, match="inside"):
        main(["models", "--debug"])


def test_closed_stdout_prints_no_error():
    command = [sys.executable, "-m", "facesr_edge", "models", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode in (0, 1)


def test_python_m_runs_the_same_program():
    done = subprocess.run([sys.executable, "-m", "facesr_edge", "models", "--json"], capture_output=True, check=True)
    assert {model["name"] for model in json.loads(done.stdout)} >= {"idrn-x4", "detector"}


def test_log_records_are_printed_on_request(facesr, tmp_path):
    import logging

    import cv2
    import numpy as np

    cv2.imwrite(str(tmp_path / "in.png"), np.zeros((64, 64, 3), np.uint8))
    arguments = ["run", tmp_path / "in.png", "-o", tmp_path / "out.png", "--engine", "onnxruntime"]
    assert "info:" not in facesr(*arguments).err
    logged = facesr(*arguments, "--log-level", "info")
    assert logged.code == 0 and "info: detector runs in ONNX Runtime" in logged.err
    assert [type(one) for one in logging.getLogger("facesr_edge").handlers] == [logging.NullHandler]
