"""A process that has a GPU, and runs tests with it: this machine's own, or one played by the CPU, whose driver is
loaded before anything asks for one.

Reads requests from standard input, (file, function, bindings, arguments), and answers each with an outcome, a text, and
whether another process is needed for the next one.
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
from machines import Played, Real

LONGEST = 60
"""Seconds that a test on a real GPU may take; a stream that waits for ever would otherwise stop them all."""


@cache
def module_of(path):
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(machine, path, name, bindings, arguments):
    """Run a test. `gpu` and `machine` among its arguments are the real things; nothing of the GPU may be left over."""
    from facesr_edge.engines.cuda.device import Gpu

    if bindings == "pycuda":
        pytest.importorskip("pycuda.driver", exc_type=ImportError)
        if machine.real and "machine" in arguments:
            pytest.skip("needs cuda-python: a real driver keeps no books")
    function = getattr(module_of(path), name)
    with ExitStack() as after:
        if not machine.real:
            after.callback(machine.make)
        arguments |= {word: machine for word in ("machine", "played") if word in arguments}
        if "gpu" in arguments:
            arguments["gpu"] = after.enter_context(Gpu(0, bindings))
        function(**arguments)
        arguments.clear()
    gc.collect()
    assert machine.lost or machine.held() == {}, f"left behind on the GPU: {machine.held()}"


def main():
    machine = Played(ctypes.CDLL(sys.argv[1], ctypes.RTLD_GLOBAL)) if len(sys.argv) > 1 else Real()
    sys.setdlopenflags(os.RTLD_LAZY)  # pycuda names the whole driver; what it never calls need not be there
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else is printed is no answer
    over = False
    while not over:
        try:
            request = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        if machine.real:
            faulthandler.dump_traceback_later(LONGEST, exit=True)
        try:
            run(machine, *request)
            answer = "passed", ""
        except BaseException as error:  # pytest's own outcomes are no Exceptions
            skipped = type(error).__name__ == "Skipped"
            answer = ("skipped", str(error)) if skipped else ("failed", traceback.format_exc())
            machine.lost |= not skipped  # what a failed test left behind is nobody else's matter
        faulthandler.cancel_dump_traceback_later()
        over = machine.lost
        pickle.dump((*answer, over), answers)
        answers.flush()
    os._exit(0)  # nothing can be tidied up


if __name__ == "__main__":
    main()
