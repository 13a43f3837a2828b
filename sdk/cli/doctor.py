"""``facesr-edge doctor``: what this machine can run, missing dependencies and how to install them."""

from __future__ import annotations

from dataclasses import asdict

import click

from .console import put_json, results
from .options import STDOUT, Command, json_option

MARKS = {"ok": "[green]✓[/green]", "missing": "[dim]–[/dim]", "broken": "[red]✗[/red]"}


@click.command("doctor", cls=Command, short_help="Check this machine and the installation.")
@json_option("The checks")
def command(json_file: str | None) -> None:
    """Check Python, packages, processor, GPU and models; print the commands that install what is missing."""
    from ...engines.errors import EngineError
    from ..doctor.examine import examine

    checks = examine()
    broken = [check for check in checks if check.state == "broken"]
    if json_file:
        put_json({"ok": not broken, "checks": [asdict(check) for check in checks]}, json_file)
    if json_file != STDOUT:
        from rich.markup import escape
        from rich.table import Table

        table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
        for check in checks:
            table.add_row(MARKS[check.state], escape(check.name), escape(check.detail))
        console = results()
        console.print(table)
        if any(check.remedy for check in checks):
            console.print("\nto install what is missing:")
        for check in checks:
            if check.remedy:
                console.print(f"  {escape(check.name)}: [cyan]{escape(check.remedy)}[/cyan]", soft_wrap=True)
    if broken:
        raise EngineError(f"{', '.join(check.name for check in broken)}: broken, see above; facesr-edge cannot run")
