"""How often an animated GIF is played."""

from __future__ import annotations

_LOOP = b"\x21\xff\x0bNETSCAPE2.0\x03\x01"  # application extension; the count follows


def gif_repetitions(head: bytes) -> int | None:
    """Number of repetitions of a GIF.

    Args:
        head: first bytes of the file: 4 KiB or more.

    Returns:
        0 for endlessly, 1 without a loop extension; None if it is no GIF.
    """
    if not head.startswith(b"GIF"):
        return None
    at = head.find(_LOOP)
    if at < 0:
        return 1
    return int.from_bytes(head[at + len(_LOOP) : at + len(_LOOP) + 2], "little")
