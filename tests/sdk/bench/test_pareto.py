"""Quality against time: what beats what, what is measured of each model, and the picture of it."""

from dataclasses import replace

import pytest
from facesr_edge.calibration.data.faces import sample_faces
from facesr_edge.calibration.metrics.evaluate import evaluate
from facesr_edge.calibration.timing import LatencyStats
from facesr_edge.engines.bundle.bundle import Bundle
from facesr_edge.engines.errors import OutputError, UsageError
from facesr_edge.engines.onnxruntime.session import OrtSession
from facesr_edge.sdk.bench import pareto as trade_off
from facesr_edge.sdk.bench import pareto_chart as trade_off_chart
from facesr_edge.sdk.bench.configs import Backend
from facesr_edge.sdk.bench.pareto import ParetoResult, Point
from facesr_edge.sdk.doctor.machine import this_machine

FP32, INT8 = Backend("onnxruntime", "fp32"), Backend("onnxruntime", "int8")


def point(model, ms, gain, who=FP32):
    return Point(model, who, 29 + gain, gain, 10**8, LatencyStats(0.9 * ms, 0.95 * ms, ms, 1.1 * ms))


def run_of(*points):
    points = tuple(sorted(points, key=lambda p: p.taken.p50))
    return ParetoResult(this_machine(), "2026-01-31T12:00:00+00:00", 0.1, 4, 32, "10 faces of test", 1, 0, 30, points)


def test_the_frontier_is_what_nothing_beats():
    quick, good, worse, slower = point("a", 1, 3), point("b", 5, 3.5), point("c", 2, 2.5), point("d", 9, 3.5, INT8)
    assert run_of(quick, good, worse, slower).frontier == (quick, good)


def test_points_that_are_alike_do_not_beat_each_other():
    one, same = point("a", 1, 3), point("b", 1, 3)
    assert run_of(one, same).frontier == (one, same)


def test_a_point_that_is_but_quicker_beats_one_as_good():
    assert point("a", 1, 3).beats(point("b", 2, 3)) and not point("b", 2, 3).beats(point("a", 1, 3))
    assert point("a", 1, 3).beats(point("b", 1, 2)) and not point("a", 1, 3).beats(point("b", 2, 4))


@pytest.fixture
def models(monkeypatch, tiny_bundle):
    """Two models of the zoo, both the tiny one."""
    bundle = tiny_bundle()

    def in_kinds(model, kinds, folder):
        return {kind: Bundle(bundle.folder, replace(bundle.card, precision=kind[0])) for kind in kinds}

    monkeypatch.setattr(trade_off, "of_model", in_kinds)
    return [Bundle(bundle.folder, replace(bundle.card, name=name)) for name in ("one", "two")]


def test_every_model_is_measured_in_every_precision_beside_bicubic(models):
    faces = sample_faces()[:2]
    found = trade_off.measure(models, faces, "two faces", precision="fp32,int8", batch=3, threads=1, rounds=2)
    ours = [p for p in found.points if p.who in (FP32, INT8)]
    assert sorted((p.model, p.who.precision) for p in ours) == [
        ("one", "fp32"), ("one", "int8"), ("two", "fp32"), ("two", "int8"),
    ]  # fmt: skip
    expected = evaluate(OrtSession(models[0], 1), faces)
    assert all(p.psnr_y_db == pytest.approx(expected.psnr_y_db, abs=1e-6) for p in ours)
    assert all(p.gain_db == pytest.approx(expected.gain_db, abs=1e-6) and p.multiply_adds > 0 for p in ours)
    (bicubic,) = (p for p in found.points if p.who.engine == "opencv")
    assert (bicubic.model, bicubic.gain_db) == ("bicubic", 0)
    times = [p.taken.p50 for p in found.points]
    assert times == sorted(times) and min(times) > 0
    rows = found.to_dict()["points"]
    assert [row["frontier"] for row in rows] == [p in found.frontier for p in found.points] and any(
        row["frontier"] for row in rows
    )


def test_a_scale_that_no_model_has_is_told():
    with pytest.raises(UsageError, match="no model that ships enlarges by 7; facesr-edge models lists them"):
        trade_off.models_of(7)


def test_the_models_of_a_scale_are_those_of_the_zoo():
    assert "idrn-x4" in [bundle.card.name for bundle in trade_off.models_of(4)]


def test_the_picture_is_written_where_it_can_be(tmp_path):
    from matplotlib import image

    measured = run_of(point("a", 1, 3), point("b", 5, 3.5), point("b", 3, 3.4, INT8), point("c", 1.05, 3.02))
    trade_off_chart.draw(measured, tmp_path / "map.png")
    drawn = image.imread(tmp_path / "map.png")
    assert drawn.shape[:2] == (930, 1500) and drawn[..., :3].std() > 0.05
    with pytest.raises(UsageError, match=r"ends in \.png"):
        trade_off_chart.draw(measured, tmp_path / "map.jpg")
    with pytest.raises(OutputError, match="cannot write"):
        trade_off_chart.draw(measured, tmp_path / "no" / "map.png")


def test_the_picture_names_every_model_once_and_where_nothing_else_stands():
    crowd = [(1, 3), (1.1, 3.02), (2, 3.01), (2.1, 3), (180, 0.2), (190, 3)]  # two of them near the legend and the edge
    measured = run_of(*(point(f"network-{n}", *at) for n, at in enumerate(crowd)))
    figure = trade_off_chart.figure_of(measured)
    (axes,) = figure.axes
    assert sorted(text.get_text() for text in axes.texts) == [f"network-{n}" for n in range(len(crowd))]
    names = [axes.get_legend().get_window_extent(), *(text.get_window_extent() for text in axes.texts)]
    for i, name in enumerate(names):
        assert not name.count_overlaps(names[:i]) and 0 < name.x0 < name.x1 < figure.bbox.x1
        assert i == 0 or not any(name.contains(*axes.transData.transform(at)) for at in crowd)


def test_faces_smaller_than_a_network_takes_are_timed_as_it_gets_them(models):
    """As those of a scale of 8, 16 px wide, for a network that takes 32 and more."""
    eight = [Bundle(m.folder, replace(m.card, io_spec=replace(m.card.io_spec, windows=(48, 64)))) for m in models[:1]]
    called = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trade_off, "opened", lambda *_: Watched(eight[0], called))
        found = trade_off.measure(eight, sample_faces()[:1], "one face", precision="fp32", threads=1, rounds=1)
    assert found.side == 32 and {shape[1] for shape in called} == {48}
    alone = trade_off.measure(models[:1], sample_faces()[:1], "one face", precision="fp32", threads=1, rounds=1)
    padded, plain = (max(p.multiply_adds for p in of.points) for of in (found, alone))
    assert padded > 2 * plain  # (48 / 32)²


class Watched(OrtSession):
    """Remembers the shapes of its calls."""

    def __init__(self, bundle, called):
        super().__init__(bundle, 1)
        self.called = called

    def infer(self, batch):
        self.called.append(batch.shape)
        return super().infer(batch)


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"rounds": 0}, {"models": []}])
def test_nothing_to_measure_is_told(models, wrong):
    with pytest.raises(UsageError, match="expected 1 model, face and round or more"):
        trade_off.measure(**{"models": models, "faces": sample_faces()[:1], "whose": "one", **wrong})
