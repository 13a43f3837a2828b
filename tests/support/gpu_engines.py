"""ONNX Runtime behind GPU memory, in place of engines compiled for a device."""

from threading import RLock

import numpy as np
from facesr_edge.engines.cuda.output import DeviceOutput
from facesr_edge.engines.errors import EngineError
from facesr_edge.engines.onnxruntime.session import OrtSession


class OrtOnGpuArrays(OrtSession):
    """ONNX Runtime that takes and returns arrays on the GPU, on a stream of its own and in reused buffers."""

    def __init__(self, bundle, gpu):
        super().__init__(bundle, threads=1)
        self.gpu, self.calls, self.fails, self.lock = gpu, 0, False, RLock()
        self._stream, self._inputs, self._outputs = gpu.stream(), {}, {}

    def infer_on_device(self, array):
        return self.output_on_device(array).tensor

    def input_of(self, shape):
        """None for a batch that takes several calls."""
        if shape[0] not in self.io_spec.batches_of(*shape[1:3]):
            return None
        if shape not in self._inputs:
            self._inputs[shape] = self.gpu.empty(shape, np.uint8)
        array = self._inputs[shape].part(shape)
        array.stream = self._stream
        return array

    def output_on_device(self, array):
        self.calls += 1
        batch = self.gpu.view(array, self._stream)
        host = np.empty(batch.shape, batch.dtype)
        self.gpu.download(batch, host, self._stream)
        self._stream.synchronize()
        if self.fails:
            raise EngineError("the network failed")
        (output,) = self.infer_batches([host])
        return DeviceOutput(*(self._uploaded(values) for values in output if values is not None))

    def _uploaded(self, values):
        """In the buffer of all outputs of this size."""
        rows = values.shape[1:]
        if rows not in self._outputs or len(self._outputs[rows]) < len(values):
            self._outputs[rows] = self.gpu.empty(values.shape, values.dtype)
        array = self._outputs[rows].leading(len(values))
        self.gpu.upload(values, array, self._stream)
        return array
