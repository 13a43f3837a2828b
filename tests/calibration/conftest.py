"""Scenes whose faces are white squares on grey, and a detector that finds white squares."""

import json

import cv2
import numpy as np
import pytest
from facesr_edge.calibration.data.detection import read_scenes
from facesr_edge.engines.postprocess import Detections

SIZE_WH = (160, 120)
MARKS = ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8))


def face(x, y, side, score=0.9, marks=MARKS):
    """A label, its landmarks at these places of its box."""
    points = [value for px, py in marks for value in (x + px * side, y + py * side)]
    return {"box": [x, y, side, side], "landmarks": points, "score": score}


def detections(*found):
    """Of squares x, y, side, score."""
    rows = np.array(found, np.float32).reshape(-1, 4)
    x, y, side, scores = rows.T
    marks = rows[:, None, :2] + np.array(MARKS, np.float32) * side[:, None, None]
    return Detections(np.stack((x, y, x + side, y + side), 1), scores, marks)


def find_white(picture):
    """All white squares, with a score of 0.9."""
    light = (picture.min(2) > 150).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(light)
    return detections(*([x, y, (width + height) / 2, 0.9] for x, y, width, height, _ in stats[1:]))


@pytest.fixture
def scenes(tmp_path):
    """Name -> labels as scenes on disk; grey of picture number n is n."""

    def made(labels):
        (tmp_path / "images").mkdir(exist_ok=True)
        entries = {}
        for n, (name, faces) in enumerate(sorted(labels.items())):
            picture = np.full((*SIZE_WH[::-1], 3), n, np.uint8)
            for entry in faces:
                x, y, width, height = (round(value) for value in entry["box"])
                picture[y : y + height, x : x + width] = 250
            cv2.imwrite(str(tmp_path / "images" / f"{name}.png"), picture)
            entries[f"{name}.png"] = {"faces": faces, "split": "test"}
        (tmp_path / "labels.json").write_text(json.dumps(entries))
        return read_scenes(tmp_path, "test")

    return made


@pytest.fixture
def scripted():
    """A list of detections for each picture of `scenes`, in their order -> a detector that says so."""
    return lambda *script: lambda picture: script[int(picture[0, 0, 0])]
