"""The linter, the formatter and the strict type checker have nothing to say."""

import os
import shutil
import subprocess
import sys

import pytest


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]])
def test_ruff_has_nothing_to_say(root, command):
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "."], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_package_is_strictly_typed(root, checkout, tmp_path):
    """The slowest test of the house: a minute where nothing is cached."""
    shutil.copytree(checkout, tmp_path / "facesr_edge", ignore=shutil.ignore_patterns("tests"))
    command = [sys.executable, "-m", "mypy", "-p", "facesr_edge", "--config-file", "facesr_edge/setup.cfg"]
    cache = ["--cache-dir", str(root / ".mypy_cache" / "house")]
    environment = {**os.environ, "MYPYPATH": str(tmp_path)}
    done = subprocess.run(
        [*command, *cache], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
