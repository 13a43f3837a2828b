"""Registration of faces against known motions: error and time of several methods.

    python -m facesr_edge.benchmarks.registration FACES SCENES [--count N] [--sides 32 64] [--json FILE]

Faces move through H.264 videos; the same tracks are registered by all methods in turn. The error is the root mean
square distance of the found and the true position over the face, in pixels of the crop, from one frame to the next and
chained over four frames; where a method has no answer, the face counts as not moved. The time is that of one crop,
without decoding and detection.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from facesr_edge.calibration.data.faces import read_faces
from facesr_edge.engines.multiframe.registration import IDENTITY, Affine, compose
from facesr_edge.sdk.load import load_detector
from facesr_edge.training.data.cameras.background import Backgrounds
from facesr_edge.training.data.cameras.landmarks import FaceLandmarks
from facesr_edge.zoo import catalogue

from .methods import METHODS, Step
from .recording import CODINGS, MOTIONS, Track, record

POINTS = 8
"""Positions per axis at which motions are compared, over the middle three fifths of the crop."""


@dataclass
class Errors:
    """Errors of one method on the tracks of one kind, pixels; and the time of its calls, seconds."""

    one: list[float] = field(default_factory=list)
    chained: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    calls: int = 0
    unanswered: int = 0

    def __add__(self, other: Errors) -> Errors:
        return Errors(
            self.one + other.one,
            self.chained + other.chained,
            self.seconds + other.seconds,
            self.calls + other.calls,
            self.unanswered + other.unanswered,
        )

    def add(self, track: Track, step: Step) -> None:
        """Register the crops of a track."""
        motion: Affine = IDENTITY
        last = len(track.crops) - 1
        for number in range(last):
            start = time.thread_time()
            found = step(track, number)
            self.seconds.append(time.thread_time() - start)
            self.calls += 1
            self.unanswered += found is None
            motion = compose(found or IDENTITY, motion)
            if number == last - 1:
                self.one.append(error_px(found or IDENTITY, track.motion(number, last), track.crops.shape[1]))
        self.chained.append(error_px(motion, track.motion(0, last), track.crops.shape[1]))

    def figures(self) -> dict[str, Any]:
        """Median, mean and 95th percentile of the errors in pixels, median time in µs, share without an answer."""
        return {
            "one_frame_px": _spread(self.one),
            "four_frames_px": _spread(self.chained),
            "time_us": round(1e6 * float(np.median(self.seconds)), 1),
            "unanswered": round(self.unanswered / self.calls, 4),
            "tracks": len(self.one),
        }


def error_px(found: Affine, true: Affine, side: int) -> float:
    """Root mean square distance of two motions over the face, pixels."""
    line = np.linspace(0.2, 0.8, POINTS) * (side - 1)
    points = np.stack([*map(np.ravel, np.meshgrid(line, line)), np.ones(POINTS**2)])
    difference = np.reshape(np.subtract(found, true), (2, 3)) @ points
    return float(np.sqrt(np.square(difference).sum(0).mean()))


def measured(tracks: Sequence[Track], methods: dict[str, Step]) -> dict[str, Errors]:
    """Errors of all methods, interleaved track by track."""
    errors = {name: Errors() for name in methods}
    for track in tracks:
        for name, step in methods.items():
            errors[name].add(track, step)
    return errors


def results(faces: Path, scenes: Path, count: int, sides: Sequence[int]) -> Iterator[list[dict[str, Any]]]:
    """For each side and coding a row for each method, over all motions and for each of them."""
    pictures = read_faces(faces, 64)
    common = max({len(one) for one in pictures}, key=[len(one) for one in pictures].count)
    pictures = [one for one in pictures if one.shape[:2] == (common, common)][:count]
    backgrounds = Backgrounds(scenes)
    landmarks = FaceLandmarks(catalogue.locate(catalogue.DEFAULT_DETECTOR))
    with closing(load_detector(threads=1)) as detect:
        for side in sides:
            for coding in CODINGS:
                by_motion = {}
                for motion in MOTIONS:
                    tracks = record(pictures, backgrounds, motion, coding, side, landmarks, detect)
                    by_motion[motion] = measured(tracks, METHODS)
                yield list(_rows(side, coding, by_motion))


def _rows(side: int, coding: str, by_motion: dict[str, dict[str, Errors]]) -> Iterator[dict[str, Any]]:
    for name in METHODS:
        errors = {motion: methods[name] for motion, methods in by_motion.items()}
        total = sum(errors.values(), Errors())
        motions = {motion: one.figures() for motion, one in errors.items()}
        yield {"side": side, "coding": coding, "method": name, **total.figures(), "motions": motions}


def _spread(values: Sequence[float]) -> dict[str, float]:
    median, high = np.percentile(values, (50, 95))
    return {"median": round(float(median), 4), "mean": round(float(np.mean(values)), 4), "p95": round(float(high), 4)}


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """A line for each method."""
    print(f"\n{rows[0]['side']} px, {rows[0]['coding']}, {rows[0]['tracks']} tracks")
    print(f"{'':26}   one frame, px       |  four frames, px     |         |")
    print(f"{'method':26} median   mean   95 % | median   mean   95 % | time µs | no answer %")
    for row in rows:
        one, four = (" ".join(f"{row[key][name]:6.3f}" for name in ("median", "mean", "p95")) for key in _ERRORS)
        print(f"{row['method']:26} {one} | {four} | {row['time_us']:7.0f} | {100 * row['unanswered']:6.1f}", flush=True)


_ERRORS = ("one_frame_px", "four_frames_px")


def main() -> None:
    """Print a table for each side and coding."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path, help="folder of portraits, not used in training")
    parser.add_argument("scenes", type=Path, help="folder of pictures without faces, for the background")
    parser.add_argument("--count", type=int, default=48, help="number of faces")
    parser.add_argument("--sides", type=int, nargs="+", default=[32, 64], help="of the crops, pixels")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    rows: list[dict[str, Any]] = []
    for table in results(options.faces, options.scenes, options.count, options.sides):
        print_table(table)
        rows += table
    if options.json:
        machine = {
            "machine": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "opencv": cv2.__version__,
        }
        options.json.write_text(json.dumps({**machine, "count": options.count, "rows": rows}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
