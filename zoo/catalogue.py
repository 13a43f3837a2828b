"""Models of the package, and the default model and detector."""

from __future__ import annotations

from pathlib import Path

from ..engines.bundle.bundle import CARD, Bundle, open_bundle
from ..engines.errors import BundleError, UnknownNameError

FOLDER = Path(__file__).parent
DEFAULT_MODEL = "edge-tiny-x4-camera"
DEFAULT_REASON = "trained on simulated cameras: +0.3 to +1.9 dB behind codecs against edge-tiny-x4, -0.75 dB clean"
"""Printed by `facesr-edge models`."""
DEFAULT_DETECTOR = "detector"
UNCERTAINTY = "uncertainty-x4"
"""The uncertainty head of networks of scale 4; not a model by itself, hence not among `names`."""
TRACK = "edge-tiny-x4-track"
"""The multi-frame network of scale 4, for faces of tracks; it runs beside a model, hence not among `names`."""
DEFAULT_SCORE = 0.5
"""Default score threshold. On the 32 held-out scenes without faces the shipped detector has 0 false positives at 0.5,
2 at 0.4, and 4 at 0.3. On the 361 such scenes of its training data it has 6 at 0.5 and 23 at 0.4."""


def names() -> list[str]:
    """Names of the installed models, detectors included and `companions` left out, sorted."""
    return sorted({path.parent.name for path in FOLDER.glob(f"*/{CARD}")} - {UNCERTAINTY, TRACK})


def companions() -> list[str]:
    """Names of the installed networks that run beside a model: the multi-frame network, and the uncertainty head."""
    return [name for name in (TRACK, UNCERTAINTY) if (FOLDER / name / CARD).is_file()]


def built() -> list[str]:
    """Names of the installed models and multi-frame networks, which `facesr-edge build` makes."""
    return sorted({*names(), *companions()} - {UNCERTAINTY})


def ships(bundle: Bundle) -> bool:
    """Whether a bundle belongs to the package; its folder must not be written to."""
    return bundle.folder.resolve().parent == FOLDER.resolve()


def locate(model: str | Path) -> Path:
    """Folder of a model; its content is not read.

    Args:
        model: one of `names` or `companions`, or the folder of a bundle.

    Raises:
        UnknownNameError: neither a name nor a folder.
        BundleError: a file.
    """
    if str(model) in (*names(), *companions()):
        return FOLDER / str(model)
    folder = Path(model)
    if folder.is_dir():
        return folder
    if folder.exists():
        raise BundleError(f"{folder} is a file; give the folder of a bundle, or a name: {', '.join(names())}")
    raise UnknownNameError("model", str(model), names())


def find(model: str | Path) -> Bundle:
    """Open a model and verify the SHA-256 of its files.

    Args:
        model: one of `names` or `companions`, or the folder of a bundle.

    Raises:
        UnknownNameError: neither a name nor a folder.
        BundleError: the folder is not a bundle, or was altered.
    """
    return open_bundle(locate(model))
