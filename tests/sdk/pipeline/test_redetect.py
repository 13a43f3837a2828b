"""Detection on a budget: when a frame is detected fully, and which faces are found in between."""

from pathlib import Path

import cv2
import facesr_edge
import numpy as np
import pytest
from facesr_edge.calibration.metrics.detection import iou_matrix
from facesr_edge.engines.errors import UsageError
from facesr_edge.sdk.media.sources import open_source
from facesr_edge.sdk.pipeline.frame import Frame
from facesr_edge.sdk.pipeline.known_faces import KNOWN_SHARE
from facesr_edge.sdk.pipeline.redetect import MAX_INTERVAL, MIN_INTERVAL, Detectors, check_detect_every, detect_next
from facesr_edge.sdk.pipeline.regions import plan_regions

SHARED_VIDEO = Path(__file__).parents[3].parent / "shared" / "video"


@pytest.fixture(scope="module")
def detector():
    with_threads = facesr_edge.load_detector(threads=1)
    yield with_threads
    with_threads.close()


class Run:
    """The frames of a clip, detected on a budget and fully."""

    def __init__(self, detector, frames, every):
        state, self.kinds, self.found, self.expected = None, [], [], []
        self.pixels = self.full_pixels = 0.0
        for frame in frames:
            plan = detector.plan(*frame.pixels.shape[1::-1])
            detectors = Detectors(
                full=lambda score, pixels=frame.pixels: detector.detect(pixels, score=score),
                around=lambda regions, score, pixels=frame.pixels: detector.detect_around(pixels, regions, score=score),
                plan=plan,
                io_spec=detector.session.io_spec,
                score=detector.score,
            )
            state, detections, use = detect_next(state, frame, every, detectors)
            self.kinds.append(use.kind)
            self.found.append(detections)
            self.expected.append(detector.detect(frame.pixels))
            self.pixels, self.full_pixels = self.pixels + use.megapixels, self.full_pixels + plan.megapixels

    @property
    def share(self):
        return self.kinds.count("full") / len(self.kinds)

    @property
    def recall(self):
        hits = [(iou_matrix(b.boxes_xyxy, a.boxes_xyxy).max(1, initial=0) >= 0.5) for a, b in self.pairs]
        return np.concatenate(hits).mean()

    @property
    def false(self):
        wrong = [(iou_matrix(a.boxes_xyxy, b.boxes_xyxy).max(1, initial=0) < 0.5) for a, b in self.pairs]
        return np.concatenate(wrong).mean()

    @property
    def pairs(self):
        return list(zip(self.found, self.expected, strict=True))


class Scene:
    """Frames of 640x360 at 25 frames/s with portraits at given centers."""

    def __init__(self, portrait, background=118):
        self.background = np.clip(np.random.default_rng(5).normal(background, 3, (360, 640, 3)), 0, 255).astype(
            np.uint8
        )
        self.portrait = portrait

    def frame(self, index, *faces, brightness=1.0):
        """Faces are center x, center y, height."""
        pixels = self.background.copy()
        for x, y, side in faces:
            n = round(2.56 * side)
            small = cv2.resize(self.portrait, (n, n), interpolation=cv2.INTER_AREA)
            move = np.array([[1, 0, x - n / 2], [0, 1, y - n / 2]], np.float32)
            mask = cv2.warpAffine(np.full((n, n), 255, np.uint8), move, (640, 360))
            pixels = np.where(mask[..., None] > 127, cv2.warpAffine(small, move, (640, 360)), pixels)
        return Frame((pixels * brightness).astype(np.uint8), index, index / 25)


@pytest.fixture(scope="module")
def scene(portrait):
    return Scene(portrait)


def still(scene, count, *faces, start=0):
    return [scene.frame(start + n, *faces) for n in range(count)]


def full_frames(run):
    return [n for n, kind in enumerate(run.kinds) if kind == "full"]


@pytest.mark.parametrize("every", [1, 2, 5])
def test_every_nth_frame_is_detected_fully(detector, scene, every):
    run = Run(detector, still(scene, 11, (200, 150, 40)), every)
    assert full_frames(run) == list(range(0, 11, every))
    assert run.recall == 1 and run.false == 0


def test_every_frame_detected_fully_gives_the_results_of_the_detector(detector, scene):
    run = Run(detector, still(scene, 3, (200, 150, 40), (420, 200, 60)), 1)
    for found, expected in run.pairs:
        assert (found.boxes_xyxy == expected.boxes_xyxy).all() and (found.scores == expected.scores).all()
        assert (found.landmarks == expected.landmarks).all()


def test_boxes_around_known_faces_equal_those_of_a_full_detection(detector, scene):
    run = Run(detector, still(scene, 3, (200, 150, 40), (420, 200, 60)), 3)
    for found, expected in run.pairs[1:]:
        ious = iou_matrix(expected.boxes_xyxy, found.boxes_xyxy)
        assert len(found) == len(expected) == 2 and ious.max(1).min() > 0.93
        assert (np.diff(found.scores) <= 0).all()


def test_the_interval_of_auto_grows_while_nothing_new_is_found(detector, scene):
    run = Run(detector, still(scene, 60, (200, 150, 40)), "auto")
    gaps = np.diff(full_frames(run))
    assert gaps[0] == MIN_INTERVAL and gaps[-1] == MAX_INTERVAL and (np.diff(gaps) >= 0).all()
    assert run.recall == 1 and run.pixels < run.full_pixels / 2


def test_the_interval_of_auto_is_at_most_half_a_second(detector, scene):
    frames = [Frame(frame.pixels, frame.index, frame.index / 10) for frame in still(scene, 40, (200, 150, 40))]
    assert np.diff(full_frames(Run(detector, frames, "auto"))).max() == 5


def test_a_cut_is_detected_fully(detector, scene, portrait):
    other = Scene(portrait[:, ::-1], background=190)
    frames = [*still(scene, 7, (200, 150, 40)), *still(other, 3, (500, 250, 50), start=7)]
    for every in (6, "auto"):
        run = Run(detector, frames, every)
        assert run.kinds[7] == "full" and run.recall == 1


def test_a_face_that_appears_ends_the_interval_of_auto(detector, scene):
    frames = [*still(scene, 20, (200, 150, 40)), *still(scene, 5, (200, 150, 40), (500, 250, 30), start=20)]
    run = Run(detector, frames, "auto")
    late = [n for n, (found, expected) in enumerate(run.pairs) if len(found) < len(expected)]
    assert len(late) < MIN_INTERVAL


def test_a_face_that_is_lost_is_searched_in_the_whole_frame(detector, scene):
    frames = [*still(scene, 24, (200, 150, 40)), *still(scene, 4, (430, 250, 40), start=24)]
    run = Run(detector, frames, "auto")
    late = [n for n, (found, expected) in enumerate(run.pairs) if len(found) < len(expected)]
    assert len(late) < MIN_INTERVAL and len(run.found[-1]) == 1


def test_another_frame_size_starts_anew(detector, scene):
    frames = still(scene, 3, (200, 150, 40))
    smaller = [Frame(np.ascontiguousarray(frame.pixels[:300]), frame.index + 3) for frame in frames]
    assert full_frames(Run(detector, [*frames, *smaller], 10)) == [0, 3]


def test_a_stream_whose_time_jumps_back_starts_anew(detector, scene):
    frames = [*still(scene, 3, (200, 150, 40)), *still(scene, 2, (200, 150, 40), start=1)]
    assert full_frames(Run(detector, frames, 10)) == [0, 3]


@pytest.mark.parametrize(("width", "height", "min_face"), [(1280, 720, 20), (640, 360, 5), (3840, 2160, 8)])
def test_faces_are_found_again_in_reduced_enlarged_and_tiled_frames(detector, put_face, width, height, min_face):
    pixels = np.full((height, width, 3), 118, np.uint8)
    for share in (0.1, 0.47, 0.8):
        put_face(pixels, round(share * width), round(share * height) - 30, 40)
    expected = detector.detect(pixels, min_face=min_face)
    regions = plan_regions(expected.boxes_xyxy, detector.plan(width, height, min_face), detector.session.io_spec)
    found = detector.detect_around(pixels, regions)
    assert len(found) == len(expected) == 3
    assert iou_matrix(expected.boxes_xyxy, found.boxes_xyxy).max(1).min() > 0.8


def test_images_of_a_folder_are_all_detected_fully(detector, scene):
    frames = [Frame(frame.pixels, frame.index, name="a.png") for frame in still(scene, 4, (200, 150, 40))]
    assert full_frames(Run(detector, frames, "auto")) == [0, 1, 2, 3]


def test_a_known_face_is_not_dropped_at_a_score_just_below_the_minimum(detector, scene):
    """The minimum is put between the scores of a face that is sharp, then blurred."""
    sharp, blurred = scene.frame(0, (200, 150, 40)), scene.frame(1, (200, 150, 40))
    blurred = Frame(cv2.GaussianBlur(blurred.pixels, None, 2.5), 1, 1 / 25)
    high, low = (detector.detect(frame.pixels, score=0.1).scores[0] for frame in (sharp, blurred))
    minimum = float(high + low) / 2
    assert minimum > low > KNOWN_SHARE * minimum
    detector.score, before = minimum, detector.score
    try:
        assert [len(found) for found in Run(detector, [sharp, blurred], 2).found] == [1, 1]
        assert [len(found) for found in Run(detector, [blurred, sharp], 2).found] == [0, 1]
        named = [Frame(frame.pixels, name=f"{n}.png") for n, frame in enumerate((sharp, blurred))]
        assert [len(found) for found in Run(detector, named, 2).found] == [1, 0], "images follow from no other"
    finally:
        detector.score = before


def test_without_faces_the_frames_in_between_cost_nothing(detector, scene):
    run = Run(detector, still(scene, 30), "auto")
    assert run.share < 1 / 3 and run.pixels == pytest.approx(run.share * run.full_pixels)


def crossing(scene):
    """Faces that enter from both sides, cross and leave."""
    for n in range(120):
        yield scene.frame(n, (-60 + 7 * n, 110, 36), (700 - 6 * n, 190, 44), (-200 + 5 * n, 280, 30))


def pan(scene):
    for n in range(60):
        shift = 8 * n
        yield scene.frame(n, *((x - shift, y, 36) for x, y in ((100, 120), (400, 220), (700, 120), (1000, 230))))


def fade(scene):
    for n in range(120):
        level = min(1, n / 20, (119 - n) / 20)
        yield scene.frame(n, (200, 150, 40), (420, 200, 60), brightness=level)


@pytest.mark.parametrize("clip", [crossing, pan, fade])
def test_a_third_of_the_full_detections_find_the_faces_of_a_moving_clip(detector, scene, clip):
    run = Run(detector, clip(scene), "auto")
    assert run.share <= 0.35 and run.recall >= 0.97 and run.false <= 0.01


@pytest.mark.skipif(not SHARED_VIDEO.is_dir(), reason="needs the shared videos")
def test_the_face_of_a_video_is_found_in_every_frame(detector):
    with open_source(SHARED_VIDEO / "head-pose.gif") as source:
        run = Run(detector, source, "auto")
    assert run.share <= 1 / 3 and run.recall == 1 and run.false == 0


@pytest.mark.parametrize("every", [0, -1, 1.5, "often"])
def test_an_invalid_interval_is_rejected(every):
    with pytest.raises(UsageError, match="expected a number of frames"):
        check_detect_every(every)
