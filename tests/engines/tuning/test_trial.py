"""The trial: times, elimination, time limit; with sessions that take a known time instead of a network."""

import time
from dataclasses import replace

import numpy as np
import pytest
from facesr_edge.engines.bundle.io_spec import IOSpec, super_resolution
from facesr_edge.engines.errors import EngineError
from facesr_edge.engines.tuning.candidates import Candidate
from facesr_edge.engines.tuning.trial import Measurement, fastest, quick_trial, run_trial, trial_inputs

A, B, C = (Candidate("onnxruntime", precision) for precision in ("fp32", "int8", "fp16"))


class Sleeper:
    """A session that sleeps in proportion to the pixels; the first call takes longer, as if it compiled."""

    def __init__(self, ms_per_1000_pixels, compile_s=0.0):
        self._ms, self._compile_s, self.calls, self.closed = ms_per_1000_pixels, compile_s, [], False

    def infer_batches(self, batches, inputs):
        (batch,) = batches
        if batch.shape not in self.calls:
            time.sleep(self._compile_s)
        self.calls.append(batch.shape)
        time.sleep(batch[..., 0].size * self._ms / 1e6)

    def close(self):
        self.closed = True


def trial(sessions, **options):
    return {one.candidate: one for one in run_trial(list(sessions), super_resolution(4), sessions.get, **options)}


def test_every_candidate_is_timed_and_closed():
    sessions = {A: Sleeper(1), B: Sleeper(1.1)}
    found = trial(sessions)
    for candidate, session in sessions.items():
        assert set(found[candidate].ms) == {"32 px", "64 px", "96 px"} and not found[candidate].problem
        assert session.closed
    assert 1 <= found[A].ms["32 px"] < 3  # ms per face of 1024 pixels


def test_slow_candidate_is_not_measured_on_larger_inputs():
    sessions = {A: Sleeper(4), B: Sleeper(1)}
    found = trial(sessions)
    assert set(found[A].ms) == {"32 px"} and "times the fastest at 32 px" in found[A].problem
    assert fastest(list(found.values())).candidate == B
    assert not trial({A: Sleeper(4), B: Sleeper(1)}, max_ratio=float("inf"))[A].problem


def test_time_limit_includes_compilation():
    start = time.perf_counter()
    found = trial({A: Sleeper(0.1, 0.2), B: Sleeper(0.1, 0.2), C: Sleeper(0.1, 0.2)}, limit_s=0.5)
    assert time.perf_counter() - start < 1
    assert found[A].ms and found[C].problem == "not measured within 0.5 s"
    assert fastest(list(found.values())) is not None


def test_input_that_not_all_could_run_in_time_does_not_count():
    found = trial({A: Sleeper(1, 0.15), B: Sleeper(0.9, 0.15)}, limit_s=0.5)
    assert [set(one.ms) for one in found.values()] == [{"32 px"}] * 2
    assert fastest(list(found.values())).candidate == B


def test_candidate_that_cannot_be_opened_is_left_out():
    def open_candidate(candidate):
        if candidate == A:
            raise EngineError("cannot be loaded")
        return Sleeper(1)

    found = run_trial([A, B], super_resolution(4), open_candidate)
    assert found[0] == Measurement(A, {}, "cannot be loaded") and fastest(found).candidate == B


@pytest.mark.parametrize("faster_workers", [1, 2])
def test_quick_trial_compares_workers_of_the_fastest_only(faster_workers):
    candidates = [replace(one, workers=workers) for one in (A, B) for workers in (1, 2)]
    opened = []

    def open_candidate(one):
        opened.append(one)
        return Sleeper((1 if one.precision == "int8" else 3) * (1 if one.workers == faster_workers else 1.2))

    found = quick_trial(candidates, super_resolution(4), open_candidate)
    assert [one.candidate for one in found] == candidates
    assert fastest(found).candidate == replace(B, workers=faster_workers)
    assert replace(A, workers=1) not in opened and all(
        one.problem for one in found if one.candidate.precision == "fp32"
    )


def test_quick_trial_of_a_detector_has_one_worker():
    found = quick_trial([A, B], IOSpec("face-detection", multiple=32), {A: Sleeper(0.1), B: Sleeper(0.05)}.get)
    assert fastest(found).candidate == B and found[0].ms and found[0].problem


def test_quick_trial_keeps_to_its_limit():
    start = time.perf_counter()
    sessions = {replace(one, workers=n): Sleeper(0.1, 0.1) for one in (A, B, C) for n in (1, 2)}
    found = quick_trial(list(sessions), super_resolution(4), sessions.get, 1.0)
    assert time.perf_counter() - start < 1.5 and fastest(found) is not None


@pytest.mark.parametrize(
    ("first_ms", "second_ms", "chosen"), [(1.0, 1.0, A), (1.029, 1.0, A), (1.031, 1.0, B), (1.0, 2.0, A)]
)
def test_first_candidate_is_chosen_within_the_noise(first_ms, second_ms, chosen):
    measured = [Measurement(A, {"32 px": first_ms}), Measurement(B, {"32 px": second_ms})]
    assert fastest(measured).candidate == chosen


def test_choice_weighs_all_inputs_alike():
    measured = [Measurement(A, {"32 px": 1.0, "64 px": 8.0}), Measurement(B, {"32 px": 1.2, "64 px": 6.0})]
    assert fastest(measured).candidate == B


def test_nothing_measured_gives_no_choice():
    assert fastest([]) is None and fastest([Measurement(A, {}, "cannot be loaded")]) is None


def test_inputs_have_crop_sizes_of_the_network_or_the_padded_size_of_the_detector():
    assert [batch.shape for batch in trial_inputs(super_resolution(4)).values()] == [
        (4, side, side, 3) for side in (32, 64, 96)
    ]
    assert list(trial_inputs(super_resolution(4, (16,)))) == ["16 px"]
    assert {name: batch.shape for name, batch in trial_inputs(IOSpec("face-detection", multiple=32)).items()} == {
        "640x384": (1, 384, 640, 3)
    }
    fixed = trial_inputs(IOSpec("face-detection", multiple=32, sizes_hw=((544, 960),)))
    assert np.shape(fixed["960x544"]) == (1, 544, 960, 3)
