"""Which networks in which engines process an archive: decided once, and loaded alike by every worker."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import av

from ... import __version__
from ...engines.errors import InputError
from ...engines.references.library import MANIFEST
from ...engines.references.session import MAX_REFERENCES
from ...engines.registry import choose_engine
from ...zoo import catalogue
from ..media.reasons import error_reason
from ..pipeline.pipeline import Pipeline
from ..pipeline.redetect import DetectEvery
from ..pipeline.tiling import MIN_FACE
from ..pipeline.track_network import TrackNetwork, check_frames

_ONNX = ".onnx"


@dataclass(frozen=True)
class PipelineSpec:
    """How every worker loads its pipeline; see `load` and `load_detector` for the values.

    Args:
        model: zoo name or bundle folder, which every worker can read.
        engine: of the network; "auto" until `decided`.
        precision: of the network; "auto" until `decided`.
        detector: zoo name, bundle folder or YuNet ONNX file.
        detector_engine: of the detector.
        detector_precision: of the detector.
        outscale: ratio of the composite's size to the frame's, 1 to 4.
        score: minimum score of a face, 0..1.
        min_face: side of the smallest face of interest, frame pixels.
        detect_every: frames of a video from one full detection to the next.
        threads: CPU threads of the networks and the codecs of one worker, 1 or more: the pixels that a video encoder
            writes depend on it.
        references: folder of a library of reference faces; None without.
        max_references: maximum number of references per face.
        frames: maximum number of frames of a video that a face is made from.
        track_model: zoo name or bundle folder of the multi-frame network, used if `frames` is more than 1.
        track_engine: of the multi-frame network; "auto" until `decided`.
        track_precision: of the multi-frame network; "auto" until `decided`.
    """

    model: str = catalogue.DEFAULT_MODEL
    engine: str = "auto"
    precision: str = "auto"
    detector: str = catalogue.DEFAULT_DETECTOR
    detector_engine: str = "auto"
    detector_precision: str = "auto"
    outscale: int = 2
    score: float = catalogue.DEFAULT_SCORE
    min_face: float = MIN_FACE
    detect_every: DetectEvery = 1
    threads: int = 1
    references: str | None = None
    max_references: int = MAX_REFERENCES
    frames: int = 1
    track_model: str = catalogue.TRACK
    track_engine: str = "auto"
    track_precision: str = "auto"

    def as_before(self, earlier: Mapping[str, Any]) -> PipelineSpec:
        """The same with the engines and precisions of an earlier batch where they are "auto".

        Args:
            earlier: identity of that batch; empty without one.
        """
        names = [f"{network}{name}" for network in ("", "detector_", "track_") for name in ("engine", "precision")]
        kept = {name: earlier[name] for name in names if name in earlier and getattr(self, name) == "auto"}
        return replace(self, **kept)

    def decided(self, report: Callable[[str], None] = lambda line: None) -> PipelineSpec:
        """The same with the engines and precisions that this machine selects.

        Args:
            report: called with a line before a measurement, see `load`.

        Raises:
            UnknownNameError, BundleError, UsageError: the message says what to do.
        """
        network = choose_engine(catalogue.find(self.model), self.engine, self.threads, self.precision, report=report)
        spec = replace(
            self,
            model=_absolute(self.model),
            detector=_absolute(self.detector),
            references=str(Path(self.references).absolute()) if self.references else None,
            engine=network.engine,
            precision=network.precision,
        )
        if self.frames > 1:
            tracks = catalogue.find(self.track_model)
            check_frames(tracks.card, self.frames)
            chosen = choose_engine(tracks, self.track_engine, self.threads, self.track_precision, report=report)
            spec = replace(
                spec,
                track_model=_absolute(self.track_model),
                track_engine=chosen.engine,
                track_precision=chosen.precision,
            )
        if Path(self.detector).suffix.lower() == _ONNX:
            return spec
        found = catalogue.find(self.detector)
        detector = choose_engine(found, self.detector_engine, self.threads, self.detector_precision, report=report)
        return replace(spec, detector_engine=detector.engine, detector_precision=detector.precision)

    def identity(self) -> dict[str, Any]:
        """What the pixels of the outputs depend on, for JSON: options, hashes of the networks, and versions.

        Raises:
            UnknownNameError, BundleError, InputError: a network is missing or damaged here.
        """
        values = asdict(self)
        if self.frames > 1:
            values["files of the track model"] = catalogue.find(self.track_model).card.fingerprint
        else:  # as they are not used
            for name in ("frames", "track_model", "track_engine", "track_precision"):
                del values[name]
        values["files of the model"] = catalogue.find(self.model).card.fingerprint
        if Path(self.detector).suffix.lower() == _ONNX:
            values["files of the detector"] = _file_hash(Path(self.detector))
        else:
            values["files of the detector"] = catalogue.find(self.detector).card.fingerprint
        if self.references:
            values["files of the references"] = _file_hash(Path(self.references) / MANIFEST)
        values["facesr-edge"] = __version__
        values["PyAV"] = f"{av.__version__}, libavcodec {'.'.join(map(str, av.library_versions['libavcodec']))}"
        return values

    def load(self) -> Pipeline:
        """Load the pipeline in this process; errors as of `load`."""
        from ..load import load, load_detector, load_track_network

        detector = load_detector(
            self.detector,
            score=self.score,
            min_face=self.min_face,
            engine=self.detector_engine,
            threads=self.threads,
            precision=self.detector_precision,
        )
        tracks: TrackNetwork | str = self.track_model
        try:
            if self.frames > 1:
                tracks = load_track_network(
                    self.track_model, engine=self.track_engine, threads=self.threads, precision=self.track_precision
                )
            pipeline = load(
                self.model,
                engine=self.engine,
                detector=detector,
                outscale=self.outscale,
                threads=self.threads,
                references=self.references,
                max_references=self.max_references,
                precision=self.precision,
                detect_every=self.detect_every,
                frames=self.frames,
                track_model=tracks,
            )
        except BaseException:
            detector.close()
            if isinstance(tracks, TrackNetwork):
                tracks.close()
            raise
        return pipeline


def _absolute(model: str) -> str:
    """A name of the zoo, or an absolute path, as workers may have another current folder."""
    return model if model in (*catalogue.names(), *catalogue.companions()) else str(Path(model).absolute())


def _file_hash(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error_reason(error)}; check --detector and --references") from error
