"""Faces of live runs that are made from several crops of their tracks."""

from __future__ import annotations

import gc
from collections import defaultdict
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
from facesr_edge import CameraOptions, Frame, Observer, UsageError, live
from facesr_edge.engines.multiframe.history import History, extended
from facesr_edge.engines.multiframe.session import MIN_FRAMES, MultiFrameSession
from facesr_edge.engines.registry import open_session
from facesr_edge.sdk.live.scheduling.plan import LOST, REFRESH_S
from support.simulated import SETTINGS


def faces_of(results):
    """Faces of each track, with the index of their frame, by camera and track."""
    tracks = defaultdict(list)
    for result in results:
        for face in result.faces:
            tracks[result.camera, face.track_id].append((result.source.index, face))
    return tracks


def run_of(source, **settings):
    with live(source, **settings) as run:
        return list(run)


def direct_outputs(results, track_bundle, tiny_bundle, frames):
    """Each face that the multi-frame network upscaled, with the output of a call of its own."""
    single = open_session(tiny_bundle(), "onnxruntime", 1, "fp32")
    session = MultiFrameSession(single, open_session(track_bundle, "onnxruntime", 1, "fp32"), frames)
    for faces in faces_of(results).values():
        history = None
        for _, face in faces:
            if face.reason == LOST:
                continue
            history = extended(history, face.original, face.window_xyxy[:2], frames)
            if face.treatment == "network" and face.frames > 1:
                assert face.frames == history.frames == 1 + len(face.earlier_frames)
                yield face, session.infer_batches([face.original[None]], [[history]])[0]
    session.close()
    single.close()


def digest(results) -> str:
    parts = sha256()
    for result in results:
        for face in result.faces:
            parts.update(f"{face.track_id} {face.treatment} {face.reason} {face.consistency_db}".encode())
            parts.update(face.pixels.tobytes())
    return parts.hexdigest()


def test_faces_are_made_from_ever_more_crops_up_to_the_limit(simulated, several) -> None:
    results = run_of(simulated(2, count=25, rate=0, speed=20.0), **several)
    tracks = faces_of(results)
    assert tracks
    for faces in tracks.values():
        counts = [face.frames for _, face in faces]
        assert counts[0] == 1
        assert max(counts) == 6
        assert all(n == 1 or n >= MIN_FRAMES for n in counts)
    assert "crop.register" in results[5].timings_ms


def test_outputs_are_those_of_the_network_on_the_same_crops(simulated, several, track_bundle, tiny_bundle) -> None:
    cameras = {name: simulated(2, seed=n, count=14, rate=0, speed=20.0) for n, name in enumerate(("door", "hall"))}
    pairs = list(direct_outputs(run_of(cameras, **several), track_bundle, tiny_bundle, several["frames"]))
    assert len(pairs) >= 4
    for face, expected in pairs:
        assert expected.frames == (face.frames,)
        assert list(face.earlier_frames) == sorted(set(face.earlier_frames))
        assert np.array_equal(face.pixels, expected.output.tensor[0])


def test_a_single_frame_is_what_there_was_before(simulated, several) -> None:
    source = {"count": 10, "rate": 0, "speed": 20.0}
    several = {**several, "frames": 1}
    results = run_of(simulated(2, **source), **several)
    default = run_of(simulated(2, **source), **{name: several[name] for name in several if "frames" not in name})
    assert digest(results) == digest(default)
    assert {face.frames for result in results for face in result.faces} == {1}
    assert not any("crop.register" in result.timings_ms for result in results)


def test_faces_of_all_cameras_share_a_batch(simulated, several, monkeypatch) -> None:
    sizes, infer = [], MultiFrameSession.infer_batches

    def counted(session, batches, histories):
        sizes.append(sum(map(len, batches)))
        return infer(session, batches, histories)

    monkeypatch.setattr(MultiFrameSession, "infer_batches", counted)
    cameras = {f"camera {n}": simulated(1, seed=1, count=12, rate=0, speed=20.0) for n in range(3)}
    results = run_of(cameras, **several)
    assert {face.track_id for result in results for face in result.faces} == {1}
    assert max(sizes) > 1, "each camera shows one face"


def test_a_cut_to_another_picture_at_the_same_place_begins_anew(simulated, several) -> None:
    view = simulated(1, seed=1, speed=10.0).view
    middle = (view.background.shape[1] - 1) / 2  # where the face is in the tenth frame
    center = replace(view, walkers=tuple(replace(one, x=middle - one.speed) for one in view.walkers))
    pixels = [center.frame(n).pixels for n in range(20)]
    pixels[10:] = [np.ascontiguousarray(one[:, ::-1]) for one in pixels[10:]]
    results = run_of([Frame(one, n, n / 10) for n, one in enumerate(pixels)], **several)
    before, after = results[:10], results[10:]
    assert max(face.frames for result in before for face in result.faces) >= 4
    assert {face.track_id for result in after for face in result.faces} == {1}, "the track goes on"
    networks = [(result.source.index, face) for result in after for face in result.faces if face.treatment == "network"]
    assert networks
    for index, face in networks:
        assert face.frames <= index - 10 + 1


def test_a_stream_that_starts_again_begins_anew(simulated, several) -> None:
    view = simulated(1, seed=1, speed=20.0).view
    times_s = [n / 10 for n in range(8)] * 2
    results = run_of([Frame(view.frame(n % 8).pixels, n, time_s) for n, time_s in enumerate(times_s)], **several)
    assert max(face.frames for face in results[7].faces) >= 4
    assert [face.frames for face in results[8].faces] == [1]
    assert all(2 <= face.frames <= 3 for face in results[10].faces) and results[10].faces


def test_a_camera_that_loses_frames_gets_several_too(simulated, several) -> None:
    settings = {"camera": CameraOptions(policy="newest"), "budget_ms": 2000, "fps": 8, **several}
    most = 0
    with live(simulated(1, rate=20.0, speed=15.0), **settings) as run:
        for result, _ in zip(run, range(200), strict=False):
            most = max([most, *(face.frames for face in result.faces)])
            if most == several["frames"]:
                break
        assert sum(run.cameras[0].status().dropped.values()) > 0
    assert most == several["frames"]


def histories() -> int:
    """Number of histories in memory."""
    gc.collect()
    return sum(isinstance(one, History) for one in gc.get_objects())


def test_memory_does_not_grow(simulated, several) -> None:
    before, counts = histories(), []
    with live(simulated(2, rate=0, count=160, speed=60.0), **several) as run:
        for n, _ in enumerate(run):
            if n % 40 == 39:
                counts.append(histories() - before)
    assert len(counts) == 4
    assert max(counts) <= 10, f"{counts}: expected one for each track, and those of the frames that are under way"
    assert counts[-1] <= counts[0] + 2


def test_a_face_that_is_due_keeps_its_crops_though_it_was_reused(simulated, several) -> None:
    """Crops are collected in every turn, not only in those in which a network runs."""
    view = simulated(1, seed=1, speed=10.0).view
    count = int(REFRESH_S * 10) + 8
    results = run_of([Frame(view.frame(n).pixels, n, n / 10) for n in range(count)], **several)
    refreshed = [face for result in results for face in result.faces if "refreshed" in face.reason]
    assert all(face.frames == 6 for face in refreshed)
    assert [face.frames for face in results[-1].faces] == [6]


def test_observers_learn_of_the_network_of_several_crops_if_there_is_one(several, track_bundle) -> None:
    calls = []

    class Watcher(Observer):
        def started(self, *networks):
            calls.append([use and use.name for use in networks])

    empty = [Frame(np.zeros((90, 160, 3), np.uint8))]
    run_of(empty, observers=[Watcher()], **several)
    run_of(empty, observers=[Watcher()], **{**several, "frames": 1})
    assert [networks[1:] for networks in calls] == [[None, track_bundle.card.name], [None]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": 0}, "frames is 0, expected a whole number from 1"),
        ({"frames": 2.5}, r"frames is 2\.5"),
        ({"frames": True}, "frames is True"),
        ({"frames": 8}, "takes at most 7 crops"),
        ({"track_model": "edge-tiny-x4"}, "takes several crops of a face, got edge-tiny-x4"),
        ({"model": "edge-tiny-x2"}, "expected a track_model of x2"),
    ],
)
def test_frames_that_the_networks_cannot_take_are_usage_errors(several, changes, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        live("clip.mp4", **{**several, **changes})


@pytest.mark.parametrize("name", ["head-pose.gif", "one-by-one-person.mp4"])
def test_faces_of_real_videos(shared, several, track_bundle, tiny_bundle, name: str) -> None:
    results, counts = [], [0]
    with live(shared / "video" / name, **several) as run:
        for result in run:
            results.append(result)
            counts += [face.frames for face in result.faces]
            if len(counts) >= 20 and max(counts) == several["frames"]:
                break
    assert max(counts) == several["frames"]
    pairs = list(direct_outputs(results, track_bundle, tiny_bundle, several["frames"]))
    assert pairs
    for face, expected in pairs:
        assert np.array_equal(face.pixels, expected.output.tensor[0])


def test_the_shipped_networks_run_together(simulated) -> None:
    results = run_of(simulated(1, count=8, rate=0, speed=20.0), frames=7, **{**SETTINGS, "precision": "fp32"})
    assert max(face.frames for result in results for face in result.faces) >= MIN_FRAMES
