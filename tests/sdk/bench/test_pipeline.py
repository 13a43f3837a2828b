"""`bench pipeline`: a small real run, its sums and ratios, and its chart."""

from functools import partial

import facesr_edge
import numpy as np
import pytest
from facesr_edge.engines.errors import InputError
from facesr_edge.sdk.bench.pipeline import check_faces, measure_pipeline
from facesr_edge.sdk.bench.scenes import make_scene, portraits_of
from facesr_edge.sdk.profiling.timing import BREAKDOWN

NETWORKS = ("detect: network", "upscale: network", "paste: enlarge")
LOAD = partial(facesr_edge.load, "edge-nano-x4", engine="onnxruntime", precision="fp32", threads=1)


@pytest.fixture(scope="module")
def timings(astronaut):
    return measure_pipeline(LOAD, [astronaut], "portrait", sizes=["480p"], counts=[1, 4], frames=2, rounds=2, threads=1)


def test_every_scene_has_its_faces_in_every_frame_of_every_round(timings):
    assert [(scene.size, scene.faces) for scene in timings.scenes] == [("480p", 1), ("480p", 4)]
    for scene in timings.scenes:
        assert [timing.faces for timing in scene.timeline] == [scene.faces] * 4
        assert len(scene.overlapped_ms) == 2 and min(scene.overlapped_ms) > 0


def test_components_add_up_to_the_total_and_the_overhead_is_the_rest(timings):
    for scene in timings.scenes:
        ms = scene.breakdown_ms
        assert sum(ms.values()) == pytest.approx(scene.total.mean)
        assert ms["decode"] == ms["encode"] == 0 and all(ms[name] > 0 for name in NETWORKS)
        assert scene.overhead_ms == pytest.approx(scene.total.mean - sum(ms[name] for name in NETWORKS))
        assert 0 < scene.overhead_share < 1


def test_growth_is_the_line_through_both_numbers_of_faces(timings):
    (growth,) = timings.growth
    for scene in timings.scenes:
        assert growth.ms_per_frame + scene.faces * growth.ms_per_face == pytest.approx(scene.total.p50)


def test_memory_is_that_of_a_process_for_the_scene_alone(timings):
    ballast = np.ones(400_000_000, np.uint8)  # of this process
    peaks = [scene.peak_memory_mb for scene in timings.scenes]
    assert all(50 < peak < 400 for peak in peaks) and ballast[-1]


def test_json_names_machine_model_and_runtimes(timings):
    document = timings.to_dict()
    assert document["machine"]["cpu"] and document["model"] == "edge-nano-x4" and document["rounds"] == 2
    assert "ONNX Runtime" in document["runtimes"]["detect"] and document["versions"]["onnxruntime"]
    for scene in document["scenes"]:
        assert set(scene["breakdown_ms"]) == set(BREAKDOWN) and scene["size_wh"] == [854, 480]
        assert 0 < scene["total_ms"]["best"] <= scene["total_ms"]["p50"] <= scene["total_ms"]["p90"]
        assert scene["sequential_fps"] > 0 and scene["overlapped_fps"] > 0


def test_another_number_of_faces_raises(astronaut):
    with LOAD() as pipeline:
        portraits = portraits_of([astronaut], pipeline.detector)
        result = pipeline(make_scene("480p", 2, portraits).frame(3))
        with pytest.raises(InputError, match=r"finds 2 faces in frame 3 of 480p with 4 faces; give other --faces"):
            check_faces(make_scene("480p", 4, portraits), result)


def test_chart_has_a_panel_for_each_size_and_lines_for_both_modes(timings, tmp_path):
    pytest.importorskip("matplotlib", reason="needs matplotlib; pip install 'facesr-edge[bench]'")
    from facesr_edge.sdk.bench.pipeline_chart import draw_pipeline, pipeline_figure

    figure = pipeline_figure(timings)
    stages, throughput = figure.axes
    assert stages.get_title(loc="left") == "480p" and len(throughput.lines) == 2
    assert [label.get_text() for label in stages.get_xticklabels()] == ["1", "4"]
    tops = [patch.get_y() + patch.get_height() for patch in stages.patches]
    assert max(tops) == pytest.approx(max(scene.total.mean for scene in timings.scenes), rel=0.01)
    draw_pipeline(timings, tmp_path / "pipeline.png")
    assert (tmp_path / "pipeline.png").stat().st_size > 20_000
