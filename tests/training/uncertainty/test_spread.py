"""The spread of the gain: it undoes the shrinkage of an estimate towards its mean."""

import numpy as np
import pytest
from facesr_edge.training.uncertainty.spread import coverages, spread, worst


def test_conditions_that_the_map_hides_are_covered_alike_after_the_spread():
    rng = np.random.default_rng(1)
    values = {}
    for name, log in (("clean", 0.0), ("strong", 1.0)):
        widths = np.exp(rng.normal(0, 0.8, (80, 20, 20)))  # of the places, larger than the differences of conditions
        errors = np.abs(rng.normal(0, np.exp(log) * widths))
        values[name] = (widths, np.full((80, 1, 1), 0.5 * log), errors)
    before, after = (coverages(values, factor) for factor in (1.0, spread(values)))
    assert worst(before) > 0.025 > worst(after) and spread(values) == pytest.approx(2, abs=0.2)
