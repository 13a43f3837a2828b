"""Test process with a GPU: this machine's, or an emulated one, whose driver is loaded before any other.

Reads requests (file, function, bindings, arguments) from standard input and writes a result for each: the outcome, a
text, and whether the process ends.
"""

import ctypes
import faulthandler
import gc
import importlib.util
import os
import pickle
import sys
import traceback
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest
from machines import EmulatedGpu, RealGpu

sys.path.append(str(Path(__file__).parents[3]))  # of `support`

TIMEOUT = 60
"""Seconds for a test on a real GPU; a stream that never finishes would block all tests."""


@cache
def load_module(path):
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(machine, path, name, bindings, arguments):
    """Run a test with an open GPU; fails if driver objects are not released."""
    from facesr_edge.engines.cuda.device import Gpu

    if bindings == "pycuda":
        pytest.importorskip("pycuda.driver", exc_type=ImportError)
        if machine.real and "machine" in arguments:
            pytest.skip("needs cuda-python: objects of a real driver are counted in its bindings")
    function = getattr(load_module(path), name)
    with ExitStack() as stack:
        if not machine.real:
            stack.callback(machine.configure)
        arguments |= {fixture: machine for fixture in ("machine", "emulated") if fixture in arguments}
        if "gpu" in arguments:
            arguments["gpu"] = stack.enter_context(Gpu(0, bindings))
        function(**arguments)
        arguments.clear()
    gc.collect()
    assert machine.lost or machine.live_objects() == {}, f"not released on the GPU: {machine.live_objects()}"


def main():
    machine = EmulatedGpu(ctypes.CDLL(sys.argv[1], ctypes.RTLD_GLOBAL)) if len(sys.argv) > 1 else RealGpu()
    sys.setdlopenflags(os.RTLD_LAZY)  # pycuda links the whole driver; functions that are never called may be missing
    results = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # printed text must not mix with the results
    ended = False
    while not ended:
        try:
            request = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        if machine.real:
            faulthandler.dump_traceback_later(TIMEOUT, exit=True)
        try:
            run(machine, *request)
            result = "passed", ""
        except BaseException as error:  # outcomes of pytest are no subclasses of Exception
            skipped = type(error).__name__ == "Skipped"
            result = ("skipped", str(error)) if skipped else ("failed", traceback.format_exc())
            machine.lost |= not skipped  # objects of a failed test must not fail the next one
        faulthandler.cancel_dump_traceback_later()
        ended = machine.lost
        pickle.dump((*result, ended), results)
        results.flush()
    os._exit(0)  # the context may be lost: no cleanup


if __name__ == "__main__":
    main()
