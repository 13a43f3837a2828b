"""Steady faces and reuse in a live run, against the network on every crop."""

from __future__ import annotations

import numpy as np
import pytest
from facesr_edge import load
from facesr_edge.benchmarks.live_reuse import coded, measure
from facesr_edge.sdk.bench.walkers import make_view
from facesr_edge.sdk.pipeline.frame import Frame


def clip(portraits, *, rate: int, speed: float, crf: int | None, count: int = 50):
    view = make_view(portraits, 2, seed=1, rate=rate, speed=speed)
    pixels = coded([frame.pixels for frame in view.frames(count)], rate, crf)
    return (Frame(one, index, index / rate) for index, one in enumerate(pixels))


def test_networks_run_on_a_third_of_walking_faces_at_most(portraits) -> None:
    figures = measure(clip(portraits, rate=10, speed=40.0, crf=23), is_still=False)
    assert figures.faces > 60
    assert figures.network_share <= 1 / 3
    assert figures.psnr_db >= 38


def test_still_faces_do_not_flicker_under_noise(portraits) -> None:
    figures = measure(clip(portraits, rate=10, speed=0.0, crf=None), is_still=True)
    assert figures.changes is not None
    bicubic, network, shown = figures.changes
    assert shown <= network / 2
    assert shown <= 1.1 * bicubic
    assert figures.jitter_px <= 0.2
    assert figures.switches <= 0.01
    assert figures.psnr_db >= 38


@pytest.mark.parametrize("lost", [1, 5])
def test_a_face_that_the_detector_loses_keeps_its_track(portraits, lost: int, monkeypatch) -> None:
    from facesr_edge import live
    from facesr_edge.engines.postprocess import Detections
    from facesr_edge.sdk.pipeline.detect import Detector
    from support.simulated import SETTINGS

    calls, real = [], Detector.detect

    def forgetful(self, *arguments, **settings):
        calls.append(real(self, *arguments, **settings))
        return Detections.empty() if 3 <= len(calls) < 3 + lost else calls[-1]

    monkeypatch.setattr(Detector, "detect", forgetful)
    frames = list(clip(portraits, rate=4, speed=10.0, crf=None, count=12))
    with live(frames, **SETTINGS) as run:
        results = list(run)
    ids = [{face.track_id for face in result.faces} for result in results]
    assert ids[0] == ids[-1] == set.union(*ids)
    assert not any(result.ended_tracks for result in results)
    assert np.mean([len(found) for found in ids]) == len(ids[0])


def test_the_reference_is_the_network(portraits) -> None:
    """A face that the network upscaled is the output of `Pipeline.upscale` on its crop."""
    from facesr_edge import live

    with live(clip(portraits, rate=10, speed=40.0, crf=None, count=3)) as run, load(composite=False) as pipeline:
        faces = [face for result in run for face in result.faces if face.treatment == "network"]
        assert faces
        for face in faces:
            assert np.array_equal(face.pixels, pipeline.upscale(face.original[None])[0])


def test_a_false_detection_on_a_still_wall_ends(portraits, monkeypatch) -> None:
    from facesr_edge import live
    from facesr_edge.engines.postprocess import Detections
    from facesr_edge.sdk.pipeline.detect import Detector
    from support.simulated import SETTINGS

    calls, real = [], Detector.detect

    def once(self, *arguments, **settings):
        calls.append(real(self, *arguments, **settings))
        return calls[-1] if len(calls) <= 2 else Detections.empty()  # the first call prepares the engine

    monkeypatch.setattr(Detector, "detect", once)
    with live(clip(portraits, rate=5, speed=0.0, crf=None, count=25), **SETTINGS) as run:
        results = list(run)
    assert results[0].faces
    assert not results[-1].faces
    assert not results[-1].skipped
    assert {track for result in results for track in result.ended_tracks} == {
        face.track_id for face in results[0].faces
    }
