"""``facesr-edge doctor``: what this machine can run, and what is missing."""

from __future__ import annotations

import click

from .console import put_json, results
from .options import STDOUT, Command, json_option

MARKS = {"ok": "[green]✓[/green]", "missing": "[dim]–[/dim]", "broken": "[red]✗[/red]"}


@click.command("doctor", cls=Command, short_help="What this machine can run, and what is missing.")
@json_option("The findings")
def command(json_file: str | None) -> None:
    """Look at Python, packages, processor, GPU and models; say what is missing and the command that brings it."""
    from ...engines.errors import EngineError
    from ..doctor.examine import examine

    findings = examine()
    broken = [finding for finding in findings if finding.state == "broken"]
    if json_file:
        put_json({"ok": not broken, "findings": [finding.to_dict() for finding in findings]}, json_file)
    if json_file != STDOUT:
        from rich.markup import escape
        from rich.table import Table

        table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
        for finding in findings:
            table.add_row(MARKS[finding.state], escape(finding.name), escape(finding.detail))
        console = results()
        console.print(table)
        if any(finding.remedy for finding in findings):
            console.print("\nto have what is missing:")
        for finding in findings:
            if finding.remedy:
                console.print(f"  {escape(finding.name)}: [cyan]{escape(finding.remedy)}[/cyan]", soft_wrap=True)
    if broken:
        raise EngineError(
            f"{', '.join(finding.name for finding in broken)}: see above; facesr-edge cannot run like this"
        )
