"""The faces of a signed output, recomputed from its original and compared bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ...engines.errors import EngineError, FacesrError, MissingDependencyError, UnknownNameError
from ...engines.padding import copy_window
from ...engines.registry import ENGINES, PRECISIONS
from ...zoo import catalogue
from ..doctor.machine import this_machine
from ..load import load, load_detector, load_track_network
from ..media.reasons import plural
from ..media.sources import open_source
from ..media.video.reader import VideoSource
from ..pipeline.results import FrameResult
from .check_result import CheckResult, State
from .comparison import Comparison, compare
from .face_records import Chunks, FaceRecord, FacesAssertion, FrameRecord, pixels_sha256, without_figures
from .network_use import NetworkUse
from .seal import engine_name

if TYPE_CHECKING:
    from ..media.source_sink import Source
    from ..pipeline.pipeline import Pipeline
    from .verify import VerifyOptions

T = TypeVar("T")
MAX_LINES = 10
"""Faces or chunks that differ, each with a line of its own."""
WRONG_DB, ALIKE_DB = 20.0, 30.0
"""PSNR of encoded pictures: below the first they are others, below the second it cannot be decided."""
MAX_SIDE = 4096
"""Of a window that a signature may name, in pixels."""


@dataclass(frozen=True)
class _Loaded:
    """The pipeline of a signature.

    Args:
        pipeline: as it was, as far as this machine allows.
        other: how engine or processor differ from those of the signature; "" if they are the same.
    """

    pipeline: Pipeline
    other: str

    def differing(self, text: str) -> CheckResult:
        """A check on pixels that differ: wrong, or not to be decided on another engine or processor."""
        if not self.other:
            return CheckResult("wrong", "faces", text)
        return CheckResult("unchecked", "faces", f"{text}; engines may round differently: {self.other}")


def recompute(
    file: Path, original: Path, assertion: FacesAssertion, options: VerifyOptions, report: Callable[[str], None]
) -> Iterator[CheckResult]:
    """Compare the faces of a signature with those that its network makes of the original here.

    Args:
        file: signed output.
        original: that the signature names.
        assertion: of the signature.
        options: where the networks are.
        report: called with a line before the work.

    Raises:
        FacesrError: a network cannot be loaded, or the original cannot be read.
    """
    with ExitStack() as stack:
        loaded = _load(assertion, options, stack)
        if isinstance(loaded, CheckResult):
            yield loaded
            return
        report(f"recomputing {plural(assertion.faces, 'face')} on {loaded.pipeline.session.runtime}")
        deinterlace = assertion.settings.get("deinterlace") is not False
        source = stack.enter_context(open_source(original, deinterlace=deinterlace))
        if assertion.frame is None:
            yield from _chunks(loaded, source, assertion)
            return
        result = _result(loaded.pipeline, source, assertion.frame.index)
        if result is None:
            yield CheckResult("wrong", "faces", f"the original has no frame {assertion.frame.index}")
            return
        yield from _faces(loaded, result, assertion.frame)
        yield from _composite(loaded, file, result, assertion.frame)


def _load(assertion: FacesAssertion, options: VerifyOptions, stack: ExitStack) -> _Loaded | CheckResult:
    """The networks of a signature; a check if others have their names here."""
    network, settings = assertion.network, assertion.settings
    try:
        use_detector = partial(
            load_detector,
            options.detector or _known(network.detector.partition(" ")[0]),
            score=float(settings["score"]),
            min_face=float(settings["min_face"]),
        )
        detector = _opened(use_detector, settings.get("detector_engine"), settings.get("detector_precision"))
        stack.enter_context(detector)
        track = _track_network(settings, options)
        use_network = partial(
            load,
            options.model or _known(network.name),
            detector=detector,
            outscale=int(settings["outscale"]),
            detect_every=settings["detect_every"],
            **track,
        )
        pipeline = stack.enter_context(_opened(use_network, settings.get("engine"), network.precision))
    except UnknownNameError as error:
        return CheckResult(
            "unchecked", "faces", f"not recomputed: {error}; give its bundle: --model, --track-model or --detector"
        )
    except (KeyError, TypeError, ValueError) as error:
        return CheckResult(
            "wrong", "faces", f"the settings of the signature are not in the form of facesr-edge ({error!r})"
        )
    here = NetworkUse.of(pipeline)
    tracks = pipeline.multi_frame.network.card.fingerprint if pipeline.multi_frame else ""
    for what, signed, found in (
        ("network", network.fingerprint, here.fingerprint),
        ("multi-frame network", settings.get("track_fingerprint", ""), tracks),
        ("detector", network.detector, here.detector),
    ):
        if signed != found:
            text = f"not recomputed: the signed {what} has the fingerprint {signed}, the one here {found}"
            return CheckResult("unchecked", "faces", f"{text}; give its bundle, or install {network.version}")
    return _Loaded(pipeline, _other(assertion, pipeline))


def _track_network(settings: Mapping[str, Any], options: VerifyOptions) -> dict[str, Any]:
    """Arguments of `load` for faces of several frames; none if a signature has no such faces."""
    if "frames" not in settings:
        return {}
    use = partial(load_track_network, options.track_model or _known(str(settings["track_model"])))
    network = _opened(use, settings.get("track_engine"), settings.get("track_precision"))
    return {"frames": int(settings["frames"]), "track_model": network}


def _known(name: str) -> str:
    """A name of the package: a signature must not make us open a folder.

    Raises:
        UnknownNameError: the package has no such model.
    """
    names = [*catalogue.names(), *catalogue.companions()]
    if name not in names:
        raise UnknownNameError("model", name, names)
    return name


def _opened(use: Callable[..., T], engine: Any, precision: Any) -> T:
    """Open with the signed engine and precision; on a device that does not have them, with ONNX Runtime."""
    if engine in ENGINES and precision in PRECISIONS:
        with suppress(EngineError, MissingDependencyError):
            return use(engine=engine, precision=precision)
    return use(engine="onnxruntime")


def _other(assertion: FacesAssertion, pipeline: Pipeline) -> str:
    """How engine, precision or processor of this machine differ from those of a signature."""
    network, settings, detector = assertion.network, assertion.settings, pipeline.detector.session
    pairs = (
        (_engine(network.engine), _engine(pipeline.session.runtime)),
        (network.precision, pipeline.session.precision),
        (settings.get("detector_engine"), engine_name(detector.runtime)),
        (settings.get("detector_precision"), detector.precision),
        *_track_engines(settings, pipeline),
        (settings.get("processor"), this_machine().cpu),
    )
    return ", ".join(
        f"signed on {signed or 'an unknown one'}, here {found}" for signed, found in pairs if signed != found
    )


def _track_engines(settings: Mapping[str, Any], pipeline: Pipeline) -> Iterator[tuple[Any, str]]:
    """Signed engine and precision of the multi-frame network, each with that of this machine."""
    if pipeline.multi_frame is not None:
        session = pipeline.multi_frame.network.session
        yield settings.get("track_engine"), engine_name(session.runtime)
        yield settings.get("track_precision"), session.precision


def _engine(runtime: str) -> str:
    """Without the number of threads, on which no pixel depends."""
    return runtime.partition(",")[0]


def _result(pipeline: Pipeline, source: Source, index: int) -> FrameResult | None:
    """Result of one frame, as a run over the source has it."""
    if isinstance(source, VideoSource) and pipeline.detect_every != 1:  # depends on the frames before
        return next((result for result in pipeline.stream(source) if result.source.index == index), None)
    if pipeline.frames > 1:  # the same
        return next((result for number, result in enumerate(pipeline.stream(source)) if number == index), None)
    for number, frame in enumerate(source):
        if number == index:
            return pipeline(frame)
    return None


def _faces(loaded: _Loaded, result: FrameResult, signed: FrameRecord) -> Iterator[CheckResult]:
    here = {record.window_xyxy: record for record in (FaceRecord.of(face) for face in result.faces)}
    checks: list[CheckResult] = []
    for number, record in enumerate(signed.faces, 1):
        found = here.pop(record.window_xyxy, None)
        if found is None and record.frames > 1:
            text = f"made from {record.frames} frames, but no face is detected there"
            checks.append(loaded.differing(f"face {number} at {_place(record.window_xyxy)}: {text}"))
            continue
        found = found or _recomputed(loaded, result, record)
        if found != record and (check := _difference(loaded, f"face {number}", record, found)):
            checks.append(check)
    for window in here:
        checks.append(loaded.differing(f"a face at {_place(window)} is not in the signature"))
    yield from _limited(checks)
    if not checks:
        text = f"{plural(len(signed.faces), 'face')} recomputed from the original, equal bit for bit"
        yield CheckResult("right", "faces", text if signed.faces else "no face in the original, as signed")


def _recomputed(loaded: _Loaded, result: FrameResult, record: FaceRecord) -> FaceRecord | None:
    """Record of a window that is not detected here; None if it cannot be one."""
    left, top, right, bottom = record.window_xyxy
    side = right - left
    if not 0 < side == bottom - top <= min(MAX_SIDE, max(loaded.pipeline.session.io_spec.crop_sizes)):
        return None
    if abs(left) > 1 << 20 or abs(top) > 1 << 20:
        return None
    crop = np.empty((side, side, 3), np.uint8)
    copy_window(result.source.pixels, left, top, crop)
    pixels = loaded.pipeline.upscale(crop[None])[0]
    return FaceRecord((), None, record.window_xyxy, record.scale, None, pixels_sha256(crop), pixels_sha256(pixels))


def _difference(loaded: _Loaded, name: str, signed: FaceRecord, found: FaceRecord | None) -> CheckResult | None:
    place = f"{name} at {_place(signed.window_xyxy)}"
    if found is None:
        return CheckResult("wrong", "faces", f"{place}: its window cannot be one of this network")
    if without_figures(found) != without_figures(signed):
        return CheckResult(
            "wrong", "faces", f"{place}: the camera's pixels of the original are not those of the signature"
        )
    if found.pixels_sha256 != signed.pixels_sha256:
        return loaded.differing(f"{place}: the network's pixels are not those of the signature")
    if found.score is None:
        return loaded.differing(f"{place}: its pixels are equal, but no face is detected there")
    return loaded.differing(f"{place}: its pixels are equal, but its figures are not those of the signature")


def _place(window_xyxy: tuple[int, ...]) -> str:
    return f"x {window_xyxy[0]}, y {window_xyxy[1]}, {window_xyxy[2] - window_xyxy[0]} px"


def _limited(checks: list[CheckResult]) -> Iterator[CheckResult]:
    yield from checks[:MAX_LINES]
    if more := checks[MAX_LINES:]:
        state: State = "wrong" if any(check.state == "wrong" for check in more) else "unchecked"
        yield CheckResult(state, "faces", f"{len(more)} more like these")


def _composite(loaded: _Loaded, file: Path, result: FrameResult, signed: FrameRecord) -> Iterator[CheckResult]:
    """Compare the picture with the one that the pipeline makes of the original."""
    composite = result.frame
    assert composite is not None
    equal = pixels_sha256(composite) == signed.composite_sha256
    if equal:
        yield CheckResult("right", "composite", "the picture before encoding was recomputed, equal bit for bit")
    try:
        comparison = compare(file, result, loaded.pipeline.outscale)
    except (FacesrError, OSError, StopIteration) as error:
        yield CheckResult("unchecked", "file", f"its picture cannot be read: {error}")
        return
    if isinstance(comparison, str):
        yield CheckResult("wrong", "file", comparison)
    elif comparison.lossless:
        yield from _lossless(loaded, comparison, equal)
    else:
        yield from _lossy(loaded, comparison, equal)


def _lossy(loaded: _Loaded, comparison: Comparison, equal: bool) -> Iterator[CheckResult]:
    lowest = min(comparison.psnr_db, comparison.face_psnr_db)
    text = (
        f"PSNR of its picture and the recomputed one {comparison.psnr_db:.1f} dB, lowest of a face "
        f"{comparison.face_psnr_db:.1f} dB"
    )
    if lowest < WRONG_DB:
        yield CheckResult("wrong", "file", f"{text}: another picture than the recomputed one")
    elif lowest < ALIKE_DB:
        yield CheckResult("unchecked", "file", f"{text}: too low to tell losses of encoding from changes")
    else:
        yield CheckResult("note", "file", f"{text}: the format is not lossless or converts colors")
    if not equal:
        yield loaded.differing(f"the picture before encoding differs ({comparison.psnr_db:.1f} dB after it)")


def _lossless(loaded: _Loaded, comparison: Comparison, equal: bool) -> Iterator[CheckResult]:
    count, outside = comparison.count, comparison.outside
    if count == 0:
        yield CheckResult("right", "file", "its pixels are those of the recomputed picture, bit for bit")
        if not equal:
            yield CheckResult("wrong", "composite", "the signature has the hash of another picture than the file")
        return
    text = (
        f"{count:,} pixels differ from the recomputed picture, by up to {comparison.largest} of 255; "
        f"{outside:,} outside of faces"
    )
    yield CheckResult("wrong", "file", text) if equal or outside else loaded.differing(text)


def _chunks(loaded: _Loaded, source: Source, assertion: FacesAssertion) -> Iterator[CheckResult]:
    chunks, count = Chunks(), 0
    for index, result in enumerate(loaded.pipeline.stream(source)):
        number = result.source.index if isinstance(source, VideoSource) else index
        chunks.add(result, number)
        count += 1
        if count == assertion.frames and not assertion.complete:
            break
    here = chunks.finish()
    checks = [
        loaded.differing(
            f"frames {signed.first} to {signed.first + signed.frames - 1}: the faces are not those of the signature"
        )
        for signed, found in zip(assertion.chunks, here, strict=False)
        if signed != found
    ]
    if count != assertion.frames:
        text = f"the original has {plural(count, 'frame')}, the signature {assertion.frames}"
        checks.append(CheckResult("wrong", "faces", text))
    yield from _limited(checks)
    if not checks:
        faces, frames = plural(assertion.faces, "face"), plural(assertion.frames, "frame")
        yield CheckResult("right", "faces", f"{faces} in {frames} recomputed from the original, equal bit for bit")
    yield CheckResult(
        "unchecked", "file", "pictures of a video or of several frames are not compared; the signature holds"
    )
