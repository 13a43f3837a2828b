"""Records of trials in the user's cache: one file for each machine, runtime versions, bundle and request."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..bundle.bundle import Bundle
from ..cpu import cpuinfo, instruction_sets, usable_cores
from ..files import cache_dir, write_atomic
from ..json_input import read_json
from .candidates import RUNTIMES, Candidate
from .trial import Measurement

FORMAT = 1


def read_record(bundle: Bundle, candidates: Sequence[Candidate], threads: int) -> list[Measurement] | None:
    """The measurements of an earlier trial of the same candidates; None if there are none, or they cannot be read."""
    key = _key(bundle, candidates, threads)
    try:
        record = read_json(_path(key))
        found = [
            Measurement(
                Candidate(**one["candidate"]), {name: float(ms) for name, ms in one["ms"].items()}, one["problem"]
            )
            for one in record["measurements"]
        ]
        same = record["key"] == key and [one.candidate for one in found] == list(candidates)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return found if same else None


def write_record(
    bundle: Bundle, candidates: Sequence[Candidate], threads: int, measurements: Sequence[Measurement]
) -> None:
    """Keep the measurements of a trial; without a writable cache it is measured again next time."""
    key = _key(bundle, candidates, threads)
    text = json.dumps({"key": key, "measurements": [asdict(one) for one in measurements]}, indent=1)
    path = _path(key)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text.encode())


def _key(bundle: Bundle, candidates: Sequence[Candidate], threads: int) -> dict[str, Any]:
    """Everything that the times depend on."""
    return {
        "format": FORMAT,
        "cpu": cpuinfo().get("model name") or platform.processor() or platform.machine(),
        "instructions": sorted(instruction_sets()),
        "cores": usable_cores(),
        "runtimes": {runtime: _version(runtime) for runtime in RUNTIMES},
        "bundle": bundle.card.files,
        "candidates": [asdict(candidate) for candidate in candidates],
        "threads": threads,
    }


def _version(package: str) -> str:
    """Version of a package, without importing it; "" if it is not installed under this name."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _path(key: dict[str, Any]) -> Path:
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return cache_dir("tuning") / f"{digest[:32]}.json"
