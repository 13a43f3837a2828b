"""TensorRT's compiled Python bindings, one release at a time, without the libraries behind them.

The bindings need their libraries only for a few C functions. Stub libraries with those functions make them importable
on any machine, so that every class, attribute and signature can be read.
"""

import fcntl
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
    """Release -> folder of its bindings and stub libraries; cached between runs, locked against parallel workers."""
    cache = pytestconfig.rootpath / ".pytest_cache" / "d" / "tensorrt-bindings"
    cache.mkdir(parents=True, exist_ok=True)

    def folder(release):
        ready = cache / f"{release}-{sys.implementation.cache_tag}"
        with ready.with_name(f"{ready.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not ready.is_dir():
                temporary = ready.with_name(f"{ready.name}.part")
                shutil.rmtree(temporary, ignore_errors=True)
                _install(temporary, RELEASES[release])
                _build_stub_libraries(temporary / "tensorrt_bindings", release.split(".")[0])
                temporary.rename(ready)
        return ready

    return folder


def _install(folder, requirement):
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), requirement]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        skip_or_fail(f"cannot install {requirement}: {process.stderr.strip()[-500:]}")


def _build_stub_libraries(folder, major):
    compiler = shutil.which("gcc") or shutil.which("cc")
    if not compiler:
        skip_or_fail("needs a C compiler for the stub libraries")
    source = "".join(f"void *{name}(void) {{ return 0; }}\n" for name in FUNCTIONS)
    for library in LIBRARIES:
        name = f"lib{library}.so.{major}"
        command = [compiler, "-shared", "-fPIC", "-x", "c", "-", f"-Wl,-soname,{name}", "-o", str(folder / name)]
        subprocess.run(command, input=source, text=True, check=True)


def skip_or_fail(reason):
    """Fail in CI, skip elsewhere."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
