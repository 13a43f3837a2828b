"""How videos are decoded: threads and hardware."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import av
from av.codec.hwaccel import HWAccel, hwdevices_available

from ....engines.errors import UsageError
from ..encode_options import AUTO, check_hwaccel
from ..reasons import error_reason

DECODING_DEVICES = ("cuda", "vaapi")
"""Hardware that FFmpeg's own decoders use; qsv and v4l2m2m need decoders of their own, which PyAV cannot select."""


@dataclass(frozen=True)
class Decoding:
    """Threads and hardware of a decoder.

    Args:
        threads: decoder threads; 0 for one per core.
        device: one of `DECODING_DEVICES`; None for software.
        software_fallback: decode streams that the device does not support in software instead of raising.
        deinterlace: deinterlace interlaced frames.
    """

    threads: int = 0
    device: str | None = None
    software_fallback: bool = False
    deinterlace: bool = True

    def hardware(self) -> HWAccel | None:
        """Setting for `av.open`."""
        if self.device is None:
            return None
        return HWAccel(self.device, allow_software_fallback=self.software_fallback)


SOFTWARE = Decoding()
_logger = logging.getLogger(__name__)


def choose_decoding(hwaccel: str | None, threads: int = 0) -> tuple[Decoding, list[str]]:
    """Choose the hardware for decoding.

    Args:
        hwaccel: None for software; cuda or vaapi; auto for the first that works, else software. qsv and v4l2m2m
            apply to encoding only: decoding is in software.
        threads: decoder threads; 0 for one per core.

    Returns:
        The setting, and one-line notes on which hardware is used or why none is.

    Raises:
        UsageError: unknown name, hardware that does not work, or threads below 0.
    """
    check_hwaccel(hwaccel)
    if threads < 0:
        raise UsageError(f"expected threads of 0 or more, got {threads}")
    if hwaccel is None:
        return Decoding(threads), []
    if hwaccel == AUTO:
        reasons = {device: _failure(device) for device in DECODING_DEVICES}
        device = next((device for device, reason in reasons.items() if reason is None), None)
        why = "; ".join(f"{device}: {reason or 'works'}" for device, reason in reasons.items())
        return Decoding(threads, device, True), _logged(
            f"decoded {'by ' + device if device else 'in software'} ({why})"
        )
    if hwaccel not in DECODING_DEVICES:
        return Decoding(threads), _logged(f"decoded in software: {hwaccel} is used for encoding only")
    if reason := _failure(hwaccel):
        raise UsageError(f"{hwaccel} does not work on this machine ({reason}); check its driver, or use auto")
    return Decoding(threads, hwaccel), []


def _logged(note: str) -> list[str]:
    _logger.info(note)
    return [note]


def _failure(device: str) -> str | None:
    """Open a device; the reason if it does not open, else None."""
    if device not in hwdevices_available():
        return "not in this build of FFmpeg"
    try:
        HWAccel(device).create(av.Codec("h264", "r"))
    except (av.FFmpegError, OSError, NotImplementedError, ValueError) as error:
        return error_reason(error)
    return None
