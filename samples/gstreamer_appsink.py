"""Super-resolve faces between two GStreamer pipelines: appsink in, appsrc out.

    python -m facesr_edge.samples.gstreamer_appsink "videotestsrc num-buffers=90"
    python -m facesr_edge.samples.gstreamer_appsink \
        "uridecodebin uri=file:///clip.mp4" "x264enc ! mp4mux ! filesink location=output.mp4"

Needs GStreamer's Python bindings from the system: sudo apt install python3-gi gir1.2-gst-plugins-base-1.0, in a virtual
environment with system packages: python3 -m venv --system-site-packages .venv
"""

from __future__ import annotations

import argparse
import ctypes
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import facesr_edge
import numpy as np
from numpy.typing import NDArray


def gstreamer() -> tuple[Any, Any]:
    """Import and initialize the modules Gst and GstVideo."""
    # GStreamer loads libunwind, which must not replace the exception handling of OpenVINO: that would abort.
    ctypes.CDLL("libgcc_s.so.1", mode=ctypes.RTLD_GLOBAL)
    try:
        import gi

        for name in ("Gst", "GstApp", "GstVideo"):
            gi.require_version(name, "1.0")
        from gi.repository import Gst, GstVideo
    except (ImportError, ValueError) as error:
        sys.exit(f"no GStreamer for this Python ({error}); sudo apt install python3-gi gir1.2-gst-plugins-base-1.0")
    Gst.init(None)
    return Gst, GstVideo


@contextmanager
def running(gst: Any, description: str) -> Iterator[Any]:
    """Run a pipeline until the block ends."""
    from gi.repository import GLib

    try:
        pipeline = gst.parse_launch(description)
    except GLib.Error as error:
        sys.exit(f"GStreamer cannot create this pipeline: {error.message}; try it with gst-launch-1.0")
    pipeline.set_state(gst.State.PLAYING)
    try:
        yield pipeline
    finally:
        pipeline.set_state(gst.State.NULL)


def stop_on_error(gst: Any, pipeline: Any) -> None:
    """Exit if a pipeline has failed, instead of waiting forever."""
    message = pipeline.get_bus().pop_filtered(gst.MessageType.ERROR)
    if message:
        sys.exit(f"GStreamer stopped: {message.parse_error()[0].message}")


def samples(gst: Any, pipeline: Any) -> Iterator[Any]:
    """Samples of a pipeline's appsink, until its source ends."""
    sink = pipeline.get_by_name("frames")
    while not sink.get_property("eos"):
        sample = sink.emit("try-pull-sample", gst.SECOND // 10)
        stop_on_error(gst, pipeline)
        if sample is not None:
            yield sample


def frame_from_buffer(gst: Any, buffer: Any, info: Any) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 BGR frame of a buffer, whose rows may be padded."""
    ok, mapped = buffer.map(gst.MapFlags.READ)
    if not ok:
        sys.exit("GStreamer cannot map this buffer; insert videoconvert after the source")
    try:
        rows = np.frombuffer(mapped.data, np.uint8)[: info.height * info.stride[0]].reshape(info.height, -1)
        frame: NDArray[np.uint8] = rows[:, : 3 * info.width].reshape(info.height, info.width, 3).copy()
        return frame
    finally:
        buffer.unmap(mapped)


def push(gst: Any, pipeline: Any, frame: NDArray[np.uint8], source: Any) -> None:
    """Push a frame with the timestamps of its source buffer; blocks while the queue is full."""
    height, width = frame.shape[:2]
    padded = np.pad(frame.reshape(height, -1), ((0, 0), (0, -3 * width % 4)))  # GStreamer aligns rows to 4 bytes
    buffer = gst.Buffer.new_wrapped(padded.tobytes())
    buffer.pts, buffer.duration = source.pts, source.duration
    appsrc = pipeline.get_by_name("output")
    appsrc.emit("push-buffer", buffer)
    while appsrc.get_property("current-level-bytes") > 4 * padded.nbytes:
        stop_on_error(gst, pipeline)
        time.sleep(0.005)


def main(source: str, sink: str, model: str) -> int:
    """Run until the source ends; returns the number of faces."""
    gst, video = gstreamer()
    faces, output = 0, None
    capture = f"{source} ! videoconvert ! video/x-raw,format=BGR ! appsink name=frames max-buffers=2"
    with facesr_edge.load(model, outscale=2) as sr, ExitStack() as pipelines:
        for sample in samples(gst, pipelines.enter_context(running(gst, capture))):
            info = video.VideoInfo.new_from_caps(sample.get_caps())
            result = sr(frame_from_buffer(gst, sample.get_buffer(), info))
            assert result.frame is not None  # None only with composite=False
            if output is None:
                size = f"width={2 * info.width},height={2 * info.height},framerate={info.fps_n}/{info.fps_d}"
                caps = f'caps="video/x-raw,format=BGR,{size}"'
                description = f"appsrc name=output format=time {caps} ! videoconvert ! {sink}"
                output = pipelines.enter_context(running(gst, description))
            push(gst, output, result.frame, sample.get_buffer())
            faces += len(result.faces)
        if output is not None:
            output.get_by_name("output").emit("end-of-stream")
            while not output.get_bus().timed_pop_filtered(gst.SECOND // 10, gst.MessageType.EOS):
                stop_on_error(gst, output)
    return faces


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Super-resolve faces between two GStreamer pipelines.")
    parser.add_argument("source", help="source elements, as for gst-launch-1.0")
    parser.add_argument("sink", nargs="?", default="autovideosink", help="sink elements")
    parser.add_argument("--model", default=facesr_edge.DEFAULT_MODEL, help="shipped model or bundle folder")
    args = parser.parse_args()
    print(main(args.source, args.sink, args.model), "faces")
