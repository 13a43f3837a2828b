"""Quality by the number of references: the MSRNet paper's table 2.

Source: R. Wang et al., "Face super-resolution based on multi-source references", section III.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..calibration.evaluate import MEASURES, Measure, enlarged, enlarged_by_bicubic, figures, rounded, small_and_true
from ..engines.bundle import Bundle
from ..engines.choose import open_session
from .references import Pictures, check_strangers, open_with_references


@dataclass(frozen=True)
class Ablation:
    """Figures of one model on the same faces.

    Args:
        model: its name.
        faces: how many.
        entries: of the library.
        bicubic: what bicubic does, by the names of `figures`.
        by_references: the same of the model with 0 references, with 1, and so on.
    """

    model: str
    faces: int
    entries: int
    bicubic: dict[str, float]
    by_references: tuple[dict[str, float], ...]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        turns = [{"references": count, **rounded(found)} for count, found in enumerate(self.by_references)]
        about = {"model": self.model, "faces": self.faces, "entries": self.entries}
        return {**about, "bicubic": rounded(self.bicubic), "ablation": turns}


def ablation(
    bundle: Bundle,
    library: Path,
    faces: list[Pictures],
    *,
    measures: Mapping[str, Measure] = MEASURES,
    engine: str = "auto",
    threads: int = 0,
    report: Callable[[int], None] = lambda done: None,
) -> Ablation:
    """Measure a network with the nearest references, from none to as many as it takes.

    Args:
        bundle: of a network that borrows from references.
        library: folder of a library of other faces.
        faces: true faces, (H, W, 3) uint8 BGR, at least 128×128.
        measures: name -> what is measured, "psnr_y_db" among them.
        engine: "auto" or "onnxruntime".
        threads: CPU threads of one call; 0 for one a core.
        report: told how many numbers of references are done.

    Raises:
        InputError, EngineError, UsageError: the text says what and what to do.
    """
    scale = bundle.card.contract.scale
    small, true = small_and_true(faces, scale)
    with closing(open_with_references(bundle, library, 1, engine, threads)) as session:
        check_strangers(session.library, true)
        entries = len(session.library)
    turns = []
    for count in range(min(bundle.card.contract.references, entries) + 1):
        opened = (
            open_with_references(bundle, library, count, engine, threads)
            if count
            else open_session(bundle, engine, threads)
        )
        with closing(opened) as turn:
            turns.append(figures(enlarged(turn, small), true, measures))
        report(count + 1)
    bicubic = figures(enlarged_by_bicubic(small, scale), true, measures)
    return Ablation(bundle.card.name, len(true), entries, bicubic, tuple(turns))
