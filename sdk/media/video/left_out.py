"""What a decoded video has that frames of pixels do not keep."""

from __future__ import annotations

from contextlib import suppress

import av

from .hdr import side_data

_DOLBY_VISION = "Dolby Vision metadata is not kept: its base layer is read"
_LEFT_OUT = {
    "A53_CC": "closed captions are not kept",
    "DOVI_METADATA": _DOLBY_VISION,
    "DOVI_RPU_BUFFER": _DOLBY_VISION,
    "DYNAMIC_HDR_PLUS": "dynamic HDR10+ metadata is not kept",
    "DYNAMIC_HDR_VIVID": "dynamic HDR Vivid metadata is not kept",
    "STEREO3D": "the tag of stereoscopic video is not kept",
    "SPHERICAL": "the tag of spherical video is not kept",
    "ICC_PROFILE": "the color profile of the video is not kept",
}


def left_out(frame: av.VideoFrame) -> list[str]:
    """One line for each kind of side data of a frame that is not kept."""
    with suppress(ValueError):  # side data of a kind that this release of PyAV does not know
        if len(frame.side_data) == 0:
            return []
    return [line for name, line in _LEFT_OUT.items() if side_data(frame, name)]
