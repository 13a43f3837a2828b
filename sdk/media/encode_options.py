"""Options of encoders of images and videos."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...engines.errors import UnknownNameError, UsageError

HWACCELS = ("cuda", "vaapi", "qsv", "v4l2m2m")
AUTO = "auto"
SUBSAMPLINGS = ("444", "422", "420")
_RANGES: dict[str, tuple[int, float]] = {
    "crf": (0, 63),
    "quality": (1, 100),
    "compression": (0, 9),
    "threads": (0, float("inf")),
}


@dataclass(frozen=True)
class EncodeOptions:
    """Options of the output; None selects the default of the encoder.

    Args:
        codec: video codec (h264, hevc, av1, vp9) or the FFmpeg name of an encoder, e.g. libx265.
        crf: constant quality of a video, 0 to 63; lower is better and larger. The range depends on the encoder.
        preset: speed of a video encoder, in the encoder's own names.
        hwaccel: video encoding on hardware: cuda, vaapi, qsv or v4l2m2m; auto for the first that works, else software.
        quality: quality of JPEG, WebP, AVIF, HEIC and JPEG XL, 1 to 100.
        subsampling: chroma subsampling of JPEG and AVIF: 444, 422 or 420.
        compression: compression level of PNG, 0 to 9.
        threads: threads of the video encoder; 0 for one per core.
        strip_metadata: remove EXIF (with GPS) and XMP of images; ICC profiles stay, as the colors depend on them.
        no_provenance: do not mark outputs with upscaled faces, see `provenance.iptc.marked`.

    Raises:
        UsageError: a value of another type or out of range.
    """

    codec: str | None = None
    crf: int | None = None
    preset: str | None = None
    hwaccel: str | None = None
    quality: int | None = None
    subsampling: str | None = None
    compression: int | None = None
    threads: int = 0
    strip_metadata: bool = False
    no_provenance: bool = False

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if value is not None and not (type(value) is int and low <= value <= high):
                expected = f"{low} to {high}" if high < float("inf") else f"{low} or more"
                raise UsageError(f"expected a {name} of {expected}, a whole number, got {value!r}")
        check_hwaccel(self.hwaccel)
        if self.subsampling not in (None, *SUBSAMPLINGS):
            raise UnknownNameError("subsampling", str(self.subsampling), SUBSAMPLINGS)

    def only(self, names: Collection[str]) -> EncodeOptions:
        """Keep the options among `names`, and `threads`."""
        return EncodeOptions(**{name: value for name, value in vars(self).items() if name in (*names, "threads")})

    def check_applicable(self, names: Collection[str], output: Path) -> None:
        """Reject options that the output does not have.

        Args:
            names: options that apply; `threads` always does.
            output: file or folder, for the message.

        Raises:
            UsageError: an option is given that is not among `names`.
        """
        given: dict[str, Any] = {
            name: value for name, value in vars(self).items() if value is not None and value is not False
        }
        unused = [name for name in given if name not in names and name != "threads"]
        if unused:
            possible = f"options of this format: {', '.join(names)}" if names else "this format has no options"
            raise UsageError(f"{', '.join(unused)} cannot be used for {output}; {possible}")


def check_hwaccel(hwaccel: str | None) -> None:
    """Reject unknown names of hardware acceleration.

    Raises:
        UnknownNameError: not None, auto or one of `HWACCELS`.
    """
    if hwaccel not in (None, AUTO, *HWACCELS):
        raise UnknownNameError("hwaccel", str(hwaccel), (AUTO, *HWACCELS))
