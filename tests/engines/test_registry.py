"""The choice of runtime, precision and workers: what the user selects, or the fastest by measurement."""

from dataclasses import replace

import numpy as np
import pytest
from facesr_edge.engines import registry
from facesr_edge.engines.bundle.bundle import Bundle
from facesr_edge.engines.bundle.engine_info import EngineInfo
from facesr_edge.engines.errors import UnknownNameError
from facesr_edge.engines.onnxruntime.session import OrtSession
from facesr_edge.engines.registry import choose_engine, open_session, tune
from facesr_edge.engines.tuning.candidates import Candidate
from facesr_edge.engines.tuning.trial import Measurement
from facesr_edge.zoo import catalogue


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.fixture
def compiled(tiny_bundle):
    """A bundle whose card has engine info; there is no engine file."""
    bundle = tiny_bundle()
    info = EngineInfo("TensorRT", "10.3.0", "Orin", "8.7", "12.6", bundle.card.files["model.onnx"])
    return Bundle(bundle.folder, replace(bundle.card, engine=info))


@pytest.fixture
def trials(monkeypatch):
    """Replace the trial by one in which INT8 on two workers of ONNX Runtime is the fastest; returns the trials."""
    run = []

    def trial(candidates, io_spec, open_candidate, *limits):
        run.append((tuple(candidates), *limits))
        best = Candidate("onnxruntime", "int8", 2)
        return [Measurement(one, {"32 px": 1.0 if one == best else 2.0}) for one in candidates]

    monkeypatch.setattr(registry, "run_trial", trial)
    monkeypatch.setattr(registry, "quick_trial", trial)
    return run


@pytest.fixture
def only_onnxruntime(monkeypatch):
    monkeypatch.setattr("facesr_edge.engines.tuning.candidates.find_spec", lambda name: name == "onnxruntime" or None)


def test_fastest_candidate_is_chosen_and_measured_once(two_precisions, trials):
    lines = []
    for _ in range(3):
        choice = choose_engine(two_precisions(), threads=2, report=lines.append)
        assert (choice.engine, choice.precision, choice.workers) == ("onnxruntime", "int8", 2)
        assert "fastest of" in choice.reason and "1.00 ms at 32 px" in str(choice)
    assert len(trials) == len(lines) == 1 and "choosing the fastest engine" in lines[0]


def test_session_runs_what_was_chosen(two_precisions, tiny_bundle, trials, crops):
    session = open_session(two_precisions(), threads=2)
    assert isinstance(session, OrtSession) and session.precision == "int8" and "2 calls at once" in session.runtime
    expected = open_session(tiny_bundle(precision="int8"), "onnxruntime", 1, "int8").infer(crops(32, 3))
    assert np.array_equal(session.infer(crops(32, 3)), expected)
    session.close()


def test_without_measuring_the_choice_is_the_card_in_onnx_runtime(two_precisions, trials):
    choice = choose_engine(two_precisions(), measure=False)
    assert (choice.engine, choice.precision) == ("onnxruntime", "fp32") and "facesr-edge tune" in choice.reason
    assert not trials


def test_single_candidate_is_not_measured(tiny_bundle, two_precisions, trials, only_onnxruntime):
    assert choose_engine(tiny_bundle(), threads=2).reason.startswith("the only runtime and precision")
    choice = choose_engine(two_precisions(), "onnxruntime", 2, "fp32")
    assert (choice.precision, choice.workers, choice.reason) == ("fp32", 2, "selected by the user")
    assert not trials


def test_precision_of_the_user_restricts_the_trial(two_precisions, trials):
    choose_engine(two_precisions(), precision="fp32", threads=2)
    assert {one.precision for one in trials[0][0]} == {"fp32"}


def test_trial_that_measures_nothing_gives_the_default(two_precisions, monkeypatch):
    monkeypatch.setattr(registry, "quick_trial", lambda candidates, *rest: [Measurement(one) for one in candidates])
    choice = choose_engine(two_precisions())
    assert (choice.engine, choice.precision) == ("onnxruntime", "fp32") and choice.reason == "nothing could be measured"


def test_tune_measures_again_without_limit_and_changes_the_choice(two_precisions, trials):
    choose_engine(two_precisions(), threads=2)
    tuning = tune(two_precisions(), threads=2)
    assert len(trials) == 2 and trials[1][1] == float("inf")
    assert tuning.choice == choose_engine(two_precisions(), threads=2) and len(trials) == 2
    assert {one.candidate.engine for one in tuning.measurements} >= {"onnxruntime"}


def test_real_trial_chooses_one_of_its_candidates(two_precisions):
    choice = choose_engine(two_precisions(), threads=2)
    assert "measured" in choice.reason and choice == choose_engine(two_precisions(), threads=2, measure=False)


def test_auto_selects_tensorrt_if_the_bundle_has_an_engine(compiled, trials):
    choice = choose_engine(compiled)
    assert choice.engine == "tensorrt" and "TensorRT 10.3.0 for Orin" in choice.reason and not trials
    assert choose_engine(compiled, precision="int8").engine != "tensorrt"


def test_trial_of_a_network_with_references_measures_every_runtime():
    pytest.importorskip("openvino")
    tuning = tune(catalogue.find("msrnet-x8"), threads=1)
    assert {one.candidate.engine for one in tuning.measurements} == {"onnxruntime", "openvino"}
    assert all(one.ms["16 px"] > 0 for one in tuning.measurements)


@pytest.mark.parametrize("engine", ["tensorrt", "openvino", "onnxruntime"])
def test_selection_by_the_user_ignores_the_bundle(tiny_bundle, compiled, engine, trials):
    assert choose_engine(compiled, engine).engine == choose_engine(tiny_bundle(), engine).engine == engine


@pytest.mark.parametrize(("engine", "hint"), [("onnxruntim", "did you mean 'onnxruntime'"), ("", "known: auto, ")])
def test_unknown_engine_is_rejected_with_the_known_names(tiny_bundle, engine, hint):
    with pytest.raises(UnknownNameError, match=hint):
        open_session(tiny_bundle(), engine)


def test_number_of_threads_is_passed_on(tiny_bundle):
    assert "1 threads" in open_session(tiny_bundle(), "onnxruntime", threads=1).runtime
