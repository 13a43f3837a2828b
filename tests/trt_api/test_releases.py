"""What is asked of TensorRT is what each of its releases has: the whole build and the whole session, on doubles.

A process takes one release, so each runs its tests, those in `inside`, in a process of its own.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import RELEASES

INSIDE = Path(__file__).with_name("isolated")
PARTS = {"doubles": 37, "building": 39, "running": 44, "compiling": 16}
"""File of tests -> the least number that must have passed."""


@pytest.mark.parametrize("part", sorted(PARTS))
@pytest.mark.parametrize("release", sorted(RELEASES))
def test_release_has_all_that_it_is_asked_for(bindings, release, part):
    folder = bindings(release)
    paths = {"PYTHONPATH": f"{folder}{os.pathsep}{INSIDE}", "LD_LIBRARY_PATH": str(folder / "tensorrt_bindings")}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rs", str(INSIDE / f"{part}.py")]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=INSIDE.parents[2],
        env={**os.environ, **paths, "TENSORRT_RELEASE": release},
    )
    told = done.stdout[-8000:] + done.stderr[-2000:]
    assert done.returncode == 0, told
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed and int(passed[1]) >= PARTS[part] and "skipped" not in done.stdout, told
