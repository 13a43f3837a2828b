"""Trackers on simulated faces of known identity: identity switches, fragments, time.

    pip install trackers                                  # optional, roboflow's
    python -m facesr_edge.benchmarks.trackers --faces FACES --scenes SCENES

Portraits move over scenes without faces, at up to 8 of their sides per second, turn back near the edges and hide each
other; the shipped detector finds them. Frames come at 25 or 10 per second, all of them, or with every fifth and bursts
of 0.3 s dropped. All trackers get the same detections and, if they take them, the same times.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from facesr_edge.calibration.metrics.detection import iou_matrix
from facesr_edge.engines.bundle.io_spec import CROP_SIZES
from facesr_edge.engines.postprocess import Detections
from facesr_edge.sdk.live.supervision import to_supervision
from facesr_edge.sdk.live.tracks.tracker import TrackerState, track_next
from facesr_edge.sdk.load import load_detector
from facesr_edge.sdk.media.sources import open_source
from facesr_edge.zoo.catalogue import DEFAULT_SCORE
from numpy.typing import NDArray

WH = (640, 360)
SECONDS, FPS = 12.0, 50
"""Of each clip; its frames are chosen from that many per second."""
FACES = 6
MIN_IOU = 0.3
"""Of a face and the box of a track."""
MIN_SCORE = 0.3
"""Trackers use weak detections to keep tracks."""

Step = Callable[[Detections, float], tuple[NDArray[Any], NDArray[Any]]]
"""Detections and time of a frame -> (N, 4) boxes of the tracks found in it, and their (N,) ids."""


@dataclass(frozen=True, eq=False)
class Portrait:
    """A face to paste: (h, w, 3) pixels, (h, w, 1) opacity, and (4,) its box in them."""

    pixels: NDArray[np.float32]
    opacity: NDArray[np.float32]
    box: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Moment:
    """A frame: its time, the detections, the (N, 4) true boxes and whether each is visible."""

    time_s: float
    detections: Detections
    boxes: NDArray[np.float32]
    visible: NDArray[np.bool_]


def portrait(picture: NDArray[np.uint8], box: NDArray[np.float32], side: float) -> Portrait:
    """The head of a picture, its face `side` pixels high, in an oval with a soft edge."""
    factor = side / float((box[2:] - box[:2]).max())
    small = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA).astype(np.float32)
    box = box * np.float32(factor)
    (x, y), (width, height) = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    rows, columns = np.mgrid[: small.shape[0], : small.shape[1]]
    radius = np.hypot((columns - x) / width, (rows - y) / height)
    opacity = np.clip((0.8 - radius) * side / 3, 0, 1)[..., None]
    return Portrait(small, opacity.astype(np.float32), box)


def paths(rng: np.random.Generator, count: int, sides: NDArray[np.float64]) -> NDArray[np.float64]:
    """(T, count, 2) centers: random velocities of up to 8 sides per second that change; near the edges faces turn back,
    within 0.6 s."""
    frames = round(SECONDS * FPS)
    speed = rng.uniform(0.5, 8, count) * sides
    angle = rng.uniform(0, 2 * np.pi, count)
    velocity = np.stack((np.cos(angle), 0.4 * np.sin(angle)), 1) * speed[:, None]
    center = rng.uniform((100, 100), (WH[0] - 100, WH[1] - 100), (count, 2))
    inner = np.array((90, 80)), np.array(WH) - (90, 80)
    track = []
    for _ in range(frames):
        velocity += rng.normal(0, 3 / FPS**0.5, (count, 2)) * sides[:, None] * (0.5, 0.2)
        velocity += 25 * (np.clip(center, *inner) - center) / FPS
        center = np.clip(center + velocity / FPS, 40, np.array(WH) - 40)
        track.append(center)
    return np.array(track)


def draw(scene: NDArray[np.uint8], portraits: list[Portrait], centers: NDArray[np.float64]) -> tuple[Any, Any, Any]:
    """The frame, (N, 4) boxes, and (N,) whether most of each face is visible; later portraits hide earlier ones."""
    frame, owner, boxes = scene.astype(np.float32), np.full(WH[::-1], -1), []
    for index, (one, center) in enumerate(zip(portraits, centers, strict=True)):
        corner = np.rint(center - (one.box[:2] + one.box[2:]) / 2).astype(int)
        y0, x0 = max(corner[1], 0), max(corner[0], 0)
        y1, x1 = min(corner[1] + len(one.pixels), WH[1]), min(corner[0] + one.pixels.shape[1], WH[0])
        part = (slice(y0 - corner[1], y1 - corner[1]), slice(x0 - corner[0], x1 - corner[0]))
        frame[y0:y1, x0:x1] += one.opacity[part] * (one.pixels[part] - frame[y0:y1, x0:x1])
        owner[y0:y1, x0:x1][one.opacity[part][..., 0] > 0.5] = index
        boxes.append(one.box + np.tile(corner, 2))
    visible = []
    for index, box in enumerate(boxes):
        left, top, right, bottom = np.clip(np.rint(box), 0, (*WH, *WH)).astype(int)
        visible.append((owner[top:bottom, left:right] == index).mean() > 0.6)
    return frame.astype(np.uint8), np.array(boxes, np.float32), np.array(visible)


def kept(rng: np.random.Generator, fps: int, drops: bool) -> NDArray[np.int64]:
    """Indices of the frames that come."""
    steps = np.arange(0, SECONDS * FPS, FPS / fps).astype(np.int64)
    if not drops:
        return steps
    starts = rng.uniform(0, SECONDS * FPS, round(SECONDS / 4))
    burst = ((steps[:, None] >= starts) & (steps[:, None] < starts + 0.3 * FPS)).any(1)
    return steps[~burst & (rng.random(len(steps)) > 0.2)]


@dataclass
class Score:
    """Counts over all clips of one tracker."""

    faces: int = 0
    switches: int = 0
    fragments: int = 0
    visible: int = 0
    tracked: int = 0
    false: int = 0
    frames: int = 0
    seconds: float = 0.0
    ids: set[tuple[int, int, int]] = field(default_factory=set)

    def add(self, clip: int, moments: list[Moment], step: Step) -> None:
        """Follow a clip."""
        last: dict[int, int] = {}
        lost: set[int] = set()
        self.faces += len(moments[0].boxes)
        for moment in moments:
            start = time.thread_time()
            boxes, ids = step(moment.detections, moment.time_s)
            self.seconds += time.thread_time() - start
            self.frames += 1
            found = dict(_pairs(moment.boxes, boxes))
            self.false += len(boxes) - len(found)
            self.visible += int(moment.visible.sum())
            for face in np.flatnonzero(moment.visible).tolist():
                if face not in found:
                    lost.add(face)
                    continue
                now = int(ids[found[face]])
                self.tracked += 1
                self.switches += last.get(face, now) != now
                self.fragments += face in lost and face in last
                lost.discard(face)
                last[face] = now
                self.ids.add((clip, face, now))

    def row(self) -> str:
        """Switches and fragments per 100 faces, tracks per face, share of visible faces, false boxes per 100 frames."""
        return (
            f"{100 * self.switches / self.faces:8.0f} | {100 * self.fragments / self.faces:9.0f} |"
            f" {len(self.ids) / self.faces:15.2f} | {100 * self.tracked / self.visible:9.1f} |"
            f" {100 * self.false / self.frames:5.1f} | {1e3 * self.seconds / self.frames:5.2f}"
        )


def _pairs(true: NDArray[np.float32], boxes: NDArray[Any]) -> Iterator[tuple[int, int]]:
    """True box and box of a track, best overlap first."""
    iou = iou_matrix(true, np.asarray(boxes, np.float32).reshape(-1, 4))
    while iou.size and iou.max() >= MIN_IOU:
        i, j = np.unravel_index(iou.argmax(), iou.shape)
        iou[i], iou[:, j] = 0, 0
        yield int(i), int(j)


def own(fps: int) -> Step:
    """The tracker of this package."""
    state = TrackerState()

    def step(detections: Detections, time_s: float) -> tuple[NDArray[Any], NDArray[Any]]:
        nonlocal state
        state = track_next(state, detections, time_s, WH, CROP_SIZES)
        found = [track for track in state.tracks if track.detected]
        return np.array([track.box_xyxy for track in found]), np.array([track.id for track in found])

    return step


def _others() -> dict[str, Callable[[int], Step]]:
    """Trackers of other packages, as far as they are installed, with their defaults and fitted to small fast faces."""
    made: dict[str, Callable[[int], Step]] = {}
    if byte_track := getattr(_imported("supervision"), "ByteTrack", None):
        made["supervision ByteTrack"] = lambda fps: _by_frame(byte_track(frame_rate=fps).update_with_detections)
    else:
        print("supervision is not installed, or has no ByteTrack (0.27 has)", file=sys.stderr)
    trackers = _imported("trackers")
    if trackers is None:
        print("trackers is not installed", file=sys.stderr)
        return made
    for name in ("SORT", "ByteTrack", "OCSORT", "CBIoU"):
        made[f"trackers {name}"] = partial(_with_defaults, getattr(trackers, f"{name}Tracker"))
    fitted = {"minimum_iou_threshold": -0.5, "minimum_consecutive_frames": 1, "track_activation_threshold": 0.5}
    made["trackers ByteTrack, DIoU"] = lambda fps: _timed(
        trackers.ByteTrackTracker(frame_rate=fps, iou=trackers.DIoU(), lost_track_buffer=8, **fitted)
    )
    wide = {"buffer_ratio_first": 1.0, "buffer_ratio_second": 1.5, "minimum_iou_threshold_first_assoc": 0.05}
    made["trackers CBIoU, wide"] = lambda fps: _timed(
        trackers.CBIoUTracker(
            frame_rate=fps, track_activation_threshold=0.5, minimum_consecutive_frames=1, lost_track_buffer=8, **wide
        )
    )
    return made


def _imported(package: str) -> Any:
    """A package; None if it is not installed."""
    try:
        return import_module(package)
    except ImportError:
        return None


def _with_defaults(kind: Any, fps: int) -> Step:
    return _timed(kind(frame_rate=fps))


def _by_frame(update: Callable[[Any], Any]) -> Step:
    def step(detections: Detections, time_s: float) -> tuple[NDArray[Any], NDArray[Any]]:
        found = update(to_supervision(detections))
        return found.xyxy, found.tracker_id

    return step


def _timed(tracker: Any) -> Step:
    def step(detections: Detections, time_s: float) -> tuple[NDArray[Any], NDArray[Any]]:
        found = tracker.update(to_supervision(detections), timestamp=time_s)
        followed = found[found.tracker_id >= 0]
        return followed.xyxy, followed.tracker_id

    return step


def _pictures(folder: Path) -> Iterator[NDArray[np.uint8]]:
    pictures = (cv2.imread(str(path)) for path in sorted(folder.iterdir()))
    return (np.asarray(picture, np.uint8) for picture in pictures if picture is not None)


def _fitted(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Resized to a frame."""
    return np.asarray(cv2.resize(picture, WH, interpolation=cv2.INTER_AREA), np.uint8)


def clips(faces: Path, scenes: Path, count: int) -> Iterator[list[Moment]]:
    """Detections in all frames of simulated clips."""
    detector = load_detector(threads=1, score=MIN_SCORE)
    pictures = list(_pictures(faces))[: 8 * count]
    heads = [(picture, detector(picture)[0].box_xyxy) for picture in pictures if len(detector(picture))]
    empty = (scene for one in _pictures(scenes) if not len(detector(scene := _fitted(one))))
    for seed in range(count):
        rng = np.random.default_rng(seed)
        scene = next(empty)
        sides = rng.uniform(16, 44, FACES)
        chosen = rng.choice(len(heads), FACES, replace=False)
        portraits = [portrait(heads[i][0], heads[i][1], side) for i, side in zip(chosen, sides, strict=True)]
        moments = []
        for index, centers in enumerate(paths(rng, FACES, sides)):
            frame, boxes, visible = draw(scene, portraits, centers)
            moments.append(Moment(index / FPS, detector(frame), boxes, visible))
        yield moments
    detector.close()


APART_S = 1.0
"""Detections of a clip that are farther apart in time belong to two appearances."""


def appearances(clip: str) -> list[list[Moment]]:
    """Detections in a clip with at most one person at a time, one list for each appearance."""
    found: list[list[Moment]] = []
    last_s = -np.inf
    with open_source(clip) as source, closing(load_detector(threads=1, score=MIN_SCORE)) as detector:
        for frame in source:
            detections = detector(frame.pixels)
            sure = bool(len(detections)) and float(detections.scores[0]) >= DEFAULT_SCORE
            if sure and frame.time_s - last_s > APART_S:
                found.append([])
            last_s = frame.time_s if sure else last_s
            if found:
                boxes = detections.boxes_xyxy[:1] if sure else np.zeros((1, 4), np.float32)
                found[-1].append(Moment(frame.time_s, detections, boxes, np.array([sure])))
    return found


def main() -> None:
    """Print a table for each frame rate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True, help="folder of portraits, PNG")
    parser.add_argument("--scenes", type=Path, required=True, help="folder of pictures; those without faces are used")
    parser.add_argument("--clips", type=int, default=6, help="of 12 s")
    parser.add_argument("--video", default="", help="also a clip in which people appear one at a time")
    options = parser.parse_args()
    recorded = list(clips(options.faces, options.scenes, options.clips))
    trackers = {"facesr-edge": own, **_others()}
    for fps, drops in ((25, False), (25, True), (10, False), (10, True)):
        print(f"\n{fps} frames/s{', with dropped frames' if drops else ''}; per 100 faces")
        chosen = [kept(np.random.default_rng(clip), fps, drops) for clip in range(len(recorded))]
        some = [[moments[index] for index in indices] for moments, indices in zip(recorded, chosen, strict=True)]
        _print_table(some, fps, trackers)
    if options.video:
        seen = appearances(options.video)
        fps = round(1 / float(np.median(np.diff([moment.time_s for moment in max(seen, key=len)]))))
        print(f"\n{options.video}, {fps} frames/s, {len(seen)} appearances; per 100 of them")
        _print_table(seen, fps, trackers)


def _print_table(clips: list[list[Moment]], fps: int, trackers: dict[str, Callable[[int], Step]]) -> None:
    print(f"{'tracker':26} | switches | fragments | tracks per face | tracked % | false |    ms")
    for name, make in trackers.items():
        score = Score()
        for clip, moments in enumerate(clips):
            score.add(clip, moments, make(fps))
        print(f"{name:26} | {score.row()}", flush=True)


if __name__ == "__main__":
    main()
