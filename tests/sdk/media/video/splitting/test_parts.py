"""Parts of a video that are encoded apart and joined, compared with the video that is encoded at once."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from facesr_edge.engines.errors import InputError, UsageError
from facesr_edge.sdk.media.encode_options import EncodeOptions
from facesr_edge.sdk.media.sinks import open_sink
from facesr_edge.sdk.media.sources import open_source
from facesr_edge.sdk.media.video.splitting.parts import JoinSink, PartsError, PartSink, check_chunk, is_splittable
from facesr_edge.sdk.media.video.splitting.skip import Skip, SkipError, index_video
from facesr_edge.sdk.pipeline.chunks import CHUNK_FRAMES
from support.archives import packets, write_video

FRAMES = 2 * CHUNK_FRAMES + 10
OPTIONS = EncodeOptions(preset="ultrafast", threads=1)


def pictures():
    ramp = np.arange(64, dtype=np.uint8)[None, :, None].repeat(48, 0).repeat(3, 2)
    for index in range(FRAMES):
        picture = np.roll(ramp * 3, index, 1)
        yield cv2.putText(picture, str(index), (2, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255))


def doubled(frame):
    return cv2.resize(frame.pixels, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)


def whole(path: Path, target: Path) -> Path:
    with open_source(path, threads=1) as source, open_sink(target, source, outscale=2, options=OPTIONS) as sink:
        for frame in source:
            sink.write(frame, doubled(frame))
    return target


def part(path: Path, target: Path, first: int, end: int | None, skip: Skip | None = None):
    with open_source(path, threads=1) as source:
        source.first_index, source.end_index, source.skip = first, end, skip
        with PartSink(target, source, OPTIONS, 2) as sink:
            for frame in source:
                sink.write(frame, doubled(frame))
    return sink.part


def joined(path: Path, target: Path, parts) -> Path:
    with open_source(path, threads=1) as source:
        first = next(iter(source))
        with JoinSink(target, source, OPTIONS, 2) as sink:
            list(sink.join(first, parts, upscaled=False))
    return target


VIDEOS = {
    "h264.mp4": ("libx264", {"preset": "ultrafast", "g": "40", "bf": "2"}),
    "hevc.mkv": ("libx265", {"preset": "ultrafast", "x265-params": "keyint=40:open-gop=1:log-level=none"}),
}


@pytest.fixture(scope="module", params=sorted(VIDEOS))
def video(request, tmp_path_factory):
    codec, options = VIDEOS[request.param]
    return write_video(tmp_path_factory.mktemp("videos") / request.param, pictures(), codec=codec, options=options)


def test_joined_parts_equal_the_whole_video_with_its_sound(video, tmp_path):
    index = index_video(video)
    assert index.frames == FRAMES
    firsts = range(0, FRAMES, CHUNK_FRAMES)
    ends = [*firsts[1:], None]
    skips = [index.skip_to(first) for first in firsts]
    assert [skip is not None for skip in skips] == [False, True, True]
    parts = [
        part(video, tmp_path / f"{first}{video.suffix}", first, end, skip)
        for first, end, skip in zip(firsts, ends, skips, strict=True)
    ]
    assert [len(one.stamps) for one in parts] == [CHUNK_FRAMES, CHUNK_FRAMES, 10]
    at_once = whole(video, tmp_path / f"whole{video.suffix}")
    together = joined(video, tmp_path / f"joined{video.suffix}", parts)
    assert packets(together) == packets(at_once)
    with av.open(str(together)) as container:
        assert container.metadata["title"] == "corridor"
    with pytest.raises(PartsError, match=f"lack frame {2 * CHUNK_FRAMES}"):
        joined(video, tmp_path / f"short{video.suffix}", parts[:2])
    with pytest.raises(PartsError, match="lack frame 0"):
        joined(video, tmp_path / f"order{video.suffix}", parts[1:])


def test_a_part_that_cannot_be_read_does_not_fit(video, tmp_path):
    one = part(video, tmp_path / f"whole{video.suffix}", 0, 20)
    data = one.path.read_bytes()
    sound = tmp_path / "sound.mka"
    with av.open(str(sound), "w") as container:
        container.add_stream("pcm_s16le", rate=8000)
        container.start_encoding()
    for content in (b"", b"garbage" * 99, data[: len(data) // 2], sound.read_bytes(), None):
        one.path.unlink()
        if content is not None:
            one.path.write_bytes(content)
        with pytest.raises(PartsError, match="a part of the video cannot be read"):
            list(one.packets())
        one.path.touch()


def test_a_wrong_plan_of_the_packets_is_noticed(video, tmp_path):
    first = index_video(video).skip_to(CHUNK_FRAMES)
    assert first is not None
    with pytest.raises(SkipError, match="expected frame"):
        part(video, tmp_path / f"part{video.suffix}", CHUNK_FRAMES, None, Skip(first.packet, first.index - 1))


def test_decoding_begins_at_the_start_where_pictures_are_refreshed_gradually(tmp_path):
    options = {"preset": "ultrafast", "g": "20", "x264-params": "intra-refresh=1"}
    video = write_video(tmp_path / "clip.mkv", islice(pictures(), 80), options=options)
    assert index_video(video).skip_to(70) is None


def test_what_cannot_be_split_is_told(video, tmp_path):
    with open_source(video) as source:
        assert is_splittable(source, Path("out.mkv"))
        assert not is_splittable(source, Path("out.avi"))
    with pytest.raises(UsageError, match="a multiple of 250 frames, or 0 for whole videos, got 300"):
        check_chunk(300)
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(InputError, match=r"text\.mp4"):
        index_video(tmp_path / "text.mp4")
