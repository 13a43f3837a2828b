"""What several frames of a face add to one, on held-out sequences of simulated cameras.

    python -m facesr_edge.benchmarks.multiframe FACES SCENES [--frames K ...] [--json FILE]

Every face is recorded by each camera with each motion. The tables: PSNR of the newest face over the single-frame
network by the number of crops, with the motion that the registration finds and with the true one; planted faults;
flicker of still faces; and time per face, interleaved in one run.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import facesr_edge
import numpy as np
from facesr_edge.calibration.data.faces import read_faces
from facesr_edge.engines.errors import FacesrError
from facesr_edge.engines.multiframe.session import MultiFrameSession
from facesr_edge.engines.registry import open_session
from facesr_edge.training.data.cameras.background import Backgrounds
from facesr_edge.training.data.cameras.landmarks import FaceLandmarks
from facesr_edge.training.data.cameras.tracks import Tracks
from facesr_edge.zoo import catalogue

from .cost import cost
from .faults import fault_results
from .quality import flicker_rows, psnr_rows
from .sequences import CONDITIONS, MOVING, NOISY, STILL, Pixels, record

SIDE = 32
"""Crops of the tables of quality, pixels."""
FAULTY = ("clean", "crf 28")
"""Conditions of the planted faults."""
COST_SIDES, COST_BATCHES = (32, 64), (1, 8)
PRECISIONS = ("fp32", "int8")


class Inputs:
    """Records held-out tracks, each set once.

    Args:
        faces: folder of faces.
        scenes: folder of backgrounds.
        max_faces: number of faces at most.
    """

    def __init__(self, faces: Path, scenes: Path, max_faces: int) -> None:
        self._faces: list[Pixels] = read_faces(faces, SIDE)[:max_faces]
        self._backgrounds = Backgrounds(scenes)
        self._landmarks = FaceLandmarks(catalogue.FOLDER / catalogue.DEFAULT_DETECTOR)
        self._sets: dict[tuple[str, str, int], Tracks] = {}

    def tracks(self, condition: str, kind: str, side: int = SIDE) -> Tracks:
        """See `record`."""
        key = condition, kind, side
        if key not in self._sets:
            faces = self._faces if side == SIDE else [_resized(face, side) for face in self._faces[:8]]
            self._sets[key] = record(faces, self._backgrounds, condition, kind, side, self._landmarks)
        return self._sets[key]


def _resized(face: Pixels, side: int) -> Pixels:
    size = face.shape[0] * side // SIDE
    return np.asarray(cv2.resize(face, (size, size), interpolation=cv2.INTER_CUBIC), np.uint8)


def quality(session: MultiFrameSession, inputs: Inputs, frames: Sequence[int]) -> dict[str, Any]:
    """Print PSNR by condition, motion and number of frames."""
    print("\nPSNR of the single-frame network, and change by several frames, dB: registered / true motion")
    print(f"{'camera':8} {'motion':6} {'single':>7} " + " ".join(f"{f'K = {k}':>13}" for k in frames) + "  failed")
    rows: dict[str, Any] = {}
    for condition in CONDITIONS:
        for kind in (*MOVING, STILL):
            row = psnr_rows(session, inputs.tracks(condition, kind), frames)
            rows[f"{condition}, {kind}"] = row
            cells = (f"{row['registered'][k]:+.2f} / {row['true motion'][k]:+.2f}" for k in frames)
            line = " ".join(f"{cell:>13}" for cell in cells)
            print(f"{condition:8} {kind:6} {row['single']:7.2f} {line}  {row['failed']:.1%}", flush=True)
    print(
        "\nchange by the multi-frame network alone, without the single-frame one for few crops, dB: mean / lowest set"
    )
    for condition in CONDITIONS:
        sets = [rows[f"{condition}, {kind}"]["network alone"] for kind in (*MOVING, STILL)]
        cells = (f"{np.mean([s[k] for s in sets]):+.2f} / {min(s[k] for s in sets):+.2f}" for k in frames)
        print(f"{condition:8} {'':6} {'':7} " + " ".join(f"{cell:>13}" for cell in cells))
    return rows


def faults(session: MultiFrameSession, inputs: Inputs) -> dict[str, Any]:
    """Print the change of the PSNR under planted faults."""
    print(f"\nchange of the PSNR by several frames, K = {session.frames}: mean, worst tenth, dB; crops used")
    results = {condition: fault_results(session, inputs.tracks(condition, "shift")) for condition in FAULTY}
    print(f"{'':38}" + "".join(f"{condition:^24}" for condition in FAULTY))
    for row in zip(*results.values(), strict=True):
        cells = "".join(f"  {one.change_db:+6.2f} {one.worst_db:+6.2f} {one.frames:6.1f} " for one in row)
        print(f"{row[0].name:38}{cells}", flush=True)
    return {condition: [asdict(one) for one in some] for condition, some in results.items()}


def steadiness(session: MultiFrameSession, inputs: Inputs, frames: Sequence[int]) -> dict[str, Any]:
    """Print the flicker of moving and of still faces."""
    some = [k for k in frames if k > 1]
    print("\nflicker along the true motion, gray levels, and relative to the single-frame network; change of the PSNR")
    print(f"{'camera':16} {'motion':6} {'bicubic':>8} {'single':>8} " + " ".join(f"{f'K = {k}':>20}" for k in some))
    rows: dict[str, Any] = {}
    sets = [(condition, "shift") for condition in CONDITIONS] + [(condition, STILL) for condition in NOISY]
    for condition, kind in sets:
        row = rows[f"{condition}, {kind}"] = flicker_rows(session, inputs.tracks(condition, kind), some)
        one, several, gain = max(row["single"], 1e-9), row["several"], row["gain_db"]
        cells = (f"{several[k]:.2f} {several[k] / one:.0%} {gain[k]:+.2f} dB" for k in some)
        line = " ".join(f"{cell:>20}" for cell in cells)
        print(f"{condition:16} {kind:6} {row['bicubic']:8.2f} {row['single']:8.2f} {line}", flush=True)
    return rows


def costs(args: argparse.Namespace, inputs: Inputs, frames: Sequence[int]) -> list[dict[str, Any]]:
    """Print times by precision, number of frames, size and batch."""
    print(f"\ntime per face and frame, ms, {args.engine}, 1 thread: median of {args.rounds} rounds")
    print(
        f"{'':6} {'K':>2} {'side':>5} {'batch':>5} {'single':>8} {'several':>8} {'ratio':>6} "
        f"{'register':>9} {'samples':>8}"
    )
    rows = []
    for precision in args.precision:
        for k in (k for k in frames if k > 1):
            session = opened(args, precision, k)
            for side in COST_SIDES:
                crops = inputs.tracks("crf 23", "shift", side).lr
                for batch in COST_BATCHES:
                    one = cost(session, crops[:batch], args.rounds)
                    rows.append({"precision": precision, "frames": k, "ratio": one.ratio, **asdict(one)})
                    times = f"{one.single:8.3f} {one.several:8.3f} {one.ratio:6.2f} {one.registration:9.3f}"
                    print(f"{precision:6} {k:2} {side:5} {batch:5} {times} {one.samples:8.3f}", flush=True)
    return rows


def opened(args: argparse.Namespace, precision: str, frames: int) -> MultiFrameSession:
    """Both networks on one thread."""
    single = open_session(catalogue.find(args.model), args.engine, 1, precision)
    several = open_session(catalogue.find(args.track_model), args.engine, 1, precision)
    return MultiFrameSession(single, several, frames)


PARTS = ("quality", "faults", "flicker", "cost")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path, help="folder of held-out faces, squares of one size")
    parser.add_argument("scenes", type=Path, help="folder of held-out backgrounds")
    parser.add_argument("--model", default="edge-tiny-x4-camera", help="network for one frame")
    parser.add_argument("--track-model", default="edge-tiny-x4-track", help="network for several frames")
    parser.add_argument("--engine", default="onnxruntime")
    parser.add_argument("--quality-precision", choices=PRECISIONS, default="fp32", help="of the other tables")
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, default=list(PRECISIONS), help="of the times")
    parser.add_argument("--frames", nargs="+", type=int, default=[1, 2, 3, 5, 7], metavar="K", help="numbers of crops")
    parser.add_argument("--max-faces", type=int, default=1000, help="number of faces")
    parser.add_argument("--rounds", type=int, default=50, help="of the times")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="tables to print")
    parser.add_argument("--json", type=Path, help="file for the figures")
    args = parser.parse_args()
    try:
        results = measured(args)
    except FacesrError as error:
        sys.exit(f"multiframe: {error}")
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


def measured(args: argparse.Namespace) -> dict[str, Any]:
    """Figures of the chosen parts by their names."""
    cv2.setNumThreads(1)
    inputs = Inputs(args.faces, args.scenes, args.max_faces)
    results: dict[str, Any] = {"version": facesr_edge.__version__}
    session = opened(args, args.quality_precision, max(args.frames))
    if "quality" in args.parts:
        results["quality"] = quality(session, inputs, args.frames)
    if "faults" in args.parts:
        results["faults"] = faults(session, inputs)
    if "flicker" in args.parts:
        results["flicker"] = steadiness(session, inputs, args.frames)
    if "cost" in args.parts:
        results["cost"] = costs(args, inputs, args.frames)
    return results


if __name__ == "__main__":
    main()
