"""``facesr-edge models``: what ships in the package."""

from __future__ import annotations

import click

from .console import put_json, results
from .options import STDOUT, Command, json_option


@click.command("models", cls=Command, short_help="The models that come along.")
@json_option("The list")
def command(json_file: str | None) -> None:
    """List the models that ship in the package; each is checked against its hashes."""
    from ...zoo import catalogue
    from ..describe import quality_line, summary

    bundles = [catalogue.find(name) for name in catalogue.names()]
    if json_file:
        usual = (catalogue.DEFAULT_MODEL, catalogue.DEFAULT_DETECTOR)
        put_json([{**summary(bundle), "default": bundle.card.name in usual} for bundle in bundles], json_file)
    if json_file == STDOUT:
        return
    if not bundles:
        click.echo("no model ships in this installation; train and build one: facesr-edge train --help")
        return
    from rich.table import Table

    table = Table("name", "what", "scale", "precision", "quality", box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("size", justify="right")
    for bundle in bundles:
        row = summary(bundle)
        scale = f"x{row['scale']}" if row["scale"] > 1 else ""
        quality = quality_line(bundle.card)
        table.add_row(row["name"], row["task"], scale, row["precision"], quality, f"{row['size_mb']:.1f} MB")
    results().print(table)
    click.echo(f"\ntaken where nothing is said: {catalogue.DEFAULT_MODEL}, {catalogue.DEFAULT_REASON}")
    away = [name for name in catalogue.ELSEWHERE if name not in catalogue.names()]
    if away:
        click.echo(f"in {catalogue.REPOSITORY}, not in this installation: {', '.join(away)}")
