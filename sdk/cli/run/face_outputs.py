"""What ``facesr-edge run`` writes of the faces besides composites and JSON: evidence cards, sheets of uncertainty, a
store."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

if TYPE_CHECKING:
    from ...media.source_sink import Source
    from ...pipeline.pipeline import Pipeline
    from ...pipeline.results import FrameResult
    from ...provenance.credentials import Credentials

FACE_OUTPUTS = ("evidence", "uncertainty", "store")
"""Names of the options, each the folder of an output; a store may have an address instead."""


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
    folders = {name: Path(options[name]) for name in FACE_OUTPUTS if options[name] is not None}
    if "store" in folders:
        from ...store.address import parse_address

        folders["store"] = parse_address(options["store"]).pictures.parent
    return folders


def check_face_outputs(folders: Mapping[str, Path], resume: bool) -> None:
    """Raise a UsageError if there are outputs that a resumed run cannot complete."""
    if folders and resume:
        raise click.UsageError(
            f"--{next(iter(folders))} needs every frame, but --resume leaves out those that are done; leave one out"
        )


def open_face_outputs(
    folders: Mapping[str, Path],
    pipeline: Pipeline,
    store: str | None,
    stack: ExitStack,
    credentials: Credentials | None = None,
) -> list[FaceOutput]:
    """Open the outputs.

    Args:
        folders: see `face_output_folders`.
        pipeline: that upscales the faces.
        store: address; None without a store.
        stack: closes the store.
        credentials: sign the pictures of evidence cards; None for unsigned ones.

    Raises:
        OutputError: a folder or the store cannot be written.
        MissingDependencyError: SQLAlchemy, for the store, is not installed.
    """
    outputs: list[FaceOutput] = []
    if "evidence" in folders:
        from ...evidence.run_cards import RunCards

        outputs.append(RunCards(folders["evidence"], pipeline, credentials))
    if "uncertainty" in folders:
        from .uncertainty import UncertaintyFolder

        outputs.append(UncertaintyFolder(folders["uncertainty"]))
    if store is not None:
        from ...store.open import open_store

        opened = stack.enter_context(open_store(store, about={"command": "run"}))
        from ...store.run_output import StoreOutput

        outputs.append(StoreOutput(opened, pipeline))
    return outputs


def unsigned(folders: Mapping[str, Path]) -> list[str]:
    """What a run that signs leaves unsigned, for the user."""
    names = [name for name in ("uncertainty", "store") if name in folders]
    what = " and ".join(f"the pictures of --{name}" for name in names)
    return [f"not signed: {what}; only outputs and evidence cards are"] if names else []
