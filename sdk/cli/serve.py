"""``facesr-edge serve``: the faces of pictures over HTTP."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...engines.errors import OutputError, UsageError
from .console import Stop, Stopped, say, show
from .options import (
    Command,
    detector_option,
    engine_option,
    min_face_option,
    model_option,
    option,
    path_option,
    pipeline_line,
    precision_option,
    score_option,
)

if TYPE_CHECKING:
    from ..serving.faces.limits import Limits
    from ..serving.faces.server import FaceServer

POSITIVE = click.FloatRange(0, min_open=True)
TICK_S = 0.5
RATE_OF_OTHERS = 10.0
"""Requests/s of each client of a service that other machines can reach."""


@click.command("serve", cls=Command, short_help="Serve the faces of pictures over HTTP.")
@option("--host", metavar="ADDRESS", default="127.0.0.1", help="Address to listen at; only this machine reaches it.")
@option("--port", type=click.IntRange(0, 65535), metavar="N", default=8000, help="Port; 0: a free one.")
@path_option("--token-file", help="Token that requests need; a missing file is created.")
@click.option("--allow-host", "hosts", metavar="NAME", multiple=True, help="A further name of the service; repeatable.")
@click.option("--proxy", metavar="ADDRESS", help="IP address of a reverse proxy that names the clients.")
@model_option
@detector_option
@engine_option
@precision_option
@score_option
@min_face_option
@click.option("--workers", type=click.IntRange(min=0), metavar="N", default=0, help="Pictures at once.  [one per core]")
@option("--threads", type=click.IntRange(min=1), metavar="N", default=1, help="CPU threads of each worker.")
@option("--max-mb", type=POSITIVE, metavar="N", default=16.0, help="Size of a picture's file, MiB.")
@option("--max-megapixels", type=POSITIVE, metavar="N", default=25.0, help="Of a picture.")
@option("--max-faces", type=click.IntRange(min=1), metavar="N", default=100, help="Of a picture that are upscaled.")
@option("--max-requests", type=click.IntRange(min=1), metavar="N", default=64, help="At once, with those that wait.")
@click.option(
    "--max-of-client",
    type=click.IntRange(min=1),
    metavar="N",
    help="Requests of one client at once.  [any number; a quarter of --max-requests if other machines reach it]",
)
@click.option(
    "--rate",
    type=POSITIVE,
    metavar="N",
    help=f"Requests/s of each client.  [any number; {RATE_OF_OTHERS:g} if other machines reach the service]",
)
def command(host: str, token_file: Path | None, **options: Any) -> None:
    """Find and upscale the faces of pictures that are sent to POST /faces, until Ctrl-C.

    Pictures stay in memory and out of the log. /docs describes the options and answers, /openapi.json is for programs,
    /healthz and /metrics for monitoring. A service that other machines can reach needs --token-file.

    \b
    Examples:
      facesr-edge serve
      facesr-edge serve --host 0.0.0.0 --token-file token
      curl -F picture=@portrait.jpg http://127.0.0.1:8000/faces
    """
    from ..serving.access import is_local
    from ..serving.faces.server import load_pipelines, serve_faces
    from ..serving.token_file import token_in

    if token_file is None and not is_local(host):
        raise UsageError(f"a service at {host} needs a token; name a file for it, which is created: --token-file FILE")
    limits, token = _limits(host, options), token_in(token_file) if token_file else None
    names = ("model", "workers", "threads", "detector", "score", "min_face", "engine", "precision")
    load = partial(load_pipelines, report=say, **{name: options[name] for name in names})
    server = serve_faces(
        load,
        host=host,
        port=options["port"],
        token=token,
        hosts=options["hosts"],
        limits=limits,
        proxy=options["proxy"],
    )
    _run(server)


def _limits(host: str, options: dict[str, Any]) -> Limits:
    from ..serving.access import is_local
    from ..serving.faces.limits import Limits

    of_others, max_requests = not is_local(host) or options["proxy"] is not None, options["max_requests"]
    rate = options["rate"] or (RATE_OF_OTHERS if of_others else math.inf)
    max_of_client = options["max_of_client"] or (max(1, max_requests // 4) if of_others else math.inf)
    return Limits(
        max_bytes=round(options["max_mb"] * 1024**2),
        max_megapixels=options["max_megapixels"],
        max_faces=options["max_faces"],
        max_requests=max_requests,
        max_of_client=max_of_client,
        rate=rate,
        burst=max(1, round(2 * min(rate, 1e6))),
    )


def _run(server: FaceServer) -> None:
    """Serve until a signal; a second one does not wait for the running requests."""
    from ..live.service.systemd import ServiceNotifier

    notifier = ServiceNotifier()
    with server, Stop(server.stop) as stop:
        workers = len(server.pool.pipelines)
        show(pipeline_line(f"{workers} worker{'s' if workers > 1 else ''}", server.pool.pipelines[0]))
        show(f"{server.url}/faces")
        notifier.ready(f"serving {server.url}")
        try:
            while not server.wait(TICK_S):
                if stop.requested:
                    notifier.stopping()
                elif server.pool.stuck() is None:
                    notifier.alive()
        except KeyboardInterrupt:
            server.abort()
            raise Stopped("stopped at once; running requests got no answer") from None
    if not stop.requested:
        raise OutputError("the server stopped by itself; see the log of uvicorn")
    say("stopped")
