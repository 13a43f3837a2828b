"""Fewer bits: what the graph holds, what the gate lets through and stops, what the search tries, what the card says."""

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
from facesr_edge.converters.export.convert import convert, export_target
from facesr_edge.converters.quantization.layers import KINDS, excluded_nodes, int8_mac_share
from facesr_edge.converters.quantization.ptq import quantize
from facesr_edge.converters.quantization.search import QuantizationSource, max_abs_error, search
from facesr_edge.engines.bundle.bundle import FP16_ONNX, Bundle, open_bundle
from facesr_edge.engines.bundle.card import Card
from facesr_edge.engines.bundle.io_spec import IOSpec, super_resolution
from facesr_edge.engines.errors import BuildError, InputError, ParityError, UnknownNameError, UsageError
from facesr_edge.engines.onnxruntime.session import OrtSession
from facesr_edge.networks import build_network
from facesr_edge.networks.weights import Provenance, network_from, read_weights, weights_bytes
from facesr_edge.sdk.describe import sections
from facesr_edge.zoo import catalogue


def quiet(line):
    """For those who report."""


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    """Ranges of other runs are not remembered here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def floats(plain, gate):
    """What the search quantises for a CPU."""
    return QuantizationSource(plain.onnx, activation_ranges(plain.onnx, KINDS, gate.batches), "cpu")


@pytest.fixture(scope="module")
def detector_weights(tmp_path_factory):
    """Weights of a small detector that takes one cell in forty for a face: random, its logits made to spread."""
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(3)
        network = build_network("detector", {"width": 16})
        picture = torch.from_numpy(sample_frames()[0]).permute(2, 0, 1)[None] / 255
        for layer in network.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.momentum = None  # the statistics of this picture, so that features are neither tiny nor huge
        network.train()(picture)
        network.eval()
        for head in network.heads:
            head[1].weight.data[0].normal_()
        logits = network(picture)[0, :, 0].split([cells := 40 * 48, cells // 4, cells // 16])
        for head, logit in zip(network.heads, logits, strict=True):
            last, gain = head[1], 2 / logit.std()
            last.weight.data[0] *= gain
            last.bias.data[0] = -4 + gain * (last.bias.data[0] - logit.mean())
    path = tmp_path_factory.mktemp("weights") / "detector.safetensors"
    path.write_bytes(weights_bytes(network, "detector", {"width": 16}, Provenance()))
    return path


@pytest.fixture(scope="module")
def detector(tmp_path_factory, detector_weights):
    """Precision -> a bundle of that detector, let through whatever it finds."""
    folder = tmp_path_factory.mktemp("detectors")

    def made(precision):
        if not (folder / precision).exists():
            build("detector", folder / precision, precision=precision, weights=detector_weights, max_ap_drop=1)
        return open_bundle(folder / precision)

    return made


def quantised(bundle):
    """Convolutions whose input and weights come from DequantizeLinear, and all of them: names."""
    graph = onnx.load(bundle.onnx).graph
    maker = {name: node for node in graph.node for name in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    low = [n for n in convolutions if {maker[i].op_type for i in n.input[:2] if i in maker} == {"DequantizeLinear"}]
    return {n.name for n in low}, {n.name for n in convolutions}


def figures(bundle, precision):
    (told,) = [value for key, value in bundle.card.quality.items() if key.startswith(f"{precision} beside fp32")]
    return told


def test_between_its_ends_an_int8_network_has_int8_convolutions_alone(tiny_bundle, detector):
    for plain, bundle in ((tiny_bundle(), tiny_bundle(precision="int8")), (detector("fp32"), detector("int8"))):
        low, every = quantised(bundle)
        assert every - low == excluded_nodes(onnx.load(plain.onnx))
        assert int8_mac_share(onnx.load(plain.onnx), low) == pytest.approx(
            figures(bundle, "int8")["int8_share_of_convolutions"], abs=1e-4
        )
        weights = {t.name: t for t in onnx.load(bundle.onnx).graph.initializer}
        kinds = [weights[n].data_type for n in weights if n.endswith(".weight_quantized")]
        assert kinds == [onnx.TensorProto.INT8] * len(low)


def test_weights_have_a_scale_for_each_channel_and_seven_bits(detector):
    graph = onnx.load(detector("int8").onnx).graph
    tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    names = [name for name in tensors if name.endswith(".weight_quantized")]
    for name in names:
        assert tensors[name.replace("_quantized", "_scale")].shape == tensors[name].shape[:1]
        assert np.abs(tensors[name].astype(int)).max() <= 64


def test_an_int8_bundle_is_smaller_and_its_card_says_how_good_and_how_fast(tiny_bundle):
    bundle = tiny_bundle(precision="int8")
    told = figures(bundle, "int8")
    assert bundle.card.precision == "int8" and open_bundle(bundle.folder) is not None
    assert told["fp32_psnr_y_db"] - told["psnr_y_db"] == pytest.approx(told["drop"], abs=2e-4)
    assert told["drop"] <= told["most_drop"] == 0.1
    assert told["psnr_y_db"] == pytest.approx(evaluate(OrtSession(bundle), sample_faces()).psnr_y_db, abs=1e-4)
    assert told["bytes"] == bundle.onnx.stat().st_size and told["time_ms"] > 0 and told["fp32_time_ms"] > 0
    assert told["kept_high"][0] == "first and last convolutions" and told["dialect"] == "cpu"
    last = told["tried"][-1]
    assert last["kept_high"] == list(told["kept_high"][1:]) and last["figure"] == told["psnr_y_db"]
    assert (last["int8_share"], last["drop"]) == (told["int8_share_of_convolutions"], told["drop"])
    assert last["time_ms"] > 0
    crops = psnr_check(OrtSession(tiny_bundle()), sample_faces(), "").batches
    assert told["calibrated_on"] == "8 inputs" and bundle.card.calibration == calibration_hash(crops)
    assert {"traced_max_error", "int8_max_error"} <= set(bundle.card.parity)
    slower = told["time_ms"] > told["fp32_time_ms"]
    assert any("slower than fp32" in note for note in bundle.card.notes) == slower


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_detector_in_fewer_bits_is_judged_by_average_precision(detector, precision):
    bundle = detector(precision)
    told = figures(bundle, precision)
    assert told["fp32_average_precision"] > 0.9  # its own detections are the labels
    assert told["drop"] == pytest.approx(told["fp32_average_precision"] - told["average_precision"], abs=2e-4)
    assert set(bundle.card.parity) == {f"{step}_max_error" for step in ("traced", "simplified", precision)}
    assert OrtSession(bundle).infer(np.zeros((1, 64, 96, 3), np.uint8)).shape == (1, 126, 15)


def test_a_card_is_shown_with_a_title_for_each_set_of_pictures(detector):
    titles = [title for title, _ in sections(detector("int8"))]
    (title,) = [title for title in titles if title.startswith("Quality")]
    assert title.startswith("Quality: int8 beside fp32, 18 views of the sample picture")


def test_a_detector_that_loses_too_much_is_refused_with_both_figures(tmp_path, detector, monkeypatch):
    monkeypatch.setattr("facesr_edge.converters.quantization.search.KEPT", (0,))
    plain, halved = detector("fp32"), detector("fp16")
    monkeypatch.setattr("facesr_edge.converters.quantization.ptq.halve", lambda what, path, report: {})
    gate = average_precision_check(OrtSession(plain), None, -1)
    said = r"average precision \d\.\d+, fp32 \d\.\d+, a drop .* --max-ap-drop"
    with pytest.raises(ParityError, match=rf"the int8 network .* {said}") as int8:
        search(gate, plain, floats(plain, gate), Bundle(tmp_path, plain.card), quiet)
    with pytest.raises(ParityError, match=rf"the fp16 network .* {said}") as fp16:
        quantize(None, gate, plain, halved, quiet)
    assert "\n" not in str(int8.value) + str(fp16.value)


def test_faces_that_lose_too_much_are_refused_with_both_figures(tmp_path, tiny_bundle):
    plain = tiny_bundle()
    gate = psnr_check(OrtSession(plain), sample_faces(), "8 faces", -1)
    with pytest.raises(ParityError, match=r"on 8 faces: PSNR in dB \d+\.\d+, fp32 \d+\.\d+, a drop .* --max-psnr-drop"):
        search(gate, plain, floats(plain, gate), Bundle(tmp_path, plain.card), quiet)


class Blind:
    """A detector that sees no face anywhere."""

    io_spec, runtime = IOSpec("face-detection", multiple=32), "nothing"

    def infer(self, batch):
        return np.zeros((1, batch.shape[1] * batch.shape[2] * 21 // 1024, 15), np.float32)


def test_a_detector_that_finds_nothing_cannot_be_judged():
    with pytest.raises(BuildError, match=r"finds no face in 18 views .* --scenes DIR"):
        average_precision_check(Blind(), None)


def test_a_last_convolution_of_many_channels_is_a_stage_like_any_other(tmp_path):
    plain, lines = catalogue.find("edge-nano-x4"), []
    gate = psnr_check(OrtSession(plain), sample_faces()[:2], "2 faces", -1)
    with pytest.raises(ParityError):
        search(gate, plain, floats(plain, gate), Bundle(tmp_path, plain.card), lines.append)
    (shares,) = [line for line in lines if "shares of the loss" in line]
    assert re.search(r"\btail \d+%", shares) and shares.count("%") == 6
    assert lines[0].startswith("int8, all but the first convolution: ")


def test_the_search_keeps_the_most_sensitive_stages_high_until_it_is_good_enough(tmp_path, detector, monkeypatch):
    plain, lines = detector("fp32"), []
    monkeypatch.setattr("facesr_edge.converters.quantization.search.KEPT", (0, 1, 4, 8))
    batch = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    reference = OrtSession(plain).infer(batch)

    def measure(session):
        return -max_abs_error(reference, session.infer(batch))

    def gate(most):
        return AccuracyCheck("f", "closeness", most, "--o", "noise", 0.0, measure, [batch], batch)

    draft, given = Bundle(tmp_path, plain.card), floats(plain, gate(np.inf))
    first = search(gate(np.inf), plain, given, draft, lines.append)
    (only,) = first.tried
    assert only.kept_high == () and first.harm == {} and len(lines) == 1
    assert only.drop == -only.figure > 0 and 0 < only.int8_share < 1
    found = search(gate(-0.7 * only.figure), plain, given, draft, lines.append)
    *_, last = found.tried
    assert found.tried[0].figure == only.figure and last.figure > only.figure and last.int8_share < only.int8_share
    assert len(found.tried) == len([line for line in lines[1:] if "fp32" in line]) > 1
    worst = list(found.harm)
    assert last.kept_high == tuple(worst[: len(last.kept_high)]) and last.kept_high
    assert (
        sum(found.harm.values()) == pytest.approx(1) and list(found.harm.values()) == sorted(found.harm.values())[::-1]
    )


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"precision": "fp8"}, UnknownNameError, "unknown precision 'fp8'"),
        ({"precision": "int8", "calibration": "minmx"}, UnknownNameError, "did you mean 'minmax'"),
        ({"precision": "fp16", "crops": []}, UsageError, "leave them out, or give --int8"),
        ({"precision": "int8", "scenes": "pictures"}, UsageError, "is no detector .* give --faces DIR"),
    ],
)
def test_options_that_cannot_be_meant_are_one_line(tmp_path, tiny_weights, options, error, text):
    with pytest.raises(error, match=text) as caught:
        build("idrn", tmp_path / "x", weights=tiny_weights(), **options)
    assert "\n" not in str(caught.value) and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_scenes_that_are_none_are_told_before_anything_is_done(tmp_path, detector_weights, precision):
    lines = []
    with pytest.raises(InputError, match=r"labels\.json"):
        options = {"weights": detector_weights, "scenes": tmp_path, "report": lines.append}
        build("detector", tmp_path / "x", precision=precision, **options)
    assert lines == []


def test_the_detector_that_ships_loses_little_on_labelled_scenes(tmp_path, shared):
    """Half a minute: real weights, real pictures."""
    bundle = build("detector", tmp_path / "x", precision="int8", scenes=shared / "detect")
    told = figures(bundle, "int8")
    assert (
        told["drop"] <= 0.01 and told["int8_share_of_convolutions"] > 0.5 and told["bytes"] < 0.7 * told["fp32_bytes"]
    )


def test_faces_of_the_network_that_ships_lose_little(tmp_path):
    known = open_bundle(catalogue.FOLDER / "idrn-x4")
    bundle = build("idrn-x4", tmp_path / "x", precision="int8")
    told = figures(bundle, "int8")
    assert told["drop"] <= 0.1 and told["int8_share_of_convolutions"] > 0.9
    assert bundle.onnx.stat().st_size < 0.35 * known.onnx.stat().st_size


@pytest.fixture(scope="module")
def for_tensorrt(tmp_path_factory, tiny_weights):
    """The tiny network in FP32, quantised for TensorRT, and the gate that let it through."""
    weights = read_weights(tiny_weights())
    network = network_from(weights, "idrn", weights.config)
    io_spec, folder = super_resolution(4), tmp_path_factory.mktemp("tensorrt")
    card = Card("tiny", io_spec, "fp32", "idrn", {})
    plain, draft = (Bundle(folder / name, card) for name in ("plain", "draft"))
    draft = Bundle(draft.folder, replace(card, precision="int8"))
    plain.folder.mkdir()
    draft.folder.mkdir()
    what = export_target(network, io_spec, sample_faces())
    convert(what, plain.onnx, quiet)
    gate = psnr_check(OrtSession(plain), sample_faces(), "8 faces")
    lines = []
    done = quantize(what, gate, plain, draft, lines.append, "tensorrt", "percentile")
    return plain, Bundle(draft.folder, done), gate, lines


def test_for_tensorrt_all_but_int8_is_fp16(for_tensorrt):
    plain, bundle, _, _ = for_tensorrt
    graph = onnx.load(bundle.onnx).graph
    low, every = quantised(bundle)
    assert len(every - low) == len(excluded_nodes(onnx.load(plain.onnx))) and low
    tensors = {tensor.name: tensor.data_type for tensor in graph.initializer}
    kinds = {tensors[name] for node in graph.node if node.op_type == "Conv" for name in node.input if name in tensors}
    assert kinds == {onnx.TensorProto.FLOAT16}
    pairs = [node for node in graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert {tensors[node.input[1]] for node in pairs} == {onnx.TensorProto.FLOAT16}
    beside = onnx.load(bundle.folder / FP16_ONNX).graph
    assert {node.op_type for node in graph.node} - {node.op_type for node in beside.node} == {n.op_type for n in pairs}


def test_for_tensorrt_the_card_says_how_good_it_is_but_no_times_of_this_cpu(for_tensorrt):
    _, bundle, gate, lines = for_tensorrt
    told = figures(bundle, "int8")
    assert (told["dialect"], told["calibration"]) == ("tensorrt", "percentile")
    assert 0 <= told["drop"] <= 0.1
    assert told["psnr_y_db"] == pytest.approx(evaluate(OrtSession(bundle), sample_faces()).psnr_y_db, abs=1e-4)
    assert not [name for name in (*told, *told["tried"][0]) if name.endswith("_ms")] and gate.figure in told
    assert {"fp16_psnr_db", "int8_psnr_db"} <= set(bundle.card.parity) and " ms" not in "".join(lines)


def test_the_network_that_ships_loses_little_for_tensorrt(tmp_path, shared):
    """Minutes where the machine is busy: the real network is traced in FP16, and run as FP16 is on a CPU."""
    plain = open_bundle(catalogue.FOLDER / "idrn-x4")
    draft = Bundle(tmp_path, replace(plain.card, precision="int8"))
    network = network_from(read_weights(plain.folder / "weights.safetensors"), "idrn", plain.card.config)
    faces = read_faces(shared / "faces" / "test")[::4]
    gate = psnr_check(OrtSession(plain), faces, "faces", 0.07)
    quantize(export_target(network, plain.card.io_spec, faces), gate, plain, draft, quiet, "tensorrt")
    graph = onnx.load(draft.onnx).graph
    low, _ = quantised(draft)
    assert int8_mac_share(onnx.load(tmp_path / FP16_ONNX), low) >= 0.9
    zeros = [onnx.numpy_helper.to_array(t) for t in graph.initializer if t.data_type == onnx.TensorProto.INT8]
    assert zeros and not any(zero.any() for zero in zeros)
