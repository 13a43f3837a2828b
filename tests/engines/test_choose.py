"""Which runtime runs a bundle: as asked, never another in its stead."""

import pytest
from facesr_edge.engines.choose import ENGINES, open_session
from facesr_edge.engines.errors import UnknownNameError
from facesr_edge.engines.ort import OrtSession


@pytest.mark.parametrize("engine", ["auto", "onnxruntime"])
def test_the_engine_asked_for_is_taken(tiny_bundle, engine):
    session = open_session(tiny_bundle(), engine)
    assert isinstance(session, OrtSession) and session.contract == tiny_bundle().card.contract


@pytest.mark.parametrize(("engine", "hint"), [("onnxruntim", "did you mean 'onnxruntime'"), ("", "known: auto, ")])
def test_an_unknown_engine_is_refused_with_those_there_are(tiny_bundle, engine, hint):
    with pytest.raises(UnknownNameError, match=hint):
        open_session(tiny_bundle(), engine)


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_every_engine_keeps_the_number_of_threads(tiny_bundle, engine):
    assert "1 threads" in open_session(tiny_bundle(), engine, threads=1).runtime
