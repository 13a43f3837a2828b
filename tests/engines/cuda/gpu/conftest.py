"""Runs the tests of this folder on this machine's GPU, or on an emulated one if it has none.

The emulated GPU is a ``libcuda.so.1`` that runs on the CPU (``libcuda.cpp``, built once a session); the CUDA bindings,
the kernels and the driver code of the package are the real ones. Tests run in a process of their own, so that no other
test sees a GPU. A test that takes `gpu` runs with each of the bindings and gets an open `Gpu`; at its end all driver
objects must be released. A test that takes `emulated` configures the machine and always runs on the emulated GPU.
``CUDA_VISIBLE_DEVICES=`` emulates the GPU for all tests.
"""

import ctypes
import importlib.util
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
KERNELS = FOLDER.parents[3] / "engines" / "cuda" / "kernels"
BINDINGS = {"cuda-python": "cuda.bindings", "pycuda": "pycuda"}


def has_gpu():
    """Whether the driver of this machine finds a GPU."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int(0)
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0


DEVICE = "gpu" if has_gpu() else "emulated"


class Worker:
    """The test process; restarted on the next request after it ends."""

    def __init__(self, *library):
        self._library, self._process = library, None

    def run(self, *request):
        if self._process is None:
            command = [sys.executable, FOLDER / "worker.py", *self._library]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            pickle.dump(request, self._process.stdin)
            self._process.stdin.flush()
            outcome, text, ended = pickle.load(self._process.stdout)
        except (EOFError, BrokenPipeError):
            code, self._process = self._process.wait(), None
            return "failed", f"the test process died with exit code {code}"
        if ended:
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
    """The emulated ``libcuda.so.1``, with the package's kernels compiled in."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("needs g++ to build the emulated driver")
    path = tmp_path_factory.mktemp("driver") / "libcuda.so.1"
    options = ["-std=c++20", "-O2", "-ffp-contract=off", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall", "-Wextra"]
    sources = [f"-I{KERNELS}", str(FOLDER / "libcuda.cpp"), "-Wl,-soname,libcuda.so.1", "-ldl", "-o", str(path)]
    process = subprocess.run([compiler, *options, "-Werror", *sources], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    return path


@pytest.fixture(scope="session")
def nvbufsurface(tmp_path_factory):
    """Path of the emulated ``libnvbufsurface.so.1.0.0`` of a Jetson; frames arrive in buffers of the real GStreamer."""
    try:
        ctypes.CDLL("libgstreamer-1.0.so.0")
    except OSError:
        pytest.skip("needs libgstreamer1.0-0")
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs gcc to build the emulated library")
    path = tmp_path_factory.mktemp("surfaces") / "libnvbufsurface.so.1.0.0"
    options = ["-O1", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror", f"-Wl,-soname,{path.name}"]
    subprocess.run([compiler, *options, str(FOLDER / "libnvbufsurface.c"), "-o", str(path)], check=True)
    return str(path)


@pytest.fixture(scope="session")
def workers(request):
    """(Device, bindings) -> the process that runs their tests."""
    processes = {}

    def worker(device, bindings):
        if (device, bindings) not in processes:
            library = [request.getfixturevalue("library")] if device == "emulated" else []
            processes[device, bindings] = Worker(*library)
        return processes[device, bindings]

    yield worker
    for process in processes.values():
        process.close()


def installed(module):
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def pytest_generate_tests(metafunc):
    if "bindings" in metafunc.fixturenames:
        device = "emulated" if "emulated" in metafunc.fixturenames else DEVICE
        parameters = [(device, name) for name in BINDINGS]
        metafunc.parametrize("bindings", parameters, ids=[f"{name}-{device}" for _, name in parameters], indirect=True)


@pytest.fixture
def bindings(request):
    """Name of the bindings that the test runs with."""
    name = request.param[1]
    if not installed(BINDINGS[name]):
        pytest.skip(f"needs {name}")
    return name


@pytest.fixture
def gpu(bindings):
    """Replaced in the worker by an open `Gpu`."""
    return bindings


@pytest.fixture
def machine():
    """Replaced in the worker by its machine, `RealGpu` or `EmulatedGpu`."""


@pytest.fixture
def emulated():
    """Replaced in the worker by its `EmulatedGpu`."""


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Run the test in the process that has the GPU."""
    device, name = pyfuncitem.callspec.params["bindings"]
    worker = pyfuncitem._request.getfixturevalue("workers")(device, name)
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    outcome, text = worker.run(str(pyfuncitem.path), pyfuncitem.originalname, name, arguments)
    if outcome == "skipped":
        pytest.skip(text)
    if outcome == "failed":
        pytest.fail(text, pytrace=False)
    return True
