"""Store of best shots: the faces of tracks in a database, with their pictures and figures."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ....engines.errors import FacesrError, one_line
from ...store.address import parse_address
from ...store.open import open_store
from .dated_shots import DatedShot, ShotSink

if TYPE_CHECKING:
    from ...provenance.network_use import NetworkUse
    from ...store.records import NewFace

_logger = logging.getLogger(__name__)

PRUNE_S = 60.0
"""Time between two looks at the limits, in seconds."""


class StoreSink(ShotSink):
    """Stores the best shot of each track when it ends, see `Store`. Faces of killed runs stay.

    Args:
        address: of the store, see `open_store`; "days" and "max_gb" are its limits.
        about: facts of the run.

    Raises:
        UsageError, InputError, OutputError, MissingDependencyError: see `open_store`.
    """

    max_batch = 16
    retry_s, max_delay_s = float("inf"), 5.0
    idle_s = PRUNE_S
    close_s = 5.0

    def __init__(self, address: str, about: Mapping[str, Any]) -> None:
        parsed = parse_address(address)
        super().__init__(f"store:{parsed.name}" if parsed.database is not None else parsed.name)
        self._days, self._max_gb = parsed.days, parsed.max_gb
        self._store = open_store(address, about={"command": "live", **about})
        try:
            self._run = self._store.new_run()
            self._networks: tuple[NetworkUse, NetworkUse | None, NetworkUse | None] | None = None
            self._batch: tuple[Sequence[DatedShot], list[NewFace]] = ((), [])
            self._prune()
        except BaseException:
            self._store.close()
            raise

    def start(self, network: NetworkUse, small: NetworkUse | None = None, tracks: NetworkUse | None = None) -> None:
        """See `LiveSink`."""
        self._networks = network, small, tracks

    def write(self, items: Sequence[DatedShot]) -> None:
        """See `LiveSink`; a batch that is repeated is stored once."""
        from ...store.new_faces import face_of_shot

        if self._networks is not None:
            self._run.set_networks(*self._networks)
            self._networks = None
        if items is not self._batch[0]:
            run = self._run
            self._batch = items, [face_of_shot(one.shot, one.unix_s, one.clock, run.number()) for one in items]
        self._run.write(self._batch[1])
        self._batch = ((), [])
        if time.monotonic() - self._pruned_s >= PRUNE_S:
            try:
                self._prune()
            except FacesrError as error:  # the items are stored
                _logger.warning("%s: %s", self.name, one_line(error))

    def idle(self) -> None:
        """See `LiveSink`: faces grow old although none is stored."""
        self._prune()

    def _prune(self) -> None:
        self._pruned_s = time.monotonic()
        if self._days is not None or self._max_gb is not None:
            self._store.prune(days=self._days, max_gb=self._max_gb)

    def close(self) -> None:
        """See `LiveSink`."""
        try:
            self._run.close()
        finally:
            self._store.close()
