"""Which models ship in the package, which in the repository alone, and which are taken by default."""

from __future__ import annotations

from pathlib import Path

from ..engines.bundle.bundle import CARD, Bundle, open_bundle
from ..engines.errors import BundleError, UnknownNameError

FOLDER = Path(__file__).parent
DEFAULT_MODEL = "edge-tiny-x4-camera"
DEFAULT_REASON = "learnt on faces as cameras give them: 1 dB better there than edge-tiny-x4, 0.4 dB worse on clean ones"
"""In a few words, for `facesr-edge models`."""
DEFAULT_DETECTOR = "detector"
DEFAULT_SCORE = 0.5
"""Least score of a face where nothing is said. The detector that ships sounds no false alarm at it on the 32 faceless
scenes held out, nor at 0.4; at 0.3 it sounds 2. On 121 of those that it was trained on it sounds 2, at 0.4 four."""


REPOSITORY = "the repository's folder zoo/"
ELSEWHERE = (
    "crl-x4",
    "crl-x8",
    "idrn-12-32-x4",
    "idrn-16-64-x4",
    "mffcn-x4",
    "msrnet-x8",
    "srcnn-x4",
    "srresnet-x4",
    "vdsr-x4",
)
"""Models that are there and not in the package, which stays small; setup.cfg lists what is in it."""


def names() -> list[str]:
    """Names of the models that ship, detectors included, sorted."""
    return sorted(path.parent.name for path in FOLDER.glob(f"*/{CARD}"))


def ships(bundle: Bundle) -> bool:
    """Whether a bundle is one of the package's own, whose folder nobody should write to."""
    return bundle.folder.resolve().parent == FOLDER.resolve()


def find(model: str | Path) -> Bundle:
    """Open a model.

    Args:
        model: a name of `names`, or the folder of a bundle.

    Raises:
        UnknownNameError: neither a name nor a folder.
        BundleError: the folder is not a bundle, or was altered.
    """
    if str(model) in names():
        return open_bundle(FOLDER / str(model))
    folder = Path(model)
    if folder.is_dir():
        return open_bundle(folder)
    if folder.exists():
        raise BundleError(f"{folder} is a file; give the folder of a bundle, or a name: {', '.join(names())}")
    if str(model) in ELSEWHERE:
        raise BundleError(f"{model} is in {REPOSITORY}, not in this installation; get the folder and give its path")
    raise UnknownNameError("model", str(model), names())
