"""Who takes part: each runtime that this machine has, in each precision, each network in its own session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ...engines.bundle import Bundle
from ...engines.card import PRECISIONS, Precision
from ...engines.choose import open_session
from ...engines.errors import UnknownNameError, UsageError
from ...engines.ov import installed
from ...engines.session import Session
from .prepare import Kind, Prepared
from .turns import in_turn, spread

TRIAL_ROUNDS = 5
"""Rounds that decide whether FP16 takes part where nobody asked for it."""


@dataclass(frozen=True)
class Contestant:
    """A runtime in a precision.

    Args:
        engine: a key of `ENGINES`.
        precision: of the network's arithmetic.
    """

    engine: str
    precision: Precision

    @property
    def kind(self) -> Kind:
        """The graph that it runs."""
        return self.precision, "tensorrt" if (self.engine, self.precision) == ("tensorrt", "int8") else "cpu"

    def __str__(self) -> str:
        names = {"onnxruntime": "ONNX Runtime", "tensorrt": "TensorRT", "openvino": "OpenVINO"}
        return f"{names.get(self.engine, self.engine)} {self.precision.upper()}"


def chosen(text: str | None) -> tuple[Precision, ...]:
    """Precisions out of "fp32,int8"; all of them where nothing is said.

    Raises:
        UnknownNameError: a name that is none.
        UsageError: one that is named twice.
    """
    if text is None:
        return tuple(PRECISIONS)
    names = [name.strip().lower() for name in text.split(",")]
    for name in names:
        if name not in PRECISIONS:
            raise UnknownNameError("precision", name, PRECISIONS)
    if len(set(names)) < len(names):
        raise UsageError(f"expected each precision once, got {text}")
    return tuple(one for one in PRECISIONS if one in names)


def contestants(precisions: Sequence[Precision]) -> list[Contestant]:
    """Every runtime that can be used here, in every precision."""
    from ...converters.compile import why_not_tensorrt

    there = {"onnxruntime": True, "openvino": installed(), "tensorrt": not why_not_tensorrt()}
    engines = [engine for engine, usable in there.items() if usable]
    return [Contestant(engine, precision) for engine in engines for precision in precisions]


def opened(bundle: Bundle, who: Contestant, threads: int, folder: Path) -> Session | None:
    """A session of a network; none where the device keeps FP16 because INT8 is no faster: FP16 is timed as such.

    Args:
        bundle: of the network, in the contestant's kind.
        who: runs it.
        threads: CPU threads of a call; 0 for one a core.
        folder: where a compiled engine goes.
    """
    if who.engine == "tensorrt":
        from ...converters.compile import compile_bundle

        bundle = compile_bundle(bundle, "tensorrt", folder=folder / f"{bundle.folder.name}-compiled")
        if bundle.card.precision != who.precision:
            return None
    return open_session(bundle, who.engine, threads)


def slow_halves(network: Prepared, sessions: dict[Contestant, Session]) -> dict[Contestant, str]:
    """FP16 that is slower than FP32 of the same runtime on a network -> what to say of it."""
    told: dict[Contestant, str] = {}
    for half in [who for who in sessions if who.precision == "fp16"]:
        full = Contestant(half.engine, "fp32")
        if full not in sessions:
            continue
        pair = (sessions[half], sessions[full])
        taken = in_turn([partial(session.infer, network.faces[:1]) for session in pair], TRIAL_ROUNDS)
        half_ms, full_ms = (spread(ms).best for ms in taken)
        if half_ms > full_ms:
            told[half] = (
                f"{half} is left out: {half_ms:.1f} ms where FP32 takes {full_ms:.1f} ms at depth {network.size[0]}, "
                f"width {network.size[1]}; --precision fp32,fp16,int8 brings it"
            )
    return told
