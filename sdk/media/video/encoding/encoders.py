"""Video encoders of FFmpeg: their options and the choice of one."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from fractions import Fraction

import av
from av.codec.hwaccel import HWAccel
from av.video.codeccontext import VideoCodecContext

from .....engines.errors import UnknownNameError, UsageError
from .....engines.jetson import this_jetson
from ...encode_options import AUTO, HWACCELS, EncodeOptions
from ...reasons import error_reason
from ..containers import ContainerFormat


@dataclass(frozen=True)
class Encoder:
    """A video encoder and the names of its options.

    Args:
        name: FFmpeg name.
        codec: codec of the stream.
        crf_option: FFmpeg option that takes the crf; None if the encoder has no constant quality.
        crf_range: minimum and maximum crf.
        crf: default crf.
        presets: names of the presets.
        preset_option: FFmpeg option that takes the preset.
        defaults: FFmpeg options used if no preset is given.
        options: FFmpeg options that are always set.
        pixel_format: input pixel format.
        deep_formats: input pixel formats of more than 8 bits per sample, in ascending order.
        alpha_format: input pixel format with opacity; None if the encoder has none.
        hwaccel: hardware that it needs, one of `HWACCELS`; None for software.
    """

    name: str
    codec: str
    crf_option: str | None = "crf"
    crf_range: tuple[int, int] = (0, 51)
    crf: int = 18
    presets: tuple[str, ...] = ()
    preset_option: str = "preset"
    defaults: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    pixel_format: str = "yuv420p"
    deep_formats: tuple[str, ...] = ()
    alpha_format: str | None = None
    hwaccel: str | None = None

    def takes(self, pixel_format: str) -> bool:
        """Whether the encoder in this build of FFmpeg takes a pixel format; libx265 may have 8 bits only."""
        return any(known.name == pixel_format for known in av.Codec(self.name, "w").video_formats or ())

    @property
    def available(self) -> bool:
        """Whether this build of FFmpeg has the encoder."""
        try:
            return bool(av.Codec(self.name, "w").is_encoder)
        except ValueError:
            return False


_TEN_BITS, _TWELVE_BITS = ("yuv420p10le",), ("yuv420p12le",)
_FAST_PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast")
_X26X_PRESETS = (*_FAST_PRESETS, "medium", "slow", "slower", "veryslow", "placebo")
# Figures: two cores of an Intel Xeon, 3840x2160 (1080p enlarged twice, 8 moving faces, 96 frames) at crf 18, and in
# brackets 3072x1728 of a talking person; CPU time per frame, size per frame, luma PSNR against the composite.
#   veryfast           113 ms (78)   16 kB (33)  51.8 dB (52.3)
#   superfast          100 ms (54)  102 kB (64)  54.8 dB (54.0)
#   ultrafast           56 ms (29)   50 kB (86)  52.0 dB (53.0)
#   the default below   55 ms (33)   26 kB (49)  51.4 dB (50.4)
# ultrafast without its worst economy: adaptive quantization and macroblock tree cost no time and halve the file.
# Without B-frames, packets are in presentation order and every container keeps every timestamp.
_X264 = Encoder(
    "libx264",
    "h264",
    presets=_X26X_PRESETS,
    defaults={"preset": "ultrafast", "aq-mode": "1", "mbtree": "1", "rc-lookahead": "10"},
    options={"bf": "0"},
    deep_formats=_TEN_BITS,
)
_X265 = Encoder(
    "libx265",
    "hevc",
    presets=_X26X_PRESETS,
    defaults={"preset": "ultrafast"},
    options={"bf": "0", "x265-params": "log-level=error"},
    deep_formats=_TEN_BITS + _TWELVE_BITS,
)
_SVT_AV1 = Encoder(
    "libsvtav1",
    "av1",
    crf_range=(1, 63),
    crf=24,
    presets=tuple(str(number) for number in range(14)),
    defaults={"preset": "12"},
    # Prediction structure 1 is low delay: packets in presentation order, as without B-frames.
    options={"svtav1-params": "pred-struct=1"},
    deep_formats=_TEN_BITS,
)
_VP9 = Encoder(
    "libvpx-vp9",
    "vp9",
    crf_range=(0, 63),
    crf=24,
    presets=tuple(str(number) for number in range(6)),
    preset_option="cpu-used",
    # A preset selects the deadline "good", which takes 395 ms per frame of the measurement above; this one 95 ms.
    defaults={"deadline": "realtime", "cpu-used": "8"},
    options={"b": "0", "row-mt": "1", "auto-alt-ref": "0"},  # alternate reference frames exclude alpha
    deep_formats=_TEN_BITS + _TWELVE_BITS,
    alpha_format="yuva420p",
)
_PRORES = Encoder(
    "prores_ks",
    "prores",
    crf_option=None,
    pixel_format="yuv422p10le",
    deep_formats=("yuv422p10le",),
    alpha_format="yuva444p10le",
)
_GIF = Encoder("gif", "gif", crf_option=None, pixel_format="pal8", alpha_format="pal8")
SOFTWARE = {encoder.codec: encoder for encoder in (_X264, _X265, _SVT_AV1, _VP9, _PRORES, _GIF)}
"""Codec -> software encoder."""

_ALIASES = {"h265": "hevc", "avc": "h264"}
_QSV_PRESETS = ("veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
_NVENC_PRESETS = tuple(f"p{number}" for number in range(1, 8))


def _hardware() -> list[Encoder]:
    encoders = []
    for codec in ("h264", "hevc", "av1"):
        nvenc_max = 63 if codec == "av1" else 51
        nvenc = {"rc": "vbr", "b": "0", "bf": "0"}
        encoders += [
            Encoder(
                f"{codec}_nvenc",
                codec,
                "cq",
                (1, nvenc_max),
                presets=_NVENC_PRESETS,
                defaults={"preset": "p4"},
                options=nvenc,
                hwaccel="cuda",
            ),
        ]
    for codec in ("h264", "hevc", "av1", "vp9"):
        encoders += [
            Encoder(f"{codec}_vaapi", codec, "qp", (1, 51), options={"rc_mode": "CQP", "bf": "0"}, pixel_format="nv12",
                    hwaccel="vaapi"),
            Encoder(f"{codec}_qsv", codec, "global_quality", (1, 51), presets=_QSV_PRESETS, options={"bf": "0"},
                    pixel_format="nv12", hwaccel="qsv"),
        ]  # fmt: skip
    v4l2m2m = [Encoder(f"{codec}_v4l2m2m", codec, None, hwaccel="v4l2m2m") for codec in ("h264", "hevc")]
    return encoders + v4l2m2m


ENCODERS = {encoder.name: encoder for encoder in (*SOFTWARE.values(), *_hardware())}
"""FFmpeg name -> encoder."""
_BITS_PER_PIXEL = 0.1  # of encoders without constant quality


def choose_encoder(
    options: EncodeOptions, container: ContainerFormat, suffix: str, size_wh: tuple[int, int]
) -> tuple[Encoder, list[str]]:
    """Choose the encoder of a video.

    Args:
        options: codec, hwaccel, crf and preset; with the FFmpeg name of an encoder, hwaccel has no influence.
        container: container format of the output.
        suffix: suffix of the output file, for messages.
        size_wh: width and height of the video in pixels, with which hardware encoders are tried.

    Returns:
        The encoder, and one-line notes on which hardware was used or why none was.

    Raises:
        UsageError: unknown or missing encoder, one that the container does not hold, a crf or preset that it does not
            have, or hardware that does not work.
    """
    encoder = _named(options, container)
    fixed = options.codec is not None and options.codec.lower() == encoder.name  # hwaccel then applies to decoding only
    if encoder.codec not in container.codecs:
        raise UsageError(f"{suffix} cannot hold {encoder.codec}; it holds {', '.join(container.codecs)}")
    notes: list[str] = []
    if not fixed and options.hwaccel == AUTO:
        encoder, notes = _first_working(encoder, options, size_wh)
    elif not fixed and options.hwaccel:
        encoder = _on_hardware(encoder.codec, options.hwaccel)
    if not encoder.available:
        raise UsageError(f"this build of FFmpeg has no encoder {encoder.name}; available: {', '.join(_available())}")
    _check_settings(encoder, options)
    if encoder.hwaccel and not notes and (reason := failure(encoder, options, size_wh)):
        raise UsageError(
            f"{encoder.name} does not work on this machine ({reason}); check its driver, or use a software encoder"
        )
    return encoder, notes


def _named(options: EncodeOptions, container: ContainerFormat) -> Encoder:
    name = (options.codec or container.codecs[0]).lower()
    codec = _ALIASES.get(name, name)
    encoder = SOFTWARE.get(codec) or ENCODERS.get(codec)
    if encoder is None:
        raise UnknownNameError("codec", name, {*_ALIASES, *SOFTWARE, *_available()} - {"gif"})
    if options.hwaccel and encoder.hwaccel not in (None, options.hwaccel) and options.hwaccel != AUTO:
        raise UsageError(f"codec {name} runs on {encoder.hwaccel}, not on {options.hwaccel}; give one of the two")
    return encoder


def _available() -> list[str]:
    return [name for name, encoder in ENCODERS.items() if encoder.available]


def _on_hardware(codec: str, hwaccel: str) -> Encoder:
    for encoder in ENCODERS.values():
        if (encoder.codec, encoder.hwaccel) == (codec, hwaccel) and encoder.available:
            return encoder
    possible = [name for name in _available() if ENCODERS[name].codec == codec]
    raise UsageError(f"this build of FFmpeg has no {codec} encoder for {hwaccel}; available: {', '.join(possible)}")


def _first_working(software: Encoder, options: EncodeOptions, size_wh: tuple[int, int]) -> tuple[Encoder, list[str]]:
    """The first hardware encoder that opens, else the software encoder, with a note."""
    reasons = []
    for hwaccel in HWACCELS:
        try:
            encoder = _on_hardware(software.codec, hwaccel)
            _check_settings(encoder, options)
        except UsageError as error:
            reasons.append(f"{hwaccel}: {str(error).partition(';')[0]}")
            continue
        reason = failure(encoder, options, size_wh)
        if reason is None:
            return encoder, [f"encoded by {encoder.name} ({'; '.join([*reasons, 'works'])})"]
        reasons.append(f"{hwaccel}: {reason}")
    return software, [f"encoded by {software.name} in software ({'; '.join(reasons)})"]


def _check_settings(encoder: Encoder, options: EncodeOptions) -> None:
    low, high = encoder.crf_range
    if options.crf is not None and encoder.crf_option is None:
        raise UsageError(f"{encoder.name} has no constant quality; leave out crf")
    if options.crf is not None and not low <= options.crf <= high:
        raise UsageError(f"expected a crf of {low} to {high} for {encoder.name}, got {options.crf}; lower is better")
    if options.preset is not None and options.preset not in encoder.presets:
        possible = f"expected {', '.join(encoder.presets)}" if encoder.presets else "it has no presets"
        raise UsageError(f"unknown preset {options.preset} of {encoder.name}; {possible}")


def encoder_options(
    encoder: Encoder, options: EncodeOptions, size_wh: tuple[int, int], rate: Fraction
) -> dict[str, str]:
    """FFmpeg options of an encoder.

    Args:
        encoder: which encoder.
        options: crf, preset and threads, valid for it.
        size_wh: width and height in pixels.
        rate: frames/s; with the size, it sets the bit rate of encoders without constant quality.
    """
    speed = encoder.defaults if options.preset is None else {encoder.preset_option: options.preset}
    settings = {**encoder.options, **speed}
    if encoder.crf_option:
        settings[encoder.crf_option] = str(encoder.crf if options.crf is None else options.crf)
    elif encoder.hwaccel:
        settings["b"] = str(int(_BITS_PER_PIXEL * size_wh[0] * size_wh[1] * rate))
    # These two start one thread per core whatever the thread count of FFmpeg is.
    if options.threads and encoder.name == "libx265":
        settings["x265-params"] += f":pools={options.threads}"
    if options.threads and encoder.name == "libsvtav1":
        settings["svtav1-params"] += f":lp={options.threads}"
    return settings


def hardware(encoder: Encoder) -> HWAccel | None:
    """Device context of encoders that take frames on the device; the others upload the frames themselves."""
    return HWAccel("vaapi") if encoder.hwaccel == "vaapi" else None


def failure(encoder: Encoder, options: EncodeOptions, size_wh: tuple[int, int]) -> str | None:
    """Open a hardware encoder; the reason if it does not open, else None."""
    jetson = this_jetson()
    if jetson and not jetson.encodes_video:
        return f"{jetson.model} has no hardware encoder"
    width, height = (side + side % 2 for side in size_wh)
    rate = Fraction(25)
    try:
        context = av.CodecContext.create(encoder.name, "w", hwaccel=hardware(encoder))
        assert isinstance(context, VideoCodecContext)
        context.width, context.height, context.pix_fmt = width, height, encoder.pixel_format
        context.time_base, context.framerate = 1 / rate, rate
        context.options = encoder_options(encoder, options, size_wh, rate)
        context.open()
    except (av.FFmpegError, OSError, ValueError, RuntimeError, NotImplementedError, TypeError) as error:
        return error_reason(error)
    return None


def silence_encoders() -> None:
    """Limit the messages of SVT-AV1 on stderr to errors; it reads its level from the environment only."""
    os.environ.setdefault("SVT_LOG", "1")
