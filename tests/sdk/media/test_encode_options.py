"""`EncodeOptions`: ranges, and options that the output does not have."""

from __future__ import annotations

from pathlib import Path

import pytest
from facesr_edge.engines.errors import UsageError
from facesr_edge.sdk.media.encode_options import EncodeOptions
from facesr_edge.sdk.media.sinks import open_sink
from facesr_edge.sdk.media.sources import open_source
from support.media import make_image, make_video, one_line


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("crf", (-1, 64, 1.5, True, "18")),
        ("quality", (0, 101)),
        ("compression", (-1, 10)),
        ("threads", (-1,)),
        ("hwaccel", ("gpu", "")),
    ],
)
def test_value_out_of_range_is_rejected(name: str, values: tuple[object, ...]) -> None:
    for value in values:
        with pytest.raises(UsageError, match=name):
            EncodeOptions(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("source_name", "output", "options", "unused"),
    [
        ("in.png", "o.png", EncodeOptions(crf=18, preset="fast", quality=80), "crf, preset, quality"),
        ("in.png", "o.jpg", EncodeOptions(compression=3), "compression"),
        ("in.png", "o.bmp", EncodeOptions(quality=80), "quality"),
        ("in.mp4", "o.mp4", EncodeOptions(quality=80, compression=1), "quality, compression"),
        ("in.mp4", "o.gif", EncodeOptions(codec="av1"), "codec"),
        ("images", "out", EncodeOptions(quality=80), "quality"),
    ],
)
def test_option_that_the_output_does_not_have_is_rejected(
    tmp_path: Path, source_name: str, output: str, options: EncodeOptions, unused: str
) -> None:
    make_image(tmp_path / "in.png")
    make_video(tmp_path / "in.mp4", 3)
    (tmp_path / "images").mkdir()
    make_image(tmp_path / "images" / "a.png")
    with open_source(tmp_path / source_name) as source, pytest.raises(UsageError) as error:
        open_sink(tmp_path / output, source, options=options)
    assert one_line(error).startswith(f"{unused} cannot be used")
    assert not (tmp_path / output).exists()


@pytest.mark.parametrize("output", ["o.png", "o.mp4"])
def test_threads_apply_to_every_output(tmp_path: Path, output: str) -> None:
    path = make_image(tmp_path / "in.png") if output == "o.png" else make_video(tmp_path / "in.mp4", 3)
    with open_source(path) as source, open_sink(tmp_path / output, source, options=EncodeOptions(threads=1)) as sink:
        for frame in source:
            sink.write(frame, frame.pixels)
    assert (tmp_path / output).is_file()
