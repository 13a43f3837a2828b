"""Candidates: installed runtimes, precisions whose loss on the card is small enough, what the user asked for."""

from dataclasses import replace

import pytest
from facesr_edge.engines.bundle.bundle import Bundle
from facesr_edge.engines.bundle.card import Evaluation, with_evaluation
from facesr_edge.engines.bundle.io_spec import IOSpec
from facesr_edge.engines.tuning import candidates as module
from facesr_edge.engines.tuning.candidates import Candidate, candidates, loss


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """Simulate installed packages, bfloat16 and two cores."""

    def set_to(installed=("onnxruntime", "openvino"), bf16=True, cores=2):
        monkeypatch.setattr(module, "find_spec", lambda name: object() if name in installed else None)
        monkeypatch.setattr(module, "has_bf16", lambda: bf16)
        monkeypatch.setattr(module, "usable_cores", lambda: cores)

    set_to()
    return set_to


def kinds(bundle, *options):
    chosen, left_out = candidates(bundle, *options)
    return {(one.engine, one.precision) for one in chosen}, {
        (one.engine, one.precision): one.reason for one in left_out
    }


def with_loss(bundle, precision, metrics):
    card = with_evaluation(bundle.card, Evaluation("test", 1, "bicubic", precision, metrics))
    return Bundle(bundle.folder, card)


ORT_FP32, ORT_INT8 = ("onnxruntime", "fp32"), ("onnxruntime", "int8")
OV_FP32, OV_INT8, OV_BF16 = ("openvino", "fp32"), ("openvino", "int8"), ("openvino", "bf16")


def test_onnx_runtime_in_the_cards_precision_is_the_first(two_precisions):
    chosen, _ = candidates(two_precisions())
    assert chosen[0] == Candidate("onnxruntime", "fp32", 2)


def test_precision_of_small_loss_is_a_candidate_in_every_runtime(two_precisions):
    chosen, left_out = kinds(two_precisions(0.05))
    assert chosen == {ORT_FP32, ORT_INT8, OV_FP32, OV_INT8}
    assert left_out == {OV_BF16: "the card has no evaluation of bf16"}


@pytest.mark.parametrize(
    ("drop_db", "reason"), [(0.051, "loses 0.051 dB, limit 0.05"), (None, "no evaluation of int8")]
)
def test_precision_of_large_or_unknown_loss_is_left_out(two_precisions, drop_db, reason):
    chosen, left_out = kinds(two_precisions(drop_db))
    assert chosen == {ORT_FP32, OV_FP32}
    assert reason in left_out[ORT_INT8] and reason in left_out[OV_INT8]


def test_bf16_needs_the_processor_and_an_evaluation(two_precisions, machine):
    bundle = with_loss(two_precisions(), "bf16", {"drop_db": 0.02})
    assert OV_BF16 in kinds(bundle)[0]
    machine(bf16=False)
    assert kinds(bundle)[1][OV_BF16] == "the processor has no bfloat16"


def test_largest_loss_of_all_evaluations_counts(two_precisions):
    bundle = with_loss(two_precisions(), "fp16", {"drop_db": 0.01})
    other = with_evaluation(bundle.card, Evaluation("test", 1, "camera", "fp16", {"drop": 0.2}))
    assert (loss(bundle.card, "fp16"), loss(other, "fp16"), loss(other, "bf16")) == (0.01, 0.2, None)


def test_rejected_precision_is_left_out(two_precisions):
    bundle = with_loss(two_precisions(), "int8", {"rejected": "drop 0.3 dB"})
    assert "no evaluation" in kinds(bundle)[1][ORT_INT8]


def test_limit_of_a_detector_is_average_precision(two_precisions):
    card = replace(two_precisions().card, io_spec=IOSpec("face-detection", multiple=32))
    for drop, accepted in ((0.01, True), (0.011, False)):
        bundle = with_loss(Bundle(two_precisions().folder, card), "int8", {"drop_db": 0.0, "drop": drop})
        assert (ORT_INT8 in kinds(bundle)[0]) is accepted
    assert {one.workers for one in candidates(Bundle(two_precisions().folder, card))[0]} == {1}


def test_runtime_that_is_not_installed_is_left_out(two_precisions, machine):
    machine(installed=("onnxruntime",))
    chosen, left_out = kinds(two_precisions())
    assert chosen == {ORT_FP32, ORT_INT8} and left_out[OV_FP32] == "openvino is not installed"


def test_users_choice_restricts_the_candidates_whatever_the_loss(two_precisions):
    assert kinds(two_precisions(), "openvino")[0] == {OV_FP32, OV_INT8}
    assert kinds(two_precisions(0.5), "auto", 0, "int8")[0] == {ORT_INT8, OV_INT8}
    assert kinds(two_precisions(), "openvino", 0, "bf16")[0] == {OV_BF16}
    assert kinds(two_precisions(), "auto", 0, "fp16") == (set(), {})


@pytest.mark.parametrize(
    ("threads", "cores", "workers"), [(0, 2, {1, 2}), (1, 8, {1}), (0, 16, {1, 4}), (3, 8, {1, 3})]
)
def test_workers_share_the_threads(two_precisions, machine, threads, cores, workers):
    machine(cores=cores)
    assert {one.workers for one in candidates(two_precisions(), threads=threads)[0]} == workers


def test_references_are_matched_in_fp32_by_every_runtime(two_precisions, machine):
    machine(bf16=True)
    bundle = two_precisions()
    bundle = Bundle(bundle.folder, replace(bundle.card, io_spec=replace(bundle.card.io_spec, references=4)))
    for precision in ("auto", "bf16"):
        chosen, left_out = kinds(bundle, "auto", 0, precision)
        assert chosen == ({ORT_FP32, OV_FP32, ORT_INT8, OV_INT8} if precision == "auto" else set())
        assert left_out == {OV_BF16: "references are matched in FP32"}
