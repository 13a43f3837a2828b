"""``facesr-edge models``: the installed models."""

from __future__ import annotations

import click

from .console import put_json, results
from .options import STDOUT, Command, json_option


@click.command("models", cls=Command, short_help="List the installed models.")
@json_option("The list")
def command(json_file: str | None) -> None:
    """List the installed models with precision, quality and size. `doctor` verifies their hashes."""
    from ...engines.bundle.bundle import Bundle, read_card
    from ...zoo import catalogue
    from ..describe import quality_line, summary

    names = (*catalogue.names(), *catalogue.companions())
    bundles = [Bundle(folder, read_card(folder)) for folder in map(catalogue.locate, names)]
    if json_file:
        defaults = (catalogue.DEFAULT_MODEL, catalogue.DEFAULT_DETECTOR)
        put_json([{**summary(bundle), "default": bundle.card.name in defaults} for bundle in bundles], json_file)
    if json_file == STDOUT:
        return
    if not bundles:
        click.echo("no models in this installation; train and build one: facesr-edge train --help")
        return
    from rich.table import Table

    table = Table("name", "task", "scale", "precision", "quality", box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("size", justify="right")
    for bundle in bundles:
        row = summary(bundle)
        scale = f"x{row['scale']}" if row["scale"] > 1 else ""
        quality = quality_line(bundle.card)
        table.add_row(row["name"], row["task"], scale, row["precision"], quality, f"{row['size_mb']:.1f} MB")
    results().print(table)
    click.echo(f"\ndefault: {catalogue.DEFAULT_MODEL}, {catalogue.DEFAULT_REASON}")
