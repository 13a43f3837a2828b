"""Settings of a recorded run for another one; a recording may come from a stranger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....engines.bundle.io_spec import MAX_FRAMES
from ....engines.errors import InputError, UnknownNameError
from ....zoo import catalogue

TEXTS = ("model", "small_model", "detector", "engine", "precision", "track_model")
RANGES = {"threads": (0, 256), "outscale": (1, 4), "frames": (1, MAX_FRAMES)}


def recorded_settings(about: Mapping[str, Any], model: str | None = None) -> dict[str, Any]:
    """Arguments of `live` that a recording tells.

    Args:
        about: facts of the run, see `Recorder`.
        model: instead of the recorded one.

    Raises:
        InputError: a value is none that `live` takes, or the recorded model is not on this machine.
    """
    facts = dict(about) if model is None else {**about, "model": model}
    texts = {name: _text(name, facts[name]) for name in TEXTS if name in facts}
    numbers = {name: _number(name, facts[name]) for name in RANGES if name in facts}
    if model is None and "model" in texts:
        _check_here("model", texts["model"], "give it, or one as fast: --model NAME|FOLDER")
    if "track_model" in texts and numbers.get("frames", 1) > 1:
        _check_here("track_model", texts["track_model"], "copy its folder to the same path")
    return {**texts, **numbers}


def _text(name: str, value: Any) -> str | None:
    if isinstance(value, str) or (value is None and name == "small_model"):
        return value
    raise InputError(f"{name} of the recording is {value!r:.40}, expected text; the recording was altered")


def _number(name: str, value: Any) -> int:
    low, high = RANGES[name]
    if type(value) is int and low <= value <= high:
        return value
    raise InputError(f"{name} of the recording is {value!r:.40}, expected {low} to {high}; the recording was altered")


def _check_here(name: str, model: str | None, advice: str) -> None:
    try:
        catalogue.locate(model or "")
    except (UnknownNameError, OSError, ValueError):  # a name that no file system takes
        raise InputError(f"the recorded {name} {model!r:.200} is not on this machine; {advice}") from None
