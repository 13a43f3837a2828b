"""Inputs of runs that are killed or limited."""

import cv2
import pytest
from support.media import make_video, pattern


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    """45 frames with sound; the last chunk of ten is not whole."""
    return make_video(tmp_path_factory.mktemp("clip") / "in.mp4", 45, audio=("aac",))


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for number in range(5):
        cv2.imwrite(str(folder / f"{number}.png"), pattern(40 * number))
    return folder


@pytest.fixture(scope="session")
def options(tiny_bundle):
    return ("--model", str(tiny_bundle().folder), "--engine", "onnxruntime", "--threads", "1")
