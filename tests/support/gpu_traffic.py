"""Counts what a frame costs between host and GPU: launches, waits, copies and bytes.

    PYTHONPATH=tests python -m support.gpu_traffic libcuda.so.1 [FRAMES]

prints them for three sizes of frame and three numbers of faces, on the emulated GPU of that library (see
``tests/engines/cuda/gpu``). Engines are ONNX Runtime behind GPU memory: their own streams are not counted, and a call
with host memory counts as the one upload, one download and one wait that it is on a device.
"""

import ctypes
import sys
from collections import Counter
from contextlib import contextmanager

import numpy as np

COPIES = {"copy_htod": (1, "up"), "copy_dtoh": (0, "down"), "copy_dtod": (None, "within")}
"""Driver call -> argument that is the host array, and the direction."""


class CountingDriver:
    """A driver that counts calls by stream; `event_synchronize` counts for the stream that recorded the event."""

    def __init__(self, driver):
        self._driver, self._streams, self.counts = driver, {}, {}

    def __getattr__(self, name):
        call = getattr(self._driver, name)
        count = getattr(self, f"_count_{name}", None)
        if name in COPIES:
            count = self._copy(*COPIES[name])
        if count is None:
            return call

        def counted(*arguments):
            count(*arguments)
            return call(*arguments)

        return counted

    def _add(self, stream, **numbers):
        self.counts.setdefault(stream, Counter()).update(numbers)

    def _copy(self, host, direction):
        def count(*arguments):
            nbytes = arguments[2] if host is None else arguments[host].nbytes
            self._add(arguments[-1], **{f"copies {direction}": 1, f"bytes {direction}": nbytes})

        return count

    def _count_launch(self, function, grid, block, arguments, stream):
        self._add(stream, launches=1)

    def _count_fill(self, address, value, nbytes, stream):
        self._add(stream, fills=1)

    def _count_stream_synchronize(self, stream):
        self._add(stream, waits=1)

    def _count_stream_wait(self, stream, other):
        if not self._driver.graphs:  # pycuda, which synchronizes the context
            self._add(stream, waits=1)

    def _count_event_record(self, event, stream):
        self._streams[event] = stream

    def _count_event_synchronize(self, event):
        self._add(self._streams[event], waits=1)


@contextmanager
def counted(pipeline):
    """Within the block, count what the pipeline's stages do; gives a `Counter` that is filled at its end."""
    gpu, stream, detector = pipeline.session.gpu, pipeline.stages._context.stream.handle, pipeline.detector.session
    driver, infer, traffic = CountingDriver(gpu._driver), detector.infer, Counter()

    def host_infer(batch):
        maps = infer(batch)
        traffic.update({"waits": 1, "copies up": 1, "copies down": 1, "bytes up": batch.nbytes})
        traffic["bytes down"] += maps.nbytes
        return maps

    gpu._driver, detector.infer = driver, host_infer
    try:
        yield traffic
    finally:
        gpu._driver, detector.infer = driver._driver, infer
        traffic.update(driver.counts.get(stream, {}))


def crowd(width, height, faces):
    """A frame with portraits on a grid."""
    import cv2
    from facesr_edge.calibration.data.faces import astronaut

    frame = np.full((height, width, 3), 118, np.uint8)
    frame += (np.arange(width)[None, :, None] // 8 % 24 + np.arange(height)[:, None, None] // 8 % 16).astype(np.uint8)
    small = cv2.resize(astronaut()[0:256, 96:352], None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA)
    rows, columns = {1: (1, 1), 8: (2, 4), 32: (4, 8)}[faces]
    for row in range(rows):
        for column in range(columns):
            y = (2 * row + 1) * height // (2 * rows) - 51
            x = (2 * column + 1) * width // (2 * columns) - 51
            frame[y : y + len(small), x : x + len(small)] = small
    return frame


def main():
    """Print the table."""
    ctypes.CDLL(sys.argv[1], ctypes.RTLD_GLOBAL)
    from facesr_edge.engines.bundle.bundle import open_bundle
    from facesr_edge.engines.cuda.device import Gpu
    from facesr_edge.sdk.gpu.stages import GpuStages
    from facesr_edge.sdk.pipeline.detect import Detector
    from facesr_edge.sdk.pipeline.pipeline import Pipeline
    from facesr_edge.zoo import catalogue
    from support.gpu_engines import OrtOnGpuArrays

    frames_of_stream = int(sys.argv[2]) if len(sys.argv) > 2 else 4
    columns = ("launches", "fills", "waits", "copies up", "copies down", "copies within")
    mib = ("bytes up", "bytes down", "bytes within")
    print("frame      faces " + " ".join(f"{name:>13}" for name in (*columns, *mib)))
    bundle = open_bundle(catalogue.find("edge-tiny-x4").folder)
    with Gpu() as gpu:
        session = OrtOnGpuArrays(bundle, gpu)
        detector = Detector(OrtOnGpuArrays(catalogue.find(catalogue.DEFAULT_DETECTOR), gpu))
        with Pipeline(session, bundle.card, detector, stages=GpuStages) as pipeline:
            for width, height in ((1280, 720), (1920, 1080), (3840, 2160)):
                for faces in (1, 8, 32):
                    frame = crowd(width, height, faces)
                    found = len(list(pipeline.stream([frame] * 3))[-1].faces)  # allocates all buffers
                    traffic, count = Counter(), frames_of_stream - 1
                    for frames in (1, frames_of_stream):  # the difference: without start and end of a stream
                        with counted(pipeline) as stream_traffic:
                            list(pipeline.stream([frame] * frames))
                        traffic.subtract(stream_traffic) if frames == 1 else traffic.update(stream_traffic)
                    numbers = [f"{traffic[name] / count:13.1f}" for name in columns]
                    numbers += [f"{traffic[name] / count / 2**20:9.3f} MiB" for name in mib]
                    print(f"{width}x{height:<5} {found:5} " + " ".join(numbers), flush=True)


if __name__ == "__main__":
    main()
