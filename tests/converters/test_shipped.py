"""Zoo models: their graphs equal their weights, so that a changed network cannot ship with an outdated graph."""

import pytest
import torch
from facesr_edge.calibration.data.faces import sample_faces
from facesr_edge.converters.export.convert import export_target_from_bundle, verify
from facesr_edge.converters.export.onnx import simplify
from facesr_edge.converters.quantization.layers import KINDS
from facesr_edge.converters.quantization.qdq import transfer_ranges
from facesr_edge.engines.bundle.bundle import open_bundle
from facesr_edge.zoo import catalogue


@pytest.mark.parametrize("name", catalogue.built())
def test_graph_of_a_zoo_model_equals_its_weights(name):
    bundle = open_bundle(catalogue.FOLDER / name)
    assert bundle.card.precision == "fp32"
    verify(export_target_from_bundle(bundle, sample_faces()[:1]), "simplified", bundle.onnx, print)


@pytest.mark.parametrize("name", [catalogue.DEFAULT_MODEL, catalogue.DEFAULT_DETECTOR])
def test_default_models_can_be_quantized_for_tensorrt(name):
    """The graphs for TensorRT have the same structure in FP32, in which ranges are measured, and in FP16."""
    target = export_target_from_bundle(catalogue.find(name), sample_faces()[:1])
    fp32, fp16 = (simplify(target.trace(dtype, for_gpu=True)) for dtype in (torch.float32, torch.float16))
    transfer_ranges({}, fp32, fp16, KINDS)
