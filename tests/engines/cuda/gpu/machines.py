"""The GPU under test, real or emulated, and counts of its unreleased driver objects."""

import ctypes
import subprocess
from collections import Counter
from contextlib import contextmanager
from functools import wraps
from threading import Timer

import numpy as np
import pytest


class EmulatedGpu:
    """A GPU emulated on the CPU; its driver counts objects, and its streams run only when they are synchronized."""

    real, lost = False, False
    KINDS = ("memory", "pinned", "streams", "events", "graphs", "modules", "contexts", "current", "surfaces")

    def __init__(self, library):
        self._library = library
        library.emulatedConfigure.argtypes = [ctypes.c_int, ctypes.c_size_t, ctypes.c_int]

    def live_objects(self):
        """Kind of object -> number that is not released; kinds without any are omitted."""
        counts = (ctypes.c_long * len(self.KINDS))()
        self._library.emulatedLeakCounter(counts)
        return {kind: count for kind, count in zip(self.KINDS, counts, strict=True) if count}

    def configure(self, gpus=1, memory=2**30, driver=13000):
        """Set the number of GPUs, their memory in bytes and the CUDA version of the driver."""
        self._library.emulatedConfigure(gpus, memory, driver)

    def properties(self):
        """Name, compute capability, bytes of memory and CUDA version of the first GPU."""
        return "Emulated GPU", "8.7", 2**30, "13.0"

    @contextmanager
    def blocked(self, stream):
        """Within the block, work queued on the stream is not executed."""
        yield

    def lose(self):
        """The test loses the context: the next test gets a new process."""
        self.lost = True


class RealGpu:
    """A GPU of this machine. Objects are counted in the bindings; one context is kept open for speed."""

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

        self._cu, self._live_objects, self._gate_index = driver, Counter(), -1
        self._call(driver.cuInit, 0)
        self._context = self._call(driver.cuDevicePrimaryCtxRetain, self._call(driver.cuDeviceGet, 0))
        self._push, self._pop = driver.cuCtxPushCurrent, driver.cuCtxPopCurrent
        self._call(self._push, self._context)
        address = self._call(driver.cuMemHostAlloc, 4096, 0)
        self._call(self._pop)
        self._gates = np.frombuffer((ctypes.c_uint32 * 1024).from_address(int(address)), np.uint32)
        for kind, acquire, release in self.PAIRS:
            self._count(acquire, kind, 1)
            self._count(release, kind, -1)

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
                self._live_objects[kind] += step
            return result

        setattr(self._cu, name, counted)

    def live_objects(self):
        """See `EmulatedGpu.live_objects`."""
        return {kind: count for kind, count in self._live_objects.items() if count}

    def properties(self):
        """See `EmulatedGpu.properties`; from nvidia-smi."""
        query = ["nvidia-smi", "--query-gpu=name,compute_cap,memory.total", "--format=csv,noheader,nounits", "--id=0"]
        try:
            name, capability, mebibytes = subprocess.check_output(query, text=True).strip().split(", ")
            driver = subprocess.check_output(query[:1], text=True).partition("CUDA Version:")[2].split()[0]
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            pytest.skip(f"needs nvidia-smi: {error}")
        return name, capability, int(mebibytes) * 2**20, driver

    @contextmanager
    def blocked(self, stream):
        """See `EmulatedGpu.blocked`; for 5 s at most, so that a test that waits by mistake fails instead of hanging.

        The stream waits until a word of page-locked memory is set.
        """
        self._gate_index += 1
        gate = self._gates[self._gate_index % len(self._gates) :][:1]
        gate[:] = 0
        flag = self._cu.CUstreamWaitValue_flags.CU_STREAM_WAIT_VALUE_GEQ
        self._call(self._push, self._context)
        self._call(self._cu.cuStreamWaitValue32, stream.handle, gate.ctypes.data, 1, int(flag))
        self._call(self._pop)
        timer = Timer(5, gate.fill, [1])
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            gate[:] = 1

    def lose(self):
        """See `EmulatedGpu.lose`."""
        self.lost = True
