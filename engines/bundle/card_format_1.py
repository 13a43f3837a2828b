"""Conversion of cards of format 1, whose evaluations had sentences as keys, to the layout of format 2."""

from __future__ import annotations

import re
from typing import Any

_CARD_KEYS = {"contract": "io_spec", "limits": "limitations", "made_with": "build_versions"}
_IO_SPEC_KEYS = {"windows": "crop_sizes"}
_ENGINE_KEYS = {"any_gpu": "hardware_compatible", "any_version": "version_compatible", "board": "jetson"}
_TRAINING_KEYS = {"started_from": "init_from", "finishes": "finetune", "taught": "distill_weight"}
_METRIC_KEYS = {"false_alarms": "false_positives"}
_TITLE = re.compile(r"(?P<n>\d+) (?:faces|views|pictures) of (?P<dataset>.+?)(?:, (?P<degradation>camera))?")
_AGAINST_FP32 = re.compile(r"(?P<precision>fp16|int8) beside fp32, (?P<title>.+)")
_ON_DEVICE = "on this device, "
_QUANTIZED = "fewer bits"
ENGINE_CHECK = "engine check"


def converted(values: dict[str, Any]) -> dict[str, Any]:
    """The content of a card of format 1 in the layout of format 2.

    Raises:
        KeyError, TypeError, AttributeError: a field is missing or has another type.
    """
    card = _renamed({"calibration": "", "engine": None, **values}, _CARD_KEYS)
    io_spec = _renamed(card["io_spec"], _IO_SPEC_KEYS)
    if "size_hw" in io_spec:  # cards from before several sizes were possible
        size = io_spec.pop("size_hw")
        io_spec["sizes_hw"] = [size] if size else []
    return {
        **card,
        "io_spec": io_spec,
        "engine": _renamed(card["engine"], _ENGINE_KEYS) if card["engine"] else None,
        "training": training(card["training"]),
        "evaluations": _evaluations(card.pop("quality"), card["precision"]),
    }


def training(values: dict[str, Any]) -> dict[str, Any]:
    """Training metadata with the keys of format 2, the history of the initial weights included."""
    values = _renamed(values, _TRAINING_KEYS)
    if isinstance(values.get("init_from"), dict):
        values["init_from"] = training(values["init_from"])
    return values


def evaluation(title: str, metrics: dict[str, Any]) -> dict[str, Any]:
    """The fields of an evaluation from its title, e.g. "127 faces of test, camera", and its metrics."""
    metrics = _renamed(metrics, _METRIC_KEYS)
    precision = metrics.pop("precision", "fp32")
    match = _TITLE.fullmatch(title)
    if match is None:
        return _fields(title, metrics.get("faces", 0), "none", precision, metrics)
    n, detection = int(match["n"]), "average_precision" in metrics
    if metrics.get("faces") == n and not detection:
        del metrics["faces"]
    degradation = match["degradation"] or ("none" if detection else "bicubic")
    return _fields(match["dataset"], n, degradation, precision, metrics)


def _evaluations(quality: dict[str, Any], precision: str) -> list[dict[str, Any]]:
    evaluations: dict[tuple[str, str, str], dict[str, Any]] = {}
    for title, metrics in quality.items():
        for one in _section(title, metrics, quality, precision):
            key = one["dataset"], one["degradation"], one["precision"]
            earlier = evaluations.get(key, {}).get("metrics", {})
            evaluations[key] = {**one, "metrics": {**earlier, **one["metrics"]}}
    return list(evaluations.values())


def _section(title: str, metrics: Any, quality: dict[str, Any], precision: str) -> list[dict[str, Any]]:
    """The evaluations of one entry of a card's ``quality``."""
    if title == _QUANTIZED:
        return [_quantized(quality, *item) for item in metrics.items()]
    if not isinstance(metrics, dict):
        return [_fields("", 0, "none", precision, {title: metrics})]
    if match := _AGAINST_FP32.fullmatch(title):
        return [evaluation(match["title"], {**metrics, "precision": match["precision"]})]
    if title.startswith(_ON_DEVICE):
        runtime = title.removeprefix(_ON_DEVICE)
        return [_fields(ENGINE_CHECK, metrics["timed_nhwc"][0], "none", precision, {"runtime": runtime} | metrics)]
    return [evaluation(title, {"precision": precision, **metrics})]


def _quantized(quality: dict[str, Any], precision: str, metrics: dict[str, Any]) -> dict[str, Any]:
    """FP16 and INT8 were measured on the bicubic faces of the FP32 evaluation, which comes last."""
    titles = [title for title in quality if _TITLE.fullmatch(title)]
    metrics = _renamed(metrics, {"kept_out": "rejected"})
    return evaluation(titles[-1] if titles else "", {**metrics, "precision": precision})


def _fields(dataset: str, n: int, degradation: str, precision: str, metrics: dict[str, Any]) -> dict[str, Any]:
    return {"dataset": dataset, "n": n, "degradation": degradation, "precision": precision, "metrics": metrics}


def _renamed(values: dict[str, Any], keys: dict[str, str]) -> dict[str, Any]:
    return {keys.get(key, key): value for key, value in values.items()}
