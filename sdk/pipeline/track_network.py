"""A loaded multi-frame network, which upscales faces beside the network for single frames."""

from __future__ import annotations

from dataclasses import dataclass

from ...engines.bundle.card import Card
from ...engines.errors import EngineError, UsageError
from ...engines.session import MultiInputSession
from ...zoo.catalogue import TRACK


@dataclass(frozen=True, eq=False)
class TrackNetwork:
    """A multi-frame network, loaded.

    Args:
        session: its engine.
        card: of its bundle.
    """

    session: MultiInputSession
    card: Card

    def close(self) -> None:
        """Release the engine; idempotent."""
        self.session.close()


def check_frames(card: Card, frames: int = 2) -> None:
    """Check that a network makes faces from so many frames.

    Args:
        card: of the network.
        frames: 2 or more.

    Raises:
        EngineError: it takes one frame.
        UsageError: it takes fewer frames.
    """
    limit = card.io_spec.frames
    if limit < 2:
        raise EngineError(f"{card.name} takes one frame; give a multi-frame network such as {TRACK}")
    if not 2 <= frames <= limit:
        raise UsageError(f"frames is {frames}, expected 1 to {limit}, those of {card.name}")
