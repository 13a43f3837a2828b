"""`live`: face super-resolution of many cameras within a time budget."""

from __future__ import annotations

import asyncio
import math
import os
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ...engines.errors import (
    EngineError,
    InputError,
    SourceAuthenticationError,
    UnknownNameError,
    UsageError,
    one_line,
)
from ...zoo import catalogue
from ..load import load
from ..media.source_sink import Source
from ..media.url import masked
from ..pipeline.frame import Frame
from ..pipeline.pipeline import Pipeline
from ..provenance.network_use import NetworkUse
from .camera import Camera, CameraOptions
from .networks import SMALL_MODEL, check_frames, open_multi, open_small, use_of
from .observer import Observer
from .results import LiveResult
from .scheduling.scheduler import Budget, Scheduler
from .scheduling.stream import Stream
from .scheduling.turn import Turn
from .scheduling.upscaler import Networks

BUDGET_MS = 100.0
STOP_S = 0.7
"""Maximum wait for the turn that runs while a run is closed."""

OneSource = str | int | Path | Source | Camera | Iterable[Frame]
Sources = OneSource | Sequence[OneSource] | Mapping[str, OneSource]


class Live(Iterator[LiveResult], AsyncIterator[LiveResult]):
    """Results of all cameras, as they are ready; an iterator, an async iterator and a context manager.

    At most one result of each camera waits for the consumer: a slow consumer of a camera gets the newest, one of a file
    gets all. Sinks and other observers get every result, whatever the consumer does.

    Thread-safe: several threads may iterate, each result goes to one of them, and any thread may close it. It belongs
    to the process that made it: after `os.fork` the child has to make its own, and it cannot be pickled.

    Attributes:
        cameras: in the order of the sources.
        card: of the network.
        budget_ms: see `live`.
    """

    def __init__(
        self, cameras: Sequence[Camera], pipeline: Pipeline, networks: Networks, scheduler: Scheduler, budget: Budget
    ) -> None:
        self.cameras, self.card, self.budget_ms = tuple(cameras), pipeline.card, budget.age_ms
        self._pipeline, self._networks, self._scheduler = pipeline, networks, scheduler
        self._process = os.getpid()
        self._release = weakref.finalize(self, _release, self._process, self.cameras, scheduler, pipeline, networks)
        scheduler.start()

    def __next__(self) -> LiveResult:
        """The next result.

        Raises:
            SourceAuthenticationError: all cameras have ended by errors, and one refused the user or password.
            InputError: all cameras have ended by errors.
            EngineError: an engine failed, or the run belongs to another process.
        """
        self._check_process()
        result = self._scheduler.outbox.get()
        return self._end(StopIteration) if result is None else result

    def __iter__(self) -> Live:
        return self

    def __aiter__(self) -> Live:
        return self

    async def __anext__(self) -> LiveResult:
        """See `__next__`; waits in a thread, so that the event loop goes on."""
        self._check_process()
        outbox = self._scheduler.outbox
        while True:
            is_last = outbox.closed
            if (result := outbox.get(0)) is not None:
                return result
            if is_last:
                return self._end(StopAsyncIteration)
            await asyncio.to_thread(outbox.wait, 0.2)

    def run(self, callback: Callable[[LiveResult], None] = lambda result: None) -> None:
        """Call a function with each result until all cameras have ended or `close` is called; see `__next__`."""
        for result in self:
            callback(result)

    @property
    def last_turn_s(self) -> float:
        """When the scheduler last finished a turn or found no new frame, on the clock of `time.monotonic`."""
        return self._scheduler.last_turn_s

    @property
    def costs_ms(self) -> dict[str, float]:
        """Measured milliseconds of each kind of work, by its name and the size of the crop or frame."""
        return self._scheduler.costs_ms

    def close(self) -> None:
        """Stop cameras, scheduler and engines, within 1 s from any state; results that wait are discarded. Idempotent,
        and may be called from any thread."""
        self._release()

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            raise EngineError("the live run belongs to the process that made it; call live() in this process")

    def _end(self, end: type[Exception]) -> NoReturn:
        error = self._scheduler.error
        if error is not None:
            raise error
        if self._release.alive:
            errors = {camera.name: camera.error for camera in self.cameras}
            if errors and all(errors.values()):
                refused = any(isinstance(one, SourceAuthenticationError) for one in errors.values())
                text = "; ".join(f"{name}: {one_line(one)}" for name, one in errors.items())
                raise (SourceAuthenticationError if refused else InputError)(text)
        raise end

    def __reduce__(self) -> NoReturn:
        raise UsageError("a live run cannot be pickled; call live() in the other process")

    def __enter__(self) -> Live:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _release(
    process: int, cameras: Sequence[Camera], scheduler: Scheduler, pipeline: Pipeline, networks: Networks
) -> None:
    """Stop everything at once, then wait for it; nothing in a forked child, where no thread runs."""
    if os.getpid() != process:
        return
    end_s = time.monotonic() + STOP_S
    scheduler.request_stop()
    scheduler.outbox.close(discard=True)
    for camera in cameras:
        camera.request_stop()
    scheduler.join(end_s - time.monotonic())
    for camera in cameras:
        camera.close(max(0.0, end_s - time.monotonic()))
    networks.close()
    pipeline.close()


def live(
    sources: Sources,
    *,
    budget_ms: float = BUDGET_MS,
    fps: float | None = None,
    model: str | Path = catalogue.DEFAULT_MODEL,
    small_model: str | Path | None = SMALL_MODEL,
    frames: int = 1,
    track_model: str | Path = catalogue.TRACK,
    outscale: int = 2,
    camera: CameraOptions | Mapping[str, CameraOptions] = CameraOptions(),  # noqa: B008 (frozen)
    observers: Sequence[Observer] = (),
    **settings: Any,
) -> Live:
    """Upscale the faces of many cameras, each result within a time budget.

    The faces of all cameras are followed, ranked and upscaled together. What does not fit into the budget is taken from
    the track's last output, done by a smaller network, enlarged by bicubic interpolation or skipped; each face says
    which, and why. The newest frame of each camera counts: older ones that were not taken in time are dropped and
    counted. Files and other finite sources are read frame by frame, nothing is dropped.

    Args:
        sources: one source or several, or names with their sources: anything that `open_source` takes, a `Source`, a
            `Camera`, or an iterable of frames.
        budget_ms: from the arrival of a frame to its result, milliseconds.
        fps: maximum frames per second of each camera; None for all of them.
        model: see `load`.
        small_model: for faces that do not fit into the budget, of the same scale; None for none. One of another scale
            is left out if it is the default.
        frames: maximum number of crops of a track that the pixels of a face are made from; 1 for the newest only. More
            need a network that takes several, `track_model`, which upscales the faces whose crops could be registered,
            where `model` does otherwise.
        track_model: network for `frames` of 2 or more, of the same scale as `model`.
        outscale: ratio of a composite's size to the frame's, 1 to 4.
        camera: options of all sources that are not a `Camera`; or name of a source -> its options, for named sources.
        observers: get all results: sinks, metrics and recorders.
        settings: further arguments of `load`: engine, detector, threads, precision, report.

    Returns:
        The running results.

    Raises:
        UsageError: no source, the same name twice, an invalid budget, or networks that do not fit together.
        UnknownNameError, BundleError, EngineError: as `load`.
    """
    budget, named = _budget(budget_ms, fps), _named(sources)
    _check_options(camera, named)
    if "detect_every" in settings:
        raise UsageError("live has its own times of detection; leave detect_every out")
    check_frames(frames, track_model, model)
    if frames > 1 and settings.get("references") is not None:
        raise UsageError("faces of several frames use no references; leave out references or frames")
    pipeline = load(model, outscale=outscale, composite=False, **settings)
    cameras: list[Camera] = []
    networks = Networks(pipeline.session)
    try:
        networks = replace(networks, small=open_small(small_model, pipeline, settings))
        networks = replace(networks, multi=open_multi(frames, track_model, pipeline, settings))
        for name, source in named:
            cameras.append(_camera(name, source, camera))
        _check_names(cameras)
        sides = pipeline.session.io_spec.crop_sizes
        streams = [Stream(one, pipeline.detector, sides, networks.frames) for one in cameras]
        scheduler = Scheduler(streams, Turn(networks, outscale), budget, observers)
        for observer in observers:
            small = use_of(networks.small, small_model, pipeline) if networks.small else None
            tracks = use_of(networks.multi.session, track_model, pipeline) if networks.multi else None
            observer.started(NetworkUse.of(pipeline), small, *([tracks] if tracks else ()))
    except BaseException:
        for one in cameras:
            one.close()
        networks.close()
        pipeline.close()
        raise
    for one in cameras:
        one.listen(partial(scheduler.heard, one.name))
    return Live(cameras, pipeline, networks, scheduler, budget)


def _budget(budget_ms: float, fps: float | None) -> Budget:
    for name, value, unit in (("budget_ms", budget_ms, "milliseconds"), ("fps", fps, "frames per second")):
        if value is not None and (not isinstance(value, (int, float)) or not 0 < value < math.inf):
            raise UsageError(f"{name} is {value!r}, expected {unit} above 0")
    return Budget(budget_ms, 1 / fps if fps else 0.0)


def _named(sources: Sources) -> list[tuple[str | None, OneSource]]:
    if isinstance(sources, Mapping):
        named: list[tuple[str | None, OneSource]] = list(sources.items())
    elif isinstance(sources, (list, tuple)) and not any(isinstance(one, (Frame, np.ndarray)) for one in sources):
        named = [(None, source) for source in sources]
    else:
        named = [(None, sources)]  # type: ignore[list-item]
    if not named:
        raise UsageError("expected at least one source, got none; give a URL, a file or a camera number")
    return named


def _check_options(
    options: CameraOptions | Mapping[str, CameraOptions], named: Sequence[tuple[str | None, OneSource]]
) -> None:
    """Raise unless options by name are for named sources."""
    if isinstance(options, CameraOptions):
        return
    if not isinstance(options, Mapping):
        raise UsageError(f"expected camera as CameraOptions, or name -> CameraOptions, got {type(options).__name__}")
    names = [name for name, source in named if name is not None and not isinstance(source, Camera)]
    for name in options:
        if name not in names:
            raise UnknownNameError("camera", masked(name), map(masked, names))


def _camera(name: str | None, source: OneSource, options: CameraOptions | Mapping[str, CameraOptions]) -> Camera:
    if isinstance(source, Camera):
        if name not in (None, source.name):
            raise UsageError(f"the camera '{source.name}' has a name already; make it with Camera(…, name={name!r})")
        return source
    own = options if isinstance(options, CameraOptions) else options.get(name or "", CameraOptions())
    return Camera(source, own, name=name)


def _check_names(cameras: Sequence[Camera]) -> None:
    names = [camera.name for camera in cameras]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"{', '.join(twice)} is given twice; give each source a name: live({{'door': …, 'hall': …}})")
