"""Delays between attempts to connect to a live source."""

from __future__ import annotations

from dataclasses import dataclass

from ....engines.errors import InputError, SourceAuthenticationError, SourceNotFoundError, UsageError

REFUSED_S = 0.2
"""An attempt that fails within this time was refused: the host is up, its server is not, or not yet."""
MAX_REFUSED_S = 1.0
"""Maximum delay after a refusal, which costs both sides nothing."""


@dataclass(frozen=True)
class Reconnect:
    """Delays between attempts to connect: the first, twice as much after each failure, up to a maximum.

    A delay is shortened by a random part, so that the cameras of a restarted server do not connect at the same moment.
    Where the host refuses connections at once, the maximum is 1 s.

    Args:
        first_s: delay after the first failure in seconds.
        max_s: maximum delay in seconds.
        jitter: largest random part of the delay, 0 to 1.
        give_up_s: time without a connection after which the source ends with the last error, in seconds; None for
            never.

    Raises:
        UsageError: a value out of its range.
    """

    first_s: float = 0.5
    max_s: float = 10.0
    jitter: float = 0.5
    give_up_s: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.first_s <= self.max_s:
            raise UsageError(f"expected 0 < first_s <= max_s, got {self.first_s:g} and {self.max_s:g}")
        if not 0 <= self.jitter <= 1:
            raise UsageError(f"expected a jitter from 0 to 1, got {self.jitter:g}")
        if self.give_up_s is not None and self.give_up_s <= 0:
            raise UsageError(f"expected give_up_s above 0 seconds, got {self.give_up_s:g}; None for never")

    def delay_s(self, failures: int, attempt_s: float, chance: float) -> float:
        """Delay before the next attempt in seconds.

        Args:
            failures: attempts that failed since the last frame, at least 1.
            attempt_s: duration of the last attempt in seconds.
            chance: random number from 0 to 1.
        """
        max_s = min(self.max_s, MAX_REFUSED_S) if attempt_s < REFUSED_S else self.max_s
        delay = min(max_s, self.first_s * 2.0 ** min(failures - 1, 30))
        return delay * (1 - self.jitter * chance)


def is_fatal(error: InputError, seen: bool) -> bool:
    """Whether a further attempt is of no use, or locks the user out.

    Args:
        error: of the last attempt.
        seen: whether the source has sent frames before: then a server that does not know it waits for the camera.
    """
    return isinstance(error, SourceAuthenticationError) or (isinstance(error, SourceNotFoundError) and not seen)
