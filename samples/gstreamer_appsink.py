"""Super-resolved faces between two halves of a GStreamer pipeline, on any machine.

    python -m facesr_edge.samples.gstreamer_appsink "videotestsrc num-buffers=90"
    python -m facesr_edge.samples.gstreamer_appsink \
        "uridecodebin uri=file:///clip.mp4" "x264enc ! mp4mux ! filesink location=larger.mp4"

Needs GStreamer's Python, from the system: sudo apt install python3-gi gir1.2-gst-plugins-base-1.0, and a virtual
environment that sees it: python3 -m venv --system-site-packages .venv
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import facesr_edge
import numpy as np
from numpy.typing import NDArray


def gstreamer() -> tuple[Any, Any]:
    """The modules Gst and GstVideo, ready for use."""
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
    """A pipeline that runs, until the block ends."""
    from gi.repository import GLib

    try:
        pipeline = gst.parse_launch(description)
    except GLib.Error as error:
        sys.exit(f"GStreamer cannot make this pipeline: {error.message}; try it with gst-launch-1.0")
    pipeline.set_state(gst.State.PLAYING)
    try:
        yield pipeline
    finally:
        pipeline.set_state(gst.State.NULL)


def stop_on_error(gst: Any, pipeline: Any) -> None:
    """End the program where a pipeline has failed: it would be waited for in vain."""
    message = pipeline.get_bus().pop_filtered(gst.MessageType.ERROR)
    if message:
        sys.exit(f"GStreamer stopped: {message.parse_error()[0].message}")


def samples(gst: Any, pipeline: Any) -> Iterator[Any]:
    """What arrives at the end of a pipeline, until its source ends."""
    sink = pipeline.get_by_name("frames")
    while not sink.get_property("eos"):
        sample = sink.emit("try-pull-sample", gst.SECOND // 10)
        stop_on_error(gst, pipeline)
        if sample is not None:
            yield sample


def frame_of(gst: Any, buffer: Any, info: Any) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 BGR of a buffer; its rows may be longer than their pixels."""
    ok, mapped = buffer.map(gst.MapFlags.READ)
    if not ok:
        sys.exit("GStreamer does not let this buffer be read; put videoconvert behind the source")
    try:
        rows = np.frombuffer(mapped.data, np.uint8)[: info.height * info.stride[0]].reshape(info.height, -1)
        frame: NDArray[np.uint8] = rows[:, : 3 * info.width].reshape(info.height, info.width, 3).copy()
        return frame
    finally:
        buffer.unmap(mapped)


def push(gst: Any, pipeline: Any, frame: NDArray[np.uint8], like: Any) -> None:
    """Give a frame to a pipeline, with the times of the buffer that it was made from; waits while it is behind."""
    height, width = frame.shape[:2]
    padded = np.pad(frame.reshape(height, -1), ((0, 0), (0, -3 * width % 4)))  # rows of whole words, as it wants them
    buffer = gst.Buffer.new_wrapped(padded.tobytes())
    buffer.pts, buffer.duration = like.pts, like.duration
    larger = pipeline.get_by_name("larger")
    larger.emit("push-buffer", buffer)
    while larger.get_property("current-level-bytes") > 4 * padded.nbytes:
        stop_on_error(gst, pipeline)
        time.sleep(0.005)


def main(source: str, sink: str, model: str) -> int:
    """Run until the source ends; returns the number of faces seen."""
    gst, video = gstreamer()
    faces, giving = 0, None
    taking = f"{source} ! videoconvert ! video/x-raw,format=BGR ! appsink name=frames max-buffers=2"
    with facesr_edge.load(model, outscale=2) as sr, ExitStack() as pipelines:
        for sample in samples(gst, pipelines.enter_context(running(gst, taking))):
            info = video.VideoInfo.new_from_caps(sample.get_caps())
            result = sr(frame_of(gst, sample.get_buffer(), info))
            assert result.frame is not None  # there is one unless composite=False
            if giving is None:
                size = f"width={2 * info.width},height={2 * info.height},framerate={info.fps_n}/{info.fps_d}"
                caps = f'caps="video/x-raw,format=BGR,{size}"'
                description = f"appsrc name=larger format=time {caps} ! videoconvert ! {sink}"
                giving = pipelines.enter_context(running(gst, description))
            push(gst, giving, result.frame, sample.get_buffer())
            faces += len(result.faces)
        if giving is not None:
            giving.get_by_name("larger").emit("end-of-stream")
            while not giving.get_bus().timed_pop_filtered(gst.SECOND // 10, gst.MessageType.EOS):
                stop_on_error(gst, giving)
    return faces


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Super-resolved faces between two halves of a GStreamer pipeline.")
    parser.add_argument("source", help="elements that give video, as for gst-launch-1.0")
    parser.add_argument("sink", nargs="?", default="autovideosink", help="elements that take it")
    parser.add_argument("--model", default=facesr_edge.DEFAULT_MODEL, help="a model that ships, or a bundle's folder")
    given = parser.parse_args()
    print(main(given.source, given.sink, given.model), "faces")
