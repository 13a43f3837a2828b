"""A palette of 256 colours for each frame of a GIF."""

from __future__ import annotations

from fractions import Fraction

import av
from av.filter import Graph
from av.video.format import VideoFormat


class Palette:
    """FFmpeg's palettegen and paletteuse, set up once; one frame in, one frame out, none held back.

    Args:
        width, height: of the frames, in pixels.
        time_base: seconds a unit of their timestamps.
    """

    def __init__(self, width: int, height: int, time_base: Fraction) -> None:
        self._graph = Graph()
        source = self._graph.add_buffer(
            width=width, height=height, format=VideoFormat("bgr24"), time_base=time_base, name="in"
        )
        split = self._graph.add("split")
        generate = self._graph.add("palettegen", "stats_mode=single")
        use = self._graph.add("paletteuse", "new=1")
        sink = self._graph.add("buffersink")
        source.link_to(split)
        split.link_to(use, 0, 0)
        split.link_to(generate, 1, 0)
        generate.link_to(use, 0, 1)
        use.link_to(sink)
        self._graph.configure()

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Turn a bgr24 frame into pal8."""
        self._graph.vpush(frame)
        return self._graph.vpull()
