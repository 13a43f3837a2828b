"""Runs the tests of this folder where there is a GPU, played by the CPU: real bindings, real kernels, our own driver.

``libcuda.cpp`` is built once a session and loaded in a process of its own, so that no other test sees a GPU. A test
that takes `gpu` is run with each of the bindings and gets it open; nothing may be left in the driver afterwards.
"""

import importlib.util
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
KERNELS = HERE.parents[2] / "engines" / "kernels"
BINDINGS = {"cuda-python": "cuda.bindings", "pycuda": "pycuda"}


class Worker:
    """The process; started again after a crash."""

    def __init__(self, library):
        self._library, self._process = library, None

    def run(self, *request):
        if self._process is None:
            command = [sys.executable, HERE / "worker.py", self._library]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            pickle.dump(request, self._process.stdin)
            self._process.stdin.flush()
            return pickle.load(self._process.stdout)
        except (EOFError, BrokenPipeError):
            code, self._process = self._process.wait(), None
            return "failed", f"the process with the GPU died with {code}"

    def close(self):
        if self._process is not None:
            self._process.stdin.close()
            self._process.stdout.close()
            self._process.wait(30)


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """libcuda.so.1 with the package's own kernels in it."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("needs g++ to build a driver")
    path = tmp_path_factory.mktemp("driver") / "libcuda.so.1"
    options = ["-std=c++20", "-O2", "-ffp-contract=off", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall", "-Wextra"]
    sources = [f"-I{KERNELS}", str(HERE / "libcuda.cpp"), "-Wl,-soname,libcuda.so.1", "-ldl", "-o", str(path)]
    done = subprocess.run([compiler, *options, "-Werror", *sources], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture(scope="session")
def workers(library):
    """Bindings -> the process that uses them."""
    made = {name: Worker(library) for name in BINDINGS}
    yield made
    for worker in made.values():
        worker.close()


def installed(module):
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


@pytest.fixture(params=sorted(BINDINGS))
def bindings(request):
    """Name of the bindings that the test is run with."""
    if not installed(BINDINGS[request.param]):
        pytest.skip(f"needs {request.param}")
    return request.param


@pytest.fixture
def gpu(bindings):
    """An open `Gpu`, once the test runs."""
    return bindings


@pytest.fixture
def machine():
    """The worker's `Machine`, once the test runs."""


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Run the test in the process that has the GPU."""
    worker = pyfuncitem._request.getfixturevalue("workers")
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    chosen = pyfuncitem.funcargs.get("bindings", "cuda-python")
    outcome, text = worker[chosen].run(str(pyfuncitem.path), pyfuncitem.originalname, chosen, arguments)
    if outcome == "skipped":
        pytest.skip(text)
    if outcome == "failed":
        pytest.fail(text, pytrace=False)
    return True
