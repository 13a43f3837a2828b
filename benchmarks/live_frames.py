"""Several frames of a face in live runs: what they add and cost, on simulated cameras behind H.264.

    python -m facesr_edge.benchmarks.live_frames --faces FOLDER

The walkers are drawn at the resolution of the upscaled faces; the camera sees that reduced, with noise, behind a codec.
Every clip is run with one frame and with several, in turn. PSNR compares all faces of a run, whatever their treatment,
with the drawing inside of the face boxes. Processor time is that of the whole process after the first result.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from facesr_edge import Frame, LiveFace, live, load
from facesr_edge.benchmarks.live_reuse import Image, coded, face_area
from facesr_edge.sdk.bench.scenes import Portrait, portraits_of
from facesr_edge.sdk.bench.walkers import NOISE, make_view
from facesr_edge.zoo import catalogue
from numpy.typing import NDArray

CLIPS = {
    # name: frames/s, x264's constant rate factor (None: not coded), pixels/s
    "walking, 10 frames/s, crf 23": (10, 23, 40.0),
    "walking, 25 frames/s, crf 23": (25, 23, 40.0),
    "fast, 25 frames/s, crf 28": (25, 28, 80.0),
    "standing, 25 frames/s, crf 23": (25, 23, 0.0),
}
FACES, FRAMES, ROUNDS, MAX_PORTRAITS = 4, 100, 2, 40
SCALE = 4


@dataclass(frozen=True)
class Run:
    """Figures of one run of a clip."""

    errors: NDArray[np.float64]  # mean squared error of each face
    fresh: NDArray[np.bool_]  # whether a network upscaled it in this frame
    by_network: float  # share of the faces
    frames: float  # mean number of crops behind a face
    cpu_ms: float  # for each frame of the clip

    @property
    def psnr_db(self) -> float:
        """Mean over the faces."""
        return psnr_db(self.errors)

    @property
    def fresh_psnr_db(self) -> float:
        """Mean over the faces that a network upscaled in this frame."""
        return psnr_db(self.errors[self.fresh])


def drawings(people: Sequence[Portrait], seed: int, rate: int, speed: float, count: int = FRAMES) -> list[Image]:
    """Frames at `SCALE` times the resolution of the camera."""
    view = make_view(people, FACES, seed=seed, rate=rate, speed=speed)
    background = cv2.resize(view.background, None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_CUBIC)
    walkers = tuple(
        replace(one, face=SCALE * one.face, x=SCALE * one.x, y=SCALE * one.y, speed=SCALE * one.speed)
        for one in view.walkers
    )
    large = replace(view, background=np.asarray(background, np.uint8), walkers=walkers, noise=0.0)
    return [frame.pixels for frame in large.frames(count)]


def seen(drawing: Image, seed: int) -> Image:
    """What the camera sees."""
    small = cv2.resize(drawing, None, fx=1 / SCALE, fy=1 / SCALE, interpolation=cv2.INTER_AREA)
    noise = np.asarray(np.random.default_rng(seed).normal(0, NOISE, small.shape), np.float32)
    return np.asarray(cv2.add(small, noise, dtype=cv2.CV_8U), np.uint8)


def psnr_db(errors: NDArray[np.float64]) -> float:
    """Mean of the PSNR of faces."""
    return float(np.mean(10 * np.log10(255**2 / np.maximum(errors, 1e-3)))) if len(errors) else float("nan")


def error_of(face: LiveFace, truth: Image) -> float | None:
    """Mean squared error in the face box; None for a face whose crop reaches past the frame."""
    left, top, right, bottom = (SCALE * value for value in face.window_xyxy)
    if left < 0 or top < 0 or bottom > truth.shape[0] or right > truth.shape[1]:
        return None
    area = face_area(face)
    return float(np.square(face.pixels[area].astype(np.float32) - truth[top:bottom, left:right][area]).mean())


def run_clip(pixels: Sequence[Image], truths: Sequence[Image], rate: int, frames: int, track_model: str) -> Run:
    """Run a clip live, and compare every face with the truth."""
    source = [Frame(one, index, index / rate) for index, one in enumerate(pixels)]
    errors, fresh, networks, counts, cpu_s = [], [], [], [], 0.0
    with live(source, outscale=1, frames=frames, track_model=track_model, threads=1) as run:
        next(run)
        start_s = time.process_time()
        results = list(run)
        cpu_s = time.process_time() - start_s
    for result in results:
        for face in result.faces:
            networks.append(face.treatment == "network")
            counts.append(face.frames)
            if (error := error_of(face, truths[result.source.index])) is not None:
                errors.append(error)
                fresh.append(networks[-1])
    return Run(
        np.array(errors), np.array(fresh), float(np.mean(networks)), float(np.mean(counts)), 1e3 * cpu_s / len(results)
    )


def portraits(folder: Path) -> list[Portrait]:
    """Faces for the walkers."""
    paths = sorted(folder.iterdir())[:MAX_PORTRAITS]
    images = [np.asarray(image, np.uint8) for path in paths if (image := cv2.imread(str(path))) is not None]
    with load(composite=False) as pipeline:
        return portraits_of(images, pipeline.detector)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True, help="folder of portraits")
    parser.add_argument("--frames", type=int, default=7, help="maximum number of frames of a face")
    parser.add_argument("--track-model", default=catalogue.TRACK, help="multi-frame network")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="runs of each clip")
    arguments = parser.parse_args()
    people = portraits(arguments.faces)
    print("| clip | frames | faces | by network | crops of a face | PSNR, all | PSNR, network | CPU ms a frame |")
    print("|---|---|---|---|---|---|---|---|")
    for seed, (name, (rate, crf, speed)) in enumerate(CLIPS.items()):
        truths = drawings(people, seed, rate, speed)
        pixels = coded([seen(drawing, n) for n, drawing in enumerate(truths)], rate, crf)
        runs: dict[int, list[Run]] = {1: [], arguments.frames: []}
        for _ in range(arguments.rounds):
            for frames, own in runs.items():
                own.append(run_clip(pixels, truths, rate, frames, arguments.track_model))
        for frames, own in runs.items():
            cpu_ms = min(run.cpu_ms for run in own)
            one = own[0]
            quality = f"{one.psnr_db:.2f} dB | {one.fresh_psnr_db:.2f} dB"
            figures = f"{one.by_network:.0%} | {one.frames:.1f} | {quality} | {cpu_ms:.1f}"
            print(f"| {name} | {frames} | {len(one.errors)} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
