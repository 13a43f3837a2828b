"""Choice of video encoders, and what they write: codec, quality, size, timestamps."""

from __future__ import annotations

import threading
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from facesr_edge.engines.errors import UsageError
from facesr_edge.engines.jetson import this_jetson
from facesr_edge.sdk.media.encode_options import HWACCELS, EncodeOptions
from facesr_edge.sdk.media.sinks import open_sink
from facesr_edge.sdk.media.sources import open_source
from facesr_edge.sdk.media.video.encoding import encoders
from facesr_edge.sdk.media.video.encoding.encoders import ENCODERS, SOFTWARE, encoder_options, failure
from support.media import audio_packets, make_video, one_line, timestamps

SIZE_WH = (192, 128)
NO_HARDWARE = not any(
    encoder.hwaccel and failure(encoder, EncodeOptions(), (640, 480)) is None for encoder in ENCODERS.values()
)


def scene(index: int) -> np.ndarray:
    """(128, 192, 3) uint8 BGR: smooth random structure that moves by one pixel a frame, with noise."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(30, 220, (8, 14, 3)).astype(np.float32)
    pixels = cv2.resize(coarse, (SIZE_WH[0] + 32, SIZE_WH[1]))[:, index : index + SIZE_WH[0]]
    return np.clip(pixels + np.random.default_rng(index).normal(0, 3, pixels.shape), 0, 255).astype(np.uint8)


def write(folder: Path, output: str, options: EncodeOptions, frames: int = 10) -> list[str]:
    source_path = folder / "in.mp4"
    if not source_path.exists():
        make_video(source_path, frames, audio=("aac",))
    with open_source(source_path) as source, open_sink(folder / output, source, options=options) as sink:
        for frame in source:
            sink.write(frame, scene(frame.index))
    return sink.info


def codec_and_psnr(path: Path) -> tuple[str, float]:
    """Codec of the stream, and PSNR in dB of the decoded frames against `scene`."""
    with av.open(str(path)) as container:
        codec = container.streams.video[0].codec_context.codec.canonical_name
    with open_source(path) as source:
        errors = [np.square(frame.pixels.astype(float) - scene(frame.index)).mean() for frame in source]
    assert len(errors) == 10
    return codec, float(10 * np.log10(255**2 / np.mean(errors)))


@pytest.mark.parametrize(
    ("output", "name", "codec"),
    [
        ("o.mp4", None, "h264"),
        ("o.mp4", "h264", "h264"),
        ("o.mp4", "libx265", "hevc"),
        ("o.mov", "h265", "hevc"),
        ("o.mkv", "HEVC", "hevc"),
        ("o.mp4", "av1", "av1"),
        ("o.webm", None, "vp9"),
        ("o.webm", "libsvtav1", "av1"),
        ("o.mkv", "vp9", "vp9"),
        ("o.avi", "libx264", "h264"),
    ],
)
def test_codec_is_in_the_stream_with_every_frame_and_timestamp(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], output: str, name: str | None, codec: str
) -> None:
    write(tmp_path, output, EncodeOptions(codec=name))
    written, psnr = codec_and_psnr(tmp_path / output)
    assert written == codec
    assert psnr > 32
    if output != "o.avi":
        np.testing.assert_allclose(timestamps(tmp_path / output), timestamps(tmp_path / "in.mp4"), atol=1e-9)
    if output in ("o.mp4", "o.mov", "o.mkv"):
        written_audio, audio = (audio_packets(tmp_path / name) for name in (output, "in.mp4"))
        assert [data for _, data in written_audio] == [data for _, data in audio]
    assert capfd.readouterr().err == ""  # encoders print nothing


@pytest.mark.parametrize("name", ["libx264", "libx265", "libsvtav1", "libvpx-vp9"])
def test_lower_crf_gives_a_larger_file_of_higher_quality(tmp_path: Path, name: str) -> None:
    results = []
    for crf in (12, 25, 40):
        write(tmp_path, f"{crf}.mkv", EncodeOptions(codec=name, crf=crf))
        results.append(((tmp_path / f"{crf}.mkv").stat().st_size, codec_and_psnr(tmp_path / f"{crf}.mkv")[1]))
    sizes, psnrs = zip(*results, strict=True)
    assert list(sizes) == sorted(sizes, reverse=True)
    assert list(psnrs) == sorted(psnrs, reverse=True)
    assert sizes[0] > 2 * sizes[2]


@pytest.mark.parametrize("name", [encoder.name for encoder in SOFTWARE.values() if encoder.presets])
def test_presets_are_those_of_the_encoder(tmp_path: Path, name: str) -> None:
    """The listed presets encode; another one is rejected with the list."""
    for preset in (ENCODERS[name].presets[-1], ENCODERS[name].presets[4]):
        if preset != "placebo":
            write(tmp_path, "o.mkv", EncodeOptions(codec=name, preset=preset))
            assert codec_and_psnr(tmp_path / "o.mkv")[0] == ENCODERS[name].codec
    with open_source(tmp_path / "in.mp4") as source, pytest.raises(UsageError) as error:
        open_sink(tmp_path / "p.mkv", source, options=EncodeOptions(codec=name, preset="warp"))
    assert ENCODERS[name].presets[0] in one_line(error)


@pytest.mark.parametrize("name", ["libx264", "libx265", "libsvtav1", "libvpx-vp9"])
@pytest.mark.parametrize("threads", [1, 3])
def test_thread_count_is_accepted_by_every_encoder(tmp_path: Path, name: str, threads: int) -> None:
    write(tmp_path, "o.mkv", EncodeOptions(codec=name, threads=threads))
    assert codec_and_psnr(tmp_path / "o.mkv")[0] == ENCODERS[name].codec


@pytest.mark.parametrize(
    ("output", "options", "expected"),
    [
        ("o.avi", EncodeOptions(codec="hevc"), "cannot hold hevc; it holds h264"),
        ("o.webm", EncodeOptions(codec="h264"), "cannot hold h264; it holds vp9, av1"),
        ("o.mp4", EncodeOptions(codec="h266"), "unknown codec 'h266'"),
        ("o.mp4", EncodeOptions(crf=52), "0 to 51 for libx264, got 52"),
        ("o.mp4", EncodeOptions(codec="av1", crf=0), "1 to 63 for libsvtav1, got 0"),
        ("o.mp4", EncodeOptions(codec="h264_nvenc", hwaccel="qsv"), "runs on cuda, not on qsv"),
        ("o.webm", EncodeOptions(hwaccel="cuda"), "no vp9 encoder for cuda; available: libvpx-vp9"),
        ("o.mp4", EncodeOptions(codec="h264_v4l2m2m", crf=20), "h264_v4l2m2m"),
    ],
)
def test_encoder_that_cannot_be_used_is_rejected_in_one_line(
    tmp_path: Path, output: str, options: EncodeOptions, expected: str
) -> None:
    with open_source(make_video(tmp_path / "in.mp4", 3)) as source, pytest.raises(UsageError) as error:
        open_sink(tmp_path / "new" / output, source, options=options)
    assert expected in one_line(error)
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(not NO_HARDWARE, reason="this machine has a hardware encoder")
@pytest.mark.parametrize("hwaccel", HWACCELS)
def test_hardware_that_is_missing_is_rejected_on_opening(tmp_path: Path, hwaccel: str) -> None:
    with open_source(make_video(tmp_path / "in.mp4", 3)) as source, pytest.raises(UsageError) as error:
        open_sink(tmp_path / "o.mp4", source, options=EncodeOptions(hwaccel=hwaccel))
    assert hwaccel in one_line(error) or "does not work on this machine" in one_line(error)


@pytest.mark.parametrize("model", ["Orin Nano", "Orin NX"])
def test_hardware_that_a_jetson_lacks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    for name, text in (("etc/nv_tegra_release", "# R36 "), ("proc/device-tree/model", f"NVIDIA Jetson {model}\0")):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(encoders, "this_jetson", lambda: this_jetson(tmp_path))
    reason = failure(ENCODERS["h264_nvenc"], EncodeOptions(), (64, 64))
    assert (reason == "NVIDIA Jetson Orin Nano has no hardware encoder") is (model == "Orin Nano")


@pytest.mark.skipif(not NO_HARDWARE, reason="this machine has a hardware encoder")
def test_auto_falls_back_to_software_with_every_reason(tmp_path: Path) -> None:
    notes = write(tmp_path, "o.mp4", EncodeOptions(hwaccel="auto", crf=20))
    assert codec_and_psnr(tmp_path / "o.mp4")[0] == "h264"
    (note,) = notes
    assert note.startswith("encoded by libx264 in software")
    assert all(hwaccel in note for hwaccel in HWACCELS)


@pytest.mark.skipif(NO_HARDWARE, reason="no hardware encoder works on this machine")
def test_auto_encodes_on_hardware(tmp_path: Path) -> None:
    (note,) = write(tmp_path, "o.mp4", EncodeOptions(hwaccel="auto"))
    assert "in software" not in note
    assert codec_and_psnr(tmp_path / "o.mp4")[1] > 32


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("h264_nvenc", "cq", "23"),
        ("hevc_vaapi", "qp", "23"),
        ("av1_qsv", "global_quality", "23"),
        ("libx264", "crf", "23"),
    ],
)
def test_crf_is_the_constant_quality_option_of_each_encoder(name: str, option: str, value: str) -> None:
    settings = encoder_options(ENCODERS[name], EncodeOptions(crf=23), SIZE_WH, Fraction(25))
    assert settings[option] == value


def test_encoder_without_constant_quality_gets_a_bit_rate() -> None:
    settings = encoder_options(ENCODERS["h264_v4l2m2m"], EncodeOptions(), (1920, 1080), Fraction(25))
    assert 4e6 < int(settings["b"]) < 6e6


@pytest.mark.parametrize(("suffix", "codec"), [(".webm", "libvpx-vp9"), (".webm", "libsvtav1")])
def test_odd_size_in_webm(tmp_path: Path, suffix: str, codec: str) -> None:
    with (
        open_source(make_video(tmp_path / "in.mp4", 3)) as source,
        open_sink(tmp_path / f"o{suffix}", source, options=EncodeOptions(codec=codec)) as sink,
    ):
        for frame in source:
            sink.write(frame, scene(0)[:101, :151])
    (first, *_) = open_source(tmp_path / f"o{suffix}")
    assert first.pixels.shape == (101, 151, 3)
    assert np.abs(first.pixels.astype(int) - scene(0)[:101, :151]).mean() < 8


def test_sink_opened_in_one_thread_is_written_and_closed_in_another(tmp_path: Path) -> None:
    with open_source(make_video(tmp_path / "in.mp4", 10)) as source:
        sink = open_sink(tmp_path / "o.mp4", source)

        def encode() -> None:
            for frame in source:
                sink.write(frame, scene(frame.index))
            sink.close()

        thread = threading.Thread(target=encode)
        thread.start()
        thread.join()
    assert codec_and_psnr(tmp_path / "o.mp4")[1] > 32
