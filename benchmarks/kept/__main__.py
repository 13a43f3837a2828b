"""What `facesr-edge run` keeps of its input: every kind of input by every kind of output.

    python -m facesr_edge.benchmarks.kept [--input WORD ...] [--output SUFFIX ...] [--page]

Makes small pictures and videos with every property that their format can have, runs `facesr-edge run` on them, and
reads the outputs with other software: Pillow, tifffile, FFmpeg and its own parsing. A property is kept, converted or
lost with a note, or lost in silence. Exit code 1 if anything is lost in silence or a run fails.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import av
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from .matrix import Cell, Matrix, pairs
from .tables import counts, markdown, tables

PAGE = Path(__file__).parents[2] / "docs" / "kept.md"
_SECTION = re.compile(r"(<!-- begin matrix -->\n).*?(<!-- end matrix -->)", re.DOTALL)
_COLORS = {"kept": "green", "converted": "yellow", "noted": "yellow", "refused": "blue"}


def versions() -> str:
    """Libraries that wrote and read the files."""
    ffmpeg = ".".join(map(str, av.library_versions["libavformat"]))
    names = {"av": "PyAV", "pillow": "Pillow", "opencv-python-headless": "OpenCV", "tifffile": "tifffile"}
    names |= {"pillow-heif": "pillow-heif", "pillow-jxl-plugin": "pillow-jxl-plugin"}
    found = []
    for package, name in names.items():
        try:
            found.append(f"{name} {version(package)}")
        except ModuleNotFoundError:
            continue
    return f"{', '.join(found)}, libavformat {ffmpeg}"


def show(cells: Sequence[Cell]) -> None:
    """Print the tables."""
    console = Console(width=None if sys.stdout.isatty() else 180, highlight=False)
    for one in tables(cells):
        table = RichTable(title=one.name, title_justify="left")
        for heading in one.header:
            table.add_column(heading)
        for row in one.rows:
            table.add_row(row[0], *(Text(cell or "–", _COLORS.get(cell, "red" if cell else "")) for cell in row[1:]))
        console.print(table)
        if one.largest:
            console.print(f"largest difference where it is kept: {one.largest}", markup=False)
        for note in one.notes:
            console.print(f"note: {note}", markup=False)
    console.print(f"{versions()}\n{counts(cells)}", markup=False)
    for cell in (cell for cell in cells if cell.faulty):
        line = f"{cell.state}: {cell.kind} → {cell.output}: {cell.name} {cell.value} {'; '.join(cell.notes)}"
        console.print(line, style="red", markup=False)


def main() -> None:
    """Measure and print; write the page if asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--input", nargs="+", default=[""], metavar="WORD", help="only inputs whose name has a word")
    parser.add_argument("--output", nargs="+", metavar="SUFFIX", help="only these outputs")
    parser.add_argument("--folder", type=Path, help="keep inputs and the last output here")
    parser.add_argument("--page", action="store_true", help="rewrite the tables of docs/kept.md")
    args = parser.parse_args()
    wanted = [
        (kind, output)
        for kind, output in pairs()
        if any(word.lower() in kind.lower() for word in args.input) and (not args.output or output in args.output)
    ]
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        cells = list(Matrix(folder).cells(wanted))
    show(cells)
    if args.page:
        section = f"{versions()}. {len(cells)} cells: {counts(cells)}.\n\n{markdown(cells)}\n"
        PAGE.write_text(_SECTION.sub(lambda found: found[1] + section + found[2], PAGE.read_text("utf-8")), "utf-8")
    sys.exit(any(cell.faulty for cell in cells))


if __name__ == "__main__":
    main()
