"""``facesr-edge inspect``: a card in words."""

from __future__ import annotations

from dataclasses import asdict

import click

from .console import put_json, results
from .options import STDOUT, Command, json_option


@click.command("inspect", cls=Command, short_help="What is known of a bundle, in words.")
@click.argument("bundle", metavar="BUNDLE|NAME")
@json_option("The card")
def command(bundle: str, json_file: str | None) -> None:
    """Say what is known of a bundle: precision, hashes, parity, quality, training, licence, limits."""
    from ...zoo import catalogue
    from ..describe import sections

    opened = catalogue.find(bundle)
    if json_file:
        put_json({"folder": str(opened.folder), **asdict(opened.card)}, json_file)
    if json_file == STDOUT:
        return
    from rich.markup import escape
    from rich.table import Table

    console = results()
    for title, rows in sections(opened):
        console.print(f"[bold]{title}[/bold]")
        table = Table(box=None, show_header=False, padding=(0, 1, 0, 2))
        table.add_column(style="dim", no_wrap=True)
        table.add_column()
        for label, text in rows:
            table.add_row(escape(label), escape(text))
        console.print(table)
