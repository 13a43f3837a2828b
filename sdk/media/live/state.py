"""The state of a live stream, as it follows from its facts and the time."""

from __future__ import annotations

from typing import Literal

from .mailbox import Facts

LiveState = Literal["connecting", "live", "frozen", "offline", "ended"]


def live_state(facts: Facts, now_s: float, stall_s: float, frozen_s: float) -> LiveState:
    """State of a live stream.

    Args:
        facts: of its reader.
        now_s: time of `time.monotonic`.
        stall_s: time without a frame after which a connected stream is frozen, in seconds.
        frozen_s: time without a change of the picture after which it is frozen, in seconds.

    Returns:
        connecting: before the first attempt to connect has succeeded or failed.
        live: frames come, and the picture changes.
        frozen: the connection is open, but no frame comes, or the same picture again and again.
        offline: there is no connection; the reader tries to connect again.
        ended: no further frame will come: the source has ended, its error is fatal, or it was closed.
    """
    if facts.ended:
        return "live" if facts.waiting else "ended"
    if not facts.connected:
        return "offline" if facts.error or facts.received else "connecting"
    if facts.arrived_s is not None and now_s - facts.arrived_s > stall_s:
        return "frozen"
    if facts.changed_s is not None and now_s - facts.changed_s > frozen_s:
        return "frozen"
    return "live"
