"""Ruff and mypy (strict) pass."""

import os
import shutil
import subprocess
import sys

import pytest


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]])
def test_ruff_passes(root, command):
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "."], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_mypy_passes_in_strict_mode(root, checkout, tmp_path):
    """Takes about a minute without a cache."""
    shutil.copytree(checkout, tmp_path / "facesr_edge", ignore=shutil.ignore_patterns("tests"))
    command = [sys.executable, "-m", "mypy", "-p", "facesr_edge", "--config-file", "facesr_edge/setup.cfg"]
    cache = ["--cache-dir", str(root / ".mypy_cache" / "repo")]
    environment = {**os.environ, "MYPYPATH": str(tmp_path)}
    done = subprocess.run(
        [*command, *cache], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
