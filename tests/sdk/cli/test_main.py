"""What becomes of an error, a signal, a closed pipe; and what every command has in common."""

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
    said = facesr("--version")
    assert (said.code, said.out) == (0, f"facesr-edge {facesr_edge.__version__}\n")


def test_help_names_every_command_and_loads_no_library():
    code = (
        "import sys; sys.argv = ['facesr-edge', '--help']\n"
        "from facesr_edge.sdk.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as left: assert left.code == 0\n"
        "heavy = {'cv2', 'onnxruntime', 'torch', 'av', 'skimage'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(f"\n  {command} " in done.stdout for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(facesr, command):
    said = facesr(command, "--help")
    assert said.code == 0 and said.out.startswith(f"Usage: facesr-edge {command}")
    assert said.err == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_readme(command):
    assert f"facesr-edge {command}" in (ROOT / "README.md").read_text("utf-8")


def test_without_a_command_there_is_help_and_wrong_usage(facesr):
    said = facesr()
    assert said.code == 2 and "Commands:" in said.err and said.out == ""


def test_a_misspelt_command_gets_a_suggestion(facesr):
    said = facesr("profle")
    assert said.code == 2 and "did you mean 'profile'?" in said.error


def test_an_unknown_option_is_wrong_usage(facesr):
    said = facesr("models", "--colour")
    assert said.code == 2 and "--colour" in said.error


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x/y.png"), "the disk is full for /x/y.png"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "/x: permission denied"),
        (MemoryError(), "there is not enough memory"),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), "pip install 'facesr-edge[build]'"),
        (KeyboardInterrupt(), "stopped before anything was done"),
        (RuntimeError("two\nlines"), "unexpected RuntimeError: two lines; run again with --debug"),
    ],
)
def test_any_exception_is_one_line(facesr, monkeypatch, raised, expected):
    def fail():
        raise raised

    monkeypatch.setattr("facesr_edge.zoo.catalogue.names", fail)
    said = facesr("models")
    assert said.code == 1 and expected in said.error


def test_debug_shows_the_traceback(monkeypatch):
    from facesr_edge.sdk.cli.main import main

    def fail():
        raise RuntimeError("inside")

    monkeypatch.setattr("facesr_edge.zoo.catalogue.names", fail)
    with pytest.raises(RuntimeError, match="inside"):
        main(["models", "--debug"])


def test_a_reader_that_leaves_is_not_an_error():
    command = [sys.executable, "-m", "facesr_edge", "models", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode in (0, 1)


def test_as_a_module_it_is_the_same_program():
    done = subprocess.run([sys.executable, "-m", "facesr_edge", "models", "--json"], capture_output=True, check=True)
    assert {model["name"] for model in json.loads(done.stdout)} >= {"idrn-x4", "detector"}
