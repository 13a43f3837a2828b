"""Scenes with white squares on gray as faces, and a detector of white squares."""

import json

import cv2
import numpy as np
import pytest
from facesr_edge.calibration.data.detection import read_scenes
from facesr_edge.engines.postprocess import Detections

SIZE_WH = (160, 120)
LANDMARKS = ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8))
"""Landmarks as fractions of the box."""


def face(x, y, side, score=0.9, landmarks=LANDMARKS):
    """Entry of ``labels.json`` for a square face."""
    points = [value for px, py in landmarks for value in (x + px * side, y + py * side)]
    return {"box": [x, y, side, side], "landmarks": points, "score": score}


def detections(*squares):
    """Detections from squares x, y, side, score."""
    rows = np.array(squares, np.float32).reshape(-1, 4)
    x, y, side, scores = rows.T
    landmarks = rows[:, None, :2] + np.array(LANDMARKS, np.float32) * side[:, None, None]
    return Detections(np.stack((x, y, x + side, y + side), 1), scores, landmarks)


def find_white(image):
    """Detect all white squares, with a score of 0.9."""
    white = (image.min(2) > 150).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(white)
    return detections(*([x, y, (width + height) / 2, 0.9] for x, y, width, height, _ in stats[1:]))


@pytest.fixture
def scenes(tmp_path):
    """Write scenes from a dict name -> labels; the gray level of image n is n."""

    def write(labels):
        (tmp_path / "images").mkdir(exist_ok=True)
        entries = {}
        for n, (name, faces) in enumerate(sorted(labels.items())):
            image = np.full((*SIZE_WH[::-1], 3), n, np.uint8)
            for entry in faces:
                x, y, width, height = (round(value) for value in entry["box"])
                image[y : y + height, x : x + width] = 250
            cv2.imwrite(str(tmp_path / "images" / f"{name}.png"), image)
            entries[f"{name}.png"] = {"faces": faces, "split": "test"}
        (tmp_path / "labels.json").write_text(json.dumps(entries))
        return read_scenes(tmp_path, "test")

    return write


@pytest.fixture
def scripted():
    """A detector that returns given detections, one set per image of `scenes` in their order."""
    return lambda *results: lambda image: results[int(image[0, 0, 0])]
