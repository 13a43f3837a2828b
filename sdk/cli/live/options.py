"""The configuration that a command line of ``facesr-edge live`` describes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ....engines.errors import UsageError
from ....zoo import catalogue
from ...live.config.live_config import SUFFIXES, CameraConfig, LiveConfig, WebConfig, find_detector, read_config
from ...live.networks import check_frames
from ...live.service.service import check_token_rule
from ...live.sinks.open import check_live_sink
from ...media.url import masked

WEB = ("host", "port", "token_file")
CAMERA = ("detect_source", "transport", "hwaccel")


def live_config(sources: Sequence[str], given: Mapping[str, Any]) -> LiveConfig:
    """The configuration of sources, or of a file of cameras, with the options that were given.

    Args:
        sources: as for `open_source`, or one YAML file.
        given: option -> value; those of the command line replace those of the file.

    Raises:
        UsageError: the options contradict each other, or the file is not valid.
        InputError: the file cannot be read.
    """
    config = _with_cameras(_sources(sources), {name: given[name] for name in CAMERA if name in given})
    if web := {name: given[name] for name in WEB if name in given}:
        config = replace(config, web=replace(config.web or WebConfig(), **web))
    if config.web:
        check_token_rule(config.web)
    for name in {"model", "small_model"} & given.keys():
        if given[name] is not None:
            catalogue.locate(given[name])
    if {"frames", "track_model", "model"} & given.keys():
        both = {name: given.get(name, getattr(config, name)) for name in ("frames", "track_model", "model")}
        check_frames(**both)
    if "detector" in given:
        find_detector(given["detector"])
    for output in given.get("outputs", ()):
        check_live_sink(output, [camera.name for camera in config.cameras])
    return replace(config, **{name: value for name, value in given.items() if name not in (*WEB, *CAMERA)})


def _sources(sources: Sequence[str]) -> LiveConfig:
    files = [source for source in sources if source.lower().endswith(SUFFIXES) and "://" not in source]
    if files and len(sources) > 1:
        raise UsageError(f"{files[0]} is a file of cameras, which has to be the only source; add the others to it")
    if files:
        return read_config(Path(files[0]))
    cameras = {masked(source): CameraConfig(masked(source), source) for source in sources}
    if len(cameras) < len(sources):
        twice = next(name for name in cameras if [masked(source) for source in sources].count(name) > 1)
        raise UsageError(f"{twice} is given twice; leave one out, or give each a name in a file, see --help")
    return LiveConfig(tuple(cameras.values()))


def _with_cameras(config: LiveConfig, given: Mapping[str, Any]) -> LiveConfig:
    if given.get("detect_source") and len(config.cameras) > 1:
        raise UsageError("--detect-source is for one camera; give those of several in a file, see --help")
    cameras = [replace(camera, options=replace(camera.options, **given)) for camera in config.cameras]
    return replace(config, cameras=tuple(cameras))
