"""What several frames add on real footage, measured on frames that the compared faces were not made from.

    python -m facesr_edge.benchmarks.multiframe_footage VIDEO ... [--reduce 1 2 3] [--frames K ...]

Of each face that is followed to frame t, the face of frame t - 1 is made from the frames up to t - 1, from that frame
alone, and by bicubic interpolation. All three are moved to where the face is in frame t, reduced to the camera's
pixels, and compared with what the camera delivered, see `sdk.multiframe.held_out`. Reduced footage has smaller and
cleaner faces. The interval is of the mean over tracks drawn with replacement, 95 %.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import facesr_edge
import numpy as np
from facesr_edge.calibration.metrics.flicker import flicker
from facesr_edge.engines.bundle.io_spec import CROP_SIZES
from facesr_edge.engines.errors import FacesrError
from facesr_edge.engines.multiframe.history import History, extended
from facesr_edge.engines.multiframe.registration import compose, inverse
from facesr_edge.engines.multiframe.session import MultiFrameSession, crops_used
from facesr_edge.engines.padding import copy_window
from facesr_edge.engines.registry import open_session
from facesr_edge.sdk.live.tracks.tracker import TrackerState, track_next
from facesr_edge.sdk.media.sources import open_source
from facesr_edge.sdk.multiframe.held_out import HeldOutErrors, held_out_errors
from facesr_edge.sdk.pipeline.detect import Detector
from facesr_edge.sdk.pipeline.frame import Frame
from facesr_edge.zoo import catalogue
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
SCALE, DRAWS = 4, 2000
Row = tuple[int, int, HeldOutErrors, tuple[float, float]]


class Seen(NamedTuple):
    """A face in one frame: number of the frame, crop (S, S, 3), corner of its window, box in the crop."""

    number: int
    crop: Pixels
    origin_xy: tuple[int, int]
    box_xyxy: NDArray[np.float32]


@dataclass(frozen=True)
class Measured:
    """A frame that was predicted.

    Args:
        clip: name.
        reduce: factor by which the footage was reduced.
        track: number.
        frames: maximum number of crops; `used`, the number behind this face.
        side: of the crop, pixels.
        errors: of the predictions.
        flicker: of the faces of t - 2 and t - 1 along the registered motion, gray levels: several frames, one frame;
            nan where the face of t - 2 has too few crops.
    """

    clip: str
    reduce: int
    track: int
    frames: int
    used: int
    side: int
    errors: HeldOutErrors
    flicker: tuple[float, float]


def followed(frames: Iterable[Frame], detector: Detector, reduce: int) -> dict[int, list[Seen]]:
    """Faces of a clip by their tracks."""
    state, tracks = TrackerState(), dict[int, list[Seen]]()
    for frame in frames:
        pixels = frame.pixels
        if reduce > 1:
            size = pixels.shape[1] // reduce, pixels.shape[0] // reduce
            pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
        detections = detector.detect(pixels)
        state = track_next(state, detections, frame.time_s, (pixels.shape[1], pixels.shape[0]), CROP_SIZES)
        for track in state.tracks:
            if track.window is None:
                continue
            crop = np.empty((track.window.side, track.window.side, 3), np.uint8)
            origin = track.window.x, track.window.y
            copy_window(pixels, *origin, crop)
            box = np.asarray(track.box_xyxy - np.tile(origin, 2), np.float32)
            tracks.setdefault(track.id, []).append(Seen(frame.index, crop, origin, box))
    return tracks


def measured(track: Sequence[Seen], session: MultiFrameSession) -> Iterator[Row]:
    """Crops used, side, errors and flicker at each frame of a track whose face before has enough crops."""
    history: History | None = None
    before: tuple[Seen, Pixels, Pixels, int] | None = None
    for last, seen in zip([None, *track], track, strict=False):
        if last is None or seen.number != last.number + 1:
            history, before = None, None
        history = extended(history, seen.crop, seen.origin_xy, session.frames)
        faces = None
        if crops_used(history) > 1:
            output = session.infer_batches([seen.crop[None]], [[history]])[0]
            single = session.single.infer_batches([seen.crop[None]])[0]
            faces = seen, output.output.tensor[0], single.tensor[0], output.frames[0]
        if before is not None:
            old, several, one, used = before
            (x, y), (next_x, next_y) = old.origin_xy, seen.origin_xy
            moved = next_x - x, next_y - y
            errors = held_out_errors(old.crop, several, one, seen.crop, seen.box_xyxy, moved)
            steady = float("nan"), float("nan")
            if faces is not None:
                motion = compose(inverse(history.crops[-1].to_key), history.crops[-2].to_key)
                steady = flicker(several, faces[1], SCALE, motion), flicker(one, faces[2], SCALE, motion)
            if errors is not None:
                yield used, len(old.crop), errors, steady
        before = faces


def interval(gains: dict[Any, list[float]]) -> str:
    """95 % interval of the mean over frames, tracks (keys) drawn with replacement; of one track there is none."""
    if len(gains) < 2:
        return "one track"
    tracks = [np.array(values) for values in gains.values()]
    rng = np.random.default_rng(0)
    sums, sizes = np.array([one.sum() for one in tracks]), np.array([len(one) for one in tracks])
    drawn = rng.integers(len(tracks), size=(DRAWS, len(tracks)))
    means = sums[drawn].sum(1) / sizes[drawn].sum(1)
    low, high = np.percentile(means, [2.5, 97.5]).tolist()
    return f"{low:+.2f} to {high:+.2f}"


HEAD = (
    f"{'clip':28} {'reduced':>7} {'K':>2} {'crops':>9} {'tracks':>6} {'frames':>6} {'single':>7} {'gain, dB':>8} "
    f"{'95 % interval':>15} {'spread':>6} {'better':>6} {'over bicubic':>12} {'flicker: single, several':>25}"
)


def line(name: str, reduce: str, frames: int, rows: Sequence[Measured]) -> str:
    """A line of the table."""
    gains: dict[Any, list[float]] = {}
    for row in rows:
        gains.setdefault((row.clip, row.reduce, row.track), []).append(row.errors.gain_db)
    every = np.concatenate([np.array(values) for values in gains.values()])
    single = np.mean([10 * np.log10(255**2 / row.errors.single) for row in rows])
    bicubic = np.mean([10 * np.log10(row.errors.bicubic / row.errors.fused) for row in rows])
    steady = np.array([row.flicker for row in rows if np.isfinite(row.flicker).all()]).reshape(-1, 2)
    several, one = np.sqrt(np.square(steady).mean(0)).tolist() if len(steady) else (float("nan"), float("nan"))
    sides = sorted({row.side for row in rows})
    size = f"{sides[0]}-{sides[-1]} px" if len(sides) > 1 else f"{sides[0]} px"
    return (
        f"{name[:28]:28} {reduce:>7} {frames:2} {size:>9} {len(gains):6} {len(every):6} {single:7.2f} "
        f"{every.mean():+8.2f} {interval(gains):>15} {every.std():6.2f} {(every > 0).mean():6.0%} {bicubic:+12.2f} "
        f"{f'{one:.2f}, {several:.2f}':>18} {several / one:6.0%}"
    )


def main() -> None:
    """Print a table by clip and reduction, by size, and over all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", nargs="+", type=Path, help="clips with faces")
    parser.add_argument("--model", default="edge-tiny-x4-camera", help="network for one frame")
    parser.add_argument("--track-model", default="edge-tiny-x4-track", help="network for several frames")
    parser.add_argument("--engine", default="onnxruntime")
    parser.add_argument("--precision", choices=("fp32", "int8"), default="fp32")
    parser.add_argument("--frames", nargs="+", type=int, default=[3, 5, 7], metavar="K", help="numbers of crops")
    parser.add_argument("--reduce", nargs="+", type=int, default=[1, 2, 3], help="factors, for smaller faces")
    parser.add_argument("--json", type=Path, help="file for the figures of every frame")
    args = parser.parse_args()
    try:
        rows = run(args)
    except FacesrError as error:
        sys.exit(f"multiframe_footage: {error}")
    if args.json:
        args.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


def run(args: argparse.Namespace) -> list[Measured]:
    """Measure all clips, and print the table."""
    cv2.setNumThreads(1)
    detector = facesr_edge.load_detector(engine=args.engine, threads=1, precision=args.precision)
    single = open_session(catalogue.find(args.model), args.engine, 1, args.precision)
    several = open_session(catalogue.find(args.track_model), args.engine, 1, args.precision)
    rows: list[Measured] = []
    print(HEAD)
    for path in args.video:
        for reduce in args.reduce:
            with open_source(path) as source:
                tracks = followed(source, detector, reduce)
            for frames in args.frames:
                session = MultiFrameSession(single, several, frames)
                new = [
                    Measured(path.name, reduce, number, frames, used, side, errors, steady)
                    for number, track in tracks.items()
                    for used, side, errors, steady in measured(track, session)
                ]
                rows += new
                print(
                    line(path.name, f"1/{reduce}", frames, new) if new else f"{path.name:28} 1/{reduce} no face",
                    flush=True,
                )
    for frames in args.frames:
        some = [row for row in rows if row.frames == frames]
        for low, high in ((0, 32), (33, 48), (49, 64), (65, max(CROP_SIZES))):
            sized = [row for row in some if low <= row.side <= high]
            if sized:
                print(line("all clips, by crop", "", frames, sized))
        if some:
            print(line("all clips", "", frames, some))
    return rows


if __name__ == "__main__":
    main()
