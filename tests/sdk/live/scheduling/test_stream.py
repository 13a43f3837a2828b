"""Times of the frames of a stream: those that stand still, go back, or belong to images."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from facesr_edge import Frame, live
from facesr_edge.sdk.live.scheduling.plan import DETECT_S
from support.simulated import SETTINGS


@pytest.fixture
def frames(simulated):
    """Frames with two faces that stand still."""
    view = simulated(2, speed=0.0).view
    return [view.frame(index) for index in range(8)]


def detections(results) -> list[bool]:
    return [result.detection is not None for result in results]


def test_frames_without_times_are_detected_and_followed(frames) -> None:
    with live([Frame(frame.pixels) for frame in frames], **SETTINGS) as run:
        results = list(run)
    assert detections(results)[0]
    assert all(result.faces for result in results)
    assert {face.track_id for result in results for face in result.faces} == {1, 2}


def test_times_that_go_back_begin_anew(frames) -> None:
    empty = np.full_like(frames[0].pixels, 90)
    first = [Frame(empty, index, 5 + index / 10) for index in range(4)]
    with live([*first, *frames, *frames], **SETTINGS) as run:
        results = list(run)
    assert [result.source.time_s for result in results[3:6]] == pytest.approx([5.3, 0.0, 0.1])
    assert all(result.faces for result in results[4:])
    assert results[12].ended_tracks == (1, 2)
    assert {face.track_id for face in results[12].faces} == {3, 4}


def test_images_are_detected_one_by_one(frames, portraits) -> None:
    moved = [np.roll(frames[0].pixels, shift, axis=1) for shift in (0, 200, 400)]
    images = [Frame(pixels, index, name=f"{index}.png") for index, pixels in enumerate(moved)]
    with live(images, **SETTINGS) as run:
        results = list(run)
    assert detections(results) == [True] * 3
    assert all(face.treatment == "network" for result in results for face in result.faces)


def test_frames_with_times_are_detected_at_intervals(frames) -> None:
    slow = [replace(frame, time_s=index * (DETECT_S + 0.01)) for index, frame in enumerate(frames)]
    with live(slow, **SETTINGS) as run:
        assert all(detections(list(run)))
    fast = [replace(frame, time_s=index * DETECT_S / 3.5) for index, frame in enumerate(frames)]
    with live(fast, **SETTINGS) as run:
        assert detections(list(run)) == [True, False, False, False, True, False, False, False]
    assert math.isfinite(fast[-1].time_s)
