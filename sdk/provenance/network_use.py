"""Which network, in which engine, made the pixels of faces."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ... import __version__

if TYPE_CHECKING:
    from ..pipeline.pipeline import Pipeline


@dataclass(frozen=True)
class NetworkUse:
    """What the pixels of an upscaled face depend on, besides the crop.

    Args:
        name: of the model.
        fingerprint: hash of the files of its bundle, as `Card.fingerprint`.
        precision: "fp32", "int8", …
        engine: runtime, e.g. "onnxruntime".
        scale: of the network.
        detector: hash of the detector's bundle.
        version: of this package.
    """

    name: str
    fingerprint: str
    precision: str
    engine: str
    scale: int
    detector: str
    version: str = __version__

    @staticmethod
    def of(pipeline: Pipeline) -> NetworkUse:
        """That of a pipeline."""
        session, card = pipeline.session, pipeline.card
        return NetworkUse(
            card.name,
            card.fingerprint,
            session.precision,
            session.runtime,
            session.io_spec.scale,
            pipeline.detector.fingerprint,
        )

    @staticmethod
    def of_tracks(pipeline: Pipeline) -> NetworkUse | None:
        """That of the faces that a pipeline makes from several frames; None if it makes none."""
        if pipeline.multi_frame is None:
            return None
        session, card = pipeline.multi_frame.network.session, pipeline.multi_frame.network.card
        detector = pipeline.detector.fingerprint
        return NetworkUse(
            card.name, card.fingerprint, session.precision, session.runtime, session.io_spec.scale, detector
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)
