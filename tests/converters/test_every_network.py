"""Every network: builds in every precision, runs at its crop sizes, and exports to operators that TensorRT supports."""

import cv2
import numpy as np
import onnx
import pytest
import torch
from facesr_edge.calibration.data.faces import sample_faces
from facesr_edge.converters.build import build
from facesr_edge.converters.export.convert import export_target, export_target_from_bundle, verify
from facesr_edge.converters.export.onnx import simplify
from facesr_edge.converters.export.storage import load_graph
from facesr_edge.converters.options import BuildOptions
from facesr_edge.converters.quantization.layers import KINDS
from facesr_edge.converters.quantization.qdq import transfer_ranges
from facesr_edge.converters.spec import io_spec_of
from facesr_edge.engines.bundle.bundle import open_bundle
from facesr_edge.engines.bundle.io_spec import super_resolution
from facesr_edge.engines.onnxruntime.session import OrtSession
from facesr_edge.networks import NETWORKS, build_network
from facesr_edge.zoo import catalogue
from support.onnx_rules import unsupported
from support.trt_rtx import kernels

ALL = ("fp32", "fp16", "int8")
SMALL = {
    "crl": ({"depth": 1, "width": 8, "scale": 8}, ALL),
    "edge-x2": ({"width": 8, "depth": 2, "scale": 2}, ("int8",)),
    "edge-x3": ({"width": 8, "depth": 2, "scale": 3}, ALL),
    "edge-x8": ({"width": 8, "depth": 2, "scale": 8}, ("int8",)),
    "idrn": ({"depth": 1, "width": 8, "scale": 4, "bicubic_skip": True}, ALL),
    "mffcn": ({"width": 8, "scale": 3}, ALL),
    "sisn": ({"groups": 1, "blocks": 1, "width": 8, "scale": 4}, ALL),
    "srcnn": ({"scale": 2}, ALL),
    "srresnet": ({"depth": 1, "width": 8, "scale": 3}, ALL),
    "vdsr": ({"depth": 3, "width": 8, "scale": 4}, ALL),
}
"""Configurations that are quick to run; they have the operators of the large ones."""
MSRNET = {"width": 4, "growth": 1, "match_width": 4, "trunk": 1, "scale": 8, "side": 16}


@pytest.fixture(scope="module")
def two_faces(tmp_path_factory):
    """A folder of two faces, to evaluate and calibrate quickly."""
    folder = tmp_path_factory.mktemp("faces")
    for index, face in enumerate(sample_faces()[:2]):
        cv2.imwrite(str(folder / f"{index}.png"), face)
    return folder


def check_runs(bundle, scale):
    """The bundle runs at its two smallest crop sizes and changes a gray image only slightly."""
    session = OrtSession(bundle, threads=1)
    for side in bundle.card.io_spec.crop_sizes[:2]:
        pixels = session.infer(np.full((2, side, side, 3), 90, np.uint8))
        assert pixels.shape == (2, scale * side, scale * side, 3)
        assert np.abs(pixels.astype(int) - 90).mean() < 60
    session.close()


@pytest.mark.parametrize("name", SMALL)
def test_network_builds_and_runs_in_every_precision(name, weights, two_faces, tmp_path):
    config, precisions = SMALL[name]
    network, graphs = name.split("-")[0], {}
    path = weights(network, **config)
    for precision in precisions:
        options = BuildOptions(precision=precision, engine="onnxruntime", faces=two_faces, max_psnr_drop=0.5)
        bundle = build(network, tmp_path / precision, options, weights=path)
        assert (bundle.card.network, bundle.card.io_spec.scale) == (network, config["scale"])
        assert bundle.card.parity["simplified_pre_round_max_error"] <= 1e-3
        check_runs(bundle, config["scale"])
        graphs[precision] = load_graph(bundle.onnx)
    assert all(unsupported(graphs[precision]) == () for precision in graphs if precision != "int8")
    if "fp16" in graphs:
        target = export_target_from_bundle(open_bundle(tmp_path / "fp32"), sample_faces()[:1])
        for_gpu = simplify(target.trace(torch.float32, for_gpu=True))
        transfer_ranges({}, for_gpu, graphs["fp16"], KINDS)  # INT8 for TensorRT needs equal structure


@pytest.fixture(scope="module")
def msrnet():
    torch.manual_seed(0)
    io_spec = super_resolution(MSRNET["scale"], (MSRNET["side"],), references=5)
    return export_target(build_network("msrnet", MSRNET).eval(), io_spec, sample_faces())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=["fp32", "fp16"])
def test_network_with_references_exports_to_operators_of_tensorrt(msrnet, dtype):
    assert unsupported(simplify(msrnet.trace(dtype))) == ()


def test_graphs_for_tensorrt_take_references(msrnet, tmp_path):
    for step, dtype in (("tensorrt", torch.float32), ("fp16", torch.float16)):
        graph = simplify(msrnet.trace(dtype, for_gpu=True))
        assert unsupported(graph) == () and len(graph.graph.input) == 4
        onnx.save(graph, tmp_path / f"{step}.onnx")
        assert verify(msrnet, step, tmp_path / f"{step}.onnx", print)[f"{step}_psnr_db"] >= 50
    transfer_ranges({}, *(load_graph(tmp_path / f"{step}.onnx") for step in ("tensorrt", "fp16")), KINDS)
    assert kernels(load_graph(tmp_path / "fp16.onnx"), (MSRNET["side"],) * 2, "SM75", 2)  # no FP32 matrix product


def test_every_network_of_the_registry_is_tested():
    elsewhere = {"msrnet", "detector", "edge-track"}  # quantization/test_ptq.py, test_track_network.py
    assert {name.split("-")[0] for name in SMALL} | elsewhere == {*NETWORKS}


@pytest.mark.parametrize(("scale", "crop_sizes"), [(4, (32, 48, 64)), (8, (16, 32, 48, 64))])
def test_attention_over_all_pairs_of_positions_limits_the_crop_size(scale, crop_sizes):
    assert io_spec_of("crl", {"scale": scale}).crop_sizes == crop_sizes


@pytest.mark.parametrize("name", catalogue.built())
def test_the_card_of_a_model_has_the_io_spec_of_its_network(name):
    card = catalogue.find(name).card
    assert card.io_spec == io_spec_of(card.network, card.config)


@pytest.mark.parametrize(("scale", "smallest"), [(2, 32), (4, 32), (8, 16)])
def test_smallest_crop_size_depends_on_the_scale(scale, smallest):
    assert min(super_resolution(scale).crop_sizes) == smallest
