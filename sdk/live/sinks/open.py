"""`open_live_sink`: the sink for a file, a folder or a URL."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from ....engines.errors import UsageError
from ...media.encode_options import EncodeOptions
from ...media.url import masked
from ...media.video.containers import CONTAINER_FORMATS
from ...media.video.encoding.encoders import choose_encoder
from ...store.address import POSTGRESQL, PREFIX, parse_address
from .best_shots import BestShotsSink, check_limits
from .evidence import EVIDENCE_PREFIX, EvidenceSink
from .hls import HlsSink
from .jsonl import JsonlSink, check_max_bytes
from .mjpeg import MjpegSink, parse_mjpeg
from .mqtt import MqttSink, parse_mqtt
from .queue import SinkGroup, SinkQueue
from .rtsp import RtspSink, check_rtsp
from .safe_name import safe_name
from .sink import LiveSink
from .store import StoreSink
from .video import VideoFileSink, check_max_s
from .webhook import WebhookSink, check_webhook, webhook_name

CAMERA = "{camera}"
"""Part of an output that stands for the name of each camera."""
VIDEO_MINUTES = 60.0
"""Length of the video files of a run that has no end."""
MAX_NUMBER = 1e12
"""Of an option."""


@dataclass(frozen=True)
class SinkRequest:
    """What a sink is opened for.

    Args:
        output: file, folder or URL, without options.
        camera: of which a video is written; "" for sinks of all cameras.
        about: facts of the run for JSON.
        wait: nothing may be lost.
        options: of the output, by name.
    """

    output: str
    camera: str
    about: Mapping[str, Any]
    wait: bool
    options: Mapping[str, Any] = field(default_factory=dict)


Opener = Callable[[SinkRequest], LiveSink[Any]]
Options = Mapping[str, Callable[[str], Any]]


@dataclass(frozen=True)
class SinkKind:
    """A kind of sink.

    Args:
        open: makes one.
        example: of an output.
        check: raises UsageError or InputError for an address or options that `open` would refuse; opens nothing.
        one_camera: it holds one camera.
        waits: it may make a run of files wait; viewers may not.
        options: name → conversion from text, of what may follow "?" in a path.
    """

    open: Opener
    example: str
    check: Callable[[SinkRequest], object]
    one_camera: bool = False
    waits: bool = True
    options: Options = field(default_factory=dict)


def _number(text: str) -> float:
    """Neither NaN nor infinite."""
    number = float(text)
    if not abs(number) < MAX_NUMBER:
        raise ValueError(f"expected a number below {MAX_NUMBER:g}, got {text}")
    return number


def _max_bytes(request: SinkRequest) -> int | None:
    megabytes = request.options.get("max_mb")
    return None if megabytes is None else int(megabytes * 1e6)


def _open_jsonl(request: SinkRequest) -> LiveSink[Any]:
    return JsonlSink(Path(request.output), request.about, _max_bytes(request))


def _limits(request: SinkRequest) -> tuple[int | None, float | None]:
    days = request.options.get("days")
    return request.options.get("max"), None if days is None else days * 86_400


def _open_shots(request: SinkRequest) -> LiveSink[Any]:
    return BestShotsSink(Path(request.output), request.about, *_limits(request))


def _open_evidence(request: SinkRequest) -> LiveSink[Any]:
    return EvidenceSink(Path(request.output), request.about, *_limits(request))


def _check_evidence(request: SinkRequest) -> None:
    if not request.output:
        raise UsageError("expected a folder after evidence:, e.g. evidence:cards")
    check_limits(*_limits(request))


def _video_options(request: SinkRequest) -> tuple[EncodeOptions, float | None]:
    """Options of the encoder, and the time after which a new file begins, in seconds."""
    options = dict(request.options)
    minutes = options.pop("minutes", None if request.wait else VIDEO_MINUTES)
    return EncodeOptions(**options), None if minutes is None else 60 * minutes


def _check_video(request: SinkRequest) -> None:
    options, max_s = _video_options(request)
    check_max_s(max_s)
    suffix = Path(request.output).suffix.lower()
    choose_encoder(options, CONTAINER_FORMATS[suffix], suffix, (640, 480))


def _open_video(request: SinkRequest) -> LiveSink[Any]:
    options, max_s = _video_options(request)
    return VideoFileSink(Path(request.output), request.camera, options, by_arrival=not request.wait, max_s=max_s)


JSONL = SinkKind(
    _open_jsonl, "faces.jsonl", lambda request: check_max_bytes(_max_bytes(request)), options={"max_mb": _number}
)
SHOTS = SinkKind(
    _open_shots, "shots/", lambda request: check_limits(*_limits(request)), options={"max": int, "days": _number}
)
EVIDENCE = SinkKind(_open_evidence, "evidence:cards", _check_evidence, options={"max": int, "days": _number})
VIDEO = SinkKind(
    _open_video,
    "out.mp4",
    _check_video,
    one_camera=True,
    options={"minutes": _number, "codec": str, "crf": int, "preset": str, "hwaccel": str},
)
HLS = SinkKind(
    lambda request: HlsSink(Path(request.output), request.camera, by_arrival=not request.wait),
    "stream.m3u8",
    lambda request: None,
    one_camera=True,
)
RTSP = SinkKind(
    lambda request: RtspSink(request.output, request.camera),
    "rtsp://host/name",
    lambda request: check_rtsp(request.output),
    one_camera=True,
    waits=False,
)
MQTT = SinkKind(
    lambda request: MqttSink(request.output), "mqtt://host/topic", lambda request: parse_mqtt(request.output)
)
WEBHOOK = SinkKind(
    lambda request: WebhookSink(request.output), "https://host/path", lambda request: check_webhook(request.output)
)
MJPEG = SinkKind(
    lambda request: MjpegSink(request.output),
    "mjpeg://127.0.0.1:8090",
    lambda request: parse_mjpeg(request.output),
    waits=False,
)
STORE = SinkKind(
    lambda request: StoreSink(request.output, request.about),
    "store:DIR",
    lambda request: parse_address(request.output),
)
SCHEMES = {
    "mqtt": MQTT,
    "mqtts": MQTT,
    "http": WEBHOOK,
    "https": WEBHOOK,
    "rtsp": RTSP,
    "rtsps": RTSP,
    "mjpeg": MJPEG,
    **dict.fromkeys(POSTGRESQL, STORE),
}
"""Scheme of a URL → kind."""
SUFFIXES = {
    ".jsonl": JSONL,
    ".m3u8": HLS,
    **{suffix: VIDEO for suffix in CONTAINER_FORMATS if suffix != ".gif"},
}
"""Suffix of a file → kind."""


def open_live_sink(
    output: str | Path,
    *,
    cameras: Sequence[str] = (),
    about: Mapping[str, Any] | None = None,
    wait: bool = False,
) -> SinkGroup:
    """Open an output of a live run, which is one of its observers.

    Args:
        output: | "faces.jsonl", "faces.jsonl?max_mb=100": results as JSON lines; a new file begins at that size
            | "shots/", "shots/?max=1000&days=7": folder of the best shots of each track, and their limits
            | "evidence:cards", "evidence:cards?max=1000&days=7": folder of evidence cards of tracks, and their limits
            | "out.mp4", "out-{camera}.mkv?crf=28&minutes=10": video of a camera, or of each; a new file every hour
            | "stream.m3u8", "web/{camera}.m3u8": HLS
            | "rtsp://host/name", "rtsp://host/{camera}": published to an RTSP server
            | "mjpeg://127.0.0.1:8090": pictures over HTTP for browsers
            | "mqtt://host/prefix", "mqtts://user:password@host/prefix?ca=FILE": MQTT
            | "https://host/path": HTTP POST of results as JSON
            | "store:DIR", "store:DIR?days=30&max_gb=10", "postgresql://user@host/name?pictures=DIR": best shots in a
              database, see `open_store`
        cameras: names of the cameras of the run.
        about: facts of the run that files of results name, e.g. its networks.
        wait: nothing may be lost: the run waits for the sink. For runs of files only.

    Returns:
        A sink for each camera if the output has "{camera}" in it, else one.

    Raises:
        UsageError: an unknown kind or option, or a video of several cameras without "{camera}".
        OutputError: a file or folder cannot be written.
        MissingDependencyError: a package is not installed.
    """
    return open_live_sinks([output], cameras=cameras, about=about, wait=wait)


def open_live_sinks(
    outputs: Sequence[str | Path],
    *,
    cameras: Sequence[str] = (),
    about: Mapping[str, Any] | None = None,
    wait: bool = False,
) -> SinkGroup:
    """Open several outputs, see `open_live_sink`. If one cannot be opened, none stays open."""
    texts = [str(output) + "/" * (isinstance(output, Path) and output.is_dir()) for output in outputs]
    if twice := sorted({output_name(text) for text in texts if texts.count(text) > 1}):
        raise UsageError(f"{', '.join(twice)} is given twice; give each output once")
    requests = [request for text in texts for request in _requests(text, cameras, about or {}, wait)]
    with ExitStack() as stack:
        queues: list[SinkQueue] = []
        names: list[str] = []
        for kind, request in requests:
            sink = kind.open(request)
            names.append(sink.name)
            if (count := names.count(sink.name)) > 1:  # webhooks of one host; metrics need names of their own
                sink.name = f"{sink.name} #{count}"
            queues.append(SinkQueue(sink, wait=wait and kind.waits))
            stack.callback(queues[-1].close)
        stack.pop_all()
    return SinkGroup(queues)


def output_name(output: str) -> str:
    """An output for messages, without what may be a secret."""
    return webhook_name(output) if output.lower().startswith(("http://", "https://")) else masked(output)


def check_live_sink(output: str, cameras: Sequence[str]) -> None:
    """Check an output without opening it, see `open_live_sink`.

    Raises:
        UsageError: an unknown kind, a wrong address or option, or a video of several cameras without "{camera}".
        InputError: the password file of an MQTT broker cannot be read.
    """
    _requests(output, cameras, {}, wait=False)


def _requests(
    text: str, cameras: Sequence[str], about: Mapping[str, Any], wait: bool
) -> list[tuple[SinkKind, SinkRequest]]:
    requests = _unchecked_requests(text, cameras, about, wait)
    for kind, request in requests:
        kind.check(request)
    return requests


def _unchecked_requests(
    text: str, cameras: Sequence[str], about: Mapping[str, Any], wait: bool
) -> list[tuple[SinkKind, SinkRequest]]:
    output, kind, options = _parse(text)
    if not kind.one_camera:
        if CAMERA in output:
            raise UsageError(f"{masked(text)} gets all cameras; leave out {CAMERA}")
        return [(kind, SinkRequest(output, "", about, wait, options))]
    if CAMERA not in output and len(cameras) != 1:
        raise UsageError(f"{masked(text)} holds one camera, got {len(cameras)}; put {CAMERA} into its name")
    return [
        (kind, SinkRequest(output.replace(CAMERA, safe_name(camera)), camera, about, wait, options))
        for camera in cameras
    ]


def _parse(text: str) -> tuple[str, SinkKind, dict[str, Any]]:
    """Output without options, kind and options."""
    if text.startswith(PREFIX):
        return text, STORE, {}
    scheme, is_url, _ = text.partition("://")
    if is_url:
        if kind := SCHEMES.get(scheme.lower()):
            return text, kind, {}
        raise _unknown(text)
    path, _, query = text.partition("?")
    if path.startswith(EVIDENCE_PREFIX):
        return path.removeprefix(EVIDENCE_PREFIX), EVIDENCE, _options(text, EVIDENCE, query)
    kind = SHOTS if path.endswith("/") or Path(path).is_dir() else SUFFIXES.get(Path(path).suffix.lower())
    if kind is None:
        raise _unknown(text)
    return path, kind, _options(text, kind, query)


def _options(text: str, kind: SinkKind, query: str) -> dict[str, Any]:
    try:
        pairs = dict(parse_qsl(query, strict_parsing=bool(query)))
        return {name: kind.options[name](value) for name, value in pairs.items()}
    except (ValueError, KeyError):
        known = f"its options are {', '.join(kind.options)}" if kind.options else "it has no options"
        raise UsageError(f"wrong options of {text}; {known}, as in {kind.example}?name=value&name=value") from None


def _unknown(text: str) -> UsageError:
    kinds = (JSONL, SHOTS, EVIDENCE, STORE, VIDEO, HLS, RTSP, MJPEG, MQTT, WEBHOOK)
    examples = ", ".join(kind.example for kind in kinds)
    return UsageError(f"unknown output {masked(text)}; give one like {examples}")
