"""Build and session code against every supported TensorRT release, with strict mocks generated from its bindings.

A process can import one release only, so the tests in `isolated` run in a process per release.
"""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from .conftest import RELEASES, skip_or_fail

ISOLATED = Path(__file__).with_name("isolated")
FILES = {
    "strict_mock_tests": 38,
    "building": 53,
    "running": 54,
    "running_references": 8,
    "running_samples": 4,
    "compiling": 23,
}
"""Test file -> minimum number of its tests."""


def run_isolated(files, **environment):
    """Run test files in a new process; returns the number of tests that passed, all of them."""
    paths = [environment.pop("folder", ""), str(ISOLATED), os.environ.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
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
    assert process.returncode == 0 and "skipped" not in process.stdout, output
    passed = re.search(r"(\d+) passed", process.stdout)
    return int(passed[1])


@pytest.mark.parametrize("release", sorted(RELEASES))
def test_build_and_session_use_only_what_the_release_provides(bindings, release):
    folder, files = bindings(release), [str(ISOLATED / f"{name}.py") for name in FILES]
    libraries = {"LD_LIBRARY_PATH": str(folder / "tensorrt_bindings"), "TENSORRT_RELEASE": release}
    assert run_isolated(files, folder=str(folder), **libraries) >= sum(FILES.values())


def test_build_and_session_use_only_what_tensorrt_for_rtx_provides():
    if not find_spec("tensorrt_rtx"):
        skip_or_fail("TensorRT for RTX is not installed")
    assert run_isolated([str(ISOLATED / "rtx.py")]) >= 23
