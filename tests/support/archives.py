"""How the tests of archives process them, small videos, and the packets of outputs."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from facesr_edge.sdk.archive.pipeline_spec import PipelineSpec

SPEC = PipelineSpec(
    "edge-nano-x4", "onnxruntime", "fp32", detector_engine="onnxruntime", detector_precision="fp32", min_face=24
)
CHUNK = 250
FRAMES = CHUNK + 20


def packets(path: Path) -> dict[int, list[tuple]]:
    """Stream → timestamps and bytes of its packets."""
    found: dict[int, list[tuple]] = {}
    with av.open(str(path)) as container:
        for packet in container.demux():
            if packet.size:
                found.setdefault(packet.stream_index, []).append(
                    (packet.pts, packet.dts, packet.duration, packet.is_keyframe, bytes(packet))
                )
    return found


def write_video(path: Path, pictures, rate: int = 25, codec: str = "libx264", options=None) -> Path:
    """A video of BGR pictures with a tone and a title."""
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "corridor"
        video = container.add_stream(codec, rate=rate, options=options or {"preset": "ultrafast", "g": "40"})
        sound = container.add_stream("aac", rate=48_000)
        video.pix_fmt, video.codec_context.time_base = "yuv420p", Fraction(1, 1000)
        for index, picture in enumerate(pictures):
            if index == 0:
                video.height, video.width = picture.shape[:2]
            frame = av.VideoFrame.from_ndarray(picture, "bgr24")
            frame.pts, frame.time_base = index * 1000 // rate, Fraction(1, 1000)
            container.mux(video.encode(frame))
            samples = np.arange(index * 1920, (index + 1) * 1920)
            tone = av.AudioFrame.from_ndarray((np.sin(samples * 0.05) * 9000).astype(np.int16)[None], "s16", "mono")
            tone.sample_rate, tone.pts, tone.time_base = 48_000, index * 1920, Fraction(1, 48_000)
            container.mux(sound.encode(tone))
        container.mux(video.encode(None))
        container.mux(sound.encode(None))
    return path
