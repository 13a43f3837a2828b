"""The live runtime: iteration, async, callbacks, ends, errors, closing, threads and processes."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
import weakref

import facesr_edge
import numpy as np
import pytest
from facesr_edge import CameraOptions, Frame, InputError, Observer, UsageError, live
from facesr_edge.engines.errors import EngineError
from support.media import make_video
from support.simulated import SETTINGS

NEWEST = CameraOptions(policy="newest")


class Collector(Observer):
    """Notes the events of a run."""

    def __init__(self) -> None:
        self.arrivals, self.states, self.results, self.cycles, self.closed = [], [], [], [], 0

    def arrived(self, camera, time_s):
        self.arrivals.append((camera, time_s))

    def changed(self, status):
        self.states.append((status.name, status.state))

    def done(self, result):
        self.results.append(result)

    def cycled(self, cycle):
        self.cycles.append(cycle)

    def close(self):
        self.closed += 1


def threads_of(run: str = "") -> list[str]:
    return sorted(
        thread.name for thread in threading.enumerate() if "live" in thread.name or "reader of" in thread.name
    )


def wait_for(happened, timeout_s=10.0) -> bool:
    end_s = time.monotonic() + timeout_s
    while not happened() and time.monotonic() < end_s:
        time.sleep(0.02)
    return bool(happened())


def test_results_of_finite_sources_are_complete_and_in_order(simulated) -> None:
    cameras = {name: simulated(2, seed=n, count=12, rate=0) for n, name in enumerate(("door", "hall"))}
    watcher = Collector()
    with live(cameras, observers=[watcher], **SETTINGS) as results:
        seen = list(results)
    for name in cameras:
        assert [result.source.index for result in seen if result.camera == name] == list(range(12))
    assert len(watcher.results) == 24
    assert watcher.closed == 1
    assert ("door", "ended") in watcher.states
    assert len(watcher.arrivals) == 24
    assert sum(len(cycle.cameras) for cycle in watcher.cycles) == 24
    assert not threads_of()


def test_faces_have_tracks_originals_and_reasons(simulated) -> None:
    with live(simulated(2, count=15, rate=0, speed=20.0), **SETTINGS) as results:
        seen = list(results)
    faces = [face for result in seen for face in result.faces]
    assert len(faces) >= 20
    assert {face.track_id for face in faces} == {1, 2}
    assert {face.treatment for face in faces} >= {"network", "reused"}
    for result in seen:
        height, width = result.source.pixels.shape[:2]
        assert result.frame.shape == (2 * height, 2 * width, 3)
        for face in result.faces:
            x, y, right, bottom = face.window_xyxy
            assert np.array_equal(face.original, result.source.pixels[y:bottom, x:right])
            assert face.pixels.shape == (4 * (right - x), 4 * (bottom - y), 3)
            assert face.reason
            assert np.isfinite(face.consistency_db) == (face.treatment == "network")
    assert pickle.loads(pickle.dumps(seen[0].to_dict())) == seen[0].to_dict()


def test_async_iteration_leaves_the_event_loop_free(simulated) -> None:
    async def consume() -> tuple[int, int]:
        ticks = results = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        ticker = asyncio.create_task(tick())
        with live(simulated(1, count=8, rate=20.0), **SETTINGS) as run:
            async for result in run:
                results += bool(result.camera)
        ticker.cancel()
        return ticks, results

    ticks, results = asyncio.run(consume())
    assert results == 8
    assert ticks > 15


def test_run_calls_back_until_another_thread_closes_it(simulated) -> None:
    seen = []
    with live(simulated(1), camera=NEWEST, **SETTINGS) as run:
        thread = threading.Thread(target=run.run, args=(seen.append,))
        thread.start()
        assert wait_for(lambda: len(seen) >= 3)
        start_s = time.monotonic()
        run.close()
        thread.join(2)
        assert time.monotonic() - start_s < 1
        assert not thread.is_alive()
        assert list(run) == []


def test_a_slow_consumer_gets_the_newest_result_and_observers_get_all(simulated) -> None:
    watcher = Collector()
    with live(simulated(1, rate=20.0), camera=NEWEST, observers=[watcher], **SETTINGS) as run:
        next(run)
        time.sleep(1.0)
        result = next(run)
        assert time.monotonic() - result.times.done_s < 0.4
        assert result.source.index > 8
        status = run.cameras[0].status()
        assert len(watcher.results) >= status.received - status.dropped.get("consumer", 0) - 2


def test_a_cancelled_wait_loses_no_result(simulated) -> None:
    async def consume() -> list[int]:
        seen = []
        with live(simulated(1, count=6, rate=4.0), **SETTINGS) as run:
            while True:
                try:
                    result = await asyncio.wait_for(run.__anext__(), 0.07)
                except asyncio.TimeoutError:
                    continue
                except StopAsyncIteration:
                    return seen
                seen.append(result.source.index)

    assert asyncio.run(consume()) == list(range(6))


def test_drops_are_counted_exactly(simulated) -> None:
    camera = simulated(1, rate=200.0, count=150)
    with live(camera, camera=NEWEST, **SETTINGS) as run:
        seen = list(run)
        status = run.cameras[0].status()
    assert status.received == camera.delivered == 150
    assert status.taken + sum(status.dropped.values()) == 150
    before_the_last = seen[-1].source.index + 1 - len(seen)
    assert sum(result.dropped for result in seen) >= before_the_last > 0
    assert sum(result.dropped for result in seen) <= status.dropped["consumer"]
    indexes = [result.source.index for result in seen]
    assert indexes == sorted(indexes)
    assert len(set(indexes)) == len(indexes)


def seconds_to_close(state: str, simulated) -> float:
    blocked, over = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def frozen():
        yield Frame(np.zeros((90, 160, 3), np.uint8))
        over.wait(30)

    sources = {
        "connecting": f"rtsp://127.0.0.1:{blocked.getsockname()[1]}/live",
        "frozen": frozen(),
        "live": simulated(1),
        "unread": simulated(2, rate=0),
        "ended": simulated(1, count=1, rate=0),
    }
    run = live({"a": sources[state], "b": simulated(1)}, camera=NEWEST, **SETTINGS)
    if state != "unread":
        next(run)
    time.sleep(0.3)
    start_s = time.monotonic()
    run.close()
    run.close()
    took_s = time.monotonic() - start_s
    over.set()
    blocked.close()
    return took_s


@pytest.mark.parametrize("state", ["connecting", "frozen", "live", "unread", "ended"])
def test_close_takes_less_than_a_second_from_every_state(state: str, simulated) -> None:
    took_s = seconds_to_close(state, simulated)
    if took_s >= 1.0:  # on a busy machine
        took_s = seconds_to_close(state, simulated)
    assert took_s < 1.0


def test_all_cameras_failed_is_an_error_and_one_is_not(tmp_path, simulated) -> None:
    missing = str(tmp_path / "missing.mp4")
    with live({"a": missing, "b": simulated(1, count=3, rate=0)}, **SETTINGS) as run:
        assert len(list(run)) == 3
        assert "missing.mp4" in run.cameras[0].status().error
    with live(missing, **SETTINGS) as run, pytest.raises(InputError, match=r"missing\.mp4"):
        next(run)


def test_an_observer_that_fails_does_not_end_the_run(simulated, caplog) -> None:
    class Broken(Observer):
        def done(self, result):
            raise RuntimeError("no space")

    watcher = Collector()
    with live(simulated(1, count=5, rate=0), observers=[Broken(), watcher], **SETTINGS) as run:
        assert len(list(run)) == 5
    assert len(watcher.results) == 5
    assert [record.message for record in caplog.records].count("Broken failed and gets no more reports: no space") == 1


def test_observers_are_closed_though_they_fail_or_take_long(simulated) -> None:
    class Broken(Collector):
        def done(self, result):
            raise RuntimeError("no space")

    class Slow(Collector):
        def close(self):
            time.sleep(1.2)
            super().close()

    broken, slow = Broken(), Slow()
    with live(simulated(1), camera=NEWEST, observers=[broken, slow], **SETTINGS) as run:
        next(run)
    assert broken.closed == 1
    assert wait_for(lambda: slow.closed == 1, 3)


def test_eight_silent_cameras_are_closed_within_a_second() -> None:
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(8)]
    urls = {f"c{n}": f"rtsp://127.0.0.1:{server.getsockname()[1]}/live" for n, server in enumerate(servers)}
    run = live(urls, **SETTINGS)
    assert wait_for(lambda: "live observers" not in threads_of() and run.costs_ms)
    start_s = time.monotonic()
    run.close()
    took_s = time.monotonic() - start_s
    for server in servers:
        server.close()
    assert took_s < 1.2


def test_an_engine_that_fails_raises_in_the_consumer(simulated) -> None:
    with live(simulated(1), camera=NEWEST, **SETTINGS) as run:
        next(run)
        run._pipeline.session.close()
        with pytest.raises(EngineError, match="closed"):
            for _ in run:
                pass


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sources": []}, "at least one source"),
        ({"sources": "clip.mp4", "budget_ms": 0}, "budget_ms is 0"),
        ({"sources": "clip.mp4", "fps": -1}, "fps is -1"),
        ({"sources": "clip.mp4", "budget_ms": "100"}, "budget_ms is '100'"),
        ({"sources": "clip.mp4", "budget_ms": float("nan")}, "budget_ms is nan"),
        ({"sources": ["clip.mp4", "clip.mp4"]}, "given twice"),
        ({"sources": "clip.mp4", "small_model": "edge-tiny-x2"}, "small_model of x4"),
        ({"sources": 3.5}, "expected a URL"),
        ({"sources": {"door": "clip.mp4"}, "camera": {"dor": NEWEST}}, "did you mean 'door'"),
        ({"sources": ["rtsp://u:secret@h"], "camera": {"rtsp://u:secret@h": NEWEST}}, r"rtsp://u:\*\*\*@h"),
        ({"sources": "clip.mp4", "camera": None}, "expected camera as CameraOptions"),
    ],
)
def test_wrong_arguments_are_usage_errors(arguments, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        live(**arguments, **SETTINGS)
    assert not threads_of()


def test_a_network_of_another_scale_runs_without_the_small_one(simulated) -> None:
    with live(simulated(1, count=2, rate=0), model="edge-tiny-x2", **SETTINGS) as run:
        faces = [face for result in run for face in result.faces]
    assert {face.scale for face in faces} == {2}


def test_files_are_read_completely(tmp_path) -> None:
    make_video(tmp_path / "clip.mp4", 20)
    with live(tmp_path / "clip.mp4", budget_ms=1, **SETTINGS) as run:
        assert [result.source.index for result in run] == list(range(20))


def test_fps_limits_the_frames_of_a_camera(simulated) -> None:
    with live(simulated(1, rate=0, count=12), fps=20, **SETTINGS) as run:
        taken_s = [result.times.taken_s for result in run]
    assert len(taken_s) == 12
    assert taken_s[-1] - taken_s[0] >= 9.5 / 20


def test_a_run_that_is_forgotten_ends(simulated) -> None:
    run = live(simulated(1), camera=NEWEST, **SETTINGS)
    next(run)
    reference = weakref.ref(run)
    del run
    gc.collect()
    assert reference() is None
    assert wait_for(lambda: not threads_of(), 3)


def test_a_run_cannot_be_pickled(simulated) -> None:
    with live(simulated(1, count=1), **SETTINGS) as run, pytest.raises(UsageError, match="pickled"):
        pickle.dumps(run)


def test_a_forked_child_is_refused_and_does_not_stop_the_parent(simulated) -> None:
    with live(simulated(1), camera=NEWEST, **SETTINGS) as run:
        next(run)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                next(run)
            except EngineError as error:
                run.close()
                code = 0 if "call live() in this process" in str(error) else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert next(run)


def test_a_forked_child_that_ends_regularly_does_not_hang(simulated) -> None:
    with live(simulated(1), camera=NEWEST, **SETTINGS) as run:
        next(run)
        child = multiprocessing.get_context("fork").Process(target=sys.exit)
        child.start()
        child.join(20)
        assert child.exitcode == 0
        assert next(run)


def _count_results(queue) -> None:
    frames = (np.zeros((90, 160, 3), np.uint8) for _ in range(3))
    with live(frames, **SETTINGS) as run:
        queue.put(len(list(run)))


def test_a_spawned_child_makes_its_own() -> None:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    child = context.Process(target=_count_results, args=(queue,))
    child.start()
    assert queue.get(timeout=60) == 3
    child.join(10)
    assert child.exitcode == 0


PROGRAM = """
import itertools, time, numpy as np, facesr_edge
def frames():
    for n in itertools.count():
        time.sleep(0.02)
        yield np.full((90, 160, 3), n % 200, np.uint8)
run = facesr_edge.live(frames(), engine="onnxruntime", threads=1)
next(run)
"""


def test_a_program_that_ends_without_closing_exits_cleanly() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_public_names_are_lazy() -> None:
    assert facesr_edge.live is live
