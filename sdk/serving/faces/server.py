"""Serves faces until it is stopped."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ....engines.cpu import usable_cores
from ....engines.errors import MissingDependencyError, OutputError, UsageError
from ....zoo import catalogue
from ...gpu.context import DeviceSession
from ...load import load, load_detector
from ...pipeline.pipeline import Pipeline
from ...pipeline.tiling import MIN_FACE
from ..access import Access, access_for, is_address, is_local
from ..listener import is_no_stop, listen, own_address, url_of, wait_until_started
from .limits import Limits
from .pool import Pool

STOP_S = 30
"""Maximum time that running requests get to end."""
LAST_S = 3.0
"""Maximum time that work gets after that: its client is gone."""
GPU_WORKERS = 2
"""While the GPU works on a picture, another is decoded."""
SPARE_CONNECTIONS = 64
"""Connections above the maximum of requests: idle ones, and those of /healthz and /metrics."""
SPARE_OF_CLIENT = SPARE_CONNECTIONS // 4
"""Connections of one client above the maximum of its requests."""


class FaceServer:
    """A running face service; a context manager.

    Args:
        server: of uvicorn, not started yet.
        listener: bound socket.
        pool: of workers; closed with the server.
        host: to be called by.
        access: rules.

    Attributes:
        url: of the service.
        token: that requests must bring; None if none is needed.
        pool: of workers.
    """

    def __init__(self, server: Any, listener: socket.socket, pool: Pool, host: str, access: Access) -> None:
        self.url = url_of(listener, host)
        self.token, self.pool = access.token, pool
        self._server, self._listener = server, listener
        self._end_s: float | None = None
        self._thread = threading.Thread(target=server.run, args=([listener],), name="face service", daemon=True)
        self._thread.start()

    def wait_until_started(self) -> None:
        """Raises OutputError if the server does not start."""
        try:
            wait_until_started(self._server, self._thread, self.url)
        except OutputError:
            self.close()
            raise

    def stop(self) -> None:
        """Accept no more requests; those that are in get their answers."""
        self._server.should_exit = True
        if self._end_s is None:
            self._end_s = time.monotonic() + STOP_S

    def abort(self) -> None:
        """Stop at once: requests that are in get no answer."""
        self._server.should_exit = self._server.force_exit = True
        self._end_s = time.monotonic()

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end; returns whether it has come."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def close(self) -> None:
        """Stop, wait for running requests for at most 30 s, and release the networks, except of work that does not end.

        Idempotent.
        """
        self.stop()
        end_s = self._end_s or 0.0
        self._thread.join(max(0.0, end_s - time.monotonic()) + LAST_S)
        self._server.force_exit = True
        self._listener.close()
        self.pool.close(LAST_S)

    def __enter__(self) -> FaceServer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def serve_faces(
    pipelines: Callable[[], Sequence[Pipeline]],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    hosts: Iterable[str] = (),
    limits: Limits | None = None,
    proxy: str | None = None,
) -> FaceServer:
    """Serve the faces of pictures over HTTP.

    Args:
        pipelines: loads one for each worker, see `load_pipelines`; called when the address is known to be free. The
            server closes them.
        host: address to listen at; only this machine can reach the default. Others need the token.
        port: 0 for a free one.
        token: at least 16 characters; None for a new one, or for none if only this machine can reach the service.
        hosts: names by which the service may be called, besides that of this machine and IP addresses.
        limits: of requests.
        proxy: IP address of a reverse proxy, whose header X-Forwarded-For names the client; None without one.

    Raises:
        MissingDependencyError: the extra `service` is not installed.
        UsageError: the token is too short, there is no such port, or the proxy is no address.
        OutputError: the address is taken or is not one of this machine.
        Others: of `pipelines`.
    """
    try:
        import uvicorn

        from .app import application
        from .body_connection import connections_of
    except ModuleNotFoundError as error:
        raise MissingDependencyError(error.name or "fastapi", "service", "the face service") from None
    if proxy is not None and not is_address(proxy):
        raise UsageError(f"expected the IP address of a proxy, got {proxy}")
    logging.getLogger("uvicorn.error").addFilter(is_no_stop)
    limits = limits or Limits()
    listener = listen(host, port)
    try:
        access = access_for(host, listener.getsockname()[1], token, hosts)
        pool = Pool(pipelines(), limits.wait_s)
    except BaseException:
        listener.close()
        raise
    config = uvicorn.Config(
        application(pool, limits, access),
        http=connections_of(limits.max_of_client + SPARE_OF_CLIENT, proxy),
        limit_concurrency=limits.max_requests + SPARE_CONNECTIONS,
        timeout_graceful_shutdown=STOP_S,
        proxy_headers=proxy is not None,
        forwarded_allow_ips=proxy,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        lifespan="off",
    )
    name = host if is_local(host) else own_address(host)
    server = FaceServer(uvicorn.Server(config), listener, pool, name, access)
    server.wait_until_started()
    return server


def load_pipelines(
    model: str | Path = catalogue.DEFAULT_MODEL,
    *,
    workers: int = 0,
    threads: int = 1,
    detector: str | Path = catalogue.DEFAULT_DETECTOR,
    score: float = catalogue.DEFAULT_SCORE,
    min_face: float = MIN_FACE,
    engine: str = "auto",
    precision: str = "auto",
    report: Callable[[str], None] = lambda line: None,
) -> list[Pipeline]:
    """Load a pipeline for each worker, and run every shape once.

    Args:
        workers: number of requests that are worked on at once; 0 for one per core and thread of a worker, or 2 with
            engines on a GPU, which then share one pipeline.
        threads: CPU threads of each worker.
        model, detector, score, min_face, engine, precision, report: see `load` and `load_detector`.

    Raises:
        UsageError: fewer than 0 workers.
        Others: see `load`.
    """
    if workers < 0:
        raise UsageError(f"expected 0 or more workers, got {workers}")
    options: dict[str, Any] = {"engine": engine, "precision": precision, "threads": threads, "report": report}
    with ExitStack() as opened:

        def opened_pipeline() -> Pipeline:
            found = opened.enter_context(load_detector(detector, score=score, min_face=min_face, **options))
            pipeline = opened.enter_context(load(model, detector=found, composite=False, **options))
            pipeline.warm_up()
            return pipeline

        first = opened_pipeline()
        if isinstance(first.session, DeviceSession):
            pipelines = [first] * (workers or GPU_WORKERS)
        else:
            count = workers or max(1, usable_cores() // max(1, threads))
            pipelines = [first, *(opened_pipeline() for _ in range(count - 1))]
        opened.pop_all()
    return pipelines
