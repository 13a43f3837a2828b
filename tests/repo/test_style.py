"""Ruff and mypy (strict) pass, mypy for a client of the package too."""

import os
import shutil
import subprocess
import sys

import facesr_edge
import pytest


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]])
def test_ruff_passes(root, command):
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "."], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_mypy_passes_in_strict_mode(root, checkout, tmp_path):
    """Takes about a minute without a cache. The client uses every public name."""
    client = root / "tests" / "repo" / "typed_client.py"
    assert [name for name in facesr_edge.__all__ if f"fe.{name}" not in client.read_text() and name[0] != "_"] == []
    for program in (client, root / "samples" / "live_cameras.py"):
        shutil.copy(program, tmp_path)
    shutil.copytree(checkout, tmp_path / "facesr_edge", ignore=shutil.ignore_patterns("tests"))
    modules = ["-p", "facesr_edge", "-m", "typed_client", "-m", "live_cameras"]
    command = [sys.executable, "-m", "mypy", *modules, "--config-file", "facesr_edge/setup.cfg"]
    cache = ["--cache-dir", str(root / ".mypy_cache" / "repo")]
    environment = {**os.environ, "MYPYPATH": str(tmp_path)}
    done = subprocess.run(
        [*command, *cache], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
