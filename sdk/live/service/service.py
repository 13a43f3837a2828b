"""A live run with its outputs, web page and recording, as a configuration describes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ....engines.errors import UsageError
from ...media.sources import live_input
from ...serving.access import is_local
from ...serving.token_file import token_in
from ..config.live_config import LiveConfig, WebConfig
from ..live import Live, live
from ..monitoring.monitor import Monitor
from ..monitoring.observed import ObservedRun
from ..monitoring.recorder import Recorder
from ..observer import Observer
from ..sinks.open import open_live_sinks
from ..sinks.queue import SinkQueue
from ..web.server import PageServer, serve

if TYPE_CHECKING:
    from ..camera import CameraStatus


@dataclass(frozen=True, eq=False)
class Service:
    """What runs.

    Args:
        live: the run.
        monitor: its accounts.
        sinks: queues of its outputs.
        recorder: None without a recording.
        page: None without a web page.
    """

    live: Live
    monitor: Monitor
    sinks: tuple[SinkQueue, ...] = ()
    recorder: Recorder | None = None
    page: PageServer | None = None

    def statuses(self) -> tuple[CameraStatus, ...]:
        """State of each camera now."""
        return tuple(camera.status() for camera in self.live.cameras)


@contextmanager
def open_service(config: LiveConfig, report: Callable[[str], None] = lambda line: None) -> Iterator[Service]:
    """Open cameras, outputs, web page and recording, and run until the context ends.

    Args:
        config: what to run.
        report: called with a line before a measurement, see `load`.

    Raises:
        UsageError: an output is not valid, or a web page that other machines can reach has no token.
        FacesrError: as `live`, `serve` and the outputs.
    """
    token = _token(config.web) if config.web else None
    with ExitStack() as stack:
        monitor, recorder = Monitor(), Recorder(config.record, _settings(config)) if config.record else None
        names = [camera.name for camera in config.cameras]
        sinks = open_live_sinks(config.outputs, cameras=names, about=_about(config), wait=_loses_nothing(config))
        observers: list[Observer] = [monitor, sinks, *([recorder] if recorder else [])]
        for observer in observers:  # closed by the run too, but for a limited time, and not if it does not start
            stack.callback(observer.close)
        run = stack.enter_context(_live(config, observers, report))
        if recorder:
            recorder.follow(run)
        service = Service(run, monitor, sinks.queues, recorder)
        if config.web:
            page = stack.enter_context(_page(config.web, token, ObservedRun(run, monitor, sinks.queues)))
            service = replace(service, page=page)
        yield service


def _live(config: LiveConfig, observers: list[Observer], report: Callable[[str], None]) -> Live:
    return live(
        {camera.name: camera.source for camera in config.cameras},
        camera={camera.name: camera.options for camera in config.cameras},
        budget_ms=config.budget_ms,
        fps=config.fps,
        model=config.model,
        small_model=config.small_model,
        frames=config.frames,
        track_model=config.track_model,
        outscale=config.outscale,
        observers=observers,
        detector=config.detector,
        engine=config.engine,
        precision=config.precision,
        threads=config.threads,
        report=report,
    )


def _page(config: WebConfig, token: str | None, run: ObservedRun) -> PageServer:
    return serve(run, host=config.host, port=config.port, token=token, hosts=config.hosts)


def _loses_nothing(config: LiveConfig) -> bool:
    """Whether all cameras are files that wait for their outputs; a live camera goes on, whatever its policy."""
    return all(camera.options.policy != "newest" and live_input(camera.source, 1) is None for camera in config.cameras)


def _about(config: LiveConfig) -> dict[str, str | float]:
    return {
        "model": config.model,
        "precision": config.precision,
        "engine": config.engine,
        "budget_ms": config.budget_ms,
    }


def _settings(config: LiveConfig) -> dict[str, Any]:
    """What another run needs to do the same work."""
    names = ("small_model", "detector", "threads", "outscale", "frames")
    tracks = {"track_model": config.track_model} if config.frames > 1 else {}
    return {**_about(config), **{name: getattr(config, name) for name in names}, **tracks}


def _token(config: WebConfig) -> str | None:
    """Token of a web page; None if it needs none."""
    check_token_rule(config)
    return None if config.token_file is None else token_in(config.token_file)


def check_token_rule(config: WebConfig) -> None:
    """Raises UsageError for a web page that other machines can reach, and that has no token."""
    if config.token_file is None and not is_local(config.host):
        raise UsageError(
            f"a web page at {config.host} needs a token; name a file for it, which is created: --token-file FILE"
        )
