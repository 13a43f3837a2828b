"""A client of the package in mypy's strict mode, which needs no import but this one; `test_style` checks it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import facesr_edge as fe
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


class Camera(fe.Source):
    """Frames of a camera's own driver."""

    kind = "live"

    def __init__(self, pictures: list[NDArray[np.uint16]]) -> None:
        super().__init__()
        self.name, self._pictures = "camera", pictures

    def __iter__(self) -> Iterator[fe.Frame]:
        self.check_open()
        for index, picture in enumerate(self._pictures):
            yield fe.Frame(fe.bgr_from(picture, color="rgb", bits=12), index)


class Latest(fe.Sink):
    """Keeps the latest composite."""

    latest: Pixels | None = None

    def _write(self, frame: fe.Frame, pixels: Pixels) -> None:
        self.latest = pixels


def load(model: str, every: fe.DetectEvery = "auto") -> fe.Pipeline:
    """A pipeline, or the first that the error suggests."""
    try:
        return fe.load(model, detect_every=every, detector=fe.load_detector(min_face=12))
    except fe.UnknownNameError:
        return fe.load(fe.DEFAULT_MODEL)
    except (fe.BundleError, fe.EngineError, fe.MissingDependencyError, fe.UsageError) as error:
        raise SystemExit(str(error)) from error


def upscale(pipeline: fe.Pipeline, source: fe.Source, sink: fe.Sink) -> fe.RunSummary:
    """Run a pipeline, and report."""
    with fe.run(pipeline, source, sink) as results:
        for result in results:
            report(result)
    failures: tuple[fe.Failure, ...] = results.summary.failures
    print(*(failure.reason for failure in failures))
    return results.summary


def report(result: fe.FrameResult) -> None:
    """Print faces and timings."""
    face: fe.Face
    for face in result.faces:
        pixels: Pixels = face.pixels
        print(face.box_xyxy.tolist(), face.score, pixels.shape, face.consistency_db)
    too_large: fe.Detections = result.too_large
    use: fe.DetectorUse | None = result.detection
    spans: tuple[fe.Span, ...] = result.spans
    metadata: fe.ImageMetadata | None = result.source.metadata
    print(len(too_large), use and use.megapixels, [span.name for span in spans], metadata and metadata.dpi)
    print(result.timings_ms["total"], result.to_dict())


def uncertain(faces: Sequence[fe.Face], model: str) -> list[Pixels]:
    """Pictures of the uncertainty of faces, which may have been upscaled without it."""
    with fe.load(model, uncertainty=True) as pipeline:
        session: fe.UncertaintySession | None = pipeline.uncertainty
    with fe.load_uncertainty(model, threads=1) as session:
        maps: list[Pixels] = [fe.uncertainty_of(face, session) for face in faces]
    sheets = [fe.uncertainty_sheet(face) for face in faces if face.uncertainty is not None]
    return [*maps, *sheets]


def detect(detector: fe.Detector, frame: Pixels, color: fe.Color) -> list[fe.Detection]:
    """Faces, and the passes that find them."""
    plan: fe.Plan = detector.plan(frame.shape[1], frame.shape[0])
    print(plan, plan.megapixels)
    return list(detector(frame, color=color))


def examine(folder: Path) -> None:
    """What a bundle is, and what runs it."""
    bundle: fe.Bundle = fe.open_bundle(folder)
    card: fe.Card = bundle.card
    spec: fe.IOSpec = card.io_spec
    engine: fe.EngineInfo | None = card.engine
    evaluations: tuple[fe.Evaluation, ...] = card.evaluations
    with fe.load(folder) as pipeline:
        session: fe.Session = pipeline.session
        print(spec.scale, engine, evaluations, session.runtime, pipeline.upscale(np.zeros((1, 32, 32, 3), np.uint8)))


class Counter(fe.Observer):
    """Counts turns of a live run, and keeps the last status of each camera."""

    turns = 0

    def __init__(self) -> None:
        self.states: dict[str, fe.CameraStatus] = {}

    def changed(self, status: fe.CameraStatus) -> None:
        """Keep a status."""
        self.states[status.name] = status

    def cycled(self, cycle: fe.Cycle) -> None:
        """Count."""
        self.turns += len(cycle.cameras) > 0


def watch(urls: dict[str, str], counter: Counter) -> None:
    """Print the faces of live cameras."""
    options = fe.CameraOptions(reconnect=fe.Reconnect(max_s=5), transport="tcp")
    cameras = [fe.Camera(url, options, name=name) for name, url in urls.items()]
    run: fe.Live
    with fe.live(cameras, budget_ms=100, observers=[counter]) as run:
        for result in run:
            print_tracks(result)
    for status in counter.states.values():
        print(status.name, status.state, status.error, status.received, status.dropped, status.fps)


def print_tracks(result: fe.LiveResult) -> None:
    """Print faces, skipped ones and times."""
    faces: tuple[fe.LiveFace, ...] = result.faces
    skipped: tuple[fe.SkippedFace, ...] = result.skipped
    for face in faces:
        pixels: Pixels = face.pixels
        print(face.track_id, face.treatment, face.reason, face.usability.verdict, pixels.shape)
    for one in skipped:
        print(one.track_id, one.reason)
    print(result.camera, result.times.age_ms, result.times.queue_ms, result.ended_tracks)


class Printer(fe.LiveSink[str]):
    """A sink of the client."""

    def select(self, result: fe.LiveResult) -> list[str]:
        """Names of cameras with faces."""
        return [result.camera] if result.faces else []

    def write(self, items: Sequence[str]) -> None:
        """Print them."""
        print(*items)


def record(urls: Mapping[str, str]) -> fe.SinkStatistics:
    """Write the faces of live cameras."""
    group: fe.SinkGroup = fe.open_live_sink("faces.jsonl", cameras=list(urls))
    queue = fe.SinkQueue(Printer("printer"))
    with group, fe.live(urls, observers=[group, queue]) as run:
        run.run()
    print(group.statistics())
    return queue.statistics()


def store_faces(result: fe.FrameResult, shot: fe.BestShot) -> list[fe.StoredFace]:
    """Store the faces of a picture and of a track, and find them."""
    store: fe.Store
    with fe.open_store("faces", about={"client": "typed"}) as store:
        count: int = store.add_result(result, "group.jpg")
        store.add_shot(shot)
        store.prune(days=30, max_gb=10)
        large = store.faces(camera="door", min_side=48, verdict="ok", limit=count + 1)
        print(store.count(fe.FaceFilter(source="group.jpg")), large[0].original.path if large else None)
        return list(store.each())


def connect(url: str) -> fe.Source | None:
    """Open a camera, with what to do for each error."""
    try:
        return fe.open_source(url)
    except (fe.SourceAuthenticationError, fe.SourceNotFoundError) as error:
        raise SystemExit(str(error)) from error
    except (fe.SourceUnreachableError, fe.SourceTimeoutError, fe.SourceBrokenError, fe.SourceClosedError):
        return None


def best_shots(results: Iterator[fe.LiveResult]) -> list[fe.BestShot]:
    """The usable ones."""
    shots, best = fe.BestShots(), list[fe.BestShot]()
    for result in results:
        best += shots.add(result)
        print(len(fe.from_supervision(fe.to_supervision(result, scale=2))))
    usability: list[fe.Usability] = [shot.face.usability for shot in best]
    return [shot for shot, figures in zip(best, usability, strict=True) if figures.verdict == "ok"]


def main(argument: str, output: Path) -> None:
    """Upscale what the argument names."""
    with fe.open_source(argument) as source:
        with fe.open_sink(output, source, options=fe.EncodeOptions()) as sink, load("edge-tiny-x4") as pipeline:
            upscale(pipeline, source, sink)
        for error in (fe.InputError, fe.OutputError):
            assert issubclass(error, fe.FacesrError)
