"""Properties of the element, and the pipeline that they configure."""

from __future__ import annotations

from dataclasses import dataclass

from ...engines.errors import UsageError
from ...zoo.catalogue import DEFAULT_DETECTOR, DEFAULT_MODEL, DEFAULT_SCORE
from ..load import load, load_detector
from ..pipeline.pipeline import OUTSCALES, Pipeline
from ..pipeline.tiling import MIN_FACE


@dataclass(frozen=True)
class Settings:
    """Properties of the element ``facesr``; the names in GStreamer have "-" in place of "_".

    Args:
        model: zoo name or bundle folder.
        detector: zoo name, bundle folder, or YuNet ONNX file.
        engine: "auto", or the name of a runtime.
        precision: "auto", "fp32", "bf16", "fp16" or "int8".
        outscale: ratio of the output's size to the input's, 1 to 4.
        min_face: side of the smallest face of interest, pixels.
        score: minimum score of the detector, 0 to 1.
        threads: CPU threads; 0 for one per core.
    """

    model: str = DEFAULT_MODEL
    detector: str = DEFAULT_DETECTOR
    engine: str = "auto"
    precision: str = "auto"
    outscale: int = 2
    min_face: float = MIN_FACE
    score: float = DEFAULT_SCORE
    threads: int = 0

    def open(self) -> Pipeline:
        """Load the pipeline.

        Raises:
            FacesrError: see `load` and `load_detector`.
        """
        if self.outscale not in OUTSCALES:
            raise UsageError(f"outscale is {self.outscale}, expected one of {', '.join(map(str, OUTSCALES))}")
        engine, precision, threads = self.engine, self.precision, self.threads
        detector = load_detector(
            self.detector,
            score=self.score,
            min_face=self.min_face,
            engine=engine,
            precision=precision,
            threads=threads,
        )
        try:
            pipeline = load(
                self.model,
                detector=detector,
                outscale=self.outscale,
                engine=engine,
                precision=precision,
                threads=threads,
            )
        except BaseException:
            detector.close()
            raise
        return pipeline
