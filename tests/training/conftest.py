"""Fixtures of the training tests: fixed seed, one thread, small data."""

import cv2
import pytest
import torch
from facesr_edge.calibration.data.faces import sample_faces
from facesr_edge.networks.perceptual import VGG
from safetensors.torch import save_file


@pytest.fixture(autouse=True)
def seeded():
    """Networks this small train fastest on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def faces(tmp_path_factory):
    """A folder of three faces of 128×128."""
    folder = tmp_path_factory.mktemp("faces")
    for n, face in enumerate(sample_faces()[::3]):
        cv2.imwrite(str(folder / f"{n}.png"), face)
    return folder


@pytest.fixture(scope="session")
def vgg_file(tmp_path_factory):
    """File of random VGG-19 weights in torchvision's format, up to the third block."""
    path = tmp_path_factory.mktemp("vgg") / "vgg19.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_file({**VGG("conv3_1").state_dict(), "classifier.6.bias": torch.zeros(1000)}, path)
    return path
