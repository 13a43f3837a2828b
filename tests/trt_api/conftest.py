"""The compiled Python bindings of TensorRT, release by release: the real names, without the libraries behind them.

The package of the bindings needs its libraries only for a handful of C functions. Stubs of those make it importable on
any machine, and then it can be asked for every class, attribute and signature.
"""

import os
import shutil
import subprocess
import sys

import pytest

RELEASES = {  # the oldest that is supported, the last of major version 10, and the newest
    "10.3.0": "tensorrt-cu12-bindings==10.3.0",
    "10.16.1": "tensorrt-cu12-bindings==10.16.1.11",
    "11.4.0": "tensorrt-cu13-bindings==11.4.0.106",
}
LIBRARIES = ("nvinfer", "nvinfer_plugin", "nvonnxparser")
FUNCTIONS = (
    "createInferBuilder_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "getBuilderPluginRegistry",
    "getNvOnnxParserVersion",
    "getPluginRegistry",
    "initLibNvInferPlugins",
)


@pytest.fixture(scope="session")
def bindings(pytestconfig):
    """Release -> a folder that holds its bindings with stubs beside them; kept from run to run."""
    python = f"{sys.implementation.cache_tag}"
    cache = pytestconfig.cache.mkdir("tensorrt-bindings")

    def folder(release):
        ready = cache / f"{release}-{python}"
        if not ready.is_dir():
            making = cache / f"{ready.name}.{os.getpid()}"
            shutil.rmtree(making, ignore_errors=True)
            _install(making, RELEASES[release])
            _stub(making / "tensorrt_bindings", release.split(".")[0])
            making.rename(ready)
        return ready

    return folder


def _install(folder, requirement):
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        _lacking(f"{requirement} could not be installed: {done.stderr.strip()[-500:]}")


def _stub(folder, major):
    compiler = shutil.which("gcc") or shutil.which("cc")
    if not compiler:
        _lacking("a C compiler is needed for three libraries that do nothing")
    source = "".join(f"void *{name}(void) {{ return 0; }}\n" for name in FUNCTIONS)
    for library in LIBRARIES:
        name = f"lib{library}.so.{major}"
        command = [compiler, "-shared", "-fPIC", "-x", "c", "-", f"-Wl,-soname,{name}", "-o", str(folder / name)]
        subprocess.run(command, input=source, text=True, check=True)


def _lacking(reason):
    """Where the tests run for everyone, they run; elsewhere what is lacking skips them."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
