"""The model that runs in Triton's Python backend: a frame in, faces out. It calls the networks of the same server.

Stages, windows and pasting are those of the package, which must be installed in the server's Python.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....engines.bundle.card import card_from_json
from ....engines.errors import EngineError, FacesrError, InputError, one_line
from ....engines.tensor_spec import TensorSpec
from ...pipeline.detect import Detector
from ...pipeline.pipeline import Pipeline
from ...pipeline.results import Face, FrameResult
from .session import ServedModel, TritonSession

FRAME, COMPOSITE = "frame", "composite"
INPUTS = (TensorSpec(FRAME, (-1, -1, 3), np.dtype(np.uint8)),)
OUTPUTS = (
    TensorSpec("boxes_xyxy", (-1, 4), np.dtype(np.float32)),
    TensorSpec("scores", (-1,), np.dtype(np.float32)),
    TensorSpec("landmarks", (-1, 5, 2), np.dtype(np.float32)),
    TensorSpec("windows_xyxy", (-1, 4), np.dtype(np.int32)),
    TensorSpec("consistency_db", (-1,), np.dtype(np.float32)),
    TensorSpec("sides", (-1,), np.dtype(np.int32)),
    TensorSpec("pixels", (-1,), np.dtype(np.uint8)),
    TensorSpec("too_large_xyxy", (-1, 4), np.dtype(np.float32)),
    TensorSpec(COMPOSITE, (-1, -1, 3), np.dtype(np.uint8)),
)
"""Outputs for one frame of N upscaled faces. `sides` are those of the upscaled faces, whose (side, side, 3) BGR pixels
follow each other in `pixels`. `too_large_xyxy` are the boxes of faces that no window holds. `composite` is computed
only if it is requested."""
NETWORK_CARD, DETECTOR_CARD = "network.json", "detector.json"
"""Cards of the bundles, in the folder of the version."""


class TritonPythonModel:
    """See "Python backend" in Triton's documentation: the server creates one for each instance and calls it."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Read the configuration; called once."""
        import triton_python_backend_utils as pb_utils  # provided by the server

        self._pb_utils = pb_utils
        config = json.loads(args["model_config"])
        values = {key: entry["string_value"] for key, entry in config["parameters"].items()}
        folder = Path(args["model_repository"]) / args["model_version"]
        network, detector = (
            ServedModel.from_dict(json.loads(values[key])) for key in ("network_model", "detector_model")
        )
        card, detector_card = (_card(folder / name) for name in (NETWORK_CARD, DETECTOR_CARD))
        detector_session = TritonSession(detector_card.io_spec, detector, self._infer)
        fingerprint = f"{detector_card.name} {detector_card.fingerprint}"
        score, min_face = float(values["score"]), float(values["min_face"])
        self._detector = Detector(detector_session, score, min_face, fingerprint=fingerprint)
        session = TritonSession(card.io_spec, network, self._infer)
        outscale = int(values["outscale"])
        self._composites = Pipeline(session, card, self._detector, outscale, close_detector=False)
        self._faces = Pipeline(session, card, self._detector, outscale, composite=False, close_detector=False)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer requests; a request that cannot be answered gets an error of one line."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        pb_utils = self._pb_utils
        try:
            names = list(request.requested_output_names()) or [spec.name for spec in OUTPUTS]
            frame = pb_utils.get_input_tensor_by_name(request, FRAME).as_numpy()
            if frame.ndim != 3:
                raise InputError(f"expected a frame of (H, W, 3) uint8 BGR, got {frame.shape}; send one frame")
            pipeline = self._composites if COMPOSITE in names else self._faces
            arrays = arrays_of(pipeline(frame))
            return pb_utils.InferenceResponse([pb_utils.Tensor(name, arrays[name]) for name in names])
        except FacesrError as error:
            return pb_utils.InferenceResponse([], pb_utils.TritonError(one_line(error)))
        except Exception as error:
            line = f"unexpected {type(error).__name__}: {one_line(error)}"
            return pb_utils.InferenceResponse([], pb_utils.TritonError(line))

    def _infer(self, model: str, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> list[NDArray[Any]]:
        """Call another model of the server; see `Infer`."""
        pb_utils = self._pb_utils
        request = pb_utils.InferenceRequest(
            model_name=model,
            requested_output_names=list(outputs),
            inputs=[pb_utils.Tensor(name, array) for name, array in inputs.items()],
            preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0),
        )
        response = request.exec()
        if response.has_error():
            raise EngineError(f"the model {model} of this server failed: {one_line(response.error().message())}")
        return [np.array(pb_utils.get_output_tensor_by_name(response, name).as_numpy()) for name in outputs]

    def finalize(self) -> None:
        """Release the pipeline; called once."""
        self._composites.close()
        self._faces.close()
        self._detector.close()


def arrays_of(result: FrameResult) -> dict[str, NDArray[Any]]:
    """The outputs of a frame, see `OUTPUTS`; the composite only if the result has one."""
    faces = result.faces
    arrays: dict[str, NDArray[Any]] = {
        "boxes_xyxy": _stack([face.box_xyxy for face in faces], (4,), np.float32),
        "scores": np.array([face.score for face in faces], np.float32),
        "landmarks": _stack([face.landmarks for face in faces], (5, 2), np.float32),
        "windows_xyxy": _stack([face.window_xyxy for face in faces], (4,), np.int32),
        "consistency_db": np.array([face.consistency_db for face in faces], np.float32),
        "sides": np.array([face.pixels.shape[0] for face in faces], np.int32),
        "pixels": _pixels(faces),
        "too_large_xyxy": np.asarray(result.too_large.boxes_xyxy, np.float32),
    }
    return arrays if result.frame is None else {**arrays, COMPOSITE: result.frame}


def _stack(rows: Sequence[Any], shape: tuple[int, ...], dtype: type[np.generic]) -> NDArray[Any]:
    """(N, …) of rows of a shape, also for N = 0."""
    return np.array(rows, dtype).reshape(-1, *shape)


def _pixels(faces: Sequence[Face]) -> NDArray[np.uint8]:
    flat = [face.pixels.reshape(-1) for face in faces]
    return np.concatenate(flat) if flat else np.zeros(0, np.uint8)


def _card(path: Path) -> Any:
    return card_from_json(path.read_text("utf-8"), str(path))
