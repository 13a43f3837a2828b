"""What ``facesr-edge run`` writes of the faces besides composites and JSON: evidence cards, sheets of uncertainty."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

if TYPE_CHECKING:
    from ...media.source_sink import Source
    from ...pipeline.pipeline import Pipeline
    from ...pipeline.results import FrameResult

FACE_OUTPUTS = ("evidence", "uncertainty")
"""Names of the options, each the folder of an output."""


class ResultConsumer(Protocol):
    """Takes the results of one source."""

    def add(self, result: FrameResult) -> None:
        """Take the result of the next frame."""


class FaceOutput(Protocol):
    """An output of the faces of all sources of a run."""

    def of(self, source: Source) -> AbstractContextManager[ResultConsumer]:
        """The part of one source; finished at the end of the ``with`` block, also after an error."""

    def lines(self) -> list[str]:
        """What was written, for the end of the run."""


def face_output_folders(options: Mapping[str, Any]) -> dict[str, Path]:
    """Name of the option → folder, of the outputs that were asked for."""
    return {name: options[name] for name in FACE_OUTPUTS if options[name] is not None}


def check_face_outputs(folders: Mapping[str, Path], resume: bool) -> None:
    """Raise a UsageError if there are outputs that a resumed run cannot complete."""
    if folders and resume:
        raise click.UsageError(
            f"--{next(iter(folders))} needs every frame, but --resume leaves out those that are done; leave one out"
        )


def open_face_outputs(folders: Mapping[str, Path], pipeline: Pipeline) -> list[FaceOutput]:
    """Open the outputs.

    Raises:
        OutputError: a folder cannot be written.
    """
    outputs: list[FaceOutput] = []
    if "evidence" in folders:
        from ...evidence.run_cards import RunCards

        outputs.append(RunCards(folders["evidence"], pipeline))
    if "uncertainty" in folders:
        from .uncertainty import UncertaintyFolder

        outputs.append(UncertaintyFolder(folders["uncertainty"]))
    return outputs
