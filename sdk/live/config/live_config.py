"""The configuration of a live run, and how it is read from a file such as cameras.yaml."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, get_args

from ....engines.bundle.io_spec import MAX_FRAMES
from ....engines.errors import BundleError, ConfigError, InputError, UsageError
from ....engines.registry import ENGINES, PRECISIONS
from ....zoo import catalogue
from ...media.live.reconnect import Reconnect
from ...media.reasons import error_reason
from ...media.url import Transport, masked
from ..camera import CameraOptions, Policy
from ..live import BUDGET_MS
from ..networks import SMALL_MODEL, check_frames
from ..sinks.open import check_live_sink, output_name
from .reader import (
    ConfigReader,
    Field,
    Mistake,
    boolean,
    checked,
    choice,
    items,
    number,
    optional,
    text,
    whole,
)
from .yaml_document import MAX_CHARACTERS, Entries, Mark, Node, YamlError, parse_yaml

LOG_LEVELS = ("debug", "info", "warning", "error")
SUFFIXES = (".yaml", ".yml")
MAX_BYTES = 4 * MAX_CHARACTERS
T = TypeVar("T")


@dataclass(frozen=True)
class CameraConfig:
    """A camera.

    Args:
        name: in results and outputs.
        source: URL, file, or number of a device; may hold a password.
        options: how it is read.
    """

    name: str
    source: str = field(repr=False)
    options: CameraOptions = field(default=CameraOptions(), repr=False)


@dataclass(frozen=True)
class WebConfig:
    """The web page, health and metrics.

    Args:
        host: address to listen on; the default is reached from this machine only.
        port: TCP port; 0 for a free one.
        token_file: file with the token that clients have to send; None for no token, on a loopback address only.
        hosts: further names by which the page may be called, e.g. that of a reverse proxy.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    token_file: Path | None = None
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True)
class LiveConfig:
    """What a live run does.

    Args:
        cameras: at least one; names are unique.
        budget_ms, fps, small_model, frames, track_model: see `live`.
        model, detector, engine, precision, threads, outscale: see `load`.
        outputs: see `open_live_sink`; may hold passwords.
        web: None for no server.
        record: file that the run is recorded to.
        log_level: least severe messages that are logged.
    """

    cameras: tuple[CameraConfig, ...]
    budget_ms: float = BUDGET_MS
    fps: float | None = None
    model: str = catalogue.DEFAULT_MODEL
    small_model: str | None = SMALL_MODEL
    frames: int = 1
    track_model: str = catalogue.TRACK
    detector: str = catalogue.DEFAULT_DETECTOR
    engine: str = "auto"
    precision: str = "auto"
    threads: int = 0
    outscale: int = 2
    outputs: tuple[str, ...] = field(default=(), repr=False)
    web: WebConfig | None = None
    record: Path | None = None
    log_level: str = "info"

    def to_dict(self) -> dict[str, Any]:
        """For JSON, without credentials."""
        values = {name: _plain(value) for name, value in asdict(self).items()}
        return {**values, "outputs": [output_name(output) for output in self.outputs]}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return masked(str(value)) if isinstance(value, str | Path) else value


def read_config(path: Path, environment: Mapping[str, str] = os.environ) -> LiveConfig:
    """Read a configuration file; `samples/cameras.yaml` shows every key with its default.

    Args:
        path: YAML.
        environment: variables that texts may refer to as ``${NAME}``.

    Raises:
        InputError: the file cannot be read.
        ConfigError: its content is not valid; the message lists every problem with its line and column.
        MissingDependencyError: PyYAML is not installed.
    """
    reader = ConfigReader(path.name, environment)
    try:
        root = parse_yaml(_content(path))
    except YamlError as error:
        reader.add(error.mark, str(error))
        raise ConfigError(reader.problems) from error
    config = _config(reader, root)
    if reader.problems:
        raise ConfigError(reader.problems)
    return config


def _content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise InputError(f"{path} has more than {MAX_BYTES:,} bytes; give a YAML file of cameras")
        return data.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error_reason(error)}; give a YAML file of cameras") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}; save it as UTF-8") from error


def _config(reader: ConfigReader, root: Node) -> LiveConfig:
    values = reader.section(root, "", _KEYS)
    cameras, defaults = values.pop("cameras", None), values.pop("camera", {})
    if cameras is not None:
        values["cameras"] = _cameras(reader, cameras, defaults)
    elif isinstance(root, Entries):
        reader.add(root.mark, "cameras: expected at least one camera, got none")
    names = list(cameras.nodes) if isinstance(cameras, Entries) else []
    for mark, output in (outputs := values.pop("outputs", ())):
        try:
            check_live_sink(output, names)
        except (UsageError, InputError) as error:
            reader.add(mark, f"outputs: {error}")
    config = LiveConfig(**{"cameras": (), **values}, outputs=tuple(output for _, output in outputs))
    if "frames" in values and isinstance(root, Entries):
        try:
            check_frames(config.frames, config.track_model, config.model)
        except (UsageError, BundleError) as error:
            reader.add(root.nodes["frames"].mark, f"frames: {error}")
    return config


def _cameras(reader: ConfigReader, node: Node, defaults: dict[str, Any]) -> tuple[CameraConfig, ...]:
    entries = reader.entries(node, "cameras")
    if isinstance(node, Entries) and not entries.nodes:
        reader.add(node.mark, "cameras: expected at least one camera, got none")
    read = partial(_camera, defaults=defaults)
    values = reader.section(entries, "cameras", dict.fromkeys(entries.nodes, read))
    return tuple(replace(camera, name=name) for name, camera in values.items())


def _camera(reader: ConfigReader, node: Node, path: str, defaults: dict[str, Any]) -> CameraConfig:
    if not isinstance(node, Entries):
        return CameraConfig("", _SOURCE(reader, node, path), _built(CameraOptions, node, defaults))
    values = reader.section(node, path, {"url": _SOURCE, **_OPTIONS})
    if "url" not in node.nodes:
        raise Mistake("expected a url, got none", node.mark)
    return CameraConfig("", values.pop("url", ""), _built(CameraOptions, node, {**defaults, **values}))


def _reconnect(reader: ConfigReader, node: Node, path: str) -> Reconnect | None:
    if not isinstance(node, Entries):
        if boolean(reader, node, path):
            return Reconnect()
        return None
    return _built(Reconnect, node, reader.section(node, path, _DELAYS))


def _output(reader: ConfigReader, node: Node, path: str) -> tuple[Mark, str]:
    return node.mark, text("an output")(reader, node, path)


def _web(reader: ConfigReader, node: Node, path: str) -> WebConfig:
    return WebConfig(**reader.section(node, path, _WEB))


def _built(kind: Callable[..., T], node: Node, values: dict[str, Any]) -> T:
    """A dataclass that checks its values."""
    try:
        return kind(**values)
    except UsageError as error:
        raise Mistake(str(error), node.mark) from error


def find_detector(name: str) -> None:
    """Raises UnknownNameError for what is neither the name of a detector nor a folder or file of one."""
    if not Path(name).is_file():
        catalogue.locate(name)


def _path(reader: ConfigReader, node: Node, path: str) -> Path:
    return Path(text("a file")(reader, node, path))


_SOURCE = text("a URL, a file or the number of a device")
_SECONDS = number("seconds above 0", lambda value: value > 0)
_DELAYS: dict[str, Field] = {
    "first_s": _SECONDS,
    "max_s": _SECONDS,
    "jitter": number("a number from 0 to 1", lambda value: 0 <= value <= 1),
    "give_up_s": optional(_SECONDS),
}
_OPTIONS: dict[str, Field] = {
    "timeout_s": _SECONDS,
    "stall_s": _SECONDS,
    "frozen_s": _SECONDS,
    "reconnect": _reconnect,
    "transport": choice(get_args(Transport)),
    "policy": choice(get_args(Policy)),
    "deliver_damaged": boolean,
    "hwaccel": optional(text("the name of a decoder, such as cuda")),
    "threads": whole("a number of threads, 0 for one per core", 0, 1024),
    "detect_source": optional(text("the URL of a smaller stream of the same camera")),
}
_WEB: dict[str, Field] = {
    "host": text("an address"),
    "port": whole("a port from 0 to 65535", 0, 65535),
    "token_file": optional(_path),
    "hosts": items(text("a host name"), "a list of host names"),
}
_KEYS: dict[str, Field] = {
    "cameras": lambda reader, node, path: node,
    "camera": lambda reader, node, path: reader.section(node, path, _OPTIONS),
    "budget_ms": number("milliseconds above 0", lambda value: value > 0),
    "fps": optional(number("frames/s above 0, or null", lambda value: value > 0)),
    "model": checked(text("the name of a model, or a folder"), catalogue.locate),
    "small_model": optional(checked(text("the name of a model, a folder, or null"), catalogue.locate)),
    "frames": whole("a number of crops of a face, 1 for the newest only", 1, MAX_FRAMES),
    "track_model": checked(text("the name of a model, or a folder"), catalogue.locate),
    "detector": checked(text("the name of a detector, a folder or a file"), find_detector),
    "engine": choice(("auto", *ENGINES)),
    "precision": choice(PRECISIONS),
    "threads": whole("a number of threads, 0 for one per core", 0, 1024),
    "outscale": whole("a whole number from 1 to 4", 1, 4),
    "outputs": items(_output, "a list of outputs"),
    "web": optional(_web),
    "record": optional(_path),
    "log_level": choice(LOG_LEVELS),
}
"""Key of the file -> what reads it."""
