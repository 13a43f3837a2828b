"""Chains from the light to the decoded frame: random ones for training, named ones for evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from .codec import Codec
from .sensor import Sensor

IDEAL = Sensor()
X264 = {"preset": "veryfast", "tune": "zerolatency"}
X265 = {"preset": "ultrafast"}


@dataclass(frozen=True)
class Chain:
    """One camera and recorder.

    Args:
        pixel_filter: downscaling filter, see `render.pixel_kernel`.
        blur: severity of lens, focus and motion blur, see `optics.random_blur_kernel`; each face draws its own.
        sensor: noise and processing.
        drift: growth of the light per frame, as a fraction.
        codecs: generations of encoding, the first one first; none for raw frames.
        frames: length of the sequence.
    """

    pixel_filter: str = "area"
    blur: float = 0.0
    sensor: Sensor = IDEAL
    drift: float = 0.0
    codecs: tuple[Codec, ...] = ()
    frames: int = 1


def _h264(crf: int, **options: Any) -> Codec:
    return Codec("h264", crf, options=X264, **options)


_VIDEO = Chain(frames=8)
NAMED: MappingProxyType[str, Chain] = MappingProxyType(
    {
        "frame": Chain(),
        "jpeg-90": Chain(codecs=(Codec("jpeg", 90),)),
        "jpeg-75": Chain(codecs=(Codec("jpeg", 75),)),
        "jpeg-50": Chain(codecs=(Codec("jpeg", 50),)),
        "mjpeg": replace(_VIDEO, frames=2, codecs=(Codec("mjpeg", 6),)),
        "h264-23": replace(_VIDEO, codecs=(_h264(23),)),
        "h264-28": replace(_VIDEO, codecs=(_h264(28),)),
        "h264-33": replace(_VIDEO, codecs=(_h264(33),)),
        "h264-cbr": replace(_VIDEO, codecs=(_h264(0, kbps=400, gop=25),)),
        "h265-28": replace(_VIDEO, codecs=(Codec("h265", 28, options=X265),)),
        "noise-h264-26": replace(_VIDEO, sensor=Sensor(white_noise=4), codecs=(_h264(26),)),
        "night-h264-26": replace(_VIDEO, sensor=Sensor(shot_noise=8, denoise=8), codecs=(_h264(26),)),
        "blur-h264-23": replace(_VIDEO, blur=0.4, codecs=(_h264(23),)),
        "sharpened-h264-23": replace(_VIDEO, sensor=Sensor(mosaic=True, sharpen=0.8), codecs=(_h264(23),)),
        "rescaled-h264-23": replace(_VIDEO, sensor=Sensor(rescale=0.75), codecs=(_h264(23),)),
        "recoded": replace(_VIDEO, codecs=(_h264(24), Codec("h264", 26, options={"preset": "medium"}))),
        "gif": Chain(codecs=(Codec("gif", 256),)),
    }
)
"""Name -> chain, for evaluation by kind."""
KINDS = {"clean": 0.15, "raw": 0.03, "jpeg": 0.2, "h264": 0.5, "h265": 0.06, "mjpeg": 0.04, "gif": 0.02}
"""Kinds of chains in training, with their probabilities."""
PIXEL_FILTERS = {"area": 0.55, "bicubic": 0.3, "bilinear": 0.1, "lanczos": 0.05}
"""Downscaling filters, with their probabilities."""
PRESETS = {"ultrafast": 0.1, "superfast": 0.1, "veryfast": 0.3, "faster": 0.15, "medium": 0.35}
"""Presets of x264, with their probabilities."""
MAX_NOISE = 8.0
"""Standard deviation of the noise of the worst camera, in gray levels."""


def random_chain(rng: np.random.Generator, kinds: Mapping[str, float] = KINDS) -> Chain:
    """A chain for training, of one of the kinds, which have probabilities.

    Most have a codec and little else: with several strong degradations at once nothing is left to learn, and such pairs
    cost quality on the others.
    """
    kind = _choice(kinds, rng)
    pixel_filter = _choice(PIXEL_FILTERS, rng)
    if kind == "clean":
        nearly_lossless = (_h264(int(rng.integers(2, 10))),) if rng.random() < 0.3 else ()
        return Chain(pixel_filter, codecs=nearly_lossless, frames=4)
    blur = 0.5 * float(rng.random()) ** 2 if rng.random() < 0.35 else 0.0
    drift = float(rng.normal(0, 0.01)) if rng.random() < 0.1 else 0.0
    codecs = _random_codecs(kind, rng)
    frames = int(rng.integers(4, 12)) if kind in ("h264", "h265") else 3
    return Chain(pixel_filter, blur, random_sensor(rng), drift, codecs, frames)


def random_sensor(rng: np.random.Generator) -> Sensor:
    """Two of five are noisy; each kind of processing has its own probability."""
    noise = MAX_NOISE * float(rng.random()) ** 1.3 if rng.random() < 0.4 else 0.0
    white = rng.random() < 0.6
    return Sensor(
        gain=float(np.exp(rng.uniform(np.log(0.15), 0.1))) if rng.random() < 0.1 else 1.0,
        white_noise=noise if white else 0.0,
        shot_noise=0.0 if white else noise,
        mosaic=bool(rng.random() < 0.06),
        denoise=noise * float(rng.uniform(0.5, 2)) if rng.random() < 0.25 else 0.0,
        temporal_denoise=float(rng.uniform(0.2, 0.6)) if noise and rng.random() < 0.15 else 0.0,
        sharpen=float(rng.uniform(0.2, 1.2)) if rng.random() < 0.08 else 0.0,
        sharpen_sigma=float(rng.uniform(0.7, 1.5)),
        rescale=float(rng.uniform(0.6, 0.95)) if rng.random() < 0.06 else 1.0,
    )


def _choice(probabilities: Mapping[str, float], rng: np.random.Generator) -> str:
    return str(rng.choice(list(probabilities), p=list(probabilities.values())))


def _random_codecs(kind: str, rng: np.random.Generator) -> tuple[Codec, ...]:
    if kind == "raw":
        return ()
    codecs: tuple[Codec, ...] = (_random_codec(kind, rng),)
    if rng.random() < 0.08 and kind != "gif":  # recorded, then sent or edited
        codecs = (_random_codec(str(rng.choice(("jpeg", "h264"))), rng), *codecs)
    return codecs


def _random_codec(kind: str, rng: np.random.Generator) -> Codec:
    accurate = bool(rng.random() < 0.5)
    if kind == "jpeg":
        return Codec("jpeg", int(rng.integers(40, 97)), full_chroma=bool(rng.random() < 0.2))
    if kind == "gif":
        return Codec("gif", int(rng.choice((64, 128, 256))), dither=bool(rng.random() < 0.7))
    if kind == "mjpeg":
        return Codec("mjpeg", int(rng.integers(2, 16)), accurate=accurate)
    if kind == "h265":
        preset = str(rng.choice(("ultrafast", "superfast")))
        return Codec("h265", int(rng.integers(19, 37)), options={"preset": preset}, accurate=accurate)
    preset = _choice(PRESETS, rng)
    options = {"preset": preset} | ({"tune": "zerolatency"} if rng.random() < 0.45 else {})
    kbps = int(np.exp(rng.uniform(np.log(150), np.log(2500)))) if rng.random() < 0.2 else 0
    gop = int(rng.choice((1, 5, 12, 250), p=(0.1, 0.1, 0.1, 0.7)))
    return Codec("h264", int(rng.integers(17, 37)), kbps, gop, options, accurate=accurate)
