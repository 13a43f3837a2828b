"""Face super-resolution for camera video on edge devices.

    sr = facesr_edge.load()
    result = sr(frame)                    # (H, W, 3) uint8 BGR
    result.frame, result.faces, result.timings_ms

Public names are imported at their first use (PEP 562): `import facesr_edge` alone imports no dependency.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .engines.bundle.bundle import Bundle, open_bundle
    from .engines.bundle.card import Card
    from .engines.errors import FacesrError, InputError, OutputError, UsageError
    from .engines.postprocess import Detection, Detections
    from .sdk.live.camera import Camera, CameraOptions, CameraStatus
    from .sdk.live.live import Live, live
    from .sdk.live.observer import Cycle, Observer
    from .sdk.live.results import LiveFace, LiveResult, SkippedFace
    from .sdk.load import load, load_detector
    from .sdk.media.encode_options import EncodeOptions
    from .sdk.media.sinks import open_sink
    from .sdk.media.source_sink import Sink, Source
    from .sdk.media.sources import open_source
    from .sdk.pipeline.detect import Detector
    from .sdk.pipeline.frame import Frame
    from .sdk.pipeline.pipeline import Pipeline
    from .sdk.pipeline.results import Face, FrameResult
    from .sdk.pipeline.run import Run, run
    from .sdk.pipeline.summary import Failure, RunSummary
    from .zoo.catalogue import DEFAULT_MODEL

__version__ = "0.1.0"

_MODULES = {
    # public name -> module that defines it
    "Bundle": "engines.bundle.bundle",
    "Camera": "sdk.live.camera",
    "CameraOptions": "sdk.live.camera",
    "CameraStatus": "sdk.live.camera",
    "Card": "engines.bundle.card",
    "Cycle": "sdk.live.observer",
    "DEFAULT_MODEL": "zoo.catalogue",
    "Detection": "engines.postprocess",
    "Detections": "engines.postprocess",
    "Detector": "sdk.pipeline.detect",
    "EncodeOptions": "sdk.media.encode_options",
    "Face": "sdk.pipeline.results",
    "FacesrError": "engines.errors",
    "Failure": "sdk.pipeline.summary",
    "Frame": "sdk.pipeline.frame",
    "FrameResult": "sdk.pipeline.results",
    "InputError": "engines.errors",
    "Live": "sdk.live.live",
    "LiveFace": "sdk.live.results",
    "LiveResult": "sdk.live.results",
    "Observer": "sdk.live.observer",
    "OutputError": "engines.errors",
    "Pipeline": "sdk.pipeline.pipeline",
    "Run": "sdk.pipeline.run",
    "RunSummary": "sdk.pipeline.summary",
    "Sink": "sdk.media.source_sink",
    "SkippedFace": "sdk.live.results",
    "Source": "sdk.media.source_sink",
    "UsageError": "engines.errors",
    "live": "sdk.live.live",
    "load": "sdk.load",
    "load_detector": "sdk.load",
    "open_bundle": "engines.bundle.bundle",
    "open_sink": "sdk.media.sinks",
    "open_source": "sdk.media.sources",
    "run": "sdk.pipeline.run",
}

__all__ = [
    "DEFAULT_MODEL",
    "Bundle",
    "Camera",
    "CameraOptions",
    "CameraStatus",
    "Card",
    "Cycle",
    "Detection",
    "Detections",
    "Detector",
    "EncodeOptions",
    "Face",
    "FacesrError",
    "Failure",
    "Frame",
    "FrameResult",
    "InputError",
    "Live",
    "LiveFace",
    "LiveResult",
    "Observer",
    "OutputError",
    "Pipeline",
    "Run",
    "RunSummary",
    "Sink",
    "SkippedFace",
    "Source",
    "UsageError",
    "__version__",
    "live",
    "load",
    "load_detector",
    "open_bundle",
    "open_sink",
    "open_source",
    "run",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'facesr_edge' has no attribute '{name}'")
    value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
