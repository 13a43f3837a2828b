"""From the options of the command line to a pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..media.base import Source
    from ..pipeline.pipeline import Pipeline


def pipeline_from(options: dict[str, Any], composite: bool = True) -> Pipeline:
    """Load what the options of `pipeline_options` say.

    Args:
        options: as click gives them.
        composite: make the composite.
    """
    from ..load import load, load_detector

    detector = load_detector(
        options["detector"],
        score=options["score"],
        min_face=options["min_face"],
        engine=options["engine"],
        threads=options["threads"],
        rebuild=options["rebuild"],
    )
    return load(
        options["model"],
        engine=options["engine"],
        detector=detector,
        outscale=options["outscale"],
        composite=composite,
        threads=options["threads"],
        rebuild=options["rebuild"],
        references=options["references"],
        most=options["most"],
    )


def introduction(pipeline: Pipeline, source: Source) -> str:
    """What runs where, in one line."""
    size = "{}x{}".format(*source.size_wh) if source.size_wh else source.kind
    return f"{source.name} ({size}) · {pipeline.card.name} {pipeline.card.precision} · {pipeline.session.runtime}"
