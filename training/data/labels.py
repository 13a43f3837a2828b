"""Attributes and landmarks of training faces, read from ``attributes.json`` beside the pictures.

Picture name -> labels: ``{"a.png": {"attributes": {"male": 1, "smiling": 0}, "landmarks": [[31.5, 40], [60, 41]]}}``.
Attributes are 0 or 1, landmarks are x, y in pixels of the picture; all faces may lack the one or the other.

Source: the CRL paper, sections 2.1 and 3.3.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engines.errors import InputError

LABELS = "attributes.json"
"""File with the labels, in the folder of the pictures."""


@dataclass(frozen=True, eq=False)
class FaceLabels:
    """Labels of F faces.

    Args:
        indices: (F,) of the labelled pictures among the given ones.
        attribute_names: of the A attributes, sorted.
        attributes: (F, A) float32, 0 or 1.
        landmarks: (F, L, 2) float32, x and y in pixels.
    """

    indices: NDArray[np.int64]
    attribute_names: tuple[str, ...]
    attributes: NDArray[np.float32]
    landmarks: NDArray[np.float32]


def read_labels(folder: Path, pictures: Sequence[str]) -> FaceLabels:
    """Read the labels of a folder of faces; pictures that lack one of the labels are left out, as in section 3.3.

    Args:
        folder: has `LABELS`.
        pictures: names of its pictures.

    Raises:
        InputError: the file is missing or not understood, or no picture has all labels.
    """
    path = folder / LABELS
    labels = _labels(path, pictures)
    names = tuple(sorted({name for attributes, _ in labels.values() for name in attributes}))
    count = max((len(landmarks) for _, landmarks in labels.values()), default=0)
    complete = [
        n
        for n, picture in enumerate(pictures)
        if picture in labels and (*sorted(labels[picture][0]), len(labels[picture][1])) == (*names, count)
    ]
    if not complete or not (names or count):
        raise InputError(
            f"no picture has all labels of {path}: expected {len(names)} attributes and {count} landmarks of each face"
        )
    kept = [labels[pictures[n]] for n in complete]
    attributes = [[attributes[name] for name in names] for attributes, _ in kept]
    return FaceLabels(
        np.array(complete),
        names,
        np.array(attributes, np.float32).reshape(len(kept), len(names)),
        np.array([landmarks for _, landmarks in kept], np.float32).reshape(len(kept), count, 2),
    )


def _labels(path: Path, pictures: Sequence[str]) -> dict[str, tuple[dict[str, float], list[list[float]]]]:
    try:
        entries = json.loads(path.read_text("utf-8"))
        return {picture: _label(entries[picture]) for picture in pictures if picture in entries}
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror or error}; auxiliary tasks need it, omit --set attributes"
        ) from None
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise InputError(
            f'{path} is not understood ({error}); expected {{"a.png": {{"attributes": {{"male": 1}}, '
            f'"landmarks": [[31.5, 40]]}}}}'
        ) from None


def _label(entry: Mapping[str, Any]) -> tuple[dict[str, float], list[list[float]]]:
    attributes = {str(name): float(value) for name, value in entry.get("attributes", {}).items()}
    if not set(attributes.values()) <= {0.0, 1.0}:
        raise ValueError("an attribute is neither 0 nor 1")
    landmarks = [[float(x), float(y)] for x, y in entry.get("landmarks", [])]
    if not np.isfinite(np.array(landmarks)).all():
        raise ValueError("a landmark is not finite")
    return attributes, landmarks
