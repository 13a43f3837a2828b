"""Faces with known motions in H.264 videos: crops and their windows, motion vectors, landmarks."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from facesr_edge.engines.multiframe.registration import Affine
from facesr_edge.engines.postprocess import Detections
from facesr_edge.training.data.cameras.background import Backgrounds
from facesr_edge.training.data.cameras.expressions import blinking, random_blink
from facesr_edge.training.data.cameras.head_motion import HeadMotion
from facesr_edge.training.data.cameras.render import Face, FilteredFace, LivingFace, draw_low, filter_face, pixel_kernel
from facesr_edge.training.data.cameras.sensor import Sensor, expose, rounded
from facesr_edge.training.data.cameras.sequences import FRAME_WH, MARGIN, Cell, cells_for
from facesr_edge.training.data.cameras.tracks import Landmarks
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Vectors = NDArray[Any]
"""Records of FFmpeg's AVMotionVector: where a block of the frame lies in an earlier one."""
FRAMES, FIRST = 11, 6
"""Frames of a video, and the first one of the tracks: the encoder has a past."""
CODINGS = {"clean": (4, 0.0), "crf 23": (23, 2.0), "crf 28": (28, 2.0), "crf 33": (33, 3.0)}
"""Name -> rate factor of x264, and standard deviation of the noise before it, gray levels."""
MOTIONS = ("shift", "turn", "zoom", "blink")
MAX_SPEED, MAX_SHAKE = 1.2, 0.3
"""In pixels of the frame: speed per frame and axis, and standard deviation of the shaking."""
TURN_DEG, STRETCH, ZOOM = 1.0, 0.008, 0.01
"""Largest change per frame of the angle, the width and the size."""
X264 = {"preset": "veryfast", "tune": "zerolatency"}


@dataclass(frozen=True, eq=False)
class Track:
    """Crops of a face in successive frames.

    Args:
        crops: (T, s, s, 3) uint8 BGR.
        corners: (T, 2) x and y of their windows in the frame, pixels.
        poses: (T, 3, 3), positions in each crop -> in the picture of the face.
        vectors: of each frame; empty if it has none.
        landmarks: (5, 2) of each frame, pixels of the crop; None where the detector does not find the face.
    """

    crops: Pixels
    corners: NDArray[np.int64]
    poses: NDArray[np.float64]
    vectors: tuple[Vectors, ...]
    landmarks: tuple[NDArray[np.float32] | None, ...]

    def motion(self, first: int, second: int) -> Affine:
        """True motion from positions in one crop to those in another."""
        matrix = np.linalg.inv(self.poses[second]) @ self.poses[first]
        a, b, c, d, e, f = matrix[:2].ravel().tolist()
        return a, b, c, d, e, f


def record(
    faces: Sequence[Pixels],
    backgrounds: Backgrounds,
    motion: str,
    coding: str,
    side: int,
    landmarks: Landmarks,
    detect: Callable[[Pixels], Detections],
) -> list[Track]:
    """Tracks of all faces.

    Args:
        faces: (S, S, 3) uint8 BGR, all of one size.
        backgrounds: of the videos.
        motion: of `MOTIONS`.
        coding: of `CODINGS`.
        side: of the crops, pixels; the faces are 9/8 of it.
        landmarks: finds the eyes of a face that blinks.
        detect: finds the landmarks in the decoded frames.
    """
    scale = round(faces[0].shape[0] / (side * 9 / 8))
    rng = np.random.default_rng((7, MOTIONS.index(motion)))
    tracks: list[Track] = []
    while len(tracks) < len(faces):
        cells = cells_for(faces[0].shape[0] // scale, rng)[: len(faces) - len(tracks)]
        some = [
            _face(picture, _head_motion(motion, cell, scale, rng), motion == "blink", scale, landmarks, rng)
            for picture, cell in zip(faces[len(tracks) :], cells, strict=False)
        ]
        tracks += _recorded(some, cells, backgrounds, coding, scale, side, detect, rng)
    return tracks


def _head_motion(kind: str, cell: Cell, scale: int, rng: np.random.Generator) -> HeadMotion:
    middle = [scale * (at + size / 2) - 0.5 for at, size in ((cell.x, cell.width), (cell.y, cell.height))]
    x, y = middle + rng.uniform(-2, 2, 2) * scale
    speed = min(MAX_SPEED, MARGIN / (FRAMES - FIRST)) * scale
    velocity = rng.uniform(-speed, speed, 2)
    shake = rng.normal(0, scale * rng.uniform(0, MAX_SHAKE), (FRAMES, 2))
    shake[-1] = 0
    turn, stretch, zoom = rng.uniform(-1, 1, 3)
    return HeadMotion(
        FRAMES - 1,
        (float(x), float(y)),
        (float(velocity[0]), float(velocity[1])),
        turn=float(np.deg2rad(TURN_DEG * turn)) * (kind == "turn"),
        stretch=float(STRETCH * stretch) * (kind == "turn"),
        zoom=float(ZOOM * zoom) * (kind == "zoom"),
        shake_xy=tuple((float(dx), float(dy)) for dx, dy in shake),
    )


def _face(
    picture: Pixels, motion: HeadMotion, blinks: bool, scale: int, landmarks: Landmarks, rng: np.random.Generator
) -> Face:
    kernel = pixel_kernel("area", scale)
    points = landmarks(picture) if blinks else None
    if points is None:
        return filter_face(picture, motion, kernel, None)
    stages = tuple(filter_face(stage, motion, kernel, None) for stage in blinking(picture, points))
    return LivingFace(stages, (0,) * FIRST + random_blink(FRAMES - FIRST, rng))


def _recorded(
    faces: Sequence[Face],
    cells: Sequence[Cell],
    backgrounds: Backgrounds,
    coding: str,
    scale: int,
    side: int,
    detect: Callable[[Pixels], Detections],
    rng: np.random.Generator,
) -> list[Track]:
    crf, noise = CODINGS[coding]
    background = backgrounds.draw(*FRAME_WH, scale, 0.0, rng).low
    frames = []
    for time in range(FRAMES):
        light = background.copy()
        for face, cell in zip(faces, cells, strict=True):
            draw_low(light, face.at(time), time, scale, cell.xywh)
        frames.append(rounded(expose(light, Sensor(white_noise=noise), None, rng)))
    decoded = coded(frames, crf)[FIRST:]
    found = [detect(pixels) for pixels, _ in decoded]
    return [_track(face.at(0), decoded, found, scale, side, rng) for face in faces]


def coded(frames: Sequence[Pixels], crf: int) -> list[tuple[Pixels, Vectors]]:
    """Frames after H.264, each with the motion vectors of its blocks."""
    stream = io.BytesIO()
    with av.open(stream, "w", "mp4") as output:
        encoder: Any = output.add_stream("libx264", 25)
        encoder.height, encoder.width = frames[0].shape[:2]
        encoder.pix_fmt, encoder.options = "yuv420p", {"crf": str(crf), **X264}
        for pixels in frames:
            output.mux(encoder.encode(av.VideoFrame.from_ndarray(pixels, "bgr24")))
        output.mux(encoder.encode(None))
    stream.seek(0)
    with av.open(stream) as source:
        source.streams.video[0].codec_context.options = {"flags2": "+export_mvs"}
        return [(np.asarray(frame.to_ndarray(format="bgr24")), _vectors(frame)) for frame in source.decode(video=0)]


def _vectors(frame: av.VideoFrame) -> Vectors:
    data: Any = frame.side_data.get("MOTION_VECTORS")
    return np.zeros(0) if data is None else np.array(data.to_ndarray())


def _track(
    face: FilteredFace,
    decoded: Sequence[tuple[Pixels, Vectors]],
    found: Sequence[Detections],
    scale: int,
    side: int,
    rng: np.random.Generator,
) -> Track:
    """The track of a face, in windows that follow it or stay."""
    middle = np.array((*(np.array(face.sharp.shape[1::-1]) / 2), 1))
    centers = np.stack([face.place(time) @ middle / scale for time in range(FIRST, FRAMES)])
    follows = rng.random() < 0.5
    corners = np.rint((centers if follows else centers.mean(0)[None].repeat(len(centers), 0)) - side / 2).astype(int)
    corners = np.clip(corners, 0, np.array(FRAME_WH) - side)
    crops, poses, points = [], [], []
    for number, (x, y) in enumerate(corners.tolist()):
        crops.append(decoded[number][0][y : y + side, x : x + side])
        center = (scale - 1) / 2
        to_frame = np.array(((scale, 0, scale * x + center), (0, scale, scale * y + center), (0, 0, 1.0)))
        poses.append(np.linalg.inv(np.vstack((face.place(FIRST + number), (0, 0, 1)))) @ to_frame)
        points.append(_landmarks(found[number], centers[number], side, (x, y)))
    vectors = tuple(vectors for _, vectors in decoded)
    return Track(np.stack(crops), corners, np.stack(poses), vectors, tuple(points))


def _landmarks(
    found: Detections, center: NDArray[np.float64], side: int, corner: tuple[int, int]
) -> NDArray[np.float32] | None:
    """Landmarks of the detection at the face, relative to the crop."""
    if not len(found):
        return None
    distance = np.abs((found.boxes_xyxy[:, :2] + found.boxes_xyxy[:, 2:]) / 2 - center).max(1)
    nearest = int(np.argmin(distance))
    return found.landmarks[nearest] - np.array(corner, np.float32) if distance[nearest] < side / 4 else None
