"""The plan of one turn: which faces the network upscales in the time that is left, and what happens to the others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from ...media.reasons import plural
from ..results import Treatment

REUSE_LEVELS = 4.0
"""Largest change of a face, see `reuse.Alignment`, up to which its last output is moved instead of computed again: the
output then differs from that of the network by 42 dB."""
MAX_LEVELS = 8.0
"""The same for a face that does not fit into the budget: with more, the moved detail is that of another expression."""
REFRESH_S, STILL_REFRESH_S = 2.0, 10.0
"""Time after which an unchanged face is upscaled again, if it moves and if it is still: each new output of a still face
would make it flicker."""
GROWN = 1.25
"""Growth of a face after which it is upscaled again: the camera shows more of it."""
SHARPER = 1.5
"""The same for its sharpness."""
DETECT_S = 0.25
"""Minimum time between two detections of a camera, seconds, unless a face is lost: in between, faces are followed by
the alignment of their pixels, which takes a tenth of the time and is more exact. New faces are found after it."""
MORE_FRAMES = 2.0
"""Ratio of the number of crops of a face to that behind its last output at which it is upscaled again, unless it is
still: its crops hold the same samples, and a new output would make it flicker."""
NEW, UNCERTAIN, SMALL, CLOSER, CLEARER, CHANGED, MORE, OLD = 1000.0, 800.0, 700.0, 600.0, 500.0, 400.0, 300.0, 200.0
"""Ranks of the reasons for the network, highest first."""
WAITING_RANK = 100.0
"""Rank that a face gains in each second in which the network did not upscale it, so that none waits forever."""

LOST = "not detected at present"
"""Reason of a face whose track waits for it."""

WorkKind = Literal["network", "multi-frame network", "small network", "reuse", "bicubic"]


class Estimates(Protocol):
    """Milliseconds of one face of a crop size by kind of work, see `Costs`."""

    def __getitem__(self, work: tuple[WorkKind, int], /) -> float: ...


@dataclass(frozen=True)
class Need:
    """A face of this turn, and what is kept of it.

    Args:
        side: of its crop, pixels.
        change: since the network upscaled it, gray levels; inf if it cannot be found in the new crop; None if the
            network never did.
        age_s: time since then.
        growth: ratio of its size to that of then.
        sharpness: the same of its sharpness.
        by_small: the smaller network upscaled it, not the network.
        still: it has not moved since then, see `Alignment`.
        lost: the detector looked for it and did not find it: no network runs on what may be the wall behind it.
        frames: number of its crops that the network would get; above 1 it is the multi-frame network that runs.
        kept_frames: the same of what is kept.
    """

    side: int
    change: float | None = None
    age_s: float = 0.0
    growth: float = 1.0
    sharpness: float = 1.0
    by_small: bool = False
    still: bool = False
    lost: bool = False
    frames: int = 1
    kept_frames: int = 1

    @property
    def network(self) -> WorkKind:
        """The work of upscaling it."""
        return "multi-frame network" if self.frames > 1 else "network"

    @property
    def reusable(self) -> bool:
        """Whether the last output can be moved at all."""
        return self.change is not None and self.change <= MAX_LEVELS


@dataclass(frozen=True)
class Choice:
    """What happens to a face.

    Args:
        treatment: or "skipped".
        reason: in words.
    """

    treatment: Treatment | Literal["skipped"]
    reason: str


def plan(needs: Sequence[Need], left_ms: float, costs: Estimates, small: bool) -> list[Choice]:
    """Choose what happens to each face of a turn.

    Every face gets the cheapest treatment first: its last output moved, or bicubic interpolation. Then, by rank, those
    that need the network get it, or the smaller network, as long as the time suffices.

    Args:
        needs: the faces of all cameras.
        left_ms: time that is left; inf without a limit.
        costs: of one face.
        small: whether there is a smaller network.

    Returns:
        One choice for each face, in order.
    """
    wishes = [_wish(need) for need in needs]
    cheap: list[WorkKind] = ["reuse" if need.reusable else "bicubic" for need in needs]
    cheap_ms = [costs[work, need.side] for work, need in zip(cheap, needs, strict=True)]
    choices = {n: Choice("skipped", LOST) for n, need in enumerate(needs) if need.lost and not need.reusable}
    order = sorted((n for n in range(len(needs)) if n not in choices), key=lambda n: -wishes[n][0])
    while order and sum(cheap_ms[n] for n in order) > left_ms:
        last = order.pop()
        choices[last] = Choice("skipped", f"over budget: {_left(left_ms)} for {plural(len(needs), 'face')}")
    left_ms -= sum(cheap_ms[n] for n in order)
    for n in order:
        rank, reason = wishes[n]
        need = needs[n]
        if not rank:
            choices[n] = Choice("reused", reason)
            continue
        networks: tuple[WorkKind, ...] = (need.network, "small network") if small else (need.network,)
        for work in networks:
            extra_ms = costs[work, need.side] - cheap_ms[n]
            if extra_ms <= left_ms:
                left_ms -= extra_ms
                by_small = work == "small network"
                why = _over_budget(reason, need, left_ms + extra_ms, costs) if by_small else reason
                choices[n] = Choice("small network" if by_small else "network", why)
                break
        else:
            treatment: Treatment = "reused" if need.reusable else "bicubic"
            choices[n] = Choice(treatment, _over_budget(reason, need, left_ms, costs))
    return [choices[n] for n in range(len(needs))]


def _wish(need: Need) -> tuple[float, str]:
    """Rank and reason for the network; rank 0 with the reason for reuse."""
    waiting = WAITING_RANK * need.age_s
    if need.lost:
        return 0.0, LOST
    if need.change is None:
        return NEW + need.side, "new track"
    if math.isinf(need.change):
        return UNCERTAIN + waiting, "not found at its last place"
    if need.by_small:
        return SMALL + waiting, "so far by the small network"
    if need.growth >= GROWN:
        return CLOSER + waiting, f"grown by {need.growth - 1:.0%}"
    if need.sharpness >= SHARPER:
        return CLEARER + waiting, f"sharper by {need.sharpness - 1:.0%}"
    if need.change > REUSE_LEVELS:
        return CHANGED + need.change + waiting, f"changed by {need.change:.1f} gray levels"
    if not need.still and need.frames >= MORE_FRAMES * need.kept_frames:
        more = f"more frames: {need.frames} instead of {need.kept_frames}"
        return MORE + waiting, f"{more}, changed by {need.change:.1f} gray levels"
    if need.age_s >= (STILL_REFRESH_S if need.still else REFRESH_S):
        return OLD + waiting, f"refreshed after {need.age_s:.1f} s"
    return 0.0, f"changed by {need.change:.1f} gray levels in {need.age_s:.2f} s"


def _over_budget(reason: str, need: Need, left_ms: float, costs: Estimates) -> str:
    return f"over budget ({reason}): {_left(left_ms)}, the network needs {costs[need.network, need.side]:.1f} ms"


def _left(left_ms: float) -> str:
    return f"{max(0.0, left_ms):.1f} ms left"


def due_for_detection(
    waiting_s: Sequence[float], costs_ms: Sequence[float], credit_ms: float, max_credit_ms: float
) -> tuple[list[int], float]:
    """Frames of a turn in which the detector runs; in the others the faces are followed from their last place.

    Args:
        waiting_s: time since the last detection of each camera; inf if it has to run.
        costs_ms: expected time of the detector in each frame.
        credit_ms: time for all of them, with what was saved in earlier turns.
        max_credit_ms: the most that is saved: the cost of the dearest detection of all cameras.

    Returns:
        Indices of the frames, longest waiting first; and the credit that is left.
    """
    due: list[int] = []
    for n in sorted(range(len(waiting_s)), key=lambda n: -waiting_s[n]):
        if waiting_s[n] >= DETECT_S and costs_ms[n] <= credit_ms:
            credit_ms -= costs_ms[n]
            due.append(n)
    return due, min(credit_ms, max_credit_ms)


def due_for_registration(
    waiting_s: Sequence[float], costs_ms: Sequence[float], credit_ms: float
) -> tuple[list[int], float]:
    """Faces of a frame whose crops are registered with those before them in this turn.

    Args:
        waiting_s: time since the last registration of each face; -inf if it is not to be registered.
        costs_ms: expected time of each.
        credit_ms: time for all of them, with what was saved in earlier turns.

    Returns:
        Indices of the faces, longest waiting first; and the credit that is left, at most the cost of all faces.
    """
    due: list[int] = []
    for n in sorted(range(len(waiting_s)), key=lambda n: -waiting_s[n]):
        if waiting_s[n] >= 0 and costs_ms[n] <= credit_ms:
            credit_ms -= costs_ms[n]
            due.append(n)
    return due, min(credit_ms, sum(costs_ms))
