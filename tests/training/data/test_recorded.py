"""Batches of recorded pairs: clean pairs, the teacher's output, gains by kind."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from facesr_edge.calibration.data.faces import low_resolution
from facesr_edge.networks.layers.resample import enlarge
from facesr_edge.training.data.cameras.cache import PairCache, PairSource
from facesr_edge.training.data.recorded import VALIDATED, RecordedFaces
from facesr_edge.training.recipes import edge


@pytest.fixture(scope="module")
def cache(faces, tmp_path_factory):
    pairs = PairCache(tmp_path_factory.mktemp("pairs"), PairSource((faces,), None, 4, 32, seed=1), 1)
    pairs.fill(1)
    return pairs


@pytest.fixture
def plan():
    return replace(edge.camera(8, 1), batch=64)


@pytest.mark.parametrize("clean", [0.0, 0.5, 1.0])
def test_a_fraction_of_the_pairs_is_made_by_bicubic(cache, plan, clean):
    batch = RecordedFaces(replace(plan, clean=clean), cache, None).batch(np.random.default_rng(0))
    assert batch.lr.shape == (64, 32, 32, 3) and batch.hr.shape == (64, 128, 128, 3) and batch.teacher_sr is None
    equal = (low_resolution(batch.hr.numpy(), 4) == batch.lr.numpy()).all((1, 2, 3))
    assert equal.mean() == pytest.approx(clean, abs=0.2) and (clean not in (0, 1) or equal.mean() == clean)


def test_the_teacher_saw_the_recorded_pairs_and_the_truth_stands_in_for_clean_ones(cache, plan):
    cache.teach("black", lambda lr: np.zeros((len(lr), 128, 128, 3), np.uint8))
    plan = replace(plan, distill_weight=0.5, clean=0.5)
    batch = RecordedFaces(plan, cache, None).batch(np.random.default_rng(0))
    equal = (low_resolution(batch.hr.numpy(), 4) == batch.lr.numpy()).all((1, 2, 3))
    assert torch.equal(batch.teacher_sr[equal], batch.hr[equal]) and not batch.teacher_sr[~equal].any()


def test_bicubic_gains_nothing_in_any_kind(cache, plan, faces):
    class Bicubic(torch.nn.Module):
        def forward(self, x):
            return enlarge(x, 4)

    gains = RecordedFaces(plan, cache, faces).evaluate(Bicubic())
    assert gains.keys() == {f"gain_db_{name}" for name in VALIDATED}
    assert max(map(abs, gains.values())) < 0.3  # OpenCV's bicubic has another kernel
