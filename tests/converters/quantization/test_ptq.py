"""Post-training quantization: contents of the graph, accuracy checks, the search, and metrics on the card."""

import json
import re
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from facesr_edge.calibration.accuracy import AccuracyCheck, average_precision_check, psnr_check
from facesr_edge.calibration.data.faces import read_faces, sample_faces
from facesr_edge.calibration.data.frames import sample_frames
from facesr_edge.calibration.metrics.evaluate import evaluate
from facesr_edge.calibration.ranges import activation_ranges, calibration_hash
from facesr_edge.converters.build import build
from facesr_edge.converters.export.convert import export_target_from_bundle
from facesr_edge.converters.export.onnx import simplify
from facesr_edge.converters.export.storage import load_graph
from facesr_edge.converters.options import BuildOptions
from facesr_edge.converters.quantization.layers import KINDS, excluded_nodes, int8_mac_share
from facesr_edge.converters.quantization.ptq import quantize
from facesr_edge.converters.quantization.qdq import transfer_ranges
from facesr_edge.converters.quantization.search import QuantizationSource, mean_abs_error, search
from facesr_edge.engines.bundle.bundle import FP16_ONNX, Bundle, open_bundle
from facesr_edge.engines.bundle.io_spec import IOSpec
from facesr_edge.engines.errors import BuildError, ParityError
from facesr_edge.engines.onnxruntime.session import OrtSession
from facesr_edge.networks import build_network
from facesr_edge.networks.weights import Provenance, weights_bytes
from facesr_edge.sdk.describe import sections
from facesr_edge.zoo import catalogue
from support.onnx_rules import unsupported


def ignore(line):
    """A report function."""


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    """Do not reuse cached ranges of earlier runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def cpu_source(fp32, check, folder):
    """What the search quantizes for a CPU."""
    path = folder / "fp32.onnx"
    onnx.save(load_graph(fp32.onnx), path)
    return QuantizationSource(path, activation_ranges(path, KINDS, check.batches), "cpu")


@pytest.fixture(scope="module")
def detector_weights(tmp_path_factory):
    """Weights of a small random detector, scaled so that one cell in forty is a face."""
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(3)
        network = build_network("detector", {"width": 16})
        image = torch.from_numpy(sample_frames()[0]).permute(2, 0, 1)[None] / 255
        for layer in network.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.momentum = None  # statistics of this image, so that features are of order 1
        network.train()(image)
        network.eval()
        for head in network.heads:
            head[1].weight.data[0].normal_()
        logits = network(image)[0, :, 0].split([cells := 40 * 48, cells // 4, cells // 16])
        for head, logit in zip(network.heads, logits, strict=True):
            last, gain = head[1], 2 / logit.std()
            last.weight.data[0] *= gain
            last.bias.data[0] = -4 + gain * (last.bias.data[0] - logit.mean())
    path = tmp_path_factory.mktemp("weights") / "detector.safetensors"
    path.write_bytes(weights_bytes(network, "detector", {"width": 16}, Provenance()))
    return path


@pytest.fixture(scope="module")
def detector(tmp_path_factory, detector_weights):
    """Precision -> a bundle of that detector, not limited by its accuracy."""
    folder = tmp_path_factory.mktemp("detectors")

    def made(precision):
        if not (folder / precision).exists():
            build(
                "detector",
                folder / precision,
                BuildOptions(precision=precision, max_ap_drop=1),
                weights=detector_weights,
            )
        return open_bundle(folder / precision)

    return made


def quantized_convolutions(bundle):
    """Names of the convolutions whose input and weights come from DequantizeLinear, and of all convolutions."""
    graph = onnx.load(bundle.onnx).graph
    producers = {name: node for node in graph.node for name in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    kinds = {n.name: {producers[i].op_type for i in n.input[:2] if i in producers} for n in convolutions}
    return {name for name, kind in kinds.items() if kind == {"DequantizeLinear"}}, set(kinds)


def metrics_of(bundle, precision):
    (metrics,) = [evaluation.metrics for evaluation in bundle.card.evaluations if evaluation.precision == precision]
    return metrics


def test_all_but_the_excluded_convolutions_are_int8(tiny_bundle, detector):
    for fp32, bundle in ((tiny_bundle(), tiny_bundle(precision="int8")), (detector("fp32"), detector("int8"))):
        quantized, convolutions = quantized_convolutions(bundle)
        assert convolutions - quantized == excluded_nodes(load_graph(fp32.onnx))
        share = metrics_of(bundle, "int8")["int8_mac_share"]
        assert int8_mac_share(load_graph(fp32.onnx), quantized) == pytest.approx(share, abs=1e-4)
        weights = {t.name: t for t in onnx.load(bundle.onnx).graph.initializer}
        dtypes = [weights[n].data_type for n in weights if n.endswith(".weight_quantized")]
        assert dtypes == [onnx.TensorProto.INT8] * len(quantized)


def test_weights_have_one_scale_per_channel_and_seven_bits(detector):
    graph = onnx.load(detector("int8").onnx).graph
    tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for name in [name for name in tensors if name.endswith(".weight_quantized")]:
        assert tensors[name.replace("_quantized", "_scale")].shape == tensors[name].shape[:1]
        assert np.abs(tensors[name].astype(int)).max() <= 64


def test_card_of_an_int8_bundle_has_accuracy_size_and_latency(tiny_bundle):
    bundle = tiny_bundle(precision="int8")
    metrics = metrics_of(bundle, "int8")
    assert bundle.card.precision == "int8" and open_bundle(bundle.folder) is not None
    assert metrics["fp32_psnr_y_db"] - metrics["psnr_y_db"] == pytest.approx(metrics["drop"], abs=2e-4)
    assert metrics["drop"] <= metrics["max_drop"] == 0.1
    assert metrics["psnr_y_db"] == pytest.approx(evaluate(OrtSession(bundle), sample_faces()).psnr_y_db, abs=1e-4)
    assert metrics["bytes"] == bundle.onnx.stat().st_size
    assert metrics["time_ms"] > 0 and metrics["fp32_time_ms"] > 0
    assert metrics["excluded"][0] == "first and last convolutions" and metrics["qdq_format"] == "cpu"
    last = metrics["candidates"][-1]
    assert last["excluded"] == list(metrics["excluded"][1:]) and last["value"] == metrics["psnr_y_db"]
    assert (last["int8_share"], last["drop"]) == (metrics["int8_mac_share"], metrics["drop"])
    assert last["time_ms"] > 0
    crops = psnr_check(OrtSession(tiny_bundle()), sample_faces(), "").batches
    assert metrics["calibration_inputs"] == 8 and bundle.card.calibration == calibration_hash(crops)
    assert {"traced_max_error", "int8_max_error"} <= set(bundle.card.parity)
    slower = metrics["time_ms"] > metrics["fp32_time_ms"]
    assert any("slower than fp32" in note for note in bundle.card.notes) == slower


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_quantized_detector_is_checked_by_average_precision(detector, precision):
    bundle = detector(precision)
    metrics = metrics_of(bundle, precision)
    assert metrics["fp32_average_precision"] > 0.9  # its own detections are the labels
    drop = metrics["fp32_average_precision"] - metrics["average_precision"]
    assert metrics["drop"] == pytest.approx(drop, abs=2e-4)
    assert set(bundle.card.parity) == {f"{step}_max_error" for step in ("traced", "simplified", precision)}
    assert OrtSession(bundle).infer(np.zeros((1, 64, 96, 3), np.uint8)).shape == (1, 126, 15)


def test_detector_exports_to_operators_of_tensorrt(detector):
    target = export_target_from_bundle(detector("fp32"), sample_faces()[:1])
    fp32, fp16 = (simplify(target.trace(dtype, for_gpu=True)) for dtype in (torch.float32, torch.float16))
    graphs = (load_graph(detector("fp32").onnx), fp32, fp16)
    assert [unsupported(graph) for graph in graphs] == [()] * 3
    transfer_ranges({}, fp32, fp16, KINDS)  # INT8 for TensorRT needs graphs of equal structure


def test_card_is_printed_with_a_section_for_each_dataset(detector):
    titles = [title for title, _ in sections(detector("int8"))]
    assert any("the sample" in title and title.endswith("(18), int8") for title in titles)


def test_detector_beyond_the_limit_is_rejected_with_both_values(tmp_path, detector, monkeypatch):
    monkeypatch.setattr("facesr_edge.converters.quantization.search.EXCLUDED_STAGES", (0,))
    monkeypatch.setattr("facesr_edge.converters.quantization.ptq.export_for_gpu", lambda *arguments: {})
    fp32, fp16 = detector("fp32"), detector("fp16")
    check = average_precision_check(OrtSession(fp32), None, -1)
    message = r"average precision \d\.\d+, fp32 \d\.\d+, drop .* --max-ap-drop"
    with pytest.raises(ParityError, match=rf"the int8 network .* {message}") as int8_error:
        search(check, fp32, cpu_source(fp32, check, tmp_path), draft_bundle(tmp_path, fp32), ignore)
    with pytest.raises(ParityError, match=rf"the fp16 network .* {message}") as fp16_error:
        quantize(None, check, fp32, fp16, ignore)
    assert "\n" not in str(int8_error.value) + str(fp16_error.value)


def test_super_resolution_beyond_the_limit_is_rejected_with_both_values(tmp_path, tiny_bundle):
    fp32 = tiny_bundle()
    check = psnr_check(OrtSession(fp32), sample_faces(), "8 faces", -1)
    with pytest.raises(ParityError, match=r"on 8 faces: PSNR in dB \d+\.\d+, fp32 \d+\.\d+, drop .* --max-psnr-drop"):
        search(check, fp32, cpu_source(fp32, check, tmp_path), draft_bundle(tmp_path, fp32), ignore)


class NoFaces:
    """A detector that finds no face in any image."""

    io_spec, runtime = IOSpec("face-detection", multiple=32), "none"

    def infer(self, batch):
        return np.zeros((1, batch.shape[1] * batch.shape[2] * 21 // 1024, 15), np.float32)


def test_detector_that_finds_no_face_cannot_be_checked():
    with pytest.raises(BuildError, match=r"finds no face in 18 views .* --detection-data DIR"):
        average_precision_check(NoFaces(), None)


def test_wide_last_convolution_is_a_stage_of_the_search(tmp_path):
    fp32, lines = catalogue.find("edge-nano-x4"), []
    check = psnr_check(OrtSession(fp32), sample_faces()[:2], "2 faces", -1)
    with pytest.raises(ParityError):
        search(check, fp32, cpu_source(fp32, check, tmp_path), draft_bundle(tmp_path, fp32), lines.append)
    (sensitivity,) = [line for line in lines if line.startswith("int8: sensitivity")]
    assert re.search(r"\btail \d+%", sensitivity) and sensitivity.count("%") == 6
    assert lines[0].startswith("int8 except first convolution: ")


def test_search_excludes_the_most_sensitive_stages_until_the_check_passes(tmp_path, detector, monkeypatch):
    fp32, lines = detector("fp32"), []
    monkeypatch.setattr("facesr_edge.converters.quantization.search.EXCLUDED_STAGES", (0, 1, 4, 8))
    batch = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    reference = OrtSession(fp32).infer(batch)

    def measure(session):
        return -mean_abs_error(reference, session.infer(batch))

    def check(max_drop):
        return AccuracyCheck("m", "similarity", max_drop, "--o", "noise", 0.0, measure, [batch], batch)

    draft, source = draft_bundle(tmp_path, fp32), cpu_source(fp32, check(np.inf), tmp_path)
    first = search(check(np.inf), fp32, source, draft, lines.append)
    (only,) = first.candidates
    assert only.excluded == () and first.sensitivity == {} and len(lines) == 1
    assert only.drop == -only.value > 0 and 0 < only.int8_share < 1
    result = search(check(-0.7 * only.value), fp32, source, draft, lines.append)
    *_, last = result.candidates
    assert result.candidates[0].value == only.value
    assert last.value > only.value and last.int8_share < only.int8_share
    assert len(result.candidates) == len([line for line in lines[1:] if "fp32" in line]) > 1
    assert last.excluded == tuple(result.sensitivity)[: len(last.excluded)] and last.excluded
    shares = list(result.sensitivity.values())
    assert sum(shares) == pytest.approx(1) and shares == sorted(shares)[::-1]


@pytest.fixture
def labelled_images(tmp_path, shared):
    """Every third of the labelled images."""
    folder = tmp_path / "labelled"
    folder.mkdir()
    (folder / "images").symlink_to(shared / "detect" / "images")
    labels = json.loads((shared / "detect" / "labels.json").read_text())
    (folder / "labels.json").write_text(json.dumps(dict(list(labels.items())[::3])))
    return folder


def test_zoo_detector_keeps_its_accuracy_in_int8(tmp_path, labelled_images):
    bundle = build("detector", tmp_path / "x", BuildOptions(precision="int8", detection_data=labelled_images))
    metrics = metrics_of(bundle, "int8")
    assert (
        metrics["drop"] <= 0.01 and metrics["int8_mac_share"] > 0.5 and metrics["bytes"] < 0.7 * metrics["fp32_bytes"]
    )


def test_zoo_network_keeps_its_accuracy_in_int8(tmp_path):
    bundle = build("idrn-x4", tmp_path / "x", BuildOptions(precision="int8"))
    metrics = metrics_of(bundle, "int8")
    assert metrics["drop"] <= 0.1 and metrics["int8_mac_share"] > 0.9
    assert bundle.onnx.stat().st_size == metrics["bytes"] < 0.35 * metrics["fp32_bytes"]


def draft_bundle(folder, fp32, **changes):
    """A bundle that is being written: its card has no hashes yet."""
    return Bundle(folder, replace(fp32.card, files={}, **changes))


def quantize_for_tensorrt(fp32, folder, faces, dataset_name, max_drop, lines, calibration="minmax"):
    """The INT8 bundle for TensorRT with its result, and the accuracy check it passed."""
    draft = draft_bundle(folder, fp32, precision="int8")
    check = psnr_check(OrtSession(fp32), faces, dataset_name, max_drop)
    target = export_target_from_bundle(fp32, faces)
    return quantize(target, check, fp32, draft, lines.append, "tensorrt", calibration), check


@pytest.fixture(scope="module")
def for_tensorrt(tmp_path_factory, tiny_bundle):
    """The tiny network quantized for TensorRT, the accuracy check that it passed, and the report."""
    folder, lines = tmp_path_factory.mktemp("tensorrt"), []
    return *quantize_for_tensorrt(tiny_bundle(), folder, sample_faces(), "8 faces", 0.1, lines, "percentile"), lines


def test_tensorrt_graph_is_fp16_besides_int8(for_tensorrt):
    bundle = for_tensorrt[0].bundle
    graph = onnx.load(bundle.onnx).graph
    quantized, convolutions = quantized_convolutions(bundle)
    assert convolutions - quantized == excluded_nodes(onnx.load(bundle.folder / FP16_ONNX)) and quantized
    dtypes = {tensor.name: tensor.data_type for tensor in graph.initializer}
    conv_inputs = [name for node in graph.node if node.op_type == "Conv" for name in node.input if name in dtypes]
    assert {dtypes[name] for name in conv_inputs} == {onnx.TensorProto.FLOAT16}
    pairs = [node for node in graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert {dtypes[node.input[1]] for node in pairs} == {onnx.TensorProto.FLOAT16}
    fp16 = onnx.load(bundle.folder / FP16_ONNX).graph
    assert {node.op_type for node in graph.node} - {node.op_type for node in fp16.node} == {n.op_type for n in pairs}


def test_tensorrt_evaluation_has_accuracy_but_no_latency_of_this_cpu(for_tensorrt):
    result, check, lines = for_tensorrt
    metrics = result.evaluation.metrics
    assert (metrics["qdq_format"], metrics["calibration"]) == ("tensorrt", "percentile")
    assert 0 <= metrics["drop"] <= 0.1
    psnr_y_db = evaluate(OrtSession(result.bundle), sample_faces()).psnr_y_db
    assert metrics["psnr_y_db"] == pytest.approx(psnr_y_db, abs=1e-4)
    assert not [name for name in (*metrics, *metrics["candidates"][0]) if name.endswith("_ms")]
    assert check.metric in metrics and " ms" not in "".join(lines)
    assert {"fp16_psnr_db", "int8_psnr_db"} <= set(result.parity)


def test_zoo_network_keeps_its_accuracy_in_int8_for_tensorrt(tmp_path, shared):
    faces = read_faces(shared / "faces" / "test")[::8]
    result, _ = quantize_for_tensorrt(catalogue.find("idrn-x4"), tmp_path, faces, "faces", 0.07, [])
    graph = onnx.load(result.bundle.onnx).graph
    quantized, _ = quantized_convolutions(result.bundle)
    assert int8_mac_share(onnx.load(tmp_path / FP16_ONNX), quantized) >= 0.9
    zeros = [onnx.numpy_helper.to_array(t) for t in graph.initializer if t.data_type == onnx.TensorProto.INT8]
    assert zeros and not any(zero.any() for zero in zeros)
