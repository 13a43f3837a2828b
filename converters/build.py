"""Build a bundle: resolve, export, quantize, evaluate, write. `compile_bundle` then compiles it on the device."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..calibration.accuracy import AccuracyCheck, average_precision_check, psnr_check, track_psnr_check
from ..calibration.data.detection import read_scenes
from ..calibration.data.faces import true_faces
from ..calibration.data.tracks import RecordTracks, Tracks, joined
from ..calibration.metrics.detection_metrics import detection_metrics
from ..calibration.metrics.evaluate import BICUBIC, evaluate
from ..calibration.metrics.tracks import evaluate_tracks, tracks_of
from ..engines.bundle.bundle import (
    EMBEDDING,
    FP16_ONNX,
    ONNX,
    REFERENCES,
    WEIGHTS,
    Bundle,
    check_writable,
    write_bundle,
)
from ..engines.bundle.card import Card, Evaluation, Precision, evaluation_from_title, with_metrics
from ..engines.bundle.io_spec import IOSpec
from ..engines.bundle.projection import Projection, default_projection
from ..engines.onnxruntime.session import OrtSession
from ..networks.msrnet.network import MSRNet
from ..networks.weights import Provenance, network_from, read_weights, weights_bytes
from ..zoo import catalogue
from .compile import PREPARED
from .export.convert import ExportTarget, Report, export_for_gpu, export_fp32, export_target
from .export.half_weights import MAX_LOSS_DB, half_weights
from .export.references import reference_graphs
from .export.storage import compressed
from .options import BuildOptions
from .quantization.ptq import QuantizedNetwork, quantize
from .quantization.search import QdqFormat
from .spec import BuildSpec, resolve

EVALUATED_FRAMES = (3, 5, 7)
"""Numbers of frames that a multi-frame network is evaluated with, as far as it reads them."""


def build(
    model: str | BuildSpec,
    folder: Path,
    options: BuildOptions = BuildOptions(),  # noqa: B008 - frozen
    *,
    weights: Path | None = None,
    report: Report = lambda line: None,
) -> Bundle:
    """Build a bundle of a network or of a zoo model.

    Args:
        model: a network, a zoo model, or a specification of `resolve`.
        folder: destination; an existing bundle there is replaced.
        weights: weights file; None for the weights of the zoo, or for those of the specification.

    Raises:
        BuildError, ParityError, BundleError, InputError, OutputError, UsageError: see the message.
    """
    spec = resolve(model, weights) if isinstance(model, str) else model
    options.check(spec.io_spec, spec.name)
    check_writable(folder)
    network = load_network(spec, options.faces, report, options.tracks)
    with TemporaryDirectory() as workdir:
        exported = export(network, Path(workdir), report)
        quantized = quantize_network(network, exported, options, Path(workdir), report)
        evaluations = evaluate_network(network, quantized.bundle, options, report)
        card = _card(network, exported, quantized, evaluations, options)
        bundle = write_bundle(folder, card, _contents(network, exported, quantized))
    for note in bundle.card.notes:
        report(note)
    return bundle


@dataclass(frozen=True, eq=False)
class LoadedNetwork:
    """A network with the weights that are written to the bundle, and its evaluation faces.

    Args:
        spec, io_spec: build specification, and its input and output specification.
        network: FP32, its weights rounded to FP16 if they are stored so.
        weights, provenance: content and provenance of the weights file.
        faces, dataset_name: ground-truth faces, (H, W, 3) uint8 BGR, and their name.
        cameras: name -> records tracks of the faces for a multi-frame network.
    """

    spec: BuildSpec
    io_spec: IOSpec
    network: nn.Module
    weights: bytes
    provenance: Provenance
    faces: list[NDArray[np.uint8]]
    dataset_name: str
    cameras: Mapping[str, RecordTracks] = field(default_factory=dict)

    @cached_property
    def tracks(self) -> dict[str, Tracks]:
        """Name of a camera -> tracks of the faces for a multi-frame network."""
        return tracks_of(self.faces, self.io_spec, self.cameras)

    @property
    def projection(self) -> Projection:
        """The consistency projection, which depends on the training."""
        return default_projection(self.provenance.training)

    def draft(self, folder: Path, precision: Precision) -> Bundle:
        """A bundle in a new temporary folder, its card sufficient to run it."""
        folder.mkdir()
        return Bundle(folder, Card(self.spec.name, self.io_spec, precision, self.spec.network, self.spec.config))


@dataclass(frozen=True, eq=False)
class ExportedNetwork:
    """A network, its FP32 graph (with the reference graphs if it takes references) and the metrics of each step."""

    target: ExportTarget
    bundle: Bundle
    parity: dict[str, float]


def load_network(
    spec: BuildSpec,
    faces: Path | None,
    report: Report,
    cameras: Mapping[str, RecordTracks] = MappingProxyType({}),
) -> LoadedNetwork:
    """Read weights and evaluation faces. Weights of super-resolution are stored in FP16 if the loss is negligible."""
    weights, io_spec = read_weights(spec.weights), spec.io_spec
    network = network_from(weights, spec.network, spec.config)
    report(f"{spec.name}: {sum(p.numel() for p in network.parameters()):,} parameters from {spec.weights.name}")
    hr, dataset_name = true_faces(faces)
    dtype = torch.float32
    if io_spec.task == "super-resolution":
        rounded, loss_db = half_weights(network, io_spec, hr, default_projection(weights.origin.training))
        if loss_db < MAX_LOSS_DB:
            network, dtype = rounded, torch.float16
    content = weights_bytes(network, spec.network, spec.config, weights.origin, dtype)
    return LoadedNetwork(spec, io_spec, network, content, weights.origin, hr, dataset_name, cameras)


def export(network: LoadedNetwork, workdir: Path, report: Report) -> ExportedNetwork:
    """Export to an FP32 graph, and the reference graphs of a network that takes references."""
    bundle = network.draft(workdir / "fp32", "fp32")
    target = export_target(network.network, network.io_spec, network.faces, network.projection)
    parity = export_fp32(target, bundle.onnx, report)
    if network.io_spec.references:
        parity |= reference_graphs(cast(MSRNet, network.network), network.faces, bundle.folder, report)
    return ExportedNetwork(target, bundle, parity)


def quantize_network(
    network: LoadedNetwork, exported: ExportedNetwork, options: BuildOptions, workdir: Path, report: Report
) -> QuantizedNetwork:
    """Convert to the precision of the options; for FP32 on CPUs, the exported graph."""
    if options.precision == "fp32" and not options.for_tensorrt:
        return QuantizedNetwork(exported.bundle, {})
    if options.precision == "fp32":
        draft = network.draft(workdir / "tensorrt", "fp32")
        return QuantizedNetwork(draft, export_for_gpu(exported.target, draft.onnx, report, torch.float32))
    draft = network.draft(workdir / options.precision, options.precision)
    qdq_format: QdqFormat = "tensorrt" if options.for_tensorrt else "cpu"
    check = _accuracy_check(network, exported.bundle, options)
    return quantize(exported.target, check, exported.bundle, draft, report, qdq_format, options.calibration)


def evaluate_network(
    network: LoadedNetwork, bundle: Bundle, options: BuildOptions, report: Report
) -> tuple[Evaluation, ...]:
    """Evaluate super-resolution on the degradation it was trained on, bicubic and those of the options, a detector on
    labelled images."""
    with closing(OrtSession(bundle)) as session:
        if network.io_spec.task == "face-detection":
            return _evaluate_detector(session, options, report)
        trained_on = str(network.provenance.training.get("degradation"))
        first = (trained_on,) if trained_on in options.degradations else ()
        evaluations = _evaluate_tracks(network, session, options, report) if network.io_spec.frames > 1 else []
        for name in dict.fromkeys((*first, BICUBIC, *options.evaluate_on)):
            degrade = None if name == BICUBIC else options.degradations[name]
            result = evaluate(session, network.faces, degrade, options.metrics)
            one = evaluation_from_title(network.dataset_name, options.precision, result.to_dict())
            evaluations.append(replace(one, degradation=name))
            report(f"evaluation: {result.psnr_y_db:.2f} dB on {one.title}, {result.gain_db:+.2f} dB over bicubic")
        return tuple(evaluations)


def _evaluate_tracks(
    network: LoadedNetwork, session: OrtSession, options: BuildOptions, report: Report
) -> list[Evaluation]:
    """Evaluate a multi-frame network on tracks of each camera, by number of frames, all of them first."""
    evaluations = []
    with ExitStack() as stack:
        single = None
        if options.single_frame:
            single = stack.enter_context(closing(OrtSession(options.single_frame, precision="fp32")))
        counts = sorted({*EVALUATED_FRAMES, network.io_spec.frames}, reverse=True)
        for name, tracks in network.tracks.items():
            for frames in (count for count in counts if count <= network.io_spec.frames):
                result = evaluate_tracks(session, tracks, frames, single, options.metrics)
                one = evaluation_from_title(network.dataset_name, options.precision, result.to_dict())
                evaluations.append(replace(one, degradation=f"{name}, {frames} frames"))
                gain_db = result.gain_over_single_db
                over = f", {gain_db:+.2f} dB over {options.single_frame.card.name}" if options.single_frame else ""
                report(
                    f"evaluation: {result.evaluation.psnr_y_db:.2f} dB on {evaluations[-1].title}, "
                    f"{result.evaluation.gain_db:+.2f} dB over bicubic{over}"
                )
    return evaluations


def _evaluate_detector(session: OrtSession, options: BuildOptions, report: Report) -> tuple[Evaluation, ...]:
    if not options.detection_data:
        return ()
    scenes = read_scenes(options.detection_data, "test")
    metrics = detection_metrics(session, scenes, catalogue.DEFAULT_SCORE)
    dataset = options.detection_data.resolve().name
    report(f"evaluation: average precision {metrics['average_precision']:.4f} on {len(scenes)} images of {dataset}")
    return (Evaluation(dataset, len(scenes), "none", options.precision, metrics),)


def _accuracy_check(network: LoadedNetwork, fp32: Bundle, options: BuildOptions) -> AccuracyCheck | None:
    """None for FP16 super-resolution: its parity limit of 50 dB to PyTorch is stricter than an accuracy limit."""
    detector = network.io_spec.task == "face-detection"
    if not detector and options.precision != "int8":
        return None
    with closing(OrtSession(fp32)) as reference:
        if detector:
            return average_precision_check(reference, options.detection_data, options.max_ap_drop)
        faces, name = network.faces, network.dataset_name
        if network.io_spec.frames > 1:
            tracks = joined([*network.tracks.values()])
            return track_psnr_check(reference, tracks, name, options.max_psnr_drop)
        return psnr_check(reference, faces, name, options.max_psnr_drop, options.calib_crops)


def _card(
    network: LoadedNetwork,
    exported: ExportedNetwork,
    quantized: QuantizedNetwork,
    evaluations: tuple[Evaluation, ...],
    options: BuildOptions,
) -> Card:
    spec, provenance = network.spec, network.provenance
    earlier = spec.zoo_card.evaluations if spec.zoo_card else ()
    card = Card(
        name=spec.name,
        io_spec=network.io_spec,
        precision=options.precision,
        network=spec.network,
        config=spec.config,
        parity=exported.parity | quantized.parity,
        evaluations=tuple(one for one in earlier if "fp32" in (options.precision, one.precision)),
        # The card of the zoo may state more on the training than the weights file, which its hash keeps as it is.
        training=spec.zoo_card.training if spec.zoo_card else provenance.training,
        licence=provenance.licence,
        limitations=provenance.limits,
        build_versions={name: version(name) for name in ("torch", "onnx", "onnxsim", "onnxruntime")},
        notes=(*_notes(options), *quantized.notes),
        calibration=quantized.calibration,
        projection=network.projection if network.io_spec.task == "super-resolution" else None,
    )
    measured = (*((quantized.evaluation,) if quantized.evaluation else ()), *evaluations)
    return reduce(with_metrics, measured, card)


def _contents(network: LoadedNetwork, exported: ExportedNetwork, quantized: QuantizedNetwork) -> dict[str, bytes]:
    fp32 = [exported.bundle.folder / name for name in (ONNX, REFERENCES, EMBEDDING)]
    quantized_files = [quantized.bundle.folder / name for name in (ONNX, FP16_ONNX)]
    contents = {path.name: compressed(path) for path in fp32 if path.exists()}
    if quantized.bundle is not exported.bundle:
        contents |= {path.name: path.read_bytes() for path in quantized_files if path.exists()}
    return {**contents, WEIGHTS: network.weights}


def _notes(options: BuildOptions) -> tuple[str, ...]:
    if options.precision == "int8" and not options.for_tensorrt:
        return ("INT8 for CPUs (unsigned activations, 7-bit weights); for TensorRT, build with --engine tensorrt",)
    return (PREPARED,) if options.engine == "auto" or options.for_tensorrt else ()
