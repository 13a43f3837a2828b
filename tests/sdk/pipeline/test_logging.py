"""Records of the package: silent without configuration, few, and without credentials."""

import logging
import subprocess
import sys

import facesr_edge
import numpy as np
import pytest
from facesr_edge.engines.errors import FacesrError
from facesr_edge.sdk.pipeline.frame import Frame

PROGRAM = """
import facesr_edge, logging, numpy as np
logging.getLogger("facesr_edge.sdk.load").warning("a fallback")
pipeline = facesr_edge.load("edge-nano-x4", engine="onnxruntime", precision="fp32", threads=1)
list(facesr_edge.run(pipeline, [facesr_edge.Frame(np.zeros((64, 64, 3), np.uint8))]))
"""


def test_an_application_that_configures_nothing_sees_nothing():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def records(caplog, frames):
    caplog.clear()
    options = {"engine": "onnxruntime", "precision": "fp32", "threads": 1}
    source = [Frame(np.zeros((64, 64, 3), np.uint8), index) for index in range(frames)]
    with caplog.at_level(logging.INFO, "facesr_edge"), facesr_edge.load("edge-nano-x4", **options) as pipeline:
        assert len(list(facesr_edge.run(pipeline, source))) == frames
    return [(record.name, record.levelname, record.getMessage()) for record in caplog.records]


def test_engines_and_the_end_of_a_run_are_logged_and_no_frame_is(caplog):
    few, many = records(caplog, 2), records(caplog, 40)
    assert [level for _, level, _ in many] == ["INFO"] * 3 and len(few) == len(many)
    assert {name for name, _, _ in many} == {"facesr_edge.engines.registry", "facesr_edge.sdk.pipeline.run"}
    assert many[1][2].startswith("edge-nano-x4 runs in ONNX Runtime fp32")
    assert many[2][2].startswith("run: 40 frames, 0 faces, 0 frames dropped")


def test_damage_is_a_warning(caplog):
    with facesr_edge.load("edge-nano-x4", engine="onnxruntime", precision="fp32", threads=1) as pipeline:
        frames = [Frame(np.zeros((64, 64, 3), np.uint8), index, damaged=index == 1) for index in range(3)]
        with facesr_edge.run(pipeline, frames) as results:
            next(results)
            next(results)
    (record,) = caplog.records
    assert record.levelname == "WARNING" and "2 frames" in record.getMessage()
    assert "0 packets and 1 frames damaged" in record.getMessage()


@pytest.mark.parametrize("url", ["rtsp://anna:s3cret@127.0.0.1:9/live", "http://127.0.0.1:9/a.mjpg?password=s3cret"])
def test_credentials_are_not_logged(caplog, url):
    with caplog.at_level(logging.DEBUG), pytest.raises(FacesrError) as caught:
        facesr_edge.open_source(url, timeout_s=1)
    assert "s3cret" not in caplog.text and "s3cret" not in str(caught.value)
