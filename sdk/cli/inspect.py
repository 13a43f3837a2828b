"""``facesr-edge inspect``: the card of a bundle."""

from __future__ import annotations

from dataclasses import asdict

import click

from .console import put_json, results
from .options import STDOUT, Command, json_option


@click.command("inspect", cls=Command, short_help="Show the card of a bundle.")
@click.argument("bundle", metavar="BUNDLE|NAME")
@json_option("The card")
def command(bundle: str, json_file: str | None) -> None:
    """Show the card of a bundle: precision, hashes, parity, evaluations, training, licence, limitations."""
    from ...engines.bundle.bundle import Bundle, read_card
    from ...zoo import catalogue
    from ..describe import sections

    folder = catalogue.locate(bundle)
    card = read_card(folder)
    if json_file:
        put_json({"folder": str(folder), **asdict(card)}, json_file)
    if json_file == STDOUT:
        return
    from rich.markup import escape
    from rich.table import Table

    console = results()
    for title, rows in sections(Bundle(folder, card)):
        console.print(f"[bold]{escape(title)}[/bold]")
        table = Table(box=None, show_header=False, padding=(0, 1, 0, 2))
        table.add_column(style="dim", no_wrap=True)
        table.add_column()
        for label, text in rows:
            table.add_row(escape(label), escape(text))
        console.print(table)
