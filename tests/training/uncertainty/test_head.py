"""The uncertainty head: what it returns, its training, its export."""

import numpy as np
import pytest
import torch
from facesr_edge.engines.errors import ParityError, TrainingError
from facesr_edge.engines.onnxruntime.session import OrtGraph
from facesr_edge.networks.layers.pixels import to_rgb
from facesr_edge.networks.uncertainty import Uncertainty, luma_of
from facesr_edge.training.uncertainty.export import check_parity, graph_from_head
from facesr_edge.training.uncertainty.fit import FitOptions, fit
from facesr_edge.training.uncertainty.samples import TRAINING, Samples, low, read_samples, write_samples

OPTIONS = FitOptions(width=4, depth=1, steps=150, batch=4, lr=5e-3)


class Enlarging:
    """Takes the place of a network: nearest-neighbour enlargement."""

    def infer(self, batch):
        return batch.repeat(4, 1).repeat(4, 2)

    def close(self):
        pass


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def faces(astronaut):
    return [np.ascontiguousarray(astronaut[y : y + 144, 150 : 150 + 144]) for y in (20, 40)]


@pytest.fixture(scope="module")
def folder(faces, tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    write_samples(folder, faces, {"a": Enlarging, "b": Enlarging}, 1, 0)
    return folder


@pytest.fixture
def samples():
    """Pictures, dark on the left and bright on the right, whose upscaled pixels are off by up to 4 and up to 40."""
    rng = np.random.default_rng(0)
    scale = np.repeat((4, 40), 32)
    truth = np.zeros((32, 64, 64), np.uint8) + np.repeat((50, 200), 32).astype(np.uint8)
    upscaled = (truth + np.rint(scale * rng.uniform(-1, 1, truth.shape))).astype(np.uint8)
    crops = np.ascontiguousarray(truth[:, ::4, ::4, None].repeat(3, 3))
    return Samples(crops, truth, np.arange(32), upscaled)


@pytest.mark.parametrize("shape", [(32, 32), (33, 47)])
def test_half_widths_are_positive_and_as_many_as_upscaled_pixels(shape):
    network = Uncertainty(8, 2)
    height, width = shape
    result = network(torch.rand(2, 3, height, width), torch.rand(2, 1, 4 * height, 4 * width))
    assert result.shape == (2, 1, 4 * height, 4 * width) and (result > 0).all()


@pytest.mark.parametrize("condition", sorted(set(TRAINING)))
def test_every_condition_makes_crops_of_a_fourth_of_the_side(condition, faces):
    high = np.stack([face[8:136, 8:136] for face in faces])
    crops = low(high, condition, np.random.default_rng(0))
    assert crops.shape == (2, 32, 32, 3) and crops.dtype == np.uint8


def test_samples_hold_each_crop_under_each_condition_with_its_truth(folder, faces):
    samples = read_samples(folder)
    assert samples.low.shape == (len(TRAINING) * len(faces), 32, 32, 3)
    assert len(samples.rows) == len(samples.low) and sorted(samples.rows) == list(range(len(samples.low)))
    error = samples.upscaled.astype(float) - samples.truth[samples.rows]
    assert 0 < np.abs(error).mean() < 30  # the crops are those of the truth


def test_samples_that_exist_are_kept(folder, faces):
    before = (folder / "upscaled.npy").stat().st_mtime_ns
    write_samples(folder, faces, {}, 1, 5)
    assert (folder / "upscaled.npy").stat().st_mtime_ns == before


def test_head_learns_where_the_errors_are_large(samples, tmp_path):
    network = fit(samples, OPTIONS, tmp_path / "state.pt", lambda step, loss: None)
    upscaled = torch.from_numpy(samples.upscaled[:4]).float()[:, None] / 255
    with torch.inference_mode():
        widths = network(to_rgb(torch.from_numpy(samples.low[:4])), upscaled)
    assert widths[..., 36:60].mean() > 2 * widths[..., 4:28].mean()


def test_stopped_training_ends_with_the_same_weights(samples, tmp_path, monkeypatch):
    monkeypatch.setattr("facesr_edge.training.uncertainty.fit.SAVE_EVERY", 100)
    whole = fit(samples, OPTIONS, tmp_path / "whole.pt", lambda step, loss: None)

    def stop(step, loss):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(samples, OPTIONS, tmp_path / "state.pt", stop)
    resumed = fit(samples, OPTIONS, tmp_path / "state.pt", lambda step, loss: None)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_checkpoint_of_another_training_is_refused(samples, tmp_path):
    fit(samples, FitOptions(width=4, depth=1, steps=1), tmp_path / "state.pt", lambda step, loss: None)
    with pytest.raises(TrainingError, match="another training"):
        fit(samples, FitOptions(width=4, depth=1, steps=2), tmp_path / "state.pt", lambda step, loss: None)


def test_exported_graph_equals_pytorch_at_any_size_and_differs_for_another_network(tmp_path):
    torch.manual_seed(0)
    network, other = Uncertainty(8, 1).eval(), Uncertainty(8, 1).eval()
    graph = OrtGraph(tmp_path, 1, content=graph_from_head(network).SerializeToString())
    rng = np.random.default_rng(0)
    for side in (32, 48):
        crops, pixels = (rng.integers(0, 256, (2, k * side, k * side, 3), dtype=np.uint8) for k in (1, 4))
        output = graph.run(crops, pixels)[0]
        assert output.shape == (2, 4 * side, 4 * side)
        assert check_parity(network, crops, pixels, output)["exported_max_error"] < 0.01
    with pytest.raises(ParityError, match="differs from PyTorch"):
        check_parity(other, crops, pixels, output)


def test_luma_of_white_is_one_and_of_green_more_than_of_blue():
    colors = torch.tensor([[255, 255, 255], [0, 255, 0], [255, 0, 0]], dtype=torch.uint8).view(1, 1, 3, 3)
    white, green, blue = luma_of(colors).flatten().tolist()
    assert white == pytest.approx(1) and green > blue
