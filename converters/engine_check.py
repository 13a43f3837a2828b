"""Verification of a compiled engine against ONNX Runtime, and its latency."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..calibration.data.faces import astronaut, sample_faces
from ..calibration.timing import median_ms
from ..engines.bundle.bundle import REFERENCES, Bundle
from ..engines.bundle.io_spec import IOSpec
from ..engines.errors import MissingDependencyError
from ..engines.inputs import PRESENT, Inputs
from ..engines.onnxruntime.session import OrtGraph, OrtSession
from ..engines.session import MultiInputSession
from .parity import consistency_parity, engine_parity

UNTRIED = "not tried yet: built without a GPU; compared with ONNX Runtime when it is first loaded on one"
"""Metric "untried" of an engine on its card."""


@dataclass(frozen=True)
class EngineCheck:
    """Result of `check_engine`.

    Args:
        parity: agreement with ONNX Runtime on the same graph, and of the consistency residual with the pixels; each the
            worst of all input shapes.
        shape, ms: (N, H, W, 3) of the timed input, and its median latency.
    """

    parity: dict[str, float]
    shape: tuple[int, ...]
    ms: float

    def __str__(self) -> str:
        parity = ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in self.parity.items())
        count, height, width, _ = self.shape
        return f"{parity}; {self.ms:.2f} ms for {count} of {width}x{height} px"

    def to_dict(self) -> dict[str, Any]:
        """For the card."""
        return {**self.parity, "timed_nhwc": list(self.shape), "time_ms": round(self.ms, 3)}


def check_engine(bundle: Bundle, session: MultiInputSession) -> EngineCheck:
    """Compare an engine with ONNX Runtime in every input shape that it was compiled for, and time it.

    A network that takes references gets as many as it can, except for the last face, which lacks one.

    Args:
        bundle, session: the graph that the engine was compiled from, and the engine.

    Raises:
        ParityError: the outputs differ: a broken kernel, an overflow or values that are not finite.
    """
    batches, results = check_inputs(session.io_spec), []
    references = [check_references(bundle, batch) for batch in batches] if session.io_spec.references else []
    with closing(OrtSession(bundle)) as reference:
        expected = reference.infer_batches(batches, references)
        outputs = session.infer_batches(batches, references)
        for batch, (correct, _), (actual, residual) in zip(batches, expected, outputs, strict=True):
            result = engine_parity(bundle.card.precision, correct, actual)
            if residual is not None:
                result |= consistency_parity("engine", batch, actual, residual)
            results.append(result)
    worst = {name: min if name == "psnr_db" else max for name in results[0]}
    parity = {name: worst[name](result[name] for result in results) for name in worst}
    return EngineCheck(parity, batches[0].shape, median_ms((session,), batches[0])[0])


def check_inputs(io_spec: IOSpec) -> list[NDArray[np.uint8]]:
    """Inputs for `check_engine`, (N, H, W, 3) for each size: faces of the sample image, or the image for a detector.

    Without scikit-image, as on a device that only runs bundles, they are smooth noise. A detector of any size is
    checked at 640x384.
    """
    try:
        image, faces = astronaut(), sample_faces()
    except MissingDependencyError:
        coarse = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
        image = np.asarray(cv2.resize(coarse, (512, 512), interpolation=cv2.INTER_CUBIC), np.uint8)
        faces = [image[:128, 48 * i : 48 * i + 128] for i in range(8)]
    if io_spec.task == "super-resolution":
        sizes = [(side, side, max(io_spec.batches_of(side, side))) for side in io_spec.crop_sizes]
        return [np.stack([_resized(face, h, w) for face in faces[:count]]) for h, w, count in sizes]
    return [_resized(image, height, width)[None] for height, width in io_spec.sizes_hw or ((384, 640),)]


def check_references(bundle: Bundle, batch: NDArray[np.uint8]) -> Inputs:
    """References of a batch of `check_inputs`: its faces, larger, encoded by the graph of the bundle."""
    graph = OrtGraph(bundle.folder / REFERENCES, content=bundle.read_graph(REFERENCES))
    side, count, slots = graph.inputs["pixels"].shape[1], len(batch), bundle.card.io_spec.references
    encoded = graph.run(np.stack([_resized(face, side, side) for face in batch]))
    index = (np.arange(count)[:, None] + np.arange(slots)) % count
    keys, values = (part.astype(np.float16)[index] for part in encoded)
    present = np.ones((count, slots), np.float32)
    present[-1, -1] = 0
    return {"keys": keys, "values": values, PRESENT: present}


def _resized(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
