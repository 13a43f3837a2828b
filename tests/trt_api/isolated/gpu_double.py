"""A GPU in the host's memory: the package's own classes as specification, and a queue that runs only when waited for.

Whoever reads a result before the stream has passed, or changes an array that is still to be copied, gets a wrong one.
"""

from contextlib import contextmanager
from unittest.mock import create_autospec

import numpy as np
from facesr_edge.engines.cuda.array import DeviceArray, device_view
from facesr_edge.engines.cuda.device import Gpu
from facesr_edge.engines.cuda.dlpack import CUDA, Layout, packed
from facesr_edge.engines.cuda.streams import CudaGraph, Stream
from facesr_edge.engines.errors import EngineError

HANDLE = 0x57


class Simulation:
    """What the doubles of one GPU share.

    Args:
        graphs: whether it captures graphs.
        refuses: what it says when it is asked to capture one.
    """

    def __init__(self, graphs=True, refuses=""):
        self.memory, self.queue, self.capturing, self.captured = {}, [], None, []
        self.launched, self.copied, self.depth, self.refuses = 0, [], 0, refuses
        self.stream = create_autospec(Stream, instance=True)
        self.stream.handle = HANDLE
        self.stream.synchronize.side_effect = self.run
        self.gpu = gpu = create_autospec(Gpu, instance=True)
        facts = {"name": "Orin (double)", "compute_capability": "8.7", "driver": "12.6", "index": 0}
        facts |= {"graphs": graphs, "runtime": "pycuda 2026.1" if not graphs else "cuda-python 13.0"}
        assert set(facts) <= set(Gpu.__init__.__code__.co_names), "the real Gpu sets no such attributes"
        for name, value in facts.items():
            setattr(gpu, name, value)
        gpu.__enter__.return_value = gpu
        gpu.current.side_effect = self.current
        gpu.stream.return_value = self.stream
        gpu.capture.side_effect = self.capture
        gpu.empty.side_effect = self.empty
        gpu.pinned.side_effect = lambda shape, dtype: np.full(shape, 0xAA, dtype)
        gpu.view.side_effect = lambda other, stream=None: device_view(other, 0, stream)
        gpu.upload.side_effect = self.upload
        gpu.download.side_effect = self.download
        gpu.copy.side_effect = self.copy

    @contextmanager
    def current(self):
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1

    @contextmanager
    def capture(self, stream):
        assert stream is self.stream and self.capturing is None and not self.queue, "a capture begins on a quiet stream"
        graph, work = create_autospec(CudaGraph, instance=True), []
        self.capturing = work
        try:
            yield graph
            if self.refuses:
                raise EngineError(self.refuses)
        finally:
            self.capturing = None
        self.captured.append(work)

        def launch(where):
            assert where is self.stream
            self.launched += 1
            self.queue.extend(work)

        graph.launch.side_effect = launch

    def put(self, work):
        """Queue work, or write it down while a graph is captured."""
        (self.queue if self.capturing is None else self.capturing).append(work)

    def run(self):
        assert self.capturing is None, "nothing can be waited for while a graph is captured"
        while self.queue:
            self.queue.pop(0)()

    def empty(self, shape, dtype):
        dtype = np.dtype(dtype)
        memory = np.full(max(1, int(np.prod(shape)) * dtype.itemsize), 0x55, np.uint8)
        pointer = memory.ctypes.data
        self.memory[pointer] = memory
        return DeviceArray(memory, Layout(pointer, tuple(shape), dtype, packed(shape, dtype.itemsize), (CUDA, 0)))

    def at(self, pointer, nbytes):
        """Memory of this GPU.

        Raises:
            AssertionError: there is none of that size there.
        """
        for start, memory in self.memory.items():
            if start <= pointer and pointer + nbytes <= start + memory.nbytes:
                return memory[pointer - start : pointer - start + nbytes]
        raise AssertionError(f"no memory of {nbytes} bytes at {pointer:#x}")

    def upload(self, host, device, stream):
        self._alike(host, device, stream)
        target = self.at(device.pointer, device.nbytes)
        self.put(lambda: np.copyto(target, host.reshape(-1).view(np.uint8)))
        self.copied.append("up")

    def download(self, device, host, stream):
        self._alike(host, device, stream)
        source = self.at(device.pointer, device.nbytes)
        self.put(lambda: np.copyto(host.reshape(-1).view(np.uint8), source))
        self.copied.append("down")

    def copy(self, source, target, stream):
        self._alike(source, target, stream)
        one, other = self.at(source.pointer, source.nbytes), self.at(target.pointer, target.nbytes)
        self.put(lambda: np.copyto(other, one))
        self.copied.append("within")

    def _alike(self, one, other, stream):
        assert stream is self.stream and (one.shape, one.dtype) == (other.shape, other.dtype)
        assert self.depth, "the GPU's context is not current"
