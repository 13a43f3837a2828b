"""A machine without a GPU's driver or bindings: told in one line, and nothing is imported before it is needed."""

import ctypes
import importlib.util
import subprocess
import sys

import pytest
from facesr_edge.engines.cuda.device import Gpu
from facesr_edge.engines.errors import EngineError, UnknownNameError


def printed(program):
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def attempt(blocked, bindings="auto"):
    """What opening a GPU says in a process that cannot import some packages."""
    return printed(
        f"import sys\nfor name in {blocked!r}: sys.modules[name] = None\n"
        "from facesr_edge.engines.cuda.device import Gpu\n"
        f"try: Gpu(0, {bindings!r})\nexcept Exception as error: print(type(error).__name__, error)"
    )


@pytest.mark.parametrize("bindings", ["auto", "cuda-python", "pycuda"])
def test_bindings_that_are_not_installed_are_named_with_their_remedy(bindings):
    package, extra = ("pycuda", "pycuda") if bindings == "pycuda" else ("cuda-python", "tensorrt")
    assert attempt(["cuda", "cuda.bindings", "pycuda", "pycuda.driver"], bindings) == (
        f"MissingDependencyError running on a GPU needs {package}, which is not installed; "
        f"pip install 'facesr-edge[{extra}]'"
    )


def test_a_machine_without_a_driver_is_told_so():
    if importlib.util.find_spec("cuda") is None:
        pytest.skip("needs cuda-python")
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        with pytest.raises(EngineError, match=r"no NVIDIA driver here \(.+\); facesr-edge doctor says what is missing"):
            Gpu(0, "cuda-python")
    else:
        pytest.skip("this machine has a driver")


def test_unknown_bindings_are_told():
    with pytest.raises(UnknownNameError, match="unknown CUDA bindings 'cudapython'; did you mean 'cuda-python'"):
        Gpu(0, "cudapython")


def test_no_bindings_are_imported_before_a_gpu_is_opened():
    program = (
        "import sys, facesr_edge.engines.cuda.frame_ops\n"
        "print({'cuda', 'pycuda'} & {n.split('.')[0] for n in sys.modules})"
    )
    assert printed(program) == "set()"
