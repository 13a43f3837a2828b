"""Audio stream copy from the source to the output."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
from facesr_edge.sdk.media.sinks import open_sink
from facesr_edge.sdk.media.sources import open_source
from support.media import audio_packets, convert, make_video, timestamps


@pytest.mark.parametrize("output", ["o.mp4", "o.mov", "o.mkv"])
@pytest.mark.parametrize(
    ("source_name", "tracks"),
    [("in.mp4", ("aac",)), ("in.mkv", ("aac",)), ("in.mp4", ("aac", "aac")), ("in.mkv", ("libmp3lame",))],
)
def test_audio_packets_are_copied_unchanged(
    tmp_path: Path, source_name: str, tracks: tuple[str, ...], output: str
) -> None:
    notes = convert(make_video(tmp_path / source_name, audio=tracks), tmp_path / output)
    assert notes == []
    for track in range(len(tracks)):
        before, after = audio_packets(tmp_path / source_name, track), audio_packets(tmp_path / output, track)
        assert [data for _, data in after] == [data for _, data in before]
        tolerance = 1e-9 if Path(source_name).suffix == Path(output).suffix else 0.001
        assert [time for time, _ in after] == pytest.approx([time for time, _ in before], abs=tolerance)


def test_avi_keeps_the_audio(tmp_path: Path) -> None:
    convert(make_video(tmp_path / "in.mp4", audio=("aac",)), tmp_path / "o.avi")
    before, after = audio_packets(tmp_path / "in.mp4"), audio_packets(tmp_path / "o.avi")
    assert [data for _, data in after] == [data for _, data in before]


def test_animation_without_sound_is_noted(tmp_path: Path) -> None:
    notes = convert(make_video(tmp_path / "in.mp4", 5, audio=("aac",)), tmp_path / "o.gif")
    assert notes == ["audio (aac) dropped: .gif does not hold it; use .mkv"]
    assert len(timestamps(tmp_path / "o.gif")) == 5


def test_transport_stream_keeps_its_audio_in_step(tmp_path: Path) -> None:
    make_video(tmp_path / "in.ts", audio=("aac",))
    convert(tmp_path / "in.ts", tmp_path / "o.mp4")
    assert timestamps(tmp_path / "o.mp4") == pytest.approx(timestamps(tmp_path / "in.ts"), abs=1e-4)
    lead = [audio_packets(path)[0][0] - first_video_s(path) for path in (tmp_path / "in.ts", tmp_path / "o.mp4")]
    assert lead[1] == pytest.approx(lead[0], abs=0.001)


def first_video_s(path: Path) -> float:
    with av.open(str(path)) as container:
        return float(next(container.decode(video=0)).time)


def test_partly_read_source_copies_only_that_part_of_the_audio(tmp_path: Path) -> None:
    make_video(tmp_path / "in.mp4", 40, audio=("aac",))
    with open_source(tmp_path / "in.mp4") as source, open_sink(tmp_path / "o.mp4", source) as sink:
        for frame, _ in zip(source, range(10), strict=False):
            sink.write(frame, frame.pixels)
    assert audio_packets(tmp_path / "o.mp4")[-1][0] <= 0.4
