"""The machine under the tests: one with a GPU of its own, or one whose GPU the CPU plays; and what is held on it."""

import ctypes
import subprocess
from collections import Counter
from contextlib import contextmanager
from functools import wraps
from threading import Timer

import numpy as np
import pytest


class Played:
    """A GPU played by the CPU, whose driver keeps the books. Its streams do nothing before somebody waits for them."""

    real, lost = False, False
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

    def says(self):
        """Name, compute capability, bytes of memory and newest CUDA of the first GPU."""
        return "A GPU on the CPU", "8.7", 2**30, "13.0"

    @contextmanager
    def hold(self, stream):
        """Within it nothing is done that is queued on the stream."""
        yield

    def lose(self):
        """The context is lost, and with it this process: the next test has another."""
        self.lost = True


class Real:
    """A GPU of this machine. The books are kept where the bindings are called; one context is kept, to be quick."""

    real, lost = True, False
    PAIRS = (
        ("memory", "cuMemAlloc", "cuMemFree"),
        ("pinned", "cuMemHostAlloc", "cuMemFreeHost"),
        ("streams", "cuStreamCreate", "cuStreamDestroy"),
        ("events", "cuEventCreate", "cuEventDestroy"),
        ("graphs", "cuStreamEndCapture", "cuGraphDestroy"),
        ("graphs", "cuGraphInstantiate", "cuGraphExecDestroy"),
        ("modules", "cuModuleLoadData", "cuModuleUnload"),
        ("contexts", "cuDevicePrimaryCtxRetain", "cuDevicePrimaryCtxRelease"),
        ("current", "cuCtxPushCurrent", "cuCtxPopCurrent"),
    )

    def __init__(self):
        from cuda.bindings import driver

        self._cu, self._held, self._turn = driver, Counter(), -1
        self._call(driver.cuInit, 0)
        self._context = self._call(driver.cuDevicePrimaryCtxRetain, self._call(driver.cuDeviceGet, 0))
        self._push, self._pop = driver.cuCtxPushCurrent, driver.cuCtxPopCurrent
        self._call(self._push, self._context)
        address = self._call(driver.cuMemHostAlloc, 4096, 0)
        self._call(self._pop)
        self._gates = np.frombuffer((ctypes.c_uint32 * 1024).from_address(int(address)), np.uint32)
        for kind, take, give in self.PAIRS:
            self._count(take, kind, 1)
            self._count(give, kind, -1)

    def _call(self, function, *arguments):
        status, *results = function(*arguments)
        assert status == self._cu.CUresult.CUDA_SUCCESS, (function.__name__, status)
        return results[0] if results else None

    def _count(self, name, kind, step):
        call = getattr(self._cu, name)

        @wraps(call)
        def counted(*arguments):
            result = call(*arguments)
            if result[0] == self._cu.CUresult.CUDA_SUCCESS:
                self._held[kind] += step
            return result

        setattr(self._cu, name, counted)

    def held(self):
        """See `Played.held`."""
        return {kind: count for kind, count in self._held.items() if count}

    def says(self):
        """See `Played.says`; as nvidia-smi says it."""
        query = ["nvidia-smi", "--query-gpu=name,compute_cap,memory.total", "--format=csv,noheader,nounits", "--id=0"]
        try:
            name, capability, mebibytes = subprocess.check_output(query, text=True).strip().split(", ")
            driver = subprocess.check_output(query[:1], text=True).partition("CUDA Version:")[2].split()[0]
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            pytest.skip(f"needs nvidia-smi: {error}")
        return name, capability, int(mebibytes) * 2**20, driver

    @contextmanager
    def hold(self, stream):
        """See `Played.hold`; five seconds at most, so that a test that waits where it must not fails and does not hang.

        The stream waits for a word of page-locked memory to be set.
        """
        self._turn += 1
        gate = self._gates[self._turn % len(self._gates) :][:1]
        gate[:] = 0
        at_least = self._cu.CUstreamWaitValue_flags.CU_STREAM_WAIT_VALUE_GEQ
        self._call(self._push, self._context)
        self._call(self._cu.cuStreamWaitValue32, stream.handle, gate.ctypes.data, 1, int(at_least))
        self._call(self._pop)
        opening = Timer(5, gate.fill, [1])
        opening.start()
        try:
            yield
        finally:
            opening.cancel()
            gate[:] = 1

    def lose(self):
        """See `Played.lose`."""
        self.lost = True
