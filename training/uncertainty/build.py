"""Build the bundle of a trained uncertainty head: export, calibration for each network, coverage on held-out faces."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray

from ...calibration.metrics.evaluate import enlarged, lr_hr_pairs
from ...calibration.uncertainty import Coverage, calibrate, luma_error, measure
from ...engines.bundle.bundle import CALIBRATION, ONNX, WEIGHTS, Bundle, write_bundle
from ...engines.bundle.card import Card, Evaluation
from ...engines.bundle.io_spec import CROP_SIZES, IOSpec
from ...engines.onnxruntime.session import OrtGraph, OrtSession
from ...engines.uncertainty import COVERAGE, TASK, Calibration
from ...networks.uncertainty import Uncertainty
from ..data.degrade import DEGRADATIONS
from .export import check_parity, graph_from_head
from .fit import FitOptions
from .samples import CONDITIONS
from .spread import STRIDE, coverages, map_and_log_gain, spread

Images = NDArray[np.uint8]
BATCH = 8
ROUND = 4
"""Decimals of the widths in the calibration."""
LIMITATIONS = (
    "the interval holds 90 % of the pixels of many faces under the conditions of the card, not of every face or region",
    "calibrated on portraits, downscaled or recorded by simulated cameras with H.264 at crf 23 to 33; less holds under "
    "others: 84 to 88 % with sharpening, a low constant bit rate or blur",
    "of the luma only; says nothing about identity",
)


@dataclass(frozen=True, eq=False)
class Upscaled:
    """What a network makes of faces under one condition.

    Args:
        crops: (N, S, S, 3) uint8 BGR.
        pixels: (N, 4·S, 4·S, 3) uint8 BGR.
        errors: (N, 4·S, 4·S) absolute errors of the luma, gray levels.
    """

    crops: Images
    pixels: Images
    errors: NDArray[np.floating[Any]]


Pairs = dict[str, tuple[Images, Images]]
"""Condition -> crops and their truth, see `degraded`."""


def degraded(faces: list[Images], conditions: Sequence[str]) -> Pairs:
    """Degrade the central 128 px of faces by each condition as in evaluations: (N, 32, 32, 3) and (N, 128, 128, 3)."""
    degrade = {name: None if name == "bicubic" else DEGRADATIONS[name] for name in conditions}
    return {name: lr_hr_pairs(faces, 4, function, crop_sizes=CROP_SIZES) for name, function in degrade.items()}


def upscaled(session: OrtSession, low: Images, high: Images) -> Upscaled:
    """Upscale crops whose truth is known."""
    pixels = np.concatenate([enlarged(session, low[n : n + BATCH]) for n in range(0, len(low), BATCH)])
    return Upscaled(low, pixels, luma_error(pixels, high))


def raw_widths(graph: OrtGraph, one: Upscaled) -> NDArray[np.float32]:
    """Output of the head before its calibration."""
    parts = [graph.run(one.crops[n : n + BATCH], one.pixels[n : n + BATCH])[0] for n in range(0, len(one.crops), BATCH)]
    return np.concatenate(parts)


def calibrated_for(bundle: Bundle, graph: OrtGraph, pairs: Pairs) -> Calibration:
    """Calibrate a head for a network on faces that it was not trained on; conditions have the same weight."""
    with closing(OrtSession(bundle, 1)) as session:
        parts = [upscaled(session, *pair) for pair in pairs.values()]
    raw, widths = calibrate([raw_widths(graph, one) for one in parts], [one.errors for one in parts], COVERAGE)
    rows = (tuple(round(float(value), ROUND) for value in values) for values in (raw, widths))
    return Calibration(bundle.card.name, bundle.card.files[WEIGHTS], *rows)


def coverage_of(
    bundle: Bundle, graph: OrtGraph, calibration: Calibration, pairs: Pairs, precision: str | None = None
) -> dict[str, Coverage]:
    """Condition -> coverage and sharpness of a network's calibrated intervals; the network in its card's precision.

    Args:
        bundle: of the network.
        graph: of the head.
        calibration: of the head for the network.
        pairs: see `degraded`.
        precision: in which the network runs; None for its card's.
    """
    results = {}
    with closing(OrtSession(bundle, 1, precision)) as session:
        for condition, pair in pairs.items():
            one = upscaled(session, *pair)
            results[condition] = measure(calibration.apply(raw_widths(graph, one)), one.errors, COVERAGE)
    return results


def spread_gain(head: Uncertainty, bundle: Bundle, pairs: Pairs, report: Callable[[str], None]) -> float:
    """Multiply the logarithm of the gain of a head, in place, see `spread`; returns the factor."""
    with closing(OrtSession(bundle, 1)) as session:
        parts = {name: upscaled(session, *pair) for name, pair in pairs.items()}
    values = {
        name: (*map_and_log_gain(head, one.crops, one.pixels), one.errors[:, ::STRIDE, ::STRIDE])
        for name, one in parts.items()
    }
    factor = spread(values)
    with torch.no_grad():
        head.gain.out.weight.mul_(factor)
        head.gain.out.bias.mul_(factor)
    for number in (1.0, factor):
        shares = ", ".join(f"{name} {share:.3f}" for name, share in coverages(values, number).items())
        report(f"logarithm of the gain times {number}: {shares}")
    return factor


def build(
    folder: Path,
    head: Uncertainty,
    options: FitOptions,
    networks: Mapping[str, Bundle],
    calibration_faces: list[Images],
    test_faces: list[Images],
    training: Mapping[str, Any],
    conditions: Sequence[str] = CONDITIONS,
    report: Callable[[str], None] = lambda line: None,
) -> Bundle:
    """Export a head, calibrate it for each network, measure it, and write its bundle.

    Args:
        folder: of the bundle; an existing one is replaced.
        head, options: trained head, whose gain is spread for the first network, and its options.
        networks: name -> bundle of a network of scale 4.
        calibration_faces, test_faces: pictures that neither was trained on, and held-out ones.
        training: of the card: data.
        conditions: under which the coverage on `test_faces` is stated.
        report: called with a line for each network.

    Raises:
        BuildError: the head cannot be exported.
        OutputError: the bundle cannot be written.
    """
    known, held_out = degraded(calibration_faces, CONDITIONS), degraded(test_faces, conditions)
    options_of_gain = {"gain_factor": spread_gain(head, next(iter(networks.values())), known, report)}
    onnx = graph_from_head(head).SerializeToString()
    with TemporaryDirectory() as temporary:
        graph = OrtGraph(Path(temporary) / ONNX, 1, content=onnx)
        calibrations: list[Calibration] = []
        evaluations: list[Evaluation] = []
        for name, bundle in networks.items():
            calibrations.append(calibrated_for(bundle, graph, known))
            for condition, one in coverage_of(bundle, graph, calibrations[-1], held_out).items():
                evaluations.append(Evaluation(f"test, {name}", len(test_faces), condition, "fp32", one.to_dict()))
                report(
                    f"{name}, {condition}: {one.coverage:.1%} within {one.mean_half_width:.1f} gray levels on average"
                )
        with closing(OrtSession(next(iter(networks.values())), 1)) as session:
            sample = upscaled(session, *(one[:BATCH] for one in held_out[conditions[0]]))
        parity = check_parity(head, sample.crops, sample.pixels, raw_widths(graph, sample))
        graph.close()
    card = Card(
        name=folder.name,
        io_spec=IOSpec(TASK, scale=head.scale, crop_sizes=CROP_SIZES, batches=(1, 2, 4, 8)),
        precision="fp32",
        network="uncertainty",
        config={"width": options.width, "depth": options.depth, "scale": head.scale},
        parity=parity,
        evaluations=tuple(evaluations),
        training={**training, "loss": f"pinball at {COVERAGE}", **asdict(options), **options_of_gain},
        licence="Apache-2.0",
        limitations=LIMITATIONS,
        build_versions={name: version(name) for name in ("torch", "onnx", "onnxsim", "onnxruntime")},
    )
    values = {"coverage": COVERAGE, "networks": [asdict(one) for one in calibrations]}
    contents = {
        ONNX: onnx,
        WEIGHTS: safetensors.torch.save(dict(head.state_dict())),
        CALIBRATION: (json.dumps(values, indent=1) + "\n").encode(),
    }
    return write_bundle(folder, card, contents)
