"""Runs the tests of this folder where there is a GPU: this machine's own, or one played by the CPU where it has none.

A GPU that is played has real bindings, real kernels and our own driver: ``libcuda.cpp`` is built once a session. Tests
run in a process of their own, so that no other test sees a GPU. A test that takes `gpu` is run with each of the
bindings and gets it open; nothing may be left in the driver afterwards. A test that takes `played` wants a machine
that can be changed, and has its GPU played everywhere. ``CUDA_VISIBLE_DEVICES=`` has all of them played.
"""

import ctypes
import importlib.util
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
KERNELS = HERE.parents[3] / "engines" / "cuda" / "kernels"
BINDINGS = {"cuda-python": "cuda.bindings", "pycuda": "pycuda"}


def has_gpu():
    """Whether the driver of this machine sees one."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int(0)
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0


PLACE = "gpu" if has_gpu() else "played"


class Worker:
    """The process; started again when it is over."""

    def __init__(self, *library):
        self._library, self._process = library, None

    def run(self, *request):
        if self._process is None:
            command = [sys.executable, HERE / "worker.py", *self._library]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            pickle.dump(request, self._process.stdin)
            self._process.stdin.flush()
            outcome, text, over = pickle.load(self._process.stdout)
        except (EOFError, BrokenPipeError):
            code, self._process = self._process.wait(), None
            return "failed", f"the process with the GPU died with {code}"
        if over:
            self.close()
        return outcome, text

    def close(self):
        if self._process is not None:
            self._process.stdin.close()
            self._process.stdout.close()
            self._process.wait(30)
            self._process = None


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
def workers(request):
    """Place and bindings -> the process that uses them there."""
    made = {}

    def worker(place, bindings):
        if (place, bindings) not in made:
            library = [request.getfixturevalue("library")] if place == "played" else []
            made[place, bindings] = Worker(*library)
        return made[place, bindings]

    yield worker
    for process in made.values():
        process.close()


def installed(module):
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def pytest_generate_tests(metafunc):
    if "bindings" in metafunc.fixturenames:
        place = "played" if "played" in metafunc.fixturenames else PLACE
        seats = [(place, name) for name in BINDINGS]
        metafunc.parametrize("bindings", seats, ids=[f"{name}-{place}" for _, name in seats], indirect=True)


@pytest.fixture
def bindings(request):
    """Name of the bindings that the test is run with."""
    name = request.param[1]
    if not installed(BINDINGS[name]):
        pytest.skip(f"needs {name}")
    return name


@pytest.fixture
def gpu(bindings):
    """An open `Gpu`, once the test runs."""
    return bindings


@pytest.fixture
def machine():
    """The worker's machine, `Real` or `Played`, once the test runs."""


@pytest.fixture
def played():
    """The worker's machine, `Played`, once the test runs."""


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Run the test in the process that has the GPU."""
    place, name = pyfuncitem.callspec.params["bindings"]
    worker = pyfuncitem._request.getfixturevalue("workers")(place, name)
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    outcome, text = worker.run(str(pyfuncitem.path), pyfuncitem.originalname, name, arguments)
    if outcome == "skipped":
        pytest.skip(text)
    if outcome == "failed":
        pytest.fail(text, pytrace=False)
    return True
