"""Folder of evidence cards, one for each track that has ended."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...evidence.card import SEVERAL_FRAMES, Card, CardSource, FrameView
from ...evidence.items import item_of_shot
from ...evidence.pictures import MAX_VIDEO_VIEW_PX, view_of
from ...evidence.write import PAGE, PREFIX, SUFFIX, remove_unfinished, write_card
from ...media.sinks import make_writable
from .best_shots import BestShotsSink, shot_stem
from .dated_shots import DatedShot

if TYPE_CHECKING:
    from ...provenance.network_use import NetworkUse
    from ..camera import CameraStatus
    from ..results import LiveResult

EVIDENCE_PREFIX = "evidence:"
"""Of an output that is a folder of cards."""
NO_FILE = "a live run, which keeps no recording: the camera's own recording, or the file that was read, is the original"


@dataclass(frozen=True, eq=False)
class ViewedShot(DatedShot):
    """A best shot with its frame.

    Args:
        view: of the frame, reduced; None if it is not known.
    """

    view: FrameView | None = None


class EvidenceSink(BestShotsSink):
    """Writes CAMERA/TIME-trackID/card.html and its files when a track ends; each folder is complete or absent.

    Args:
        folder, about, max_count, max_age_s: see `BestShotsSink`; a card counts as a shot.

    Raises:
        OutputError: the folder cannot be written.
        UsageError: a limit that is not positive.
    """

    drain_s = 10.0  # cards of the tracks that are open at the end of a run; one takes 50 to 200 ms, to be on the disk
    close_s = 1.0

    def __init__(
        self,
        folder: Path,
        about: Mapping[str, Any],
        max_count: int | None = None,
        max_age_s: float | None = None,
    ) -> None:
        self._views: dict[tuple[str, int], FrameView] = {}
        self._networks: dict[str, NetworkUse] = {}
        super().__init__(folder, about, max_count, max_age_s)
        self.name = f"{EVIDENCE_PREFIX}{self.name}"

    def start(self, network: NetworkUse, small: NetworkUse | None = None, tracks: NetworkUse | None = None) -> None:
        """See `LiveSink`."""
        others = {"small network": small, SEVERAL_FRAMES: tracks}
        self._networks = {"network": network} | {treatment: use for treatment, use in others.items() if use}

    def select(self, result: LiveResult) -> Sequence[DatedShot]:
        """See `LiveSink`."""
        ended = self._viewed(super().select(result))
        view: FrameView | None = None
        for shot in self._shots.current():
            if shot.camera == result.camera and shot.index == result.source.index:
                view = view or view_of(result.source, MAX_VIDEO_VIEW_PX)
                self._views[shot.camera, shot.face.track_id] = view
        return ended

    def select_status(self, status: CameraStatus) -> Sequence[DatedShot]:
        """See `LiveSink`."""
        return self._viewed(super().select_status(status))

    def select_rest(self) -> Sequence[DatedShot]:
        """See `LiveSink`."""
        return self._viewed(super().select_rest())

    def _viewed(self, items: Sequence[DatedShot]) -> list[DatedShot]:
        return [
            ViewedShot(
                **{field.name: getattr(item, field.name) for field in fields(item)},
                view=self._views.pop((item.shot.camera, item.shot.face.track_id), None),
            )
            for item in items
        ]

    def _store(self, folder: Path, item: DatedShot) -> str:
        view = item.view if isinstance(item, ViewedShot) else None
        make_writable(folder)
        card = Card(
            CardSource(item.shot.camera, "camera", details=self._details(), note=NO_FILE),
            self._networks,
            (item_of_shot(item.shot, item.unix_s, item.clock),),
            time.time(),
            item.shot.frames,
            () if view is None else (view,),
        )
        return write_card(folder / shot_stem(item), card)[0].parent.name

    def _details(self) -> dict[str, str]:
        """Facts of the run."""
        return {f"run, {name.replace('_', ' ')}": str(value) for name, value in self._about.items()}

    def _earlier(self, folder: Path) -> dict[str, float]:
        remove_unfinished(folder)
        cards = []
        for path in folder.glob(f"*Z-track*/{PAGE}"):
            with suppress(OSError):  # a person has just removed it
                cards.append((path.stat().st_mtime, path.parent.name))
        return {stem: written_s for written_s, stem in sorted(cards)}

    def _remove(self, folder: Path, stem: str) -> None:
        """Remove a card: renamed first, so that a kill leaves nothing that looks like a card."""
        if not (folder / stem).is_dir():
            return
        temporary = Path(tempfile.mkdtemp(prefix=PREFIX, suffix=SUFFIX, dir=folder))
        (folder / stem).rename(temporary / "old")
        shutil.rmtree(temporary)
