"""Graphs for TensorRT: the output of the export wrapper, FP16 throughout, in few kernels of NVIDIA's own builder."""

from dataclasses import replace
from functools import cache

import numpy as np
import onnx
import pytest
import torch
from facesr_edge.calibration.data.faces import read_faces, sample_faces
from facesr_edge.calibration.metrics.evaluate import evaluate
from facesr_edge.calibration.metrics.image import mean_db, psnr
from facesr_edge.converters.export.convert import export_target_from_bundle, verify
from facesr_edge.converters.export.onnx import simplify
from facesr_edge.converters.export.trt_constants import ProjectionConstants
from facesr_edge.converters.export.trt_graph import trt_graph
from facesr_edge.converters.export.wrapper import SubPixelCore, Uint8SRWrapper
from facesr_edge.engines.bundle.bundle import Bundle
from facesr_edge.engines.bundle.projection import BY_DEGRADATION, FULL
from facesr_edge.engines.onnxruntime.session import OrtGraph, OrtSession
from facesr_edge.networks import build_network
from facesr_edge.networks.layers.resample import enlarge
from facesr_edge.zoo import catalogue
from onnx import helper, numpy_helper
from support.onnx_rules import unsupported
from support.trt_rtx import kernels, plan
from torch import nn
from torch.nn import functional as F

KINDS = {"full": FULL, "low-pass": BY_DEGRADATION["camera"], "adaptive": BY_DEGRADATION["recorded"]}


class Residual(nn.Module):
    """Two convolutions to sub-pixels, the residual to the bicubic image."""

    def __init__(self, scale):
        super().__init__()
        random = torch.Generator().manual_seed(scale)
        self.scale = scale
        self.first = torch.randn((8, 3, 3, 3), generator=random) * 0.2
        self.last = torch.randn((3 * scale**2, 8, 3, 3), generator=random) * 0.02

    def in_bgr(self):
        return self

    def sub_pixels(self, x):
        return F.conv2d(F.conv2d(x, self.first, padding=1).relu(), self.last, padding=1)


class Image(nn.Module):
    """The same added to the repeated pixels: a network of which only the output is known, in RGB."""

    def __init__(self, scale):
        super().__init__()
        self.scale, self.inner = scale, Residual(scale)
        self.first, self.last = self.inner.first, self.inner.last

    def forward(self, rgb):
        x = rgb.flip(1)
        blocks = self.inner.sub_pixels(x) + x.repeat(1, self.scale**2, 1, 1)
        return F.pixel_shuffle(blocks.unflatten(1, (-1, 3)).transpose(1, 2).flatten(1, 2), self.scale).flip(1)


def graph_of(network, projected, dtype=np.float32, max_side=64):
    """The graph for TensorRT of one of these networks, without tracing."""
    bicubic = not isinstance(network, Image)
    nodes = [
        helper.make_node("Conv", ["x", "first"], ["inner"], pads=[1] * 4),
        helper.make_node("Relu", ["inner"], ["relu"]),
        helper.make_node("Conv", ["relu", "last"], ["y" if bicubic else "residual_of_image"], pads=[1] * 4),
    ]
    weights = {name: getattr(network, name).numpy().astype(dtype) for name in ("first", "last")}
    if not bicubic:
        weights["times"] = np.array([1, network.scale**2, 1, 1])
        nodes.append(helper.make_node("Tile", ["x", "times"], ["repeated"]))
        nodes.append(helper.make_node("Add", ["residual_of_image", "repeated"], ["y"]))
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    channels = {"x": 3, "y": 3 * network.scale**2}
    x, y = (helper.make_tensor_value_info(name, kind, ["n", count, "h", "w"]) for name, count in channels.items())
    initializers = [numpy_helper.from_array(values, name) for name, values in weights.items()]
    graph = helper.make_graph(nodes, "core", [x], [y], initializers)
    core = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return trt_graph(core, ProjectionConstants(network.scale, projected, bicubic, max_side))


def crops(side, count=4):
    """Smooth pictures with noise, some of them saturated."""
    random = np.random.default_rng(side)
    waves = np.sin(np.linspace(0, 9, side) + random.uniform(0, 9, (count, 3, 1)))
    pictures = 128 + 90 * waves[:, :, :, None] * waves[:, ::-1, None] + random.normal(0, 12, (count, 3, side, side))
    return np.clip(np.rint(pictures), 0, 255).astype(np.uint8).transpose(0, 2, 3, 1).copy()


def outputs(network, projected, pixels, folder, dtype=np.float32):
    """Of the export wrapper in PyTorch and of the graph for TensorRT in ONNX Runtime."""
    onnx.save(graph_of(network, projected, dtype), folder / "graph.onnx")
    with torch.inference_mode():
        wrapper = Uint8SRWrapper(network, network.scale, projected=projected)
        expected = [part.numpy() for part in wrapper(torch.from_numpy(pixels))]
    return expected, OrtGraph(folder / "graph.onnx").run(pixels)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("network", [Residual, Image])
def test_fp32_graph_equals_the_export_wrapper(network, scale, kind, tmp_path):
    for side in (33, 48, 64):  # an odd side, one below the largest, and the largest
        (pixels, residual), actual = outputs(network(scale), KINDS[kind], crops(side), tmp_path)
        difference = np.abs(pixels.astype(int) - actual[0])
        assert difference.max() <= 1 and difference.mean() < 1e-4
        np.testing.assert_allclose(actual[1], residual, rtol=2e-3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("network", [Residual, Image])
def test_fp16_graph_is_accurate_to_a_fraction_of_a_level(network, kind, tmp_path):
    (pixels, residual), actual = outputs(network(4), KINDS[kind], crops(64), tmp_path, np.float16)
    minimum = 60 if network is Residual else 55  # an image near 1 has steps of 1/8 level in FP16
    assert mean_db(psnr(pixels.reshape(1, -1), actual[0].reshape(1, -1))) > minimum
    np.testing.assert_allclose(actual[1], residual, rtol=0.01)


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_crop_of_one_color_stays_what_it_is(value, dtype, tmp_path):
    network = Residual(4)
    network.last.zero_()
    pixels = np.full((1, 32, 32, 3), value, np.uint8)
    for projected in KINDS.values():
        _, (actual, residual) = outputs(network, projected, pixels, tmp_path, dtype)
        assert (actual == value).all() and residual < 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_fp16_graph_has_no_fp32_convolution_or_matrix_product(kind):
    model = graph_of(Residual(4), KINDS[kind], np.float16)
    assert unsupported(model) == ()
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*inferred.value_info, *inferred.output)}
    products = [node for node in inferred.node if node.op_type in ("Conv", "MatMul")]
    assert len(products) == {"full": 5, "low-pass": 7, "adaptive": 7}[kind]
    assert {types[node.output[0]] for node in products} == {onnx.TensorProto.FLOAT16}


@pytest.mark.parametrize(
    ("name", "config"), [("idrn", {"depth": 1, "width": 8}), ("srcnn", {}), ("edge", {"width": 8})]
)
def test_core_gives_sub_pixels_of_the_network(name, config):
    network = build_network(name, {**config, "scale": 2}).eval()
    rgb = torch.rand((2, 3, 12, 12), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = network(rgb)
        core = SubPixelCore(network, 2, torch.float32)
        blocks = core(rgb.flip(1)).unflatten(1, (4, 3)).transpose(1, 2).flatten(1, 2)
        actual = F.pixel_shuffle(blocks, 2).flip(1)
    torch.testing.assert_close(actual + enlarge(rgb, 2) if core.bicubic else actual, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("kind", "most"), [("full", 8), ("low-pass", 12), ("adaptive", 12)])
def test_projection_takes_few_kernels(kind, most):
    """Of the two convolutions of the network, and the input's, the projection's and the output's kernels."""
    found = kernels(graph_of(Residual(4), KINDS[kind], np.float16), (64, 64), "SM86")
    assert len(found) <= most
    assert not [kernel for kernel in found if kernel.kind in ("correlation", "gemm") and kernel.dtype != "Half"]


@pytest.mark.parametrize("kind", KINDS)
def test_gpu_without_fp32_matrix_products_is_supported(kind):
    assert kernels(graph_of(Residual(4), KINDS[kind], np.float16), (32, 32), "SM75")


@cache
def fp16_graph(name):
    """The export target of a zoo model, and its graph for TensorRT in FP16."""
    target = export_target_from_bundle(catalogue.find(name), sample_faces())
    return target, simplify(target.trace(torch.float16, for_gpu=True))


@pytest.mark.parametrize(("name", "most"), [("edge-tiny-x4", 16), ("edge-tiny-x4-camera", 20)])
def test_zoo_model_takes_few_kernels(name, most):
    found = kernels(fp16_graph(name)[1], (64, 64), "SM86")
    assert len(found) <= most


@pytest.mark.parametrize("name", ["edge-tiny-x4", "edge-tiny-x4-camera"])
def test_zoo_model_keeps_its_quality_in_fp16(name, shared, tmp_path):
    target, graph = fp16_graph(name)
    bundle = catalogue.find(name)
    onnx.save(graph, tmp_path / "model.onnx")
    assert verify(target, "fp16", tmp_path / "model.onnx", print)["fp16_psnr_db"] > 60
    fp16 = Bundle(tmp_path, replace(bundle.card, precision="fp16", files={}))
    faces = read_faces(shared / "faces" / "test")[::4]
    before, after = (evaluate(OrtSession(one), faces) for one in (bundle, fp16))
    assert after.psnr_y_db == pytest.approx(before.psnr_y_db, abs=0.01)


@pytest.mark.parametrize("size_hw", [(384, 640), (1088, 1920)])
def test_detector_engine_is_small_at_every_size(size_hw):
    """TensorRT stores the zeros that it adds to channels for the whole image."""
    assert plan(fp16_graph(catalogue.DEFAULT_DETECTOR)[1], size_hw, "SM86", batch=1).size < 1_500_000
