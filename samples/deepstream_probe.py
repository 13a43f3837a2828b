"""Faces of a DeepStream pipeline enlarged where they are: in the GPU's memory, without a copy to the host.

    python -m facesr_edge.samples.deepstream_probe file:///clip.mp4 faces.txt idrn-x4-engine

`faces.txt` configures nvinfer with a face detector; the last is a bundle that was compiled for TensorRT on this device:
facesr-edge build BUNDLE --target tensorrt. Needs DeepStream with its Python bindings (pyds) and CuPy.

The probe sees surfaces that CUDA can address. On a discrete GPU nvvideoconvert makes them by default; on a Jetson set
MEMORY to 2 (CUDA device memory), for its own kind of surface is none that CUDA reads.
"""

from __future__ import annotations

import argparse
import ctypes
import sys
from collections.abc import Iterator
from typing import Any

import facesr_edge

MEMORY = 0
"""Property nvbuf-memory-type of nvvideoconvert."""
WIDTH, HEIGHT = 1920, 1080
MARGIN = 1.5
"""A window's side, in sides of the face's box."""


class Surface:
    """One frame of a batch in the GPU's memory, (H, W, 4) uint8 RGBA: anything that knows CUDA arrays can read it.

    Args:
        shape, strides: in elements and in bytes.
        capsule: with the address.
        owner: the buffer, which must outlive the surface.
    """

    def __init__(self, shape: Any, strides: Any, capsule: Any, owner: Any) -> None:
        address = ctypes.pythonapi.PyCapsule_GetPointer
        address.restype, address.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
        self.owner = owner
        self.__cuda_array_interface__ = {
            "version": 3,
            "typestr": "|u1",
            "shape": tuple(shape),
            "strides": tuple(strides),  # a row may be longer than its pixels
            "data": (address(capsule, None), False),
            "stream": None,
        }


def window_of(
    left: float, top: float, width: float, height: float, sides: tuple[int, ...]
) -> tuple[int, int, int] | None:
    """The window round a face: x, y, side in whole pixels; none where the face is too large for any."""
    wanted = MARGIN * max(width, height)
    side = min((side for side in sides if side >= wanted and side <= min(WIDTH, HEIGHT)), default=None)
    if side is None:
        return None
    x, y = round(left + width / 2 - side / 2), round(top + height / 2 - side / 2)
    return min(max(x, 0), WIDTH - side), min(max(y, 0), HEIGHT - side), side


def each(first: Any, cast: Any) -> Iterator[Any]:
    """Go through one of DeepStream's lists."""
    while first is not None:
        yield cast(first.data)
        try:
            first = first.next
        except StopIteration:
            return


def enlarge_faces(buffer: Any, pyds: Any, cupy: Any, session: Any) -> Iterator[Any]:
    """Faces of every frame of a batch, as (k·side, k·side, 3) uint8 BGR arrays on the GPU."""
    batch = pyds.gst_buffer_get_nvds_batch_meta(hash(buffer))
    for frame in each(batch.frame_meta_list, pyds.NvDsFrameMeta.cast):
        _, shape, strides, capsule, _ = pyds.get_nvds_buf_surface_gpu(hash(buffer), frame.batch_id)
        pixels = cupy.asarray(Surface(shape, strides, capsule, buffer))  # (H, W, 4) RGBA, no copy
        for face in each(frame.obj_meta_list, pyds.NvDsObjectMeta.cast):
            box = face.rect_params
            window = window_of(box.left, box.top, box.width, box.height, session.io_spec.windows)
            if window:
                x, y, side = window
                crop = cupy.ascontiguousarray(pixels[None, y : y + side, x : x + side, 2::-1])  # (1, S, S, 3) BGR
                yield cupy.from_dlpack(session.infer_on_device(crop))[0].copy()  # valid until the next call


def main(uri: str, detector: str, bundle: str) -> None:
    """Run the pipeline to its end, and say how many faces were enlarged."""
    try:
        import cupy
        import gi
        import pyds

        gi.require_version("Gst", "1.0")
        from gi.repository import Gst
    except (ImportError, ValueError) as error:
        sys.exit(f"this sample needs DeepStream with pyds, GStreamer's Python and CuPy: {error}; install them first")
    Gst.init(None)
    with facesr_edge.load(bundle, composite=False) as sr:
        if not hasattr(sr.session, "infer_on_device"):
            sys.exit(f"{bundle} has no engine for this GPU; facesr-edge build {bundle} --target tensorrt")
        count = 0

        def probe(pad: Any, info: Any) -> Any:
            nonlocal count
            count += sum(1 for _ in enlarge_faces(info.get_buffer(), pyds, cupy, sr.session))
            return Gst.PadProbeReturn.OK

        pipeline = Gst.parse_launch(
            f"nvstreammux name=mux batch-size=1 width={WIDTH} height={HEIGHT} ! nvinfer config-file-path={detector} ! "
            f"nvvideoconvert nvbuf-memory-type={MEMORY} ! video/x-raw(memory:NVMM),format=RGBA ! fakesink name=end "
            f"uridecodebin uri={uri} ! mux.sink_0"
        )
        pipeline.get_by_name("end").get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, probe)
        pipeline.set_state(Gst.State.PLAYING)
        pipeline.get_bus().timed_pop_filtered(Gst.CLOCK_TIME_NONE, Gst.MessageType.EOS | Gst.MessageType.ERROR)
        pipeline.set_state(Gst.State.NULL)
    print(count, "faces")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Faces of a DeepStream pipeline enlarged in the GPU's memory.")
    parser.add_argument("uri", help="file:///clip.mp4, rtsp://…")
    parser.add_argument("detector", help="nvinfer's configuration of a face detector")
    parser.add_argument("bundle", help="folder of a bundle compiled for TensorRT on this device")
    given = parser.parse_args()
    main(given.uri, given.detector, given.bundle)
