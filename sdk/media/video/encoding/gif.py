"""Animated GIF: palettes, the number of repetitions, and how long the last picture is shown."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
from av.filter import Graph
from av.video.format import VideoFormat

from .picture import Picture
from .yuv_conversion import bgr_frame, bgra_frame

_CENTISECOND = Fraction(1, 100)
_CONTROL = b"\x21\xf9\x04"  # graphic control extension: flags, delay (2 bytes), transparent index, 0
_MAX_DELAY = 65_535


class Palette:
    """Conversion to a 256-color palette per frame with FFmpeg's filters palettegen and paletteuse.

    A pixel with less than half of the opacity becomes transparent.

    Args:
        width: of the frames in pixels.
        height: of the frames in pixels.
    """

    def __init__(self, width: int, height: int) -> None:
        self._size_wh = (width, height)
        self._graphs: dict[bool, Graph] = {}
        self._count = 0

    def __call__(self, picture: Picture) -> av.VideoFrame:
        """Convert an 8-bit picture to pal8."""
        pixels, alpha = picture.pixels, picture.alpha
        frame = bgr_frame(pixels) if alpha is None else bgra_frame(pixels, alpha)
        frame.pts, frame.time_base = self._count, _CENTISECOND
        self._count += 1
        transparent = alpha is not None
        if transparent not in self._graphs:
            self._graphs[transparent] = _graph(self._size_wh, transparent)
        self._graphs[transparent].vpush(frame)
        return self._graphs[transparent].vpull()


def _graph(size_wh: tuple[int, int], alpha: bool) -> Graph:
    graph = Graph()
    source = graph.add_buffer(
        width=size_wh[0],
        height=size_wh[1],
        format=VideoFormat("bgra" if alpha else "bgr24"),
        time_base=_CENTISECOND,
        name="in",
    )
    split = graph.add("split")
    generate = graph.add("palettegen", "stats_mode=single" + (":reserve_transparent=1" if alpha else ""))
    use = graph.add("paletteuse", "new=1" + (":alpha_threshold=128" if alpha else ""))
    sink = graph.add("buffersink")
    source.link_to(split)
    split.link_to(use, 0, 0)
    split.link_to(generate, 1, 0)
    generate.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    return graph


def gif_loop(repetitions: int | None) -> str:
    """FFmpeg's option "loop": 0 for endlessly, which is the default of animations; -1 for once."""
    if repetitions is None:
        return "0"
    return "-1" if repetitions == 1 else str(min(repetitions, 65_535))


def set_last_delay(path: Path, packet: bytes, duration_s: Fraction) -> None:
    """Store how long the last picture is shown; FFmpeg repeats the delay of the one before it.

    Args:
        path: a finished GIF file.
        packet: the last picture of the file, as the encoder returned it.
        duration_s: in seconds; stored in 10 ms.
    """
    offset = packet.find(_CONTROL)
    if offset < 0:
        return
    delay = max(2, min(round(duration_s / _CENTISECOND), _MAX_DELAY))
    with path.open("r+b") as file:
        file.seek(-1 - len(packet) + offset, 2)
        if file.read(3) == _CONTROL:
            file.seek(1, 1)
            file.write(delay.to_bytes(2, "little"))
