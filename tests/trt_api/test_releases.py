"""Build and session code against every supported TensorRT release, with strict mocks generated from its bindings.

A process can import one release only, so the tests in `isolated` run in a process per release.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import RELEASES

ISOLATED = Path(__file__).with_name("isolated")
FILES = {"strict_mock_tests": 38, "building": 44, "running": 54, "compiling": 20}
"""Test file -> minimum number of its tests."""


@pytest.mark.parametrize("release", sorted(RELEASES))
def test_build_and_session_use_only_what_the_release_provides(bindings, release):
    folder = bindings(release)
    paths = [str(folder), str(ISOLATED), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        "PYTHONPATH": os.pathsep.join(paths),
        "LD_LIBRARY_PATH": str(folder / "tensorrt_bindings"),
        "TENSORRT_RELEASE": release,
    }
    files = [str(ISOLATED / f"{name}.py") for name in FILES]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "-rs", *files]
    process = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=ISOLATED.parents[2],
        env={**os.environ, **environment},
    )
    output = process.stdout[-8000:] + process.stderr[-2000:]
    assert process.returncode == 0, output
    passed = re.search(r"(\d+) passed", process.stdout)
    assert passed and int(passed[1]) >= sum(FILES.values()) and "skipped" not in process.stdout, output
