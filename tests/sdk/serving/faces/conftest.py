"""A face service on a real socket, pictures, and requests."""

import json
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection
from urllib.parse import urlsplit

import cv2
import facesr_edge
import numpy as np
import pytest
from facesr_edge.sdk.serving.faces.limits import Limits
from facesr_edge.sdk.serving.faces.server import load_pipelines, serve_faces

MODEL = "edge-nano-x4"
ENGINE = {"engine": "onnxruntime", "precision": "fp32", "threads": 1}


class Client:
    """Requests to a server."""

    def __init__(self, server):
        self.address = "127.0.0.1", urlsplit(server.url).port

    def __call__(self, method, path, body=None, timeout=60, **headers):
        """Status, headers, and the content: parsed if it is JSON."""
        connection = HTTPConnection(*self.address, timeout=timeout)
        try:
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, names)
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        is_json = response.headers["content-type"] == "application/json"
        return response.status, response.headers, json.loads(content) if is_json else content

    def post(self, body, query="", **headers):
        return self("POST", f"/faces{query}", body, **headers)


@pytest.fixture(scope="session")
def two_faces(put_face):
    """(240, 320, 3) with faces of 60 and 40 px."""
    frame = np.full((240, 320, 3), 118, np.uint8)
    put_face(frame, 10, 20, 60)
    put_face(frame, 190, 60, 40)
    return frame


@pytest.fixture(scope="session")
def picture(two_faces):
    """The two faces as PNG."""
    return cv2.imencode(".png", two_faces)[1].tobytes()


@pytest.fixture(scope="session")
def direct():
    """The pipeline of the service, called directly."""
    detector = facesr_edge.load_detector(**ENGINE)
    with facesr_edge.load(MODEL, detector=detector, composite=False, **ENGINE) as pipeline, detector:
        yield pipeline


class Kept:
    """A pipeline or detector that several servers use in turn: they do not close it."""

    def __init__(self, pipeline):
        self._pipeline = pipeline

    def __getattr__(self, name):
        return getattr(self._pipeline, name)

    @property
    def detector(self):
        return Kept(self._pipeline.detector)

    def close(self):
        pass


@pytest.fixture(scope="session")
def serving(direct):
    """Context manager: a server with one worker, and its client."""

    @contextmanager
    def serve(limits=None, **options):
        with serve_faces(lambda: [Kept(direct)], port=0, limits=limits or Limits(), **options) as server:
            yield Client(server)

    return serve


@pytest.fixture(scope="session")
def client():
    """Of a server with two workers."""
    limits = Limits(max_bytes=500_000, max_megapixels=1.0, max_detector_megapixels=1.5, max_faces=5)
    with serve_faces(partial(load_pipelines, MODEL, workers=2, **ENGINE), port=0, limits=limits) as server:
        yield Client(server)
