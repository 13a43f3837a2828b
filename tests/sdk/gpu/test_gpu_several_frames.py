"""Faces of several frames with engines on a GPU: the stages run on the CPU, and say why."""

import logging

import numpy as np
import pytest
from facesr_edge.engines.bundle.bundle import open_bundle
from facesr_edge.engines.errors import EngineError
from facesr_edge.engines.onnxruntime.session import OrtSession
from facesr_edge.engines.registry import ENGINES
from facesr_edge.sdk.gpu.stages import GpuStages
from facesr_edge.sdk.load import load, load_detector
from facesr_edge.sdk.pipeline.detect import Detector
from facesr_edge.sdk.pipeline.pipeline import Pipeline
from facesr_edge.sdk.pipeline.stages import CpuStages
from facesr_edge.sdk.pipeline.track_network import TrackNetwork
from facesr_edge.zoo import catalogue
from support.gpu_engines import OrtOnGpuArrays
from support.gpu_pipelines import scene

OPTIONS = {"engine": "onnxruntime", "precision": "fp32", "threads": 1}


def test_crops_are_registered_on_the_cpu_with_a_warning(gpu, network, track_network):
    records = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())
    logger, open_on_cpu, frames = logging.getLogger("facesr_edge.sdk.load"), ENGINES["onnxruntime"], [scene("one")] * 4
    logger.addHandler(handler)
    try:
        with load(network, frames=4, track_model=track_network, **OPTIONS) as on_cpu:
            expected = [result.faces[0] for result in on_cpu.stream(frames)]
        ENGINES["onnxruntime"] = lambda bundle, *options: OrtOnGpuArrays(bundle, gpu)
        detector = load_detector(**OPTIONS)
        with load(network, detector=detector, frames=4, track_model=track_network, **OPTIONS) as pipeline:
            assert type(pipeline.stages) is CpuStages
            made = [result.faces[0] for result in pipeline.stream(frames)]
    finally:
        ENGINES["onnxruntime"] = open_on_cpu
        logger.removeHandler(handler)
    assert len(records) == 1 and "frames is 4: crops are registered on the CPU" in records[0]
    assert [face.frames for face in made] == [face.frames for face in expected] == [1, 2, 2, 2]  # it stands still
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(made, expected, strict=True))


def test_gpu_stages_are_refused(gpu, network, track_network):
    bundle, tracks = open_bundle(network), open_bundle(track_network)
    detector = Detector(OrtOnGpuArrays(catalogue.find(catalogue.DEFAULT_DETECTOR), gpu))
    session, track = OrtOnGpuArrays(bundle, gpu), TrackNetwork(OrtSession(tracks, 1), tracks.card)
    with pytest.raises(EngineError, match="need stages on the CPU, got those of a GPU; use CpuStages"):
        Pipeline(session, bundle.card, detector, stages=GpuStages, frames=4, track_network=track)
