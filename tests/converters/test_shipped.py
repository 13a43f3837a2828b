"""What ships is what its weights say: a graph left behind by a change would be the default of everybody."""

import onnx
import pytest
import torch
from facesr_edge.calibration.data.faces import sample_faces
from facesr_edge.converters.export.convert import export_target_from_bundle, verify
from facesr_edge.converters.export.onnx import simplified
from facesr_edge.converters.quantization.layers import KINDS
from facesr_edge.converters.quantization.qdq import transfer_ranges
from facesr_edge.engines.bundle.bundle import open_bundle
from facesr_edge.zoo import catalogue


@pytest.mark.parametrize("name", catalogue.names())
def test_the_graph_is_that_of_the_weights_beside_it(name):
    bundle = open_bundle(catalogue.FOLDER / name)
    assert bundle.card.precision == "fp32"
    what = export_target_from_bundle(bundle, sample_faces()[:1])
    verify(what, "simplified", bundle.onnx, print)
    transfer_ranges(
        {}, onnx.load(bundle.onnx), simplified(what.traced(torch.float16)), KINDS
    )  # INT8 for TensorRT needs both
