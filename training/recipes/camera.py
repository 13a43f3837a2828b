"""What all recipes share that learn from faces as cameras give them, blurred, noisy and compressed; the one of IDRN."""

from __future__ import annotations

from ..recipe import Recipe
from .faces_cpu import BICUBIC_SKIP, faces_cpu

CAMERA = (
    "small faces as cameras give them, not as bicubic does: blurred, noisy, through H.264 or JPEG, some of them clean"
)
"""What its recipes do otherwise than those on faces shrunk by bicubic, which are all that the papers know."""
LIMITS = (
    "faces from 8 to 85 px; trained on portraits behind simulated lenses, sensors and codecs, no real camera's footage",
    "undoes moderate blur, noise and compression; what a codec dropped is guessed; on clean input a network trained on "
    "bicubic is sharper",
    "added detail is an estimate: plausible, not evidence; not for identifying anybody",
    "few profiles, masks and dark pictures among the training faces",
)
"""Of weights that learnt from such faces, in place of those of all that learn from faces."""


def camera(depth: int = 8, width: int = 64, scale: int = 4) -> Recipe:
    """As `idrn.cpu`, with faces degraded as `degrade.camera` says."""
    config = {"depth": depth, "width": width, "scale": scale, "bicubic_skip": True}
    return faces_cpu("idrn", config, 2_500, BICUBIC_SKIP, CAMERA, degradation="camera")
