"""Folder of evidence cards, one for each track that has ended."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...evidence.card import Card, CardSource, FrameView
from ...evidence.items import item_of_shot
from ...evidence.write import PAGE, remove_unfinished, write_card
from .best_shots import BestShotsSink, DatedShot

if TYPE_CHECKING:
    from ...provenance.network_use import NetworkUse
