"""Without driver or CUDA bindings: one-line errors, and no import of the bindings before a GPU is opened."""

import ctypes
import importlib.util
import subprocess
import sys

import pytest
from facesr_edge.engines.cuda.device import Gpu
from facesr_edge.engines.cuda.extra import gpu_extra
from facesr_edge.engines.errors import EngineError, UnknownNameError


def run_program(program):
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    return process.stdout.strip()


def open_gpu_without(blocked, bindings="auto"):
    """Error of opening a GPU in a process that cannot import some packages."""
    return run_program(
        f"import sys\nfor name in {blocked!r}: sys.modules[name] = None\n"
        "from facesr_edge.engines.cuda.device import Gpu\n"
        f"try: Gpu(0, {bindings!r})\nexcept Exception as error: print(type(error).__name__, error)"
    )


@pytest.mark.parametrize("bindings", ["auto", "cuda-python", "pycuda"])
def test_missing_bindings_raise_with_the_install_command(bindings):
    package, extra = ("pycuda", "pycuda") if bindings == "pycuda" else ("cuda-python", gpu_extra())
    assert open_gpu_without(["cuda", "cuda.bindings", "pycuda", "pycuda.driver"], bindings) == (
        f"MissingDependencyError running on a GPU needs {package}, which is not installed; "
        f"pip install 'facesr-edge[{extra}]'"
    )


def test_a_machine_without_a_driver_raises():
    if importlib.util.find_spec("cuda") is None:
        pytest.skip("needs cuda-python")
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        with pytest.raises(EngineError, match=r"no NVIDIA driver found \(.+\); run facesr-edge doctor"):
            Gpu(0, "cuda-python")
    else:
        pytest.skip("this machine has a driver")


def test_unknown_bindings_raise():
    with pytest.raises(UnknownNameError, match="unknown CUDA bindings 'cudapython'; did you mean 'cuda-python'"):
        Gpu(0, "cudapython")


def test_bindings_are_not_imported_before_a_gpu_is_opened():
    program = (
        "import sys, facesr_edge.engines.cuda.frame_ops\n"
        "print({'cuda', 'pycuda'} & {n.split('.')[0] for n in sys.modules})"
    )
    assert run_program(program) == "set()"
