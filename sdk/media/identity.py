"""What the frames of a run depend on: a stopped run goes on only if nothing of it has changed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av

from ... import __version__
from .images.sequence import SequenceSource
from .images.source import FolderSource
from .journal import Identity
from .source_sink import Source
from .video.reader import VideoSource

if TYPE_CHECKING:
    from ..pipeline.pipeline import Pipeline


def source_identity(source: Source) -> Identity:
    """Name of the input, and size and modification time of its files."""
    identity: dict[str, Any] = {"input": source.name if source.path is None else str(source.path.resolve())}
    if isinstance(source, FolderSource):
        identity["files of the input"] = _hash([_stamp(name, path) for name, path in source.images.items()])
    elif isinstance(source, SequenceSource):
        files = _hash([_stamp(path.name, path) for path in source.files])
        identity |= {"files of the input": files, "rate": str(source.rate)}
    elif source.path is not None and source.path.is_file():
        _, size, time_ns = _stamp("", source.path)
        identity |= {"size of the input": size, "time of the input": time_ns}
    if isinstance(source, VideoSource):
        identity["deinterlace"] = source.deinterlace
    return identity


def pipeline_identity(pipeline: Pipeline) -> Identity:
    """Networks, runtimes and options of a pipeline, and the versions of this package, PyAV and FFmpeg."""
    session, detector, card = pipeline.session, pipeline.detector, pipeline.card
    identity: dict[str, Any] = {
        "model": card.name,
        "files of the model": card.fingerprint,
        "precision": session.precision,
        "engine": session.runtime,
        "detector": detector.fingerprint,
        "engine of the detector": f"{detector.session.runtime}, {detector.session.precision}",
        "score": detector.score,
        "min-face": detector.min_face,
        "detect-every": pipeline.detect_every,
        "outscale": pipeline.outscale,
        "facesr-edge": __version__,
        "PyAV": f"{av.__version__}, libavcodec {'.'.join(map(str, av.library_versions['libavcodec']))}",
    }
    if pipeline.uncertainty is not None:
        identity["uncertainty"] = pipeline.uncertainty.fingerprint
    if pipeline.multi_frame is not None:
        network = pipeline.multi_frame.network
        identity |= {
            "frames": pipeline.frames,
            "track model": f"{network.card.name} {network.card.fingerprint}",
            "engine of the track model": f"{network.session.runtime}, {network.session.precision}",
        }
    library = getattr(session, "library", None)
    if library is not None:
        identity["references"] = _hash([entry.sha256 for entry in library.manifest.entries])
    return identity


def _stamp(name: str, path: Path) -> tuple[str, int, int]:
    try:
        status = path.stat()
    except OSError:  # reported when it is read
        return name, 0, 0
    return name, status.st_size, status.st_mtime_ns


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
