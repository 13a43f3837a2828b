"""Upscale the faces of a DeepStream pipeline in GPU memory, without a copy to the host. Not run on hardware yet.

    python -m facesr_edge.samples.deepstream_probe file:///clip.mp4 faces.txt idrn-x4-engine

`faces.txt` configures nvinfer with a face detector; the last argument is a bundle compiled on this device: facesr-edge
build BUNDLE --engine tensorrt. Needs DeepStream with its Python bindings (pyds) and CuPy. pyds is compiled for NumPy 1:
pip install 'numpy<2' 'opencv-python-headless<4.12'

On a discrete GPU or an ARM server pyds gives the surface's address. A Jetson's surfaces are memory of its video
hardware, for which pyds raises an error: there the surface is mapped as an EGL image. Surfaces go back to the pipeline
after the work on them is done.
"""

from __future__ import annotations

import argparse
import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import facesr_edge

ON_JETSON = Path("/etc/nv_tegra_release").exists()
WIDTH, HEIGHT = 1920, 1080
MARGIN = 1.5
"""Side of the crop window relative to the larger side of the face box."""


def crop_window(
    left: float, top: float, width: float, height: float, sides: tuple[int, ...]
) -> tuple[int, int, int] | None:
    """Crop window of a face: x, y, side in pixels; None if the face is too large."""
    min_side = MARGIN * max(width, height)
    side = min((side for side in sides if side >= min_side and side <= min(WIDTH, HEIGHT)), default=None)
    if side is None:
        return None
    x, y = round(left + width / 2 - side / 2), round(top + height / 2 - side / 2)
    return min(max(x, 0), WIDTH - side), min(max(y, 0), HEIGHT - side), side


def iterate(first: Any, cast: Any) -> Iterator[Any]:
    """Iterate over a linked list of DeepStream."""
    while first is not None:
        yield cast(first.data)
        try:
            first = first.next
        except StopIteration:
            return


@contextmanager
def surface(buffer: Any, index: int, pyds: Any, gpu: Any) -> Iterator[Any]:
    """A frame of a batch in GPU memory, (H, W, 4) uint8 RGBA with the CUDA Array Interface, until the block ends."""
    if ON_JETSON:
        with gpu.nvmm_frame(hash(buffer), index) as frame:
            yield frame
    else:
        _, shape, strides, capsule, _ = pyds.get_nvds_buf_surface_gpu(hash(buffer), index)
        pointer = ctypes.pythonapi.PyCapsule_GetPointer
        pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
        layout = {"version": 3, "typestr": "|u1", "shape": tuple(shape), "strides": tuple(strides), "stream": None}
        yield SimpleNamespace(__cuda_array_interface__={**layout, "data": (pointer(capsule, None), False)})


def upscale_faces(buffer: Any, pyds: Any, cupy: Any, session: Any) -> Iterator[Any]:
    """Upscale the faces of every frame of a batch; yields (k·side, k·side, 3) uint8 BGR arrays on the GPU."""
    batch = pyds.gst_buffer_get_nvds_batch_meta(hash(buffer))
    for frame in iterate(batch.frame_meta_list, pyds.NvDsFrameMeta.cast):
        with surface(buffer, frame.batch_id, pyds, session.gpu) as rgba:
            pixels = cupy.asarray(rgba)  # no copy
            try:
                for face in iterate(frame.obj_meta_list, pyds.NvDsObjectMeta.cast):
                    box = face.rect_params
                    window = crop_window(box.left, box.top, box.width, box.height, session.io_spec.crop_sizes)
                    if window:
                        x, y, side = window
                        crop = cupy.ascontiguousarray(pixels[None, y : y + side, x : x + side, 2::-1])  # (1, S, S, 3)
                        yield cupy.from_dlpack(session.infer_on_device(crop))[0].copy()  # valid until the next call
            finally:
                cupy.cuda.get_current_stream().synchronize()  # afterwards the pipeline writes the surface again


def main(uri: str, detector: str, bundle: str) -> None:
    """Run the pipeline to its end and print the number of upscaled faces."""
    try:
        import cupy
        import gi
        import pyds

        gi.require_version("Gst", "1.0")
        from gi.repository import GLib, Gst
    except (ImportError, ValueError) as error:
        sys.exit(f"this sample needs DeepStream with pyds, PyGObject and CuPy: {error}; install them first")
    Gst.init(None)
    with facesr_edge.load(bundle, composite=False) as sr:
        if not hasattr(sr.session, "infer_on_device"):
            sys.exit(f"{bundle} has no engine for this GPU; facesr-edge build {bundle} --engine tensorrt")
        count = 0

        def probe(pad: Any, info: Any) -> Any:
            nonlocal count
            try:
                count += sum(1 for _ in upscale_faces(info.get_buffer(), pyds, cupy, sr.session))
            except Exception as error:  # PyGObject would print it and go on
                reported = GLib.Error.new_literal(Gst.resource_error_quark(), str(error), int(Gst.ResourceError.FAILED))
                pipeline.get_bus().post(Gst.Message.new_error(pipeline, reported, ""))
                return Gst.PadProbeReturn.REMOVE
            return Gst.PadProbeReturn.OK

        pipeline = Gst.parse_launch(
            f"nvstreammux name=mux batch-size=1 width={WIDTH} height={HEIGHT} ! nvinfer config-file-path={detector} ! "
            "nvvideoconvert ! video/x-raw(memory:NVMM),format=RGBA ! fakesink name=end "
            f"uridecodebin uri={uri} ! mux.sink_0"
        )
        pipeline.get_by_name("end").get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, probe)
        pipeline.set_state(Gst.State.PLAYING)
        end = Gst.MessageType.EOS | Gst.MessageType.ERROR
        message = pipeline.get_bus().timed_pop_filtered(Gst.CLOCK_TIME_NONE, end)
        pipeline.set_state(Gst.State.NULL)
        if message.type == Gst.MessageType.ERROR:
            sys.exit(f"DeepStream stopped: {message.parse_error()[0].message}")
    print(count, "faces")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Upscale the faces of a DeepStream pipeline in GPU memory.")
    parser.add_argument("uri", help="file:///clip.mp4, rtsp://…")
    parser.add_argument("detector", help="nvinfer configuration of a face detector")
    parser.add_argument("bundle", help="bundle folder, compiled for TensorRT on this device")
    args = parser.parse_args()
    main(args.uri, args.detector, args.bundle)
