"""Train, calibrate and measure the uncertainty head of the networks of scale 4.

    python -m facesr_edge.benchmarks.uncertainty_head --faces DIR --large DIR --test DIR --work DIR -o BUNDLE

Samples, training and checkpoint lie in --work: a stopped run goes on from there. Every eighth face of --faces is kept
for the calibration, the others and --large are for the training, --test for the coverage on the card.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import torch
from facesr_edge.calibration.data.faces import read_faces
from facesr_edge.engines.bundle.bundle import Bundle
from facesr_edge.engines.errors import FacesrError
from facesr_edge.engines.onnxruntime.session import OrtGraph, OrtSession
from facesr_edge.engines.uncertainty import calibration_for
from facesr_edge.training.uncertainty.build import build, coverage_of, degraded
from facesr_edge.training.uncertainty.fit import FitOptions, fit, fit_gain
from facesr_edge.training.uncertainty.samples import CONDITIONS, read_samples, write_samples
from facesr_edge.zoo.catalogue import find

TRAINED_ON = tuple(f"edge-{size}-x4{kind}" for size in ("nano", "tiny", "small") for kind in ("", "-camera"))
"""Networks whose errors are learnt."""
CALIBRATED = (*TRAINED_ON, "idrn-x4", "idrn-x4-camera")
"""Networks that get a calibration."""
OTHERS = ("recorded", "frame", "jpeg-75", "h264-cbr", "noise-h264-26", "blur-h264-23", "sharpened-h264-23")
"""Conditions without a calibration, for the limits."""
HELD_BACK = 8
"""Every such face is for the calibration."""


def main() -> None:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for name in ("--faces", "--large", "--test", "--work"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, help="bundle to write; without it, an existing one is measured")
    parser.add_argument("--steps", type=int, default=FitOptions.steps)
    parser.add_argument("--others", action="store_true", help="measure conditions that are not calibrated")
    parser.add_argument("--precision", help="in which the networks are measured, e.g. int8; else that of their card")
    parser.add_argument("--every", type=int, default=1, help="measure every such face of --test")
    parser.add_argument("--networks", nargs="*", default=CALIBRATED)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        if arguments.output:
            train_and_build(arguments)
        if arguments.others:
            measure_others(arguments)
    except FacesrError as error:
        sys.exit(f"error: {error}")


def train_and_build(arguments: argparse.Namespace) -> None:
    """Samples, training, calibration, bundle; with the latency of the head beside that of edge-tiny-x4."""
    faces = read_faces(arguments.faces)
    training = [face for number, face in enumerate(faces) if number % HELD_BACK]
    networks = {name: partial(_open, name) for name in TRAINED_ON}
    large = 2 * read_faces(arguments.large)
    write_samples(arguments.work / "samples", [*training, *large], networks, 2, 1, _say)
    options, start = FitOptions(steps=arguments.steps), time.perf_counter()

    def report(step: int, loss: float) -> None:
        _say(f"step {step} of {options.steps}: {loss:.4f} gray levels, {time.perf_counter() - start:.0f} s")

    samples = read_samples(arguments.work / "samples")
    head = fit(samples, options, arguments.work / "checkpoint.pt", report)
    fit_gain(head, samples, options.seed, _say)
    bundles: dict[str, Bundle] = {name: find(name) for name in arguments.networks}
    data = f"errors of {', '.join(TRAINED_ON)} on faces/train and faces_large/train"
    calibration = f"every {HELD_BACK}th face of faces/train, which no training of the head has seen"
    build(
        arguments.output,
        head,
        options,
        bundles,
        faces[::HELD_BACK],
        read_faces(arguments.test),
        {"data": data, "calibration": calibration},
        CONDITIONS,
        _say,
    )


def measure_others(arguments: argparse.Namespace) -> None:
    """Print the coverage of the shipped head under `OTHERS`, as JSON lines."""
    head = find(arguments.output or "uncertainty-x4")
    pairs = degraded(read_faces(arguments.test)[:: arguments.every], (*CONDITIONS, *OTHERS))
    with closing(OrtGraph(head.onnx, 1)) as graph:
        for name in arguments.networks:
            bundle = find(name)
            results = coverage_of(bundle, graph, calibration_for(head, bundle.card), pairs, arguments.precision)
            of = {"network": name, "precision": arguments.precision or bundle.card.precision}
            for condition, one in results.items():
                print(json.dumps({**of, "condition": condition, **one.to_dict()}), flush=True)


def _open(name: str) -> OrtSession:
    return OrtSession(find(name), 1)


def _say(line: str) -> Any:
    print(line, flush=True)


if __name__ == "__main__":
    main()
