"""Multi-frame networks: graphs for all runtimes, calibration with samples, and what is written to the card."""

import json

import numpy as np
import onnx
import pytest
import torch
from facesr_edge.calibration.data.faces import sample_faces
from facesr_edge.calibration.data.tracks import moved_tracks
from facesr_edge.converters.build import build
from facesr_edge.converters.export.convert import export_target_from_bundle, verify
from facesr_edge.converters.export.onnx import simplify
from facesr_edge.converters.export.storage import load_graph
from facesr_edge.converters.options import BuildOptions
from facesr_edge.converters.quantization.layers import KINDS
from facesr_edge.converters.quantization.precisions import add_precisions
from facesr_edge.converters.quantization.qdq import transfer_ranges
from facesr_edge.converters.spec import io_spec_of, resolve
from facesr_edge.converters.static_graph import static_graph
from facesr_edge.engines.bundle.bundle import INT8_ONNX
from facesr_edge.engines.errors import UsageError
from facesr_edge.zoo import catalogue
from support.onnx_rules import unsupported


def shapes(graph):
    """Name of each input -> its dimensions, names for dynamic ones."""
    return {
        one.name: [dim.dim_param or dim.dim_value for dim in one.type.tensor_type.shape.dim]
        for one in graph.graph.input
    }


def test_io_spec_has_the_frames_of_the_training():
    assert io_spec_of("edge-track", {"scale": 4}).frames == 7 and io_spec_of("edge", {"scale": 4}).frames == 1


def test_batch_and_side_of_pixels_and_samples_are_the_same_dimensions(track_bundle):
    batch, side = "batch", "height"
    assert shapes(load_graph(track_bundle().onnx)) == {
        "pixels": [batch, side, side, 3],
        "samples": [batch, 32, side, side],
    }


def test_parity_is_measured_with_samples(track_bundle):
    target = export_target_from_bundle(track_bundle(), sample_faces())
    assert np.abs(target.others["samples"]).max() > 0.1
    assert track_bundle().card.parity["simplified_pre_round_max_error"] <= 1e-3


def test_graphs_for_tensorrt_take_samples(track_bundle, tmp_path):
    target, graphs = export_target_from_bundle(track_bundle(), sample_faces()), {}
    for step, dtype in (("tensorrt", torch.float32), ("fp16", torch.float16)):
        graphs[step] = simplify(target.trace(dtype, for_gpu=True))
        assert unsupported(graphs[step]) == () and shapes(graphs[step])["samples"][1] == 32
        onnx.save(graphs[step], tmp_path / f"{step}.onnx")
        assert verify(target, step, tmp_path / f"{step}.onnx", print)[f"{step}_psnr_db"] >= 50
    transfer_ranges({}, graphs["tensorrt"], graphs["fp16"], KINDS)  # INT8 for TensorRT needs equal structure


def test_sides_of_the_samples_are_fixed_with_those_of_the_pixels(track_bundle):
    static = onnx.load_from_string(static_graph(load_graph(track_bundle().onnx).SerializeToString(), 48, 48))
    assert shapes(static)["pixels"][1:] == [48, 48, 3] and shapes(static)["samples"][1:] == [32, 48, 48]


def test_int8_is_calibrated_with_samples(track_bundle):
    card = track_bundle("int8").card
    evaluation = next(one for one in card.evaluations if "calibration_inputs" in one.metrics)
    assert evaluation.degradation == "tracks" and evaluation.metrics["drop"] <= 0.5 and len(card.calibration) == 64
    assert evaluation.metrics["excluded"][0].startswith("first convolution")


def test_card_has_an_evaluation_for_each_camera_and_number_of_frames(track_weights, tiny_bundle, tmp_path):
    def record(faces, scale):
        return moved_tracks(faces, scale, 7)

    options = BuildOptions(engine="onnxruntime", tracks={"mine": record}, single_frame=tiny_bundle())
    card = build("edge-track", tmp_path / "one", options, weights=track_weights).card
    degradations = [one.degradation for one in card.evaluations]
    assert degradations == ["mine, 7 frames", "mine, 5 frames", "mine, 3 frames", "bicubic"]
    for evaluation, frames in zip(card.evaluations, (7, 5, 3), strict=False):
        metrics = evaluation.metrics
        assert metrics["frames"] == frames and metrics["several_frames_faces"] == 8
        difference = metrics["psnr_y_db"] - metrics["single_psnr_y_db"]
        assert metrics["gain_over_single_db"] == pytest.approx(difference, abs=2e-4)


def test_precisions_are_added_with_their_loss_on_tracks(track_bundle, tmp_path, track_weights):
    options = BuildOptions(engine="onnxruntime")
    bundle = add_precisions(build("edge-track", tmp_path / "two", options, weights=track_weights))
    losses = {one.precision: one for one in bundle.card.evaluations if one.degradation == "tracks"}
    assert {"fp16", "int8"} <= losses.keys() and INT8_ONNX in bundle.card.files
    assert losses["int8"].metrics["drop_db"] <= 0.15 and losses["int8"].n == 8


def test_options_for_other_networks_are_rejected(track_weights, tiny_bundle, tmp_path):
    spec = resolve("edge-track", track_weights)
    for options, message in (
        (BuildOptions(precision="int8", calib_crops=()), "calibrated on tracks of the faces; omit --calib-input"),
        (BuildOptions(single_frame=tiny_bundle(scale=2)), "upscales by 2, edge-track-x4 by 4; give --single-frame of"),
        (BuildOptions(single_frame=catalogue.find("detector")), "detector is not a network for single frames"),
    ):
        with pytest.raises(UsageError, match=message):
            options.check(spec.io_spec, spec.name)
    with pytest.raises(UsageError, match="reads single frames itself; omit --single-frame"):
        BuildOptions(single_frame=tiny_bundle()).check(tiny_bundle().card.io_spec, "tiny")


def test_card_of_a_multi_frame_network_is_read_again(track_bundle):
    text = track_bundle().card.to_json()
    assert json.loads(text)["io_spec"]["frames"] == 7
