"""Checkpoint -> bundle: trace, simplify, halve, and hold each step against the original on real faces."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from ..calibration.crops import low_resolution, read_faces
from ..calibration.evaluate import centres, evaluate
from ..calibration.sample import NAME as SAMPLE
from ..calibration.sample import astronaut, sample_faces
from ..engines.bundle import ONNX, WEIGHTS, Bundle, write_bundle
from ..engines.card import Card, Precision
from ..engines.choose import open_session
from ..engines.contract import Contract, super_resolution
from ..engines.errors import EngineError, UnknownNameError, UsageError
from ..engines.ort import Graph, OrtSession
from .blueprint import Blueprint, blueprint
from .checkpoint import network_from, read_weights, weights_bytes
from .deployed import PixelsToMaps, PixelsToPixels
from .parity import map_parity, pixel_parity
from .simplify import simplified
from .trace import onnx_from_network

DTYPES: dict[str, torch.dtype] = {"fp32": torch.float32, "fp16": torch.float16}
TARGETS = ("auto", "onnxruntime", "openvino", "tensorrt")
PARITY_FACES = 8
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
    weights: Path | None = None,
    faces: Path | None = None,
    report: Report = lambda line: None,
) -> Bundle:
    """Make a bundle of a network or of a model of the zoo.

    Args:
        model: "idrn", or a name of the zoo.
        folder: destination; an older bundle there is replaced.
        precision: of the network's arithmetic; pixels and projection stay as they are.
        target: the runtime it is meant for.
        scale, depth, width: of the network; none for its own.
        weights: trained weights; without it, those of the zoo.
        faces: folder of true faces, 128×128 or larger, to compare and measure on; without it the sample faces serve.
        report: told a line after each step.

    Raises:
        BuildError, ParityError, BundleError, InputError, OutputError, UsageError: the text says what and what to do.
    """
    plan = blueprint(model, weights, scale=scale, depth=depth, width=width)
    return build_from(plan, folder, precision=precision, target=target, faces=faces, report=report)


def build_from(
    plan: Blueprint,
    folder: Path,
    *,
    precision: Precision = "fp32",
    target: str = "auto",
    faces: Path | None = None,
    report: Report = lambda line: None,
) -> Bundle:
    """Make a bundle of what a blueprint says; see `build`."""
    if precision not in DTYPES:
        raise UsageError(f"{precision} is not available in this release; choose --fp32 or --fp16")
    if target not in TARGETS:
        raise UnknownNameError("target", target, TARGETS)
    network = network_from(read_weights(plan.weights), plan.network, plan.config)
    payload = weights_bytes(network, plan.network, plan.config)
    report(f"{plan.name}: {sum(p.numel() for p in network.parameters()):,} parameters from {plan.weights.name}")
    true_faces = read_faces(faces) if faces else sample_faces()
    card = Card(
        name=plan.name,
        contract=_contract(plan),
        precision=precision,
        network=plan.network,
        config=plan.config,
        made_with={name: version(name) for name in ("torch", "onnx", "onnxsim", "onnxruntime")},
        notes=_notes(target),
    )
    if plan.known is not None:
        known = plan.known
        card = replace(card, training=known.training, licence=known.licence, limits=known.limits, quality=known.quality)
    with TemporaryDirectory() as workshop:
        draft = Bundle(Path(workshop), card)
        if card.contract.task == "super-resolution":
            whose = f"{len(true_faces)} faces of {faces.resolve().name}" if faces else SAMPLE
            card = _build_super_resolution(draft, network, true_faces, whose, report)
        else:
            card = _build_detector(draft, network, report)
        bundle = write_bundle(folder, card, {ONNX: draft.onnx.read_bytes(), WEIGHTS: payload})
    for note in card.notes:
        report(note)
    return bundle


def _contract(plan: Blueprint) -> Contract:
    if plan.network == "detector":
        return Contract("face-detection", multiple=32)
    return super_resolution(int(plan.config["scale"]))


def _notes(target: str) -> tuple[str, ...]:
    """Where the bundle waits for its device, say so."""
    if target in ("auto", "tensorrt"):
        return (
            "prepared: the TensorRT engine will be compiled on the device; meanwhile the bundle runs in ONNX Runtime",
        )
    return ()


def _build_super_resolution(
    draft: Bundle, network: nn.Module, faces: list[NDArray[np.uint8]], whose: str, report: Report
) -> Card:
    """Trace, simplify and halve a network into the draft; returns its card with parity and quality."""
    scale = draft.card.contract.scale
    crops = low_resolution(centres(faces[:PARITY_FACES], scale), scale)
    expected = _run_torch(PixelsToPixels(network, scale), crops)

    def check(step: str, model: onnx.ModelProto) -> dict[str, float]:
        onnx.save(model, draft.onnx)
        parity = pixel_parity(step, expected, Graph(draft.onnx).run(crops)[0])
        report(
            f"{step}: {parity[f'{step}_psnr_db']:.1f} dB of PyTorch, at most {parity[f'{step}_max_error']:.0f} grey levels off"
        )
        return parity

    parity = _convert(
        draft.card.precision, lambda dtype: PixelsToPixels(deepcopy(network), scale, dtype), 1, "enlarged", check
    )
    measured = evaluate(OrtSession(draft), faces)
    report(f"quality: {measured.psnr_y_db:.2f} dB on {whose}, {measured.gain_db:+.2f} dB over bicubic")
    quality = {**draft.card.quality, whose: {"precision": draft.card.precision, **measured.to_dict()}}
    return replace(draft.card, parity=parity, quality=quality)


def _build_detector(draft: Bundle, network: nn.Module, report: Report) -> Card:
    """Trace, simplify and halve a detector into the draft; returns its card with parity."""
    picture = cv2.resize(astronaut(), (320, 256), interpolation=cv2.INTER_AREA)[None].astype(np.uint8)
    expected = _run_torch(PixelsToMaps(network), picture)

    def check(step: str, model: onnx.ModelProto) -> dict[str, float]:
        onnx.save(model, draft.onnx)
        parity = map_parity(step, expected, Graph(draft.onnx).run(picture)[0])
        report(f"{step}: maps at most {parity[f'{step}_max_error']:.1e} off PyTorch")
        return parity

    multiple = draft.card.contract.multiple
    parity = _convert(
        draft.card.precision, lambda dtype: PixelsToMaps(deepcopy(network), dtype), multiple, "maps", check
    )
    return replace(draft.card, parity=parity)


def _convert(
    precision: Precision,
    wrapped: Callable[[torch.dtype], nn.Module],
    multiple: int,
    output: str,
    check: Callable[[str, onnx.ModelProto], dict[str, float]],
) -> dict[str, float]:
    """Every conversion in its order, each checked; the last one checked is what stays in the draft."""
    traced = onnx_from_network(wrapped(torch.float32), multiple, output)
    parity = check("traced", traced)
    parity |= check("simplified", simplified(traced))
    if precision == "fp16":
        parity |= check("fp16", simplified(onnx_from_network(wrapped(torch.float16), multiple, output)))
    return parity


def _run_torch(network: nn.Module, pixels: NDArray[np.uint8]) -> NDArray[Any]:
    with torch.inference_mode():
        result: NDArray[Any] = network(torch.from_numpy(pixels)).numpy()
    return result


def compile_bundle(bundle: Bundle, target: str = "auto", report: Report = lambda line: None) -> Bundle:
    """Compile a prepared bundle on the device that will run it.

    Args:
        bundle: as `build` made it.
        target: the runtime; "auto" for the fastest that this machine has.
        report: told a line.

    Returns:
        The bundle, ready to run. ONNX Runtime compiles when it loads, so there the bundle is ready as it is.

    Raises:
        EngineError: the runtime cannot compile here; the text says what does.
    """
    if target not in TARGETS:
        raise UnknownNameError("target", target, TARGETS)
    if target in ("tensorrt", "openvino"):
        remedy = {
            "tensorrt": f"trtexec --onnx={bundle.onnx} --stronglyTyped compiles it with NVIDIA's own tool",
            "openvino": f"OpenVINO reads {bundle.onnx} as it is",
        }[target]
        raise EngineError(f"this release compiles no {target} engines; {remedy}, and --target onnxruntime runs it here")
    session = open_session(bundle, "onnxruntime")
    session.warm_up()
    report(f"{bundle.card.name} is ready: {session.runtime}, nothing to compile")
    session.close()
    return bundle
