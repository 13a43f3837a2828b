"""Checkpoint -> bundle: trace, simplify, halve or quantise, and hold each step against the original on real faces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from ..calibration.accuracy import MAX_AP_DROP, MAX_PSNR_DROP, AccuracyCheck, average_precision_check, psnr_check
from ..calibration.data.detection import read_scenes
from ..calibration.data.faces import true_faces
from ..calibration.metrics.detection_metrics import detection_metrics
from ..calibration.metrics.evaluate import BICUBIC, Degrade, evaluate
from ..engines.bundle.bundle import EMBEDDING, FP16_ONNX, ONNX, REFERENCES, WEIGHTS, Bundle, check_free, write_bundle
from ..engines.bundle.card import PRECISIONS, Card, Precision
from ..engines.bundle.io_spec import IOSpec, super_resolution
from ..engines.errors import UnknownNameError, UsageError
from ..engines.onnxruntime.quantizer import METHODS
from ..engines.onnxruntime.session import OrtSession
from ..networks import defaults, network_class
from ..networks.msrnet.network import REFERENCES as SLOTS
from ..networks.msrnet.network import MSRNet
from ..networks.weights import network_from, read_weights, weights_bytes
from ..zoo import catalogue
from .compile import PREPARED, check_target
from .export.convert import convert, export_target
from .export.half_weights import MAX_LOSS_DB, half_weights
from .export.references import reference_graphs
from .export.wrapper import projection_of
from .quantization.ptq import quantize
from .spec import BuildSpec, build_spec, merge_options

Report = Callable[[str], None]


def build(
    model: str,
    folder: Path,
    *,
    precision: Precision = "fp32",
    target: str = "auto",
    scale: int | None = None,
    depth: int | None = None,
    width: int | None = None,
    options: Mapping[str, int] | None = None,
    name: str | None = None,
    weights: Path | None = None,
    faces: Path | None = None,
    scenes: Path | None = None,
    max_ap_drop: float = MAX_AP_DROP,
    max_psnr_drop: float = MAX_PSNR_DROP,
    calibration: str = "minmax",
    crops: Iterable[NDArray[np.uint8]] | None = None,
    degradations: Mapping[str, Degrade] = MappingProxyType({}),
    report: Report = lambda line: None,
) -> Bundle:
    """Make a bundle of a network or of a model of the zoo.

    Args:
        model: a network, or a name of the zoo.
        folder: destination; an older bundle there is replaced.
        precision: of the network's arithmetic; pixels and projection stay as they are.
        target: the runtime it is meant for.
        scale, depth, width: of the network; none for its own.
        options: more of its configuration, e.g. ``{"groups": 10}``.
        name: what to call the bundle; none for the model's own name.
        weights: trained weights; without it, those of the zoo.
        faces: folder of true faces, 128×128 or larger, to calibrate, compare and measure on; without it, sample faces.
        scenes: for a detector, folder of labelled pictures, see `read_scenes`: the split "test" to measure on, "train"
            to calibrate fewer bits on; without it the sample picture serves for these, and FP32 is not measured.
        max_ap_drop: by how much a detector in fewer bits may fall behind FP32 in average precision, of 1.
        max_psnr_drop: by how much super-resolution in INT8 may fall behind FP32 in PSNR on the luma, in dB.
        calibration: how INT8's ranges follow from the values seen: "minmax", "entropy" or "percentile".
        crops: what INT8 of super-resolution is calibrated on, see `psnr_check`; none for the faces.
        degradations: by the names that weights have them by: a network that learnt one is measured on it as well.
        report: told a line after each step.

    Raises:
        BuildError, ParityError, BundleError, InputError, OutputError, UsageError: the text says what and what to do.
    """
    sizes = {"scale": scale, "depth": depth, "width": width}
    plan = build_spec(model, weights, name, **merge_options(sizes, options or {}))
    return build_from(
        plan,
        folder,
        precision=precision,
        target=target,
        faces=faces,
        scenes=scenes,
        max_ap_drop=max_ap_drop,
        max_psnr_drop=max_psnr_drop,
        calibration=calibration,
        crops=crops,
        degradations=degradations,
        report=report,
    )


def build_from(
    plan: BuildSpec,
    folder: Path,
    *,
    precision: Precision = "fp32",
    target: str = "auto",
    faces: Path | None = None,
    scenes: Path | None = None,
    max_ap_drop: float = MAX_AP_DROP,
    max_psnr_drop: float = MAX_PSNR_DROP,
    calibration: str = "minmax",
    crops: Iterable[NDArray[np.uint8]] | None = None,
    degradations: Mapping[str, Degrade] = MappingProxyType({}),
    report: Report = lambda line: None,
) -> Bundle:
    """Make a bundle of what a blueprint says; see `build`."""
    if precision not in PRECISIONS:
        raise UnknownNameError("precision", precision, PRECISIONS)
    io_spec = _contract(plan)
    check_target(target, io_spec, plan.name)
    if calibration not in METHODS:
        raise UnknownNameError("calibration", calibration, METHODS)
    if crops is not None and (precision != "int8" or io_spec.task != "super-resolution"):
        raise UsageError("crops calibrate super-resolution in INT8; leave them out, or give --int8")
    if scenes and io_spec.task != "face-detection":
        raise UsageError(f"{plan.name} is no detector and needs no --scenes; give --faces DIR")
    check_free(folder)
    if scenes:  # what may be wrong with them is told before a minute is spent
        for split in ("test",) if precision == "fp32" else ("train", "test"):
            read_scenes(scenes, split)
    weights = read_weights(plan.weights)
    network = network_from(weights, plan.network, plan.config)
    report(f"{plan.name}: {sum(p.numel() for p in network.parameters()):,} parameters from {plan.weights.name}")
    truth, whose = true_faces(faces)
    kept, smooth = torch.float32, projection_of(weights.origin.training)
    if io_spec.task == "super-resolution":
        rounded, cost_db = half_weights(network, io_spec.scale, truth, smooth)
        if cost_db < MAX_LOSS_DB:
            network, kept = rounded, torch.float16
    payload = weights_bytes(network, plan.network, plan.config, weights.origin, kept)
    card = Card(
        name=plan.name,
        io_spec=io_spec,
        precision="fp32",
        network=plan.network,
        config=plan.config,
        quality=plan.known.quality if plan.known else {},
        training=weights.origin.training,
        licence=weights.origin.licence,
        limits=weights.origin.limits,
        build_versions={name: version(name) for name in ("torch", "onnx", "onnxsim", "onnxruntime")},
        notes=_notes(target, precision),
    )
    with TemporaryDirectory() as workshop:
        draft = plain = _draft(Path(workshop) / "fp32", card)
        what = export_target(network, io_spec, truth, smooth)
        card = replace(card, parity=convert(what, plain.onnx, report))
        if io_spec.references:
            more = reference_graphs(cast(MSRNet, network), truth, plain.folder, report)
            card = replace(card, parity=card.parity | more)
        if precision != "fp32":
            draft = _draft(Path(workshop) / precision, replace(card, precision=precision))
            reference = OrtSession(plain)
            gate: AccuracyCheck | None = None
            if io_spec.task == "face-detection":
                gate = average_precision_check(reference, scenes, max_ap_drop)
            elif precision == "int8":  # in FP16, agreement with PyTorch within 50 dB says more
                gate = psnr_check(reference, truth, whose, max_psnr_drop, crops)
            card = quantize(
                what, gate, plain, draft, report, "tensorrt" if target == "tensorrt" else "cpu", calibration
            )
        if io_spec.task == "super-resolution":
            learnt = str(weights.origin.training.get("degradation"))
            ways = {f"{whose}, {learnt}": degradations[learnt]} if learnt in {*degradations} - {BICUBIC} else {}
            session = OrtSession(draft)
            for where, degrade in {**ways, whose: None}.items():
                measured = evaluate(session, truth, degrade)
                report(f"quality: {measured.psnr_y_db:.2f} dB on {where}, {measured.gain_db:+.2f} dB over bicubic")
                figured = {"precision": precision, **measured.to_dict()}
                card = replace(card, quality={**card.quality, where: figured})
        elif scenes:
            held_out = read_scenes(scenes, "test")
            whose = f"{len(held_out)} pictures of {scenes.resolve().name}"
            told = detection_metrics(OrtSession(draft), held_out, catalogue.DEFAULT_SCORE)
            report(f"quality: average precision {told['average_precision']:.4f} on {whose}")
            card = replace(card, quality={**card.quality, whose: {"precision": precision, **told}})
        made = [draft.folder / name for name in (ONNX, FP16_ONNX)]
        made += [plain.folder / name for name in (REFERENCES, EMBEDDING)]
        contents = {path.name: path.read_bytes() for path in made if path.exists()}
        bundle = write_bundle(folder, card, {**contents, WEIGHTS: payload})
    for note in card.notes:
        report(note)
    return bundle


def _draft(folder: Path, card: Card) -> Bundle:
    folder.mkdir()
    return Bundle(folder, card)


def _contract(plan: BuildSpec) -> IOSpec:
    if plan.network == "detector":
        return IOSpec("face-detection", multiple=32)
    network, config = network_class(plan.network), {**defaults(plan.network), **plan.config}
    windows = (int(config["side"]),) if "side" in config else getattr(network, "windows", ())
    return super_resolution(int(config["scale"]), windows, SLOTS if issubclass(network, MSRNet) else 0)


def _notes(target: str, precision: Precision) -> tuple[str, ...]:
    """Where the bundle waits for its device, say so."""
    if precision == "int8" and target != "tensorrt":
        return ("for CPUs: unsigned activations, 7-bit weights; for TensorRT, build with --target tensorrt",)
    if target in ("auto", "tensorrt"):
        return (PREPARED,)
    return ()
