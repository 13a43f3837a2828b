"""Face super-resolution for camera video on edge devices.

    sr = facesr_edge.load()
    result = sr(frame)                    # (H, W, 3) uint8 BGR
    result.frame, result.faces, result.timings_ms

Public names are imported at their first use (PEP 562): `import facesr_edge` alone imports no dependency.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .engines.bundle.bundle import Bundle, open_bundle
    from .engines.bundle.card import Card, Evaluation
    from .engines.bundle.engine_info import EngineInfo
    from .engines.bundle.io_spec import IOSpec
    from .engines.errors import (
        BundleError,
        EngineError,
        FacesrError,
        InputError,
        MissingDependencyError,
        OutputError,
        SourceAuthenticationError,
        SourceBrokenError,
        SourceClosedError,
        SourceNotFoundError,
        SourceTimeoutError,
        SourceUnreachableError,
        UnknownNameError,
        UsageError,
    )
    from .engines.postprocess import Detection, Detections
    from .engines.session import Session
    from .engines.uncertainty import UncertaintySession
    from .sdk.live.camera import Camera, CameraOptions, CameraStatus
    from .sdk.live.live import Live, live
    from .sdk.live.observer import Cycle, Observer
    from .sdk.live.results import LiveFace, LiveResult, SkippedFace
    from .sdk.live.sinks.open import open_live_sink
    from .sdk.live.sinks.queue import SinkGroup, SinkQueue, SinkStatistics
    from .sdk.live.sinks.sink import LiveSink
    from .sdk.live.supervision import from_supervision, to_supervision
    from .sdk.live.tracks.best_shot import BestShot, BestShots
    from .sdk.live.tracks.usability import Usability
    from .sdk.load import load, load_detector, load_uncertainty
    from .sdk.media.encode_options import EncodeOptions
    from .sdk.media.live.reconnect import Reconnect
    from .sdk.media.sinks import open_sink
    from .sdk.media.source_sink import Sink, Source
    from .sdk.media.sources import open_source
    from .sdk.pipeline.detect import Detector
    from .sdk.pipeline.frame import Color, Frame, ImageMetadata, bgr_from
    from .sdk.pipeline.pipeline import Pipeline
    from .sdk.pipeline.redetect import DetectEvery
    from .sdk.pipeline.results import DetectorUse, Face, FrameResult
    from .sdk.pipeline.run import Run, run
    from .sdk.pipeline.summary import Failure, RunSummary
    from .sdk.pipeline.tiling import Plan
    from .sdk.pipeline.uncertainty import uncertainty_of, uncertainty_sheet
    from .sdk.profiling.timing import Span
    from .sdk.store.open import open_store
    from .sdk.store.records import FaceFilter, StoredFace
    from .sdk.store.store import Store
    from .zoo.catalogue import DEFAULT_MODEL

__version__ = "0.1.0"

logging.getLogger(__name__).addHandler(logging.NullHandler())  # silent, unless the application configures logging

_MODULES = {
    # public name -> module that defines it
    "BestShot": "sdk.live.tracks.best_shot",
    "BestShots": "sdk.live.tracks.best_shot",
    "Bundle": "engines.bundle.bundle",
    "BundleError": "engines.errors",
    "Camera": "sdk.live.camera",
    "CameraOptions": "sdk.live.camera",
    "CameraStatus": "sdk.live.camera",
    "Card": "engines.bundle.card",
    "Color": "sdk.pipeline.frame",
    "Cycle": "sdk.live.observer",
    "DEFAULT_MODEL": "zoo.catalogue",
    "DetectEvery": "sdk.pipeline.redetect",
    "Detection": "engines.postprocess",
    "Detections": "engines.postprocess",
    "Detector": "sdk.pipeline.detect",
    "DetectorUse": "sdk.pipeline.results",
    "EncodeOptions": "sdk.media.encode_options",
    "EngineError": "engines.errors",
    "EngineInfo": "engines.bundle.engine_info",
    "Evaluation": "engines.bundle.card",
    "Face": "sdk.pipeline.results",
    "FaceFilter": "sdk.store.records",
    "FacesrError": "engines.errors",
    "Failure": "sdk.pipeline.summary",
    "Frame": "sdk.pipeline.frame",
    "FrameResult": "sdk.pipeline.results",
    "IOSpec": "engines.bundle.io_spec",
    "ImageMetadata": "sdk.pipeline.frame",
    "InputError": "engines.errors",
    "Live": "sdk.live.live",
    "LiveFace": "sdk.live.results",
    "LiveResult": "sdk.live.results",
    "LiveSink": "sdk.live.sinks.sink",
    "MissingDependencyError": "engines.errors",
    "Observer": "sdk.live.observer",
    "OutputError": "engines.errors",
    "Pipeline": "sdk.pipeline.pipeline",
    "Plan": "sdk.pipeline.tiling",
    "Reconnect": "sdk.media.live.reconnect",
    "Run": "sdk.pipeline.run",
    "RunSummary": "sdk.pipeline.summary",
    "Session": "engines.session",
    "Sink": "sdk.media.source_sink",
    "SinkGroup": "sdk.live.sinks.queue",
    "SinkQueue": "sdk.live.sinks.queue",
    "SinkStatistics": "sdk.live.sinks.queue",
    "SkippedFace": "sdk.live.results",
    "Source": "sdk.media.source_sink",
    "SourceAuthenticationError": "engines.errors",
    "SourceBrokenError": "engines.errors",
    "SourceClosedError": "engines.errors",
    "SourceNotFoundError": "engines.errors",
    "SourceTimeoutError": "engines.errors",
    "SourceUnreachableError": "engines.errors",
    "Span": "sdk.profiling.timing",
    "Store": "sdk.store.store",
    "StoredFace": "sdk.store.records",
    "UnknownNameError": "engines.errors",
    "UncertaintySession": "engines.uncertainty",
    "Usability": "sdk.live.tracks.usability",
    "UsageError": "engines.errors",
    "bgr_from": "sdk.pipeline.frame",
    "from_supervision": "sdk.live.supervision",
    "live": "sdk.live.live",
    "load": "sdk.load",
    "load_detector": "sdk.load",
    "load_uncertainty": "sdk.load",
    "open_bundle": "engines.bundle.bundle",
    "open_live_sink": "sdk.live.sinks.open",
    "open_sink": "sdk.media.sinks",
    "open_source": "sdk.media.sources",
    "open_store": "sdk.store.open",
    "run": "sdk.pipeline.run",
    "to_supervision": "sdk.live.supervision",
    "uncertainty_of": "sdk.pipeline.uncertainty",
    "uncertainty_sheet": "sdk.pipeline.uncertainty",
}

__all__ = [
    "DEFAULT_MODEL",
    "BestShot",
    "BestShots",
    "Bundle",
    "BundleError",
    "Camera",
    "CameraOptions",
    "CameraStatus",
    "Card",
    "Color",
    "Cycle",
    "DetectEvery",
    "Detection",
    "Detections",
    "Detector",
    "DetectorUse",
    "EncodeOptions",
    "EngineError",
    "EngineInfo",
    "Evaluation",
    "Face",
    "FaceFilter",
    "FacesrError",
    "Failure",
    "Frame",
    "FrameResult",
    "IOSpec",
    "ImageMetadata",
    "InputError",
    "Live",
    "LiveFace",
    "LiveResult",
    "LiveSink",
    "MissingDependencyError",
    "Observer",
    "OutputError",
    "Pipeline",
    "Plan",
    "Reconnect",
    "Run",
    "RunSummary",
    "Session",
    "Sink",
    "SinkGroup",
    "SinkQueue",
    "SinkStatistics",
    "SkippedFace",
    "Source",
    "SourceAuthenticationError",
    "SourceBrokenError",
    "SourceClosedError",
    "SourceNotFoundError",
    "SourceTimeoutError",
    "SourceUnreachableError",
    "Span",
    "Store",
    "StoredFace",
    "UncertaintySession",
    "UnknownNameError",
    "Usability",
    "UsageError",
    "__version__",
    "bgr_from",
    "from_supervision",
    "live",
    "load",
    "load_detector",
    "load_uncertainty",
    "open_bundle",
    "open_live_sink",
    "open_sink",
    "open_source",
    "open_store",
    "run",
    "to_supervision",
    "uncertainty_of",
    "uncertainty_sheet",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'facesr_edge' has no attribute '{name}'")
    value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
