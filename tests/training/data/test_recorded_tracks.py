"""Batches of recorded tracks: samples as at inference, mirrored tracks, faults; training from an edge network."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from facesr_edge.engines.errors import TrainingError, UsageError
from facesr_edge.engines.multiframe.accumulation import channels
from facesr_edge.engines.multiframe.history import extended
from facesr_edge.networks import build_network
from facesr_edge.networks.edge.network import Edge
from facesr_edge.networks.weights import Provenance, network_from, read_weights, weights_bytes
from facesr_edge.training.data import track_faults
from facesr_edge.training.data.cameras.track_cache import TrackCache, TrackSource
from facesr_edge.training.data.cameras.tracks import FRAMES, Tracks
from facesr_edge.training.data.recorded_tracks import (
    CROPS,
    VALIDATED,
    RecordedTracks,
    mirrored,
    track_batch,
)
from facesr_edge.training.losses.losses import Criterion
from facesr_edge.training.recipes import edge_track
from facesr_edge.training.train import train_model

SMALL = {"width": 8, "depth": 2}


@pytest.fixture(scope="module")
def cache(faces, tmp_path_factory):
    source = TrackSource((faces,), None, 4, 32, seed=edge_track.track().seed)
    tracks = TrackCache(tmp_path_factory.mktemp("tracks"), source, 1)
    tracks.fill(1)
    return tracks


@pytest.fixture
def task(cache):
    recipe = replace(edge_track.track(**SMALL, shards=1), batch=6)
    return RecordedTracks(recipe, cache, None, Criterion(recipe.losses))


def samples_of(track, crops=FRAMES):
    return track_batch(Tracks(*(part[None] for part in track)), crops).samples[0].numpy()


def tracks_of(cache, count=12):
    rng = np.random.default_rng(4)
    return [cache.draw(rng) for _ in range(count)]


def test_a_batch_has_the_newest_crops_their_truth_and_samples(task):
    batch = task.batch(np.random.default_rng(0))
    assert batch.lr.shape == (6, 32, 32, 3) and batch.hr.shape == (6, 128, 128, 3)
    assert batch.samples.shape == (6, channels(4), 32, 32) and batch.samples.dtype == torch.float32
    assert (batch.samples[:, 16:].amax((1, 2, 3)) > 0.4).any()
    again = task.batch(np.random.default_rng(0))
    assert torch.equal(batch.samples, again.samples) and torch.equal(batch.hr, again.hr)


def test_samples_are_those_of_a_history_at_inference(cache):
    differences = []
    for track in tracks_of(cache):
        if np.isnan(track.registered).any() or not np.isfinite(track.correlations[1:]).all():
            continue
        history = None
        for crop in track.lr:  # the windows are not stored: motions between crops do not depend on them
            history = extended(history, crop, (0, 0), FRAMES)
        if history.frames == FRAMES:  # without its window, a fast face may be lost
            differences.append(float(np.abs(samples_of(track) - history.samples(4)).mean()))
    assert len(differences) >= 6 and np.median(differences) < 0.01


def test_crops_without_a_motion_are_not_used(cache):
    track = tracks_of(cache, 1)[0]
    lost = track.registered.copy()
    lost[:3] = np.nan
    cut = track._replace(lr=track.lr[3:], registered=track.registered[3:])
    np.testing.assert_array_equal(samples_of(track._replace(registered=lost)), samples_of(cut))
    lost[:-1] = np.nan
    assert not samples_of(track._replace(registered=lost)).any()


def columns_of(samples):
    """(32, 32, 32) samples -> (2, 4, 32, 128): cells in columns from left to right."""
    return samples.reshape(2, 4, 4, 32, 32).transpose(0, 1, 3, 4, 2).reshape(2, 4, 32, 128)


def test_mirrored_tracks_have_mirrored_samples(cache):
    for track in tracks_of(cache, 4):
        twice = mirrored(mirrored(track))
        np.testing.assert_array_equal(twice.lr, track.lr)
        np.testing.assert_allclose(twice.registered, track.registered, atol=1e-4)
        straight, turned = columns_of(samples_of(track)), columns_of(samples_of(mirrored(track)))
        flipped = turned[..., :0:-1]  # the first column of cells lies before the first pixel
        assert np.abs(straight[..., 1:] - flipped).mean() < 0.01  # a position between two cells may fall into the other


def with_pixels(value):
    """A track of one gray level that stands still."""
    motions = np.broadcast_to(np.eye(2, 3, dtype=np.float32), (FRAMES, 2, 3)).copy()
    lr, hr = np.full((FRAMES, 32, 32, 3), value, np.uint8), np.full((128, 128, 3), value, np.uint8)
    return Tracks(lr, hr, motions, motions.copy(), np.ones(FRAMES, np.float32))


@pytest.mark.parametrize("seed", range(8))
def test_faults_change_what_they_say_and_leave_the_track_alone(seed):
    track, other, rng = with_pixels(10), with_pixels(200), np.random.default_rng(seed)
    wrong = track_faults.another_face(track, other, rng)
    changed = (wrong.lr == 200).all((1, 2, 3))
    assert changed[0] and not changed[-1] and (np.diff(changed.astype(int)) <= 0).all()
    before = track_faults.occluded_before(track, other, rng)
    assert (before.lr[-1] == 10).all() and (before.hr == 10).all()
    now = track_faults.occluded_now(track, other, rng)
    assert (now.lr[:-1] == 10).all() and (now.lr[-1] == 200).any()
    np.testing.assert_array_equal(now.hr, np.repeat(np.repeat(now.lr[-1], 4, 0), 4, 1))
    moved = track_faults.wrong_motions(track, other, rng)
    shift = moved.registered - track.registered
    assert (shift[:-1, :, 2] != 0).all() and not shift[-1].any() and not shift[..., :2].any()
    assert (track.lr == 10).all() and (track.hr == 10).all() and not (track.registered - track.motions).any()


def test_bicubic_gains_nothing_and_samples_reach_the_network(cache, faces):
    class Bicubic(torch.nn.Module):
        def forward(self, x, samples):
            self.weight = samples[:, 16:].amax().item()
            return torch.nn.functional.interpolate(x, scale_factor=4, mode="bicubic")

    recipe, network = edge_track.track(**SMALL, shards=1), Bicubic()
    gains = RecordedTracks(recipe, cache, faces, Criterion(recipe.losses)).evaluate(network)
    assert gains.keys() == {f"gain_db_{name}" for name in VALIDATED} and network.weight > 0.5
    assert max(map(abs, gains.values())) < 0.1


def test_a_short_training_uses_the_samples(cache, task):
    torch.manual_seed(0)
    network = build_network("edge-track", {**SMALL, "depth": 1})
    optimizer = torch.optim.Adam(network.parameters(), lr=4e-3)
    batch = track_batch(Tracks(*map(np.stack, zip(*tracks_of(cache, 8), strict=True))), FRAMES)
    for _ in range(60):
        loss = task.loss(network, batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    without = task.loss(network, replace(batch, samples=torch.zeros_like(batch.samples)))
    assert loss < without - 0.01 and network.seen.weight.abs().max() > 0.01


@pytest.fixture(scope="module")
def edge_weights(tmp_path_factory):
    """Weights of an edge network that is one convolution deeper."""
    path = tmp_path_factory.mktemp("edge") / "edge.safetensors"
    config = {"width": 8, "depth": 3, "scale": 4}
    path.write_bytes(weights_bytes(build_network("edge", config), "edge", config, Provenance()))
    return path


def trained(faces, cache, folder, *, steps, recipe="track", **options):
    return train_model(
        "edge-track", faces, folder, recipe=recipe, pairs=cache.folder, steps=steps, batch=2, threads=1, **options
    )


def test_training_starts_from_an_edge_network_and_ends_with_weights_and_their_record(
    cache, faces, edge_weights, tmp_path
):
    reports = []
    path = trained(
        *(faces, cache, tmp_path),
        steps=3,
        **SMALL,
        options={"shards": 1},
        init_weights=edge_weights,
        val_faces=faces,
        report=reports.append,
    )
    weights = read_weights(path)
    record = weights.origin.training
    assert (weights.network, weights.config) == ("edge-track", {**SMALL, "scale": 4})
    assert record["frames"] == max(CROPS) and record["init_from"]["network"] == "edge"
    assert record["scores"].keys() == {f"gain_db_{name}" for name in VALIDATED}
    network = network_from(weights, "edge-track", weights.config)
    edge = Edge(8, 3, 4)
    edge.load_state_dict(read_weights(edge_weights).tensors)
    for name in ("head.weight", "body.0.weight", "body.1.weight", "tail.weight"):
        assert (network.state_dict()[name] - edge.state_dict()[name]).abs().mean() < 0.02, name
    assert network.seen.weight.abs().max() > 0
    tuned = trained(faces, cache, tmp_path / "int8", steps=2, recipe="int8", init_weights=path)
    assert read_weights(tuned).origin.training["int8"] and read_weights(tuned).config == weights.config


def test_an_interrupted_training_resumes_to_the_same_weights(cache, faces, tmp_path):
    class StoppedError(Exception):
        pass

    options = {**SMALL, "options": {"shards": 1}}
    whole = trained(faces, cache, tmp_path / "whole", steps=230, **options)

    def stop_after_200(progress):
        if progress.step > 200:
            raise StoppedError

    with pytest.raises(StoppedError):
        trained(faces, cache, tmp_path / "parts", steps=230, report=stop_after_200, **options)
    parts = trained(faces, cache, tmp_path / "parts", steps=230, **options)
    for name, tensor in read_weights(whole).tensors.items():
        torch.testing.assert_close(read_weights(parts).tensors[name], tensor, rtol=0, atol=0)


def test_tracks_have_no_teacher_and_need_shards(cache, faces, tmp_path):
    with pytest.raises(UsageError, match="give --set shards=1 or more"):
        train_model("edge-track", faces, tmp_path, recipe="track", steps=1, options={"shards": 0}, **SMALL)
    with pytest.raises(UsageError, match="do not support a teacher"):
        trained(faces, cache, tmp_path, steps=1, options={"shards": 1}, teacher=tmp_path, **SMALL)
    with pytest.raises(TrainingError, match="holds recordings of other pictures or settings"):
        trained(faces, cache, tmp_path, steps=1, options={"shards": 1}, scale=2, **SMALL)
