"""Replay: the summary, costs and needs taken from a recording, and the simulation against arithmetic and a real run."""

import math
import time
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
from facesr_edge.engines.errors import InputError
from facesr_edge.sdk.live.camera import Camera, CameraOptions
from facesr_edge.sdk.live.live import live
from facesr_edge.sdk.live.monitoring.recorder import Recorder
from facesr_edge.sdk.live.replay.capacity import Capacity, capacity
from facesr_edge.sdk.live.replay.machine_costs import MachineCosts
from facesr_edge.sdk.live.replay.measure import measure, measure_capacity
from facesr_edge.sdk.live.replay.outcome import Outcome, recorded_outcome
from facesr_edge.sdk.live.replay.recording import RecordedFace, read_recording
from facesr_edge.sdk.live.replay.simulation import simulate
from facesr_edge.sdk.live.replay.summary import summarize
from facesr_edge.sdk.live.replay.workload import (
    CameraLoad,
    Observation,
    SeenFace,
    Workload,
    observed,
    workload_of,
)
from facesr_edge.sdk.live.scheduling.plan import (
    DETECT_S,
    LOST,
    MAX_LEVELS,
    REFRESH_S,
    REUSE_LEVELS,
    STILL_REFRESH_S,
    Need,
    plan,
)
from facesr_edge.sdk.profiling.timing import Span
from support.simulated import SETTINGS
from support.timed_results import live_face, live_result, skipped_face


@dataclass(eq=False)
class Facts:
    """What a recorder follows of a run."""

    card: object
    budget_ms: float
    costs_ms: dict


def recorded(tmp_path, fill, run=None):
    """Recording of what `fill` reports to the recorder, given its start."""
    recorder = Recorder(tmp_path / "live.rec", {"budget_ms": 100.0})
    if run:
        recorder.follow(run)
    fill(recorder, time.monotonic())
    recorder.close()
    return read_recording(tmp_path / "live.rec")


def test_a_summary_counts_frames_losses_times_treatments_and_states(tmp_path):
    def fill(recorder, start_s):
        state = SimpleNamespace(name="door", state="live", error="", received=0, dropped={}, reconnects=0)
        recorder.changed(state)
        for n in range(11):
            recorder.arrived("door", start_s + n / 10)
            if n % 2 == 0:
                faces = [live_face(1), live_face(2, 48, "reused", f"changed by {n}.0 gray levels in 0.{n} s")]
                late = [skipped_face(3, reason=f"over budget: {n}.1 ms left for 4 faces")]
                recorder.done(live_result("door", start_s + n / 10, n, 20, faces, late, dropped=min(n, 1)))
        recorder.changed(SimpleNamespace(**{**vars(state), "state": "offline", "error": "timeout"}))

    summary = summarize(recorded(tmp_path, fill))
    (door,) = summary.cameras
    assert (door.name, door.arrivals, door.results, door.dropped) == ("door", 11, 6, {"consumer": 5})
    assert door.arrival_fps == pytest.approx(11 / summary.duration_s) and door.result_fps < 6
    assert door.queue.p50 == pytest.approx(5, abs=0.01) and door.compute.p99 == pytest.approx(20, abs=0.01)
    assert door.age.p50 == pytest.approx(25, abs=0.01) and door.camera_ms is None
    assert door.treatments == {"network": 6, "reused": 6, "skipped": 6} and door.over_budget == 6
    assert [(change.state, change.error) for change in door.states] == [("live", ""), ("offline", "timeout")]
    assert summary.reasons == {
        "new track": 6,
        "changed by … gray levels in … s": 6,
        "over budget: … ms left for … faces": 6,
    }
    assert summary.stages["detect.network"].p50 == 6.0 and summary.to_dict()["total"]["age_ms"]["p50"] == 25.0


def test_the_folder_of_a_model_is_recorded_as_it_was_given(tmp_path):
    recorder = Recorder(tmp_path / "live.rec", {"model": "models/own"})
    recorder.follow(Facts(SimpleNamespace(name="own-x4"), 50.0, {}))
    recorder.close()
    assert read_recording(tmp_path / "live.rec").head["about"] == {"model": "models/own", "budget_ms": 50.0}


def test_an_empty_recording_is_summarized(tmp_path):
    summary = summarize(recorded(tmp_path, lambda recorder, start_s: None))
    assert (summary.cameras, summary.total.results, summary.total.age) == ((), 0, None)


@pytest.mark.parametrize("left_ms", [1000.0, 3.0])
@pytest.mark.parametrize(
    "need",
    [
        Need(32, 1.5, 0.25),
        Need(32, 4.5, 0.25),
        Need(32, math.inf, 0.25),
        Need(32, 12.0, 0.25),
        Need(32, REUSE_LEVELS, 0.25, growth=1.5),
        Need(32, REUSE_LEVELS, 0.25, sharpness=1.75),
        Need(32, 2.5, 0.25, frames=7),
    ],
)
def test_the_change_of_a_face_is_read_from_the_reason_of_the_planner(need, left_ms):
    costs = {("network", 32): 5.0, ("small network", 32): 4.0, ("reuse", 32): 1.0, ("bicubic", 32): 0.5}
    costs["multi-frame network", 32] = 6.0
    (choice,) = plan([need], left_ms, costs, small=False)
    seen = observed(RecordedFace(1, 32, choice.treatment, choice.reason), need.age_s)
    assert seen == Observation(need.age_s, need.change, need.growth, need.sharpness)


def test_what_the_reason_does_not_tell_follows_from_the_treatment():
    small = Need(32, 5.0, 0.25, by_small=True)
    costs = {("network", 32): 5.0, ("reuse", 32): 1.0, ("bicubic", 32): 0.5}
    for change, expected in ((5.0, True), (MAX_LEVELS + 1, False)):
        (choice,) = plan([replace(small, change=change)], 3.0, costs, small=False)
        seen = observed(RecordedFace(1, 32, choice.treatment, choice.reason), 0.25)
        assert Need(32, seen.change).reusable == expected and seen.change > REUSE_LEVELS
    assert observed(RecordedFace(1, 32, "network", "new track"), None) is None
    assert observed(RecordedFace(1, 32, "network", "refreshed after 1.2 s"), 1.2).change < REUSE_LEVELS


def test_costs_are_found_in_the_times_of_the_turns(tmp_path):
    rng, true_ms = np.random.default_rng(0), {32: 3.0, 48: 7.0}

    def fill(recorder, start_s):
        for n in range(200):
            sides = [int(side) for side in rng.choice([32, 48], rng.integers(0, 5))]
            reused = [int(side) for side in rng.choice([32, 48], rng.integers(0, 5))]
            network_ms, moved_ms = sum(true_ms[side] for side in sides), sum(true_ms[side] for side in reused) / 2
            upscale_ms = 0.5 + max(network_ms, moved_ms)  # beside each other
            faces = [live_face(k, side) for k, side in enumerate(sides)]
            faces += [
                live_face(9 + k, side, "reused", "changed by 1.0 gray levels in 0.1 s") for k, side in enumerate(reused)
            ]
            count, spans = len(faces), [("detect", 8.0), ("crop", 0.2 + 0.1 * len(faces)), ("upscale", upscale_ms)]
            spans = [Span(name, 0, round(1e6 * ms)) for name, ms in spans]
            compute_ms = 8.2 + 0.1 * count + upscale_ms + 1.5
            recorder.done(live_result("door", start_s + n / 10, 1, compute_ms, faces, spans=spans))

    estimates_ms = {"('network', 32)": 6.0, "('network', 48)": 14.0, "('reuse', 32)": 6.0, "('reuse', 48)": 14.0}
    run = Facts(SimpleNamespace(name="m"), 100.0, estimates_ms)
    costs = workload_of(recorded(tmp_path, fill, run)).costs
    assert costs.face_ms["network", 32] == pytest.approx(3.0, rel=0.05)
    assert costs.face_ms["network", 48] == pytest.approx(7.0, rel=0.05)
    assert costs.face_ms["reuse", 48] == pytest.approx(3.5, rel=0.05)
    assert costs.estimates_ms["network", 48] == 14.0  # the scheduler's estimate
    assert (costs.crop_frame_ms, costs.crop_face_ms) == pytest.approx((0.2, 0.1), abs=0.01)
    assert costs.turn_ms == pytest.approx(2.0, abs=0.1) and np.median(costs.noise) == pytest.approx(1.0, abs=0.02)


def camera_load(faces=1, fps=10.0, seconds=20.0, side=32, change=5.0, start_s=0.0, still=False, lost_s=math.inf):
    arrivals = tuple(start_s + n / fps for n in range(round(seconds * fps)))
    seen = tuple(tuple(SeenFace(track, side, at_s >= lost_s) for track in range(1, faces + 1)) for at_s in arrivals)
    observations = {None: tuple(Observation(age / 20, change, still=still) for age in range(1, 40))}
    return CameraLoad(arrivals, arrivals, seen, (640, 360), np.full(3, 10.0), observations)


def workload(*cameras, network_ms=20.0, noise=(1.0,), seconds=20.0):
    works = {"network": network_ms, "small network": 0.4 * network_ms, "reuse": 1.0, "bicubic": 0.5}
    face_ms = {(work, side): ms * (side / 32) ** 2 for work, ms in works.items() for side in (32, 64)}
    costs = MachineCosts(face_ms, face_ms, 0.5, 0.5, 0.1, 1.0, 0.2, np.array(noise))
    return Workload(cameras, costs, (), 0.0, seconds, 100.0)


def test_the_age_in_an_idle_machine_is_the_sum_of_the_work():
    outcome = simulate(workload(camera_load()), 100.0, seeds=1)
    assert len(outcome.ages_ms) == outcome.frames == 200 and outcome.dropped == 0
    wake, take, detect, crop, network, rest = 0.2, 0.1, 10.0, 1.0, 20.0, 1.0
    assert outcome.age.p50 == pytest.approx(wake + take + crop + network + rest, abs=0.01)
    assert outcome.age.p99 == pytest.approx(outcome.age.p50 + detect, abs=0.01)
    assert outcome.treatments == {"network": 200} and outcome.degraded == 0
    frames = round(DETECT_S * 10 + 0.5)  # from one detection to the next
    assert outcome.busy == pytest.approx((22.3 + detect / frames) / 100, abs=0.01)


def test_a_face_that_does_not_change_is_reused_and_refreshed():
    outcome = simulate(workload(camera_load(change=1.0)), 100.0, seeds=1)
    assert outcome.treatments["network"] == pytest.approx(20 / REFRESH_S, abs=2)
    assert outcome.treatments["reused"] == 200 - outcome.treatments["network"]


def test_a_still_face_is_refreshed_seldom():
    outcome = simulate(workload(camera_load(change=1.0, still=True)), 100.0, seeds=1)
    assert outcome.treatments["network"] == 20 / STILL_REFRESH_S


@pytest.mark.parametrize(("change", "rest"), [(5.0, {"reused": 190}), (12.0, {})])
def test_a_face_that_the_detector_does_not_find_gets_no_network(change, rest):
    outcome = simulate(workload(camera_load(change=change, lost_s=1.0)), 100.0, seeds=1)
    assert outcome.treatments == {"network": 10, **rest}
    assert outcome.degraded == 0 and len(outcome.ages_ms) == 200


@pytest.mark.parametrize(("still", "refresh_s"), [(True, STILL_REFRESH_S), (False, REFRESH_S)])
def test_still_and_lost_faces_are_read_from_a_recording(tmp_path, still, refresh_s):
    costs = {("network", 32): 5.0, ("reuse", 32): 1.0, ("bicubic", 32): 0.5}

    def fill(recorder, start_s):
        kept_s = None
        for n in range(120):  # of 12 s; lost for the last second
            need = Need(32) if kept_s is None else Need(32, 1.0, n / 10 - kept_s, still=still, lost=n >= 110)
            (choice,) = plan([need], 100.0, costs, small=False)
            kept_s = n / 10 if choice.treatment == "network" else kept_s
            gone = Need(32, math.inf, 1.0, lost=True)
            (none,) = plan([gone], 100.0, costs, small=False)
            skipped = [skipped_face(2, reason=none.reason)] if n >= 110 else []
            recorder.done(live_result("door", start_s + n / 10, 1, 6, [live_face(1, 32, *_of(choice))], skipped))

    (camera,) = workload_of(recorded(tmp_path, fill)).cameras
    assert [[face.lost for face in faces] for faces in camera.faces[-11:-9]] == [[False], [True, True]]
    assert any(one.still for one in camera.observations[1] if one.age_s < 1.0) == still
    assert max(one.age_s for one in camera.observations[1]) == pytest.approx(refresh_s, abs=0.15)
    load = replace(workload(camera), start_s=camera.arrivals_s[0], end_s=camera.arrivals_s[0] + 9.0)
    outcome = simulate(load, 100.0, seeds=1)
    assert outcome.treatments["network"] == pytest.approx(1 + 8 // refresh_s, abs=1)
    assert observed(RecordedFace(1, 32, "reused", LOST), 1.0) is None


def _of(choice):
    return choice.treatment, choice.reason


def test_a_machine_of_half_the_speed_takes_twice_the_time():
    fast, slow = (simulate(workload(camera_load()), 200.0, speed=speed, seeds=1).age.p50 for speed in (1.0, 0.5))
    assert slow - 0.2 == pytest.approx(2 * (fast - 0.2), abs=0.01)


def test_a_frame_that_is_not_taken_in_time_is_dropped_for_the_newest():
    outcome = simulate(workload(camera_load(fps=40), network_ms=60.0), 1000.0, seeds=1)
    assert outcome.dropped == pytest.approx(1 - (1000 / 65) / 40, abs=0.04)
    assert outcome.age.p99 < 72.5 + 25 + 1


def test_more_cameras_than_fit_are_late_or_degraded():
    cameras = (camera_load(faces=2, seconds=5), camera_load(faces=2, seconds=5, start_s=0.03))
    load = workload(*cameras, network_ms=30, seconds=5)
    found = capacity(load, 100.0)
    assert found.rows[0].cameras == 1 and found.cameras == len(found.rows) - 2
    assert [row.degraded for row in found.rows] == sorted(row.degraded for row in found.rows)
    for row in found.rows:
        assert (row.cameras <= found.cameras) == (row.age.p99 <= 100.0 and row.degraded <= 0.05)
        assert sum(row.share(name) for name in row.treatments) == pytest.approx(1)
    assert capacity(load, 100.0, speed=4.0).cameras > found.cameras
    assert capacity(load, 100.0, max_degraded=0.9).cameras > found.cameras
    assert [row.cameras for row in capacity(load, 100.0, numbers=(7,)).rows] == [7]


def test_noise_of_the_machine_makes_the_slowest_results_slower():
    calm, noisy = (workload(camera_load(), noise=noise) for noise in ((1.0,), (0.8, 1.0, 1.0, 3.0)))
    assert simulate(noisy, 500.0).age.p99 == pytest.approx(simulate(calm, 500.0).age.p99 + 40, abs=1)
    assert simulate(noisy, 500.0) == simulate(noisy, 500.0)  # the same random choices


def test_a_few_slow_calls_do_not_keep_the_network_away_for_good():
    """The network takes 20 ms of about 33; its estimate rises above them with three slow calls in a row."""
    outcome = simulate(workload(camera_load(), noise=(1.0,) * 7 + (3.0,)), 100.0)
    assert outcome.share("network") > 0.6 and outcome.age.p99 < 100


def test_a_recording_that_is_too_short_is_refused(tmp_path):
    with pytest.raises(InputError, match="has 1 results, expected at least 20; record longer"):
        workload_of(recorded(tmp_path, lambda recorder, start_s: recorder.done(live_result("door", start_s))))


@pytest.mark.parametrize(
    ("predicted", "true", "tried", "measured", "error"),
    [
        (3, 3, [3, 4], (3, 3), 0),
        (3, 5, [3, 4, 6, 5], (5, 5), -2),
        (3, 1, [3, 2, 1], (1, 1), 2),
        (2, 0, [2, 1], (0, 0), 2),
        (0, 0, [1], (0, 0), 0),
        (9, 2, [9, 8, 6, 2], (2, 5), 4),
        (9, 0, [9, 8, 6, 2], (0, 1), 8),
        (3, 20, [3, 4, 6, 10], (10, None), -7),
        (3, 8, [3, 4, 6, 10], (6, 9), -3),
    ],
)
def test_real_runs_begin_at_the_prediction_and_search_the_true_number(predicted, true, tried, measured, error):
    def run(cameras):
        return Outcome(cameras, (50.0 if cameras <= true else 150.0,), 1, 1.0, {}, 0, 0.5)

    found = measure_capacity(predicted, run, lambda outcome: outcome.fits(100.0, 0.05))
    assert [row.cameras for row in found.rows] == tried
    assert ((found.at_least, found.at_most), found.error) == (measured, error)


def test_a_number_fits_only_with_all_smaller_ones():
    rows = [Outcome(cameras, (50.0 if cameras in (1, 2, 4) else 150.0,), 1, 1.0, {}, 0, 0.5) for cameras in range(1, 7)]
    assert [Capacity(tuple(some), 100.0, 0.05).cameras for some in (rows, rows[2:], rows[3:4])] == [2, 0, 4]


@pytest.fixture(scope="module")
def real(tmp_path_factory, portraits):
    """A recording of two simulated cameras for some seconds, and the results that came."""
    from facesr_edge.sdk.bench.walkers import make_view
    from support.simulated import SimulatedCamera

    path, options = tmp_path_factory.mktemp("real") / "live.rec", CameraOptions(policy="newest")
    sources = [SimulatedCamera(make_view(portraits, 2, seed=seed)) for seed in range(2)]
    cameras = [Camera(iter(source), options, name=f"camera {n}") for n, source in enumerate(sources)]
    recorder = Recorder(path)
    with live(cameras, budget_ms=300.0, small_model=None, observers=[recorder], **SETTINGS) as run:
        recorder.follow(run)
        results, end_s = [], time.monotonic() + 30
        while len(results) < 80 and time.monotonic() < end_s:
            result = next(run)
            results.append((result.camera, result.times.age_ms, len(result.faces) + len(result.skipped)))
    time.sleep(0.5)  # the recorder ends in the scheduler's thread
    return path, results


def test_a_real_run_is_recorded_completely(real):
    path, results = real
    recording = read_recording(path)
    assert len(results) >= 40 and recording.lost == 0 and recording.notes == ()
    seen = {(recording.cameras[r.camera], round(r.age_ms, 2), len(r.faces)) for r in recording.results}
    for camera, age_ms, faces in results:
        assert any((camera, round(age_ms + error, 2), faces) in seen for error in (-0.01, 0, 0.01))
    about = recording.head["about"]
    assert about["model"] == "edge-tiny-x4-camera" and about["budget_ms"] == 300.0
    assert any("network" in name for name in recording.costs[-1].costs_ms)
    total = summarize(recording).total
    assert 0 <= total.arrivals - total.results - total.dropped.get("consumer", 0) <= 4  # frames that waited at the end


def test_the_simulation_of_a_real_run_comes_close_to_it(real):
    workload = workload_of(read_recording(real[0]))
    true, simulated = recorded_outcome(workload), simulate(workload, workload.budget_ms)
    assert simulated.age.p50 == pytest.approx(true.age.p50, rel=0.5)
    assert abs(simulated.dropped - true.dropped) < 0.25
    assert abs(simulated.share("reused") - true.share("reused")) < 0.35


def test_simulated_cameras_really_run(real, portraits):
    workload = workload_of(read_recording(real[0]))
    outcome = measure(workload, 1, portraits, 300.0, seconds=1.5, small_model=None, **SETTINGS)
    assert outcome.cameras == 1 and 8 <= outcome.frames <= 17
    assert len(outcome.ages_ms) >= 5 and 1 < outcome.age.p50 < 1000
    assert sum(outcome.treatments.values()) >= len(outcome.ages_ms)
