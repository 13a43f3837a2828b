"""From weights to a bundle: what the graph computes, what is written beside it, what stops a build."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from facesr_edge.calibration.data.faces import low_resolution, sample_faces
from facesr_edge.calibration.metrics.image import psnr
from facesr_edge.converters.build import build
from facesr_edge.engines.bundle.bundle import ONNX, WEIGHTS, open_bundle
from facesr_edge.engines.errors import OutputError, ParityError, UnknownNameError
from facesr_edge.engines.onnxruntime.session import OrtSession
from facesr_edge.networks import build_network
from facesr_edge.networks.layers.bicubic import resize_batch
from facesr_edge.networks.weights import Provenance, network_from, read_weights, weights_bytes
from facesr_edge.sdk.describe import quality_line
from facesr_edge.training.data.degrade import DEGRADATIONS
from onnx import TensorProto

ROOT = Path(__file__).parents[2]
PRECISIONS = ("fp32", "fp16")


@pytest.fixture(scope="module")
def crops():
    """(8, 32, 32, 3) uint8 BGR: the sample faces, small."""
    return low_resolution(np.stack(sample_faces()), 4)


@pytest.fixture(scope="module")
def network(tiny_weights):
    weights = read_weights(tiny_weights())
    return network_from(weights, weights.network, weights.config)


def by_network_alone(network, pixels):
    """What PyTorch makes of BGR pixels, float, neither rounded nor clipped nor projected."""
    rgb = torch.from_numpy(pixels[..., ::-1].copy()).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        return (network(rgb) * 255).permute(0, 2, 3, 1).numpy()[..., ::-1]


def projected(sr, pixels):
    height, width = sr.shape[1:3]
    missing = pixels - resize_batch(sr, pixels.shape[1], pixels.shape[2])
    return sr + resize_batch(missing, height, width)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("side", [32, 48, 64, 96, 128])
def test_every_window_and_batch_runs(tiny_bundle, precision, side):
    bundle = tiny_bundle(precision=precision)
    session, io_spec = OrtSession(bundle, threads=1), bundle.card.io_spec
    assert side in io_spec.windows
    for count in io_spec.batches:
        pixels = session.infer(np.full((count, side, side, 3), 90, np.uint8))
        assert pixels.shape == (count, 4 * side, 4 * side, 3) and pixels.dtype == np.uint8


@pytest.mark.parametrize(("precision", "least_db"), [("fp32", 60), ("fp16", 50)])
def test_the_graph_is_the_network_and_the_projection(tiny_bundle, network, crops, precision, least_db):
    expected = np.clip(np.rint(projected(by_network_alone(network, crops), crops)), 0, 255)
    got = OrtSession(tiny_bundle(precision=precision)).infer(crops)
    assert psnr(got.reshape(1, -1), expected.reshape(1, -1))[0] > least_db


@pytest.mark.parametrize("precision", PRECISIONS)
def test_shrunk_back_the_output_agrees_with_the_camera_as_the_network_alone_does_not(
    tiny_bundle, network, crops, precision
):
    alone = np.clip(by_network_alone(network, crops), 0, 255)
    with_projection = OrtSession(tiny_bundle(precision=precision)).infer(crops)
    before = psnr(crops, resize_batch(alone, 32, 32)).mean()
    after = psnr(crops, resize_batch(with_projection, 32, 32)).mean()
    assert after > before + 15 and after > 35


@pytest.mark.parametrize("precision", PRECISIONS)
def test_pixels_go_in_and_pixels_come_out_of_squares_of_any_size(tiny_bundle, precision):
    graph = onnx.load(tiny_bundle(precision=precision).onnx).graph
    (pixels,), (enlarged,) = graph.input, graph.output
    for tensor in (pixels, enlarged):
        assert tensor.type.tensor_type.elem_type == TensorProto.UINT8
    assert (pixels.name, enlarged.name) == ("pixels", "enlarged")
    names = [d.dim_param or d.dim_value for d in pixels.type.tensor_type.shape.dim]
    assert names == ["batch", "height", "height", 3]
    assert enlarged.type.tensor_type.shape.dim[0].dim_param == "batch"


@pytest.mark.parametrize(("precision", "kind"), [("fp32", TensorProto.FLOAT), ("fp16", TensorProto.FLOAT16)])
def test_convolutions_have_weights_of_the_cards_precision(tiny_bundle, precision, kind):
    graph = onnx.load(tiny_bundle(precision=precision).onnx).graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    kinds = [weights[node.input[1]].data_type for node in graph.node if node.op_type == "Conv"]
    assert kinds == [kind] * (1 + 2 + 2 + 1)  # head, a unit, two steps of upsampling, tail


@pytest.mark.parametrize("precision", PRECISIONS)
def test_nothing_of_the_building_machine_is_in_the_graph(tiny_bundle, precision):
    data = tiny_bundle(precision=precision).onnx.read_bytes()
    for trace in (sys.prefix, str(ROOT), "site-packages", "Traceback", ".py", 'File "'):
        assert trace.encode() not in data
    model = onnx.load_from_string(data)
    assert not any(node.doc_string or node.metadata_props for node in model.graph.node)
    assert max(opset.version for opset in model.opset_import if opset.domain == "") == 18


@pytest.mark.parametrize(
    ("precision", "steps"), [("fp32", ["traced", "simplified"]), ("fp16", ["traced", "simplified", "fp16"])]
)
def test_the_card_says_how_and_of_what_the_bundle_was_made(tiny_bundle, precision, steps):
    card = tiny_bundle(precision=precision).card
    figures = {f"{step}_{figure}" for step in steps for figure in ("max_error", "psnr_db")}
    before_rounding = {"traced_largest_departure", "simplified_largest_departure"}
    assert set(card.parity) == figures | before_rounding
    assert all(card.parity[name] <= 1e-3 for name in before_rounding)
    assert all(card.parity[f"{step}_max_error"] <= 4 for step in steps)
    assert (card.name, card.network, card.precision, card.licence) == ("idrn-x4", "idrn", precision, "CC0-1.0")
    assert card.config == {"depth": 1, "width": 8, "scale": 4, "bicubic_skip": True}
    assert card.training == {"data": "none: random weights"} and card.limits == ("of no use",)
    assert card.build_versions["torch"] == torch.__version__ and card.build_versions["onnx"] == onnx.__version__
    (measured,) = card.quality.values()
    assert measured["faces"] == 8 and measured["precision"] == precision


def test_a_network_that_learnt_what_cameras_do_is_measured_on_that_and_on_clean_faces(tmp_path):
    network = build_network("edge", {"width": 8, "depth": 1, "scale": 4})
    content = weights_bytes(
        network, "edge", {"width": 8, "depth": 1, "scale": 4}, Provenance({"degradation": "camera"})
    )
    (tmp_path / "w.safetensors").write_bytes(content)
    card = build("edge", tmp_path / "b", weights=tmp_path / "w.safetensors", degradations=DEGRADATIONS).card
    camera, clean = card.quality.values()
    assert [whose.endswith(", camera") for whose in card.quality] == [True, False]
    assert camera["bicubic_psnr_y_db"] < clean["bicubic_psnr_y_db"] - 1
    assert quality_line(card).endswith(f"{camera['gain_db']:+.2f} dB over bicubic (camera)")


def test_the_weights_travel_with_the_bundle(tiny_bundle, tiny_weights):
    bundle = tiny_bundle()
    assert set(open_bundle(bundle.folder).card.files) == {ONNX, WEIGHTS}
    ours, theirs = (read_weights(p) for p in (bundle.folder / WEIGHTS, tiny_weights()))
    assert (ours.network, ours.config, ours.origin) == (theirs.network, theirs.config, theirs.origin)
    assert all(torch.equal(ours.tensors[name], value.half()) for name, value in theirs.tensors.items())


def test_a_network_that_overflows_in_half_precision_is_refused_and_nothing_is_written(tmp_path, network):
    config = {"depth": 1, "width": 8, "scale": 4, "bicubic_skip": True}
    loud = build_network("idrn", config)
    loud.load_state_dict(network.state_dict())
    loud.head.weight.data *= 1e6  # more than half precision holds; the tail takes it back
    loud.tail.weight.data *= 1e-6
    (tmp_path / "w.safetensors").write_bytes(weights_bytes(loud, "idrn", config, Provenance()))
    with pytest.raises(ParityError, match=r"the fp16 network departs from PyTorch: .*build with --fp32"):
        build("idrn", tmp_path / "out" / "loud", precision="fp16", weights=tmp_path / "w.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def test_a_detector_is_converted_by_the_same_way(tmp_path):
    torch.manual_seed(0)
    network = build_network("detector", {"width": 8}).eval()
    (tmp_path / "w.safetensors").write_bytes(weights_bytes(network, "detector", {"width": 8}, Provenance()))
    bundle = build("detector", tmp_path / "small", weights=tmp_path / "w.safetensors")
    assert bundle.card.io_spec.task == "face-detection" and bundle.card.io_spec.multiple == 32
    pixels = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), dtype=np.uint8)
    with torch.inference_mode():
        maps = network(torch.from_numpy(pixels[..., ::-1].copy()).permute(0, 3, 1, 2).float() / 255).numpy()
    maps[..., 0] = 1 / (1 + np.exp(-maps[..., 0]))
    assert np.abs(OrtSession(bundle).infer(pixels) - maps).max() < 1e-3


def test_a_detector_built_with_scenes_has_its_figures_by_size_on_the_card(tmp_path, astronaut):
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "scene_a.png"), astronaut[:256, 96:352])
    faces = [{"box": [82, 58, 92, 118], "score": 0.9}]
    (tmp_path / "labels.json").write_text(json.dumps({"scene_a.png": {"faces": faces}}))
    network = build_network("detector", {"width": 8}).eval()
    (tmp_path / "w.safetensors").write_bytes(weights_bytes(network, "detector", {"width": 8}, Provenance()))
    card = build("detector", tmp_path / "small", weights=tmp_path / "w.safetensors", scenes=tmp_path).card
    told = card.quality[f"1 pictures of {tmp_path.name}"]
    assert told["precision"] == "fp32" and told["from 24 px"]["faces"] == 1
    assert set(told["network_ms"]) == {"640x384", "1920x1088"}


def test_a_destination_that_is_not_free_is_told_before_anything_is_done(tmp_path, tiny_weights):
    (tmp_path / "notes.txt").write_text("mine")
    lines = []
    with pytest.raises(OutputError, match=r"it holds notes\.txt; choose another folder with -o"):
        build("idrn", tmp_path, weights=tiny_weights(), report=lines.append)
    assert lines == []


@pytest.mark.parametrize("precision", ["int4", "fp8", ""])
def test_a_precision_that_is_not_there_is_refused(tmp_path, tiny_weights, precision):
    with pytest.raises(UnknownNameError, match="known: fp16, fp32, int8"):
        build("idrn", tmp_path / "out", precision=precision, weights=tiny_weights())
    assert not (tmp_path / "out").exists()


def test_an_unknown_target_offers_the_one_close_by(tmp_path, tiny_weights):
    with pytest.raises(UnknownNameError, match="unknown target 'tensort'; did you mean 'tensorrt'"):
        build("idrn", tmp_path / "out", target="tensort", weights=tiny_weights())
