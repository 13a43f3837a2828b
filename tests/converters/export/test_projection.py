"""Adaptive projection: clean crops are reproduced, noise and compression artifacts are not."""

import cv2
import numpy as np
import onnx
import pytest
import torch
from facesr_edge.calibration.data.faces import low_resolution, sample_faces
from facesr_edge.converters.export.onnx import onnx_from_network, simplify
from facesr_edge.converters.export.projection import PEAK, MatrixProjection, projected_part
from facesr_edge.converters.export.wrapper import Uint8SRWrapper
from facesr_edge.engines.bundle.projection import BY_DEGRADATION, Projection
from facesr_edge.engines.onnxruntime.session import OrtGraph
from facesr_edge.networks import build_network
from torch import nn

ADAPTIVE, LOW_PASS = BY_DEGRADATION["recorded"], Projection("low-pass", BY_DEGRADATION["recorded"].sigma)


class Cleaned(nn.Module):
    """What a network makes of degraded crops: the faces without the degradation, their contrast reduced by 3 %."""

    def __init__(self, clean):
        super().__init__()
        planes = torch.from_numpy(clean[..., ::-1].copy()).permute(0, 3, 1, 2) / PEAK
        result = nn.functional.interpolate(planes, scale_factor=4, mode="bicubic")
        for _ in range(4):
            result = MatrixProjection(4)(result, planes)
        self.result = 0.97 * result + 0.015

    def forward(self, x):
        return self.result


@pytest.fixture(scope="module")
def clean():
    return low_resolution(np.stack(sample_faces()), 4)


def jpeg(crops, quality):
    parameters = (cv2.IMWRITE_JPEG_QUALITY, quality)
    return np.stack([cv2.imdecode(cv2.imencode(".jpg", crop, parameters)[1], cv2.IMREAD_COLOR) for crop in crops])


def noisy(crops, level):
    noise = np.random.default_rng(0).normal(0, level, crops.shape)
    return np.clip(np.rint(crops + noise), 0, 255).astype(np.uint8)


def consistency(clean, pixels, projected):
    """Mean of the squared residuals of the output for a network that removes a degradation."""
    with torch.inference_mode():
        return Uint8SRWrapper(Cleaned(clean), 4, projected=projected)(torch.from_numpy(pixels))[1].mean().item()


def test_clean_crops_are_reproduced_at_all_frequencies(clean):
    full, adaptive, low = (consistency(clean, clean, one) for one in (Projection(), ADAPTIVE, LOW_PASS))
    assert adaptive < full + 0.1 * (low - full)


@pytest.mark.parametrize("degrade", [lambda x: jpeg(x, 50), lambda x: noisy(x, 8)], ids=["JPEG", "noise"])
def test_removed_degradation_is_not_brought_back(clean, degrade):
    pixels = degrade(clean)
    full, adaptive, low = (consistency(clean, pixels, one) for one in (Projection(), ADAPTIVE, LOW_PASS))
    assert low > 2 * full and adaptive > 0.98 * low


def test_each_crop_is_judged_by_itself(clean):
    mixed = np.concatenate((clean[:2], noisy(clean[2:4], 8)))
    lr = torch.from_numpy(mixed).permute(0, 3, 1, 2) / PEAK
    error = lr - torch.from_numpy(clean[:4]).permute(0, 3, 1, 2) / PEAK + 0.001
    together = projected_part(error, lr, ADAPTIVE)
    for n in range(4):
        torch.testing.assert_close(together[n : n + 1], projected_part(error[n : n + 1], lr[n : n + 1], ADAPTIVE))


@pytest.mark.parametrize("value", [0, 128, 255])
def test_crop_of_one_color_has_a_finite_projection(value):
    lr = torch.full((1, 3, 32, 32), value / PEAK)
    for error in (torch.zeros_like(lr), torch.linspace(-1, 1, 3 * 32 * 32).reshape(lr.shape)):
        assert projected_part(error, lr, ADAPTIVE).isfinite().all()


def test_adaptive_graph_equals_pytorch_for_clean_and_coded_crops(clean, tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network("edge", {"width": 8, "depth": 1, "scale": 4})
        nn.init.normal_(network.tail.weight, std=0.01)  # a residual near the threshold
    pixels = np.concatenate((clean, jpeg(clean, 30), noisy(clean, 12), np.full_like(clean[:1], 90)))
    for one in (network, nn.Sequential(network)):
        wrapped = Uint8SRWrapper(one, 4, projected=ADAPTIVE)
        onnx.save(simplify(onnx_from_network(wrapped, square=True)), tmp_path / "g.onnx")
        with torch.inference_mode():
            expected, residual = (part.numpy() for part in wrapped(torch.from_numpy(pixels)))
        actual, actual_residual = OrtGraph(tmp_path / "g.onnx").run(pixels)
        np.testing.assert_allclose(actual_residual, residual, rtol=0.01, atol=0.01)
        assert np.abs(actual.astype(int) - expected).max() <= 1 and np.mean(actual != expected) < 0.01
