"""A batch with faces of several frames: the parts of a video have the faces that `run` makes."""

from dataclasses import replace

import numpy as np
import pytest
from facesr_edge.engines.errors import EngineError, UsageError
from facesr_edge.sdk.archive.batch import batch
from facesr_edge.sdk.media.encode_options import EncodeOptions
from facesr_edge.sdk.media.sinks import open_sink
from facesr_edge.sdk.media.sources import open_source
from facesr_edge.sdk.pipeline.run import run
from support.archives import CHUNK, FRAMES, SPEC, packets, write_video


@pytest.fixture(scope="module")
def spec(tiny_track_bundle):
    tracks = {"track_engine": "onnxruntime", "track_precision": "fp32"}
    return replace(SPEC, frames=4, track_model=str(tiny_track_bundle.folder), **tracks)


def test_the_parts_of_a_video_equal_the_output_of_run_across_their_border(spec, put_face, tmp_path):
    def pictures():
        for index in range(FRAMES):
            picture = np.full((96, 96, 3), 80 + index % 40, np.uint8)
            if CHUNK - 6 <= index < CHUNK + 6:
                put_face(picture, index - CHUNK + 8, 10, 28)
            yield picture

    clip = write_video(tmp_path / "clip.mp4", pictures())
    with (
        spec.load() as pipeline,
        open_source(clip, threads=1) as source,
        open_sink(tmp_path / "run.mp4", source, outscale=2, options=EncodeOptions(threads=1)) as sink,
    ):
        faces = {result.source.index: [face.frames for face in result.faces] for result in run(pipeline, source, sink)}
    assert faces[CHUNK - 1] == [4] and faces[CHUNK] == [1] and faces[CHUNK + 1] == [2] and faces[CHUNK + 3] == [4]
    summary = batch([str(clip)], str(tmp_path / "batch"), pipeline=spec, workers=1, chunk=CHUNK)
    assert summary.complete
    assert packets(tmp_path / "batch" / "clip.mp4") == packets(tmp_path / "run.mp4")


def test_the_identity_of_a_batch_names_the_multi_frame_network_if_it_is_used(spec):
    identity = spec.identity()
    assert identity["frames"] == 4 and identity["files of the track model"]
    assert not any("track" in name or name == "frames" for name in SPEC.identity())


def test_more_frames_than_the_network_takes_are_refused_before_the_work(spec, tiny_bundle):
    with pytest.raises(UsageError, match="frames is 9, expected 1 to 7, those of edge-track-x4"):
        replace(spec, frames=9).decided()
    with pytest.raises(EngineError, match="takes one frame"):
        replace(spec, track_model=str(tiny_bundle().folder)).decided()
