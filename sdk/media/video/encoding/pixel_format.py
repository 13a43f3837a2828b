"""Choice of the pixel format of an encoder: bits per sample, opacity, and the codes of the colors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import av

from ...encode_options import EncodeOptions
from ...source_sink import Source
from ..color_conversion import BT709, UNSPECIFIED
from ..containers import ContainerFormat
from ..hdr import HdrMetadata
from ..reader import VideoSource
from .encoders import SOFTWARE, Encoder
from .hdr_options import stores_hdr
from .yuv_conversion import BT2020

PQ, HLG = 16, 18  # FFmpeg's codes of the transfer characteristics of HDR10 and HLG
HDR_NAMES = {PQ: "HDR10", HLG: "HLG"}
"""Transfer characteristics of HDR -> name for notes."""


@dataclass(frozen=True)
class ColorCodes:
    """FFmpeg's codes of the colors of a video, and the HDR metadata.

    Args:
        matrix: BT.709, or BT.2020 if the source has it.
        primaries: of the source, BT.709 if unknown.
        transfer: of the source, BT.709 if unknown.
        hdr: mastering display and content light level.
    """

    matrix: int = BT709
    primaries: int = BT709
    transfer: int = BT709
    hdr: HdrMetadata | None = None


def color_codes(source: Source) -> ColorCodes:
    """Codes of the composites: those of the source; only BT.2020 keeps its matrix, others become BT.709."""
    if not isinstance(source, VideoSource):
        return ColorCodes()
    primaries, transfer = (
        code if code not in (0, UNSPECIFIED) else BT709 for code in (source.primaries, source.transfer)
    )
    wide = primaries == BT2020 or transfer in HDR_NAMES
    return ColorCodes(BT2020 if wide else BT709, primaries, transfer, source.hdr)


@lru_cache(maxsize=32)
def sample_bits(pixel_format: str) -> int:
    """Bits per sample of a pixel format."""
    return max(component.bits for component in av.VideoFormat(pixel_format).components)


@lru_cache(maxsize=32)
def has_alpha(pixel_format: str) -> bool:
    """Whether a pixel format stores opacity; palettes do, one of their colors being transparent."""
    return pixel_format == "pal8" or any(part.is_alpha for part in av.VideoFormat(pixel_format).components)


def default_codec(options: EncodeOptions, container: ContainerFormat, bits: int, alpha: bool = False) -> EncodeOptions:
    """Options with the codec that keeps the bits per sample and the opacity of a source, if none was given."""
    codec = (container.alpha_codec if alpha else None) or (container.deep_codec if bits > 8 else None)
    if options.codec is not None or codec is None or not SOFTWARE[codec].available:
        return options
    return replace(options, codec=codec)


def with_pixel_format(
    encoder: Encoder, container: ContainerFormat, suffix: str, bits: int, alpha: bool, color: ColorCodes
) -> tuple[Encoder, list[str]]:
    """Have an encoder keep opacity, or more than 8 bits per sample, as many as it can.

    Args:
        encoder: which encoder.
        container: container format of the output.
        suffix: suffix of the output file, for notes.
        bits: of the source.
        alpha: whether the source is transparent.
        color: of the source.

    Returns:
        The encoder with its pixel format, and notes on what is lost of bits and HDR.
    """
    if alpha and encoder.alpha_format is not None and encoder.takes(encoder.alpha_format):
        encoder = replace(encoder, pixel_format=encoder.alpha_format)
    elif bits > 8:
        formats = [name for name in encoder.deep_formats if encoder.takes(name)]
        fitting = [name for name in formats if sample_bits(name) >= bits] or formats[-1:]
        encoder = replace(encoder, pixel_format=fitting[0]) if fitting else encoder
    notes = []
    if (kept := sample_bits(encoder.pixel_format)) < bits:
        notes.append(f"{bits} bits per sample reduced to {kept}: {_holder(encoder, container, suffix, kept, color)}")
    if color.hdr and not stores_hdr(encoder.name):
        notes.append(f"mastering display and content light level dropped: {encoder.name} does not store them")
    return encoder, notes


def _holder(encoder: Encoder, container: ContainerFormat, suffix: str, kept: int, color: ColorCodes) -> str:
    """Why the bits are reduced, and what would keep them."""
    hdr = f", and {HDR_NAMES[color.transfer]} needs 10" if color.transfer in HDR_NAMES and kept < 10 else ""
    if has_alpha(encoder.pixel_format) and encoder.codec != "gif":
        return f"the most that {encoder.name} stores with transparency{hdr}"
    if container.deep_codec is None:
        return f"{suffix} holds {kept}{hdr}; use .mkv or .mp4"
    if encoder.codec == container.deep_codec and kept > 8:
        return f"the most that {encoder.name} stores{hdr}"
    return f"{encoder.name} stores {kept}{hdr}; use --codec {container.deep_codec}"
