"""Accuracy against latency: dominance, frontier, and the measurement of each model."""

from dataclasses import replace

import pytest
from facesr_edge.calibration.data.faces import sample_faces
from facesr_edge.calibration.metrics.evaluate import evaluate
from facesr_edge.engines.bundle.bundle import Bundle
from facesr_edge.engines.errors import UsageError
from facesr_edge.engines.onnxruntime.session import OrtSession
from facesr_edge.sdk.bench import pareto

from .conftest import FP32, INT8, pareto_of, point


def test_frontier_is_the_set_of_points_that_are_not_dominated():
    fast, accurate, worse, slower = point("a", 1, 3), point("b", 5, 3.5), point("c", 2, 2.5), point("d", 9, 3.5, INT8)
    assert pareto_of(fast, accurate, worse, slower).frontier == (fast, accurate)


def test_equal_points_do_not_dominate_each_other():
    a, b = point("a", 1, 3), point("b", 1, 3)
    assert pareto_of(a, b).frontier == (a, b)


def test_point_dominates_if_it_is_better_in_one_and_equal_in_the_other():
    assert point("a", 1, 3).dominates(point("b", 2, 3)) and not point("b", 2, 3).dominates(point("a", 1, 3))
    assert point("a", 1, 3).dominates(point("b", 1, 2)) and not point("a", 1, 3).dominates(point("b", 2, 4))


@pytest.fixture
def models(monkeypatch, tiny_bundle):
    """Two zoo models, both the tiny network."""
    bundle = tiny_bundle()

    def convert(model, kinds, folder):
        return {kind: Bundle(bundle.folder, replace(bundle.card, precision=kind[0])) for kind in kinds}

    monkeypatch.setattr(pareto, "convert_model", convert)
    return [Bundle(bundle.folder, replace(bundle.card, name=name)) for name in ("one", "two")]


def test_every_model_is_measured_in_every_precision_with_bicubic_as_baseline(models):
    faces = sample_faces()[:2]
    result = pareto.measure_pareto(models, faces, "two faces", precision="fp32,int8", batch=3, threads=1, rounds=2)
    points = [p for p in result.points if p.backend in (FP32, INT8)]
    assert sorted((p.model, p.backend.precision) for p in points) == [
        ("one", "fp32"), ("one", "int8"), ("two", "fp32"), ("two", "int8"),
    ]  # fmt: skip
    expected = evaluate(OrtSession(models[0], 1), faces)
    assert all(p.psnr_y_db == pytest.approx(expected.psnr_y_db, abs=1e-6) for p in points)
    assert all(p.gain_db == pytest.approx(expected.gain_db, abs=1e-6) and p.multiply_adds > 0 for p in points)
    (bicubic,) = (p for p in result.points if p.backend.engine == "opencv")
    assert (bicubic.model, bicubic.gain_db) == ("bicubic", 0)
    medians = [p.latency_ms.p50 for p in result.points]
    assert medians == sorted(medians) and min(medians) > 0
    on_frontier = [row["frontier"] for row in result.to_dict()["points"]]
    assert on_frontier == [p in result.frontier for p in result.points] and any(on_frontier)


def test_scale_without_models_raises():
    with pytest.raises(UsageError, match="no included model has scale 7; facesr-edge models lists them"):
        pareto.models_of(7)


def test_models_of_a_scale_are_those_of_the_zoo():
    assert "idrn-x4" in [bundle.card.name for bundle in pareto.models_of(4)]


class RecordingSession(OrtSession):
    """Session that records the shapes of its inputs."""

    def __init__(self, bundle, shapes):
        super().__init__(bundle, 1)
        self.shapes = shapes

    def infer(self, batch):
        self.shapes.append(batch.shape)
        return super().infer(batch)


def test_latency_and_multiply_adds_include_the_padding_to_the_crop_size(models):
    model = models[0]
    larger = Bundle(model.folder, replace(model.card, io_spec=replace(model.card.io_spec, crop_sizes=(48, 64))))
    shapes = []
    options = {"precision": "fp32", "threads": 1, "rounds": 1}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pareto, "open_backend", lambda *_: RecordingSession(larger, shapes))
        padded = pareto.measure_pareto([larger], sample_faces()[:1], "one face", **options)
    assert padded.side == 32 and {shape[1] for shape in shapes} == {48}
    exact = pareto.measure_pareto([model], sample_faces()[:1], "one face", **options)
    padded_macs, exact_macs = (max(p.multiply_adds for p in result.points) for result in (padded, exact))
    assert padded_macs > 2 * exact_macs  # (48 / 32)²


@pytest.mark.parametrize("invalid", [{"batch": 0}, {"rounds": 0}, {"models": []}])
def test_empty_measurement_raises(models, invalid):
    options = {"models": models, "faces": sample_faces()[:1], "dataset_name": "one", **invalid}
    with pytest.raises(UsageError, match="expected at least 1 model, face and round"):
        pareto.measure_pareto(**options)
