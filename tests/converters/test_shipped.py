"""What ships is what its weights say: a graph left behind by a change would be the default of everybody."""

import pytest
from facesr_edge.calibration.sample import sample_faces
from facesr_edge.converters.convert import hold, subject_of
from facesr_edge.engines.bundle import open_bundle
from facesr_edge.zoo import catalogue


@pytest.mark.parametrize("name", catalogue.names())
def test_the_graph_is_that_of_the_weights_beside_it(name):
    bundle = open_bundle(catalogue.FOLDER / name)
    assert bundle.card.precision == "fp32"
    hold(subject_of(bundle, sample_faces()[:1]), "simplified", bundle.onnx, print)
