"""Mock of `Gpu` and `Stream` in host memory; queued work runs only when the stream is synchronized.

Reading a result too early, or changing an array before it is copied, therefore gives a wrong result.
"""

from contextlib import contextmanager
from unittest.mock import create_autospec

import numpy as np
from facesr_edge.engines.cuda.array import DeviceArray, device_view
from facesr_edge.engines.cuda.device import Gpu
from facesr_edge.engines.cuda.dlpack import CUDA, Layout, contiguous_strides
from facesr_edge.engines.cuda.streams import CudaGraph, Stream
from facesr_edge.engines.errors import EngineError

HANDLE = 0x57


class Simulation:
    """State of one mocked GPU.

    Args:
        graphs: whether CUDA graphs are supported.
        capture_error: message of a failing capture; "": captures succeed.
    """

    def __init__(self, graphs=True, capture_error=""):
        self.memory, self.queue, self.capturing, self.captured = {}, [], None, []
        self.launched, self.copied, self.depth, self.capture_error = 0, [], 0, capture_error
        self.stream = create_autospec(Stream, instance=True)
        self.stream.handle = HANDLE
        self.stream.synchronize.side_effect = self.run
        self.gpu = gpu = create_autospec(Gpu, instance=True)
        attributes = {"name": "Orin (mock)", "compute_capability": "8.7", "driver": "12.6", "index": 0}
        attributes["multiprocessors"] = 8
        attributes |= {"graphs": graphs, "runtime": "pycuda 2026.1" if not graphs else "cuda-python 13.0"}
        assert set(attributes) <= set(Gpu.__init__.__code__.co_names), "the real Gpu does not set these attributes"
        for name, value in attributes.items():
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
        assert stream is self.stream and self.capturing is None and not self.queue, (
            "a capture must begin on an idle stream"
        )
        graph, work = create_autospec(CudaGraph, instance=True), []
        self.capturing = work
        try:
            yield graph
            if self.capture_error:
                raise EngineError(self.capture_error)
        finally:
            self.capturing = None
        self.captured.append(work)

        def launch(stream):
            assert stream is self.stream
            self.launched += 1
            self.queue.extend(work)

        graph.launch.side_effect = launch

    def put(self, work):
        """Queue work, or add it to the graph during a capture."""
        (self.queue if self.capturing is None else self.capturing).append(work)

    def run(self):
        assert self.capturing is None, "the stream cannot be synchronized during a capture"
        while self.queue:
            self.queue.pop(0)()

    def empty(self, shape, dtype):
        dtype = np.dtype(dtype)
        memory = np.full(max(1, int(np.prod(shape)) * dtype.itemsize), 0x55, np.uint8)
        pointer = memory.ctypes.data
        self.memory[pointer] = memory
        strides = contiguous_strides(shape, dtype.itemsize)
        return DeviceArray(memory, Layout(pointer, tuple(shape), dtype, strides, (CUDA, 0)))

    def at(self, pointer, nbytes):
        """Allocated memory at an address.

        Raises:
            AssertionError: no allocation contains it.
        """
        for start, memory in self.memory.items():
            if start <= pointer and pointer + nbytes <= start + memory.nbytes:
                return memory[pointer - start : pointer - start + nbytes]
        raise AssertionError(f"no memory of {nbytes} bytes at {pointer:#x}")

    def upload(self, host, device, stream):
        self._check_copy(host, device, stream)
        target = self.at(device.pointer, device.nbytes)
        self.put(lambda: np.copyto(target, host.reshape(-1).view(np.uint8)))
        self.copied.append("up")

    def download(self, device, host, stream):
        self._check_copy(host, device, stream)
        source = self.at(device.pointer, device.nbytes)
        self.put(lambda: np.copyto(host.reshape(-1).view(np.uint8), source))
        self.copied.append("down")

    def copy(self, source, target, stream):
        self._check_copy(source, target, stream)
        one, other = self.at(source.pointer, source.nbytes), self.at(target.pointer, target.nbytes)
        self.put(lambda: np.copyto(other, one))
        self.copied.append("within")

    def _check_copy(self, one, other, stream):
        assert stream is self.stream and (one.shape, one.dtype) == (other.shape, other.dtype)
        assert self.depth, "the GPU's context is not current"
