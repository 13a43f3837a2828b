"""A process that has a GPU played by the CPU, and runs tests in it: the driver is loaded before anything asks for one.

Reads requests from standard input, (file, function, bindings, arguments), and answers each with an outcome and a text.
"""

import ctypes
import gc
import importlib.util
import os
import pickle
import sys
import traceback
from contextlib import ExitStack
from functools import cache
from pathlib import Path


class Machine:
    """What the tests may change of the machine, and what its driver still holds."""

    KINDS = ("memory", "pinned", "streams", "events", "graphs", "modules", "contexts", "current")

    def __init__(self, library):
        self._library = library
        library.onCpuMachine.argtypes = [ctypes.c_int, ctypes.c_size_t, ctypes.c_int]

    def held(self):
        """Kind of thing -> how many of it have not been given back; those of which there are none left out."""
        counts = (ctypes.c_long * len(self.KINDS))()
        self._library.onCpuBooks(counts)
        return {kind: count for kind, count in zip(self.KINDS, counts, strict=True) if count}

    def make(self, gpus=1, memory=2**30, driver=13000):
        """Have so many GPUs of so much memory, and a driver of such a version; the usual ones without arguments."""
        self._library.onCpuMachine(gpus, memory, driver)

    def recover(self):
        """Forget what went wrong, as only a new process could."""
        self._library.onCpuForgive()


@cache
def module_of(path):
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(machine, path, name, bindings, arguments):
    """Run a test. `gpu` and `machine` among its arguments are the real things; nothing of the GPU may be left over."""
    import pytest
    from facesr_edge.engines.cuda import Gpu

    if bindings == "pycuda":
        pytest.importorskip("pycuda.driver", exc_type=ImportError)
    function = getattr(module_of(path), name)
    with ExitStack() as after:
        after.callback(machine.make)
        if "machine" in arguments:
            arguments["machine"] = machine
        if "gpu" in arguments:
            arguments["gpu"] = after.enter_context(Gpu(0, bindings))
        function(**arguments)
        arguments.clear()
    gc.collect()
    assert machine.held() == {}, f"left behind on the GPU: {machine.held()}"


def main():
    machine = Machine(ctypes.CDLL(sys.argv[1], ctypes.RTLD_GLOBAL))
    sys.setdlopenflags(os.RTLD_LAZY)  # pycuda names the whole driver; what it never calls need not be there
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else is printed is no answer
    while True:
        try:
            request = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            run(machine, *request)
            answer = "passed", ""
        except BaseException as error:  # pytest's own outcomes are no Exceptions
            answer = "skipped" if type(error).__name__ == "Skipped" else "failed", traceback.format_exc()
            if answer[0] == "skipped":
                answer = "skipped", str(error)
            machine.recover()
            del error
            gc.collect()
        pickle.dump(answer, answers)
        answers.flush()


if __name__ == "__main__":
    main()
