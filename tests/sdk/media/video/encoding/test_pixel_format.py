"""10 bit, HDR and transparency in every container."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from facesr_edge.sdk.media.encode_options import EncodeOptions
from facesr_edge.sdk.media.sinks import open_sink
from facesr_edge.sdk.media.sources import open_source
from PIL import Image

MASTERING = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
PQ, HLG, BT2020 = 16, 18, 9


def make_hdr(path: Path, transfer: int = PQ, pixel_format: str = "yuv420p10le") -> Path:
    """A ramp of all 10-bit luma levels, three frames."""
    hdr10 = f":hdr10=1:master-display={MASTERING}:max-cll=1000,400" if transfer == PQ else ""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx265", rate=25, options={"crf": "4", "bf": "0", "x265-params": "log-level=error" + hdr10}
        )
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = 128, 96, pixel_format
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = (
            BT2020,
            transfer,
            BT2020,
            1,
        )
        for index in range(3):
            frame = av.VideoFrame(128, 96, pixel_format)
            bits = 12 if "12" in pixel_format else 10
            luma = np.linspace(64, 940, 128).astype(np.uint16) << (bits - 10)
            for plane, row in zip(frame.planes, (luma, *[np.full(64, 512 << (bits - 10), np.uint16)] * 2), strict=True):
                samples = np.zeros((plane.height, plane.line_size // 2), np.uint16)
                samples[:, : len(row)] = row
                plane.update(samples.tobytes())
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def copy(source_path: Path, output: Path, codec: str | None = None) -> list[str]:
    options = EncodeOptions(codec=codec)
    with open_source(source_path) as source, open_sink(output, source, options=options) as sink:
        for frame in source:
            sink.write(frame, frame.pixels)
    return sink.notes


def first_frame(path: Path) -> av.VideoFrame:
    with av.open(str(path)) as container:
        return next(container.decode(video=0))


def luma_row(frame: av.VideoFrame) -> np.ndarray:
    plane = frame.planes[0]
    return np.frombuffer(plane, np.uint16).reshape(plane.height, -1)[plane.height // 2, : plane.width].astype(int)


@pytest.mark.parametrize(
    ("output", "codec"),
    [
        *[(name, None) for name in ("o.mp4", "o.mov", "o.mkv", "o.webm", "o.avi")],
        *[("o.mp4", codec) for codec in ("h264", "av1")],
    ],
)
def test_hdr10_keeps_bits_colors_and_metadata(tmp_path: Path, output: str, codec: str | None) -> None:
    make_hdr(tmp_path / "in.mkv")
    assert copy(tmp_path / "in.mkv", tmp_path / output, codec) == []
    before, after = first_frame(tmp_path / "in.mkv"), first_frame(tmp_path / output)
    assert after.format.name == "yuv420p10le"
    assert (after.color_primaries, after.color_trc, after.colorspace) == (BT2020, PQ, BT2020)
    difference = luma_row(after) - luma_row(before)
    assert abs(difference.mean()) < 0.5
    assert np.abs(difference).max() < 14
    with open_source(tmp_path / "in.mkv") as source, open_source(tmp_path / output) as written:
        assert (written.hdr.max_cll, written.hdr.max_fall) == (1000, 400)
        for name in ("white_point", "luminance"):
            values = zip(getattr(source.hdr, name), getattr(written.hdr, name), strict=True)
            assert all(float(b) == pytest.approx(float(a), rel=0.01) for a, b in values)


@pytest.mark.parametrize("output", ["o.mp4", "o.webm"])
def test_hlg_is_kept(tmp_path: Path, output: str) -> None:
    assert copy(make_hdr(tmp_path / "in.mkv", HLG), tmp_path / output) == []
    frame = first_frame(tmp_path / output)
    assert (frame.format.name, frame.color_trc, frame.color_primaries) == ("yuv420p10le", HLG, BT2020)


@pytest.mark.parametrize(
    ("output", "codec", "expected"),
    [
        ("o.webm", "vp9", "10 bits per sample reduced to 8: libvpx-vp9 stores 8, and HDR10 needs 10; use --codec av1"),
        ("o.gif", None, "10 bits per sample reduced to 8: .gif holds 8, and HDR10 needs 10; use .mkv or .mp4"),
    ],
)
def test_reduced_bits_are_noted(tmp_path: Path, output: str, codec: str | None, expected: str) -> None:
    notes = copy(make_hdr(tmp_path / "in.mkv"), tmp_path / output, codec)
    assert expected in notes
    assert any("mastering display" in note for note in notes)


def test_12_bits_are_kept_in_hevc_and_noted_elsewhere(tmp_path: Path) -> None:
    make_hdr(tmp_path / "in.mkv", pixel_format="yuv420p12le")
    assert copy(tmp_path / "in.mkv", tmp_path / "o.mp4") == []
    assert first_frame(tmp_path / "o.mp4").format.name == "yuv420p12le"
    (note,) = copy(tmp_path / "in.mkv", tmp_path / "o.webm")
    assert note.startswith("12 bits per sample reduced to 10")


def test_prores_keeps_10_bits(tmp_path: Path) -> None:
    copy(make_hdr(tmp_path / "in.mkv"), tmp_path / "o.mov", "prores")
    assert "10le" in first_frame(tmp_path / "o.mov").format.name


def make_transparent(path: Path) -> Path:
    """WebP: a red square that moves over a transparent background, half-transparent in its middle."""
    pictures = []
    for index in range(4):
        pixels = np.zeros((48, 64, 4), np.uint8)
        pixels[8:40, 8 + 4 * index : 40 + 4 * index] = (200, 30, 30, 255)
        pixels[20:28, 20:28, 3] = 128
        pictures.append(Image.fromarray(pixels))
    pictures[0].save(
        path, save_all=True, append_images=pictures[1:], duration=[100, 200, 50, 700], loop=2, lossless=True
    )
    return path


def opacity(path: Path, decoder: str | None) -> np.ndarray:
    with av.open(str(path)) as container:
        context = av.CodecContext.create(decoder, "r") if decoder else None
        for packet in container.demux(video=0):
            if frames := (context.decode(packet) if context else packet.decode()):
                return frames[0].to_ndarray(format="rgba")[:, :, 3]
    raise AssertionError("no frame")


@pytest.mark.parametrize(
    ("output", "decoder", "levels"),
    [
        ("o.webm", "libvpx-vp9", (0, 128, 255)),
        ("o.mkv", "libvpx-vp9", (0, 128, 255)),
        ("o.mov", None, (0, 128, 255)),
        ("o.gif", None, (0, 255, 255)),
    ],
)
def test_transparency_is_kept(tmp_path: Path, output: str, decoder: str | None, levels: tuple[int, ...]) -> None:
    notes = copy(make_transparent(tmp_path / "in.webp"), tmp_path / output)
    assert not [note for note in notes if "black" in note]
    alpha = opacity(tmp_path / output, decoder).astype(int)
    assert [alpha[2, 2], alpha[24, 24], alpha[36, 30]] == pytest.approx(levels, abs=4)


@pytest.mark.parametrize("output", ["o.mp4", "o.avi"])
def test_transparency_is_composed_over_black_with_a_note(tmp_path: Path, output: str) -> None:
    notes = copy(make_transparent(tmp_path / "in.webp"), tmp_path / output)
    assert [note for note in notes if "transparency composed over black" in note]
    pixels = first_frame(tmp_path / output).to_ndarray(format="rgb24").astype(int)
    assert pixels[2, 2].max() < 12
    assert pixels[36, 30, 0] > 170
    assert 80 < pixels[24, 24, 0] < 120
