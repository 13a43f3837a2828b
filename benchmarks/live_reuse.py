"""Reuse and steadiness of live runs on simulated cameras behind H.264.

    python -m facesr_edge.benchmarks.live_reuse --faces FOLDER

For each clip: the share of faces that a network upscaled; the PSNR of all outputs, and of the reused ones, against the
network on the same crop; and of people who stand still, the mean absolute change of the face area from frame to frame
by bicubic interpolation, by the network and in the live run, the motion of their windows, and changes of window size.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
from facesr_edge import Frame, LiveFace, live, load
from facesr_edge.sdk.bench.scenes import Portrait, portraits_of
from facesr_edge.sdk.bench.walkers import make_view
from numpy.typing import NDArray

Image = NDArray[np.uint8]
CLIPS = {
    # name: frames/s, x264's constant rate factor (None: not coded), pixels/s
    "walking, 10 frames/s, crf 23": (10, 23, 40.0),
    "walking, 25 frames/s, crf 23": (25, 23, 40.0),
    "fast, 25 frames/s, crf 28": (25, 28, 80.0),
    "standing, 10 frames/s, not coded": (10, None, 0.0),
    "standing, 10 frames/s, crf 18": (10, 18, 0.0),
    "standing, 25 frames/s, crf 23": (25, 23, 0.0),
}
FACES, FRAMES, MAX_PORTRAITS = 4, 100, 60


@dataclass(frozen=True)
class Figures:
    """Of one clip; changes in gray levels per frame, None if nobody stands still."""

    faces: int
    network_share: float
    psnr_db: float
    reused_psnr_db: float
    changes: tuple[float, float, float] | None
    jitter_px: float | None
    switches: float | None


def coded(frames: Sequence[Image], rate: int, crf: int | None) -> list[Image]:
    """Frames after encoding as by a camera and decoding."""
    if crf is None:
        return list(frames)
    file = BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("libx264", rate=Fraction(rate))
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": str(crf), "preset": "veryfast", "tune": "zerolatency"}
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
        container.mux(stream.encode())
    file.seek(0)
    with av.open(file) as container:
        return [np.asarray(frame.to_ndarray(format="bgr24"), np.uint8) for frame in container.decode(video=0)]


def clip(portraits: Sequence[Portrait], rate: int, crf: int | None, speed: float, seed: int) -> Iterator[Frame]:
    """Frames of a simulated camera."""
    view = make_view(portraits, FACES, seed=seed, rate=rate, speed=speed)
    pixels = coded([frame.pixels for frame in view.frames(FRAMES)], rate, crf)
    return (Frame(one, index, index / rate) for index, one in enumerate(pixels))


def measure(frames: Iterator[Frame], is_still: bool) -> Figures:
    """Run a clip live, and compare every face with the network."""
    with live(frames, outscale=1) as run, load(composite=False) as pipeline:
        tracks: dict[int, list[tuple[LiveFace, Image]]] = {}
        for result in run:
            for face in result.faces:
                tracks.setdefault(face.track_id, []).append((face, pipeline.upscale(face.original[None])[0]))
    pairs = [pair for track in tracks.values() for pair in track]
    errors = np.array([np.square(face.pixels.astype(np.float32) - full).mean() for face, full in pairs])
    reused = np.array([face.treatment == "reused" for face, _ in pairs])
    share = float(np.mean([face.treatment in ("network", "small network") for face, _ in pairs]))
    steps = [(a, b) for track in tracks.values() for a, b in pairwise(track)]
    still = [(a, b) for a, b in steps if a[0].window_xyxy == b[0].window_xyxy] if is_still else []
    moves = [np.abs(np.subtract(a.window_xyxy[:2], b.window_xyxy[:2])).max() for (a, _), (b, _) in steps]
    sizes = [len(a.original) != len(b.original) for (a, _), (b, _) in steps]
    return Figures(
        len(pairs),
        share,
        psnr(errors),
        psnr(errors[reused]),
        changes(still) if still else None,
        float(np.mean(moves)) if is_still else None,
        float(np.mean(sizes)) if is_still else None,
    )


def changes(steps: Sequence[tuple[tuple[LiveFace, Image], tuple[LiveFace, Image]]]) -> tuple[float, float, float]:
    """Mean absolute change of the face area by bicubic interpolation, by the network, and in the run."""
    differences = []
    for (a, network_a), (b, network_b) in steps:
        area = face_area(b)
        shown = [(bicubic(a), bicubic(b)), (network_a, network_b), (a.pixels, b.pixels)]
        differences.append([np.abs(x[area].astype(np.int16) - y[area]).mean() for x, y in shown])
    first, second, third = np.mean(differences, axis=0).tolist()
    return first, second, third


def bicubic(face: LiveFace) -> Image:
    """Enlarged crop."""
    return np.asarray(cv2.resize(face.original, face.pixels.shape[1::-1], interpolation=cv2.INTER_CUBIC), np.uint8)


def face_area(face: LiveFace) -> tuple[slice, slice]:
    """Rows and columns of the face box in the enlarged crop."""
    box = np.rint((face.box_xyxy - np.tile(face.window_xyxy[:2], 2)) * face.scale).astype(int).clip(0)
    return slice(box[1], box[3]), slice(box[0], box[2])


def psnr(errors: NDArray[np.floating]) -> float:
    """dB of mean squared errors."""
    return float(10 * np.log10(255**2 / max(errors.mean(), 1e-9))) if len(errors) else float("inf")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True, help="folder of portraits")
    arguments = parser.parse_args()
    paths = sorted(arguments.faces.iterdir())[:MAX_PORTRAITS]
    images = [np.asarray(image, np.uint8) for path in paths if (image := cv2.imread(str(path))) is not None]
    with load(composite=False) as pipeline:
        portraits = portraits_of(images, pipeline.detector)
    print("| clip | faces | network | PSNR, all | PSNR, reused | change: bicubic, network, live | window | size |")
    print("|---|---|---|---|---|---|---|---|")
    for seed, (name, (rate, crf, speed)) in enumerate(CLIPS.items()):
        got = measure(clip(portraits, rate, crf, speed, seed), is_still=not speed)
        still = (
            "| – | – | –"
            if got.changes is None
            else ("| {:.2f}, {:.2f}, {:.2f} ".format(*got.changes) + f"| {got.jitter_px:.2f} px | {got.switches:.1%}")
        )
        quality = f"{got.psnr_db:.1f} dB | {got.reused_psnr_db:.1f} dB"
        print(f"| {name} | {got.faces} | {got.network_share:.0%} | {quality} {still} |")


if __name__ == "__main__":
    main()
