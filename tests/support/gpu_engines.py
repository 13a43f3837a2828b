"""ONNX Runtime behind GPU memory, in place of engines compiled for a device."""

from threading import RLock

import numpy as np
from facesr_edge.engines.cuda.output import DeviceOutput
from facesr_edge.engines.errors import EngineError
from facesr_edge.engines.onnxruntime.session import OrtSession


class OrtOnGpuArrays(OrtSession):
    """ONNX Runtime that takes and returns arrays on the GPU, on a stream of its own and in one reused buffer."""

    def __init__(self, bundle, gpu):
        super().__init__(bundle, threads=1)
        self.gpu, self.calls, self.fails, self.lock = gpu, 0, False, RLock()
        self._stream, self._out = gpu.stream(), gpu.empty((2**25,), np.uint8)

    def infer_on_device(self, array):
        return self.output_on_device(array).tensor

    def output_on_device(self, array):
        self.calls += 1
        batch = self.gpu.view(array, self._stream)
        host = np.empty(batch.shape, batch.dtype)
        self.gpu.download(batch, host, self._stream)
        self._stream.synchronize()
        if self.fails:
            raise EngineError("the network failed")
        (output,) = self.infer_batches([host])
        arrays = [values for values in output if values is not None]
        return DeviceOutput(*map(self._uploaded, arrays, (0, output.tensor.nbytes)))

    def _uploaded(self, values, start):
        array = self._out.part(values.shape, values.dtype, start)
        self.gpu.upload(values, array, self._stream)
        return array
