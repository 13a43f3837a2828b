"""Comparison of engines that were built without a GPU with ONNX Runtime, when they are first loaded on one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..engines.bundle.bundle import Bundle
from ..engines.bundle.card import ENGINE_CHECK
from ..engines.files import cache_dir, write_atomic
from ..engines.jetson import platform_name
from ..engines.tensorrt.session import TrtSession
from .engine_check import check_engine


def is_untried(bundle: Bundle) -> bool:
    """Whether the bundle has engines that were built where they could not run."""
    checks = [one for one in bundle.card.evaluations if one.dataset == ENGINE_CHECK]
    return bundle.card.engine is not None and any("untried" in one.metrics for one in checks)


def check_first_load(bundle: Bundle, session: TrtSession, report: Callable[[str], None]) -> None:
    """Compare untried engines with ONNX Runtime, once per GPU, driver and release; the user's cache keeps the result.

    Args:
        bundle, session: the bundle, and the session of its engines.
        report: called with a line before and after the comparison.

    Raises:
        ParityError: the outputs differ.
    """
    if not is_untried(bundle):
        return
    path = _path(bundle, session)
    if path.exists():
        return
    report(f"comparing the engines of {bundle.card.name} with ONNX Runtime (once per GPU)")
    check = check_engine(bundle, session)
    report(f"{bundle.card.name}: {check}")
    with suppress(OSError):  # without a writable cache they are compared again next time
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps({"runtime": session.runtime, **check.to_dict()}, indent=1).encode())


def _path(bundle: Bundle, session: TrtSession) -> Path:
    key = f"{bundle.card.fingerprint} {session.runtime} {session.gpu.driver} {platform_name()}"
    return cache_dir("engine-checks") / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
