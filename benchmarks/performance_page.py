"""Rewrite the measured sections of docs/performance.md from stored results.

    python -m facesr_edge.benchmarks.performance_page benchmarks/results/MACHINE-DATE

The folder holds what `facesr-edge bench pipeline --save` and `facesr-edge bench peers --save` wrote. Sections stand
between ``<!-- begin NAME -->`` and ``<!-- end NAME -->``; the text outside of them is not changed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
Document = dict[str, Any]
FIGURES = {"faces": "faces found", "max_difference": "max. difference"}
"""Figures of a peer beside its latency -> heading."""


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, its first column left-aligned, the others right-aligned."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def run_line(document: Document) -> str:
    """Machine, threads, date and load of a run."""
    machine, threads = document["machine"], document["threads"]
    per_call = f"{threads} threads" if threads else "one thread per core"
    notes = "".join(f" Note: {note}." for note in document["notes"])
    return f"*{machine['cpu']}, {machine['cores']} cores, {per_call}, {document['when'][:10]}.{notes}*"


def pipeline_section(document: Document) -> str:
    """Stages, throughput and memory of every frame size and number of faces."""
    header = ["frame", "faces", "detect", "crop", "network", "rest", "paste", "total, ms", "overhead"]
    header += ["frames/s", "overlapped", "memory, MB"]
    rows = []
    for scene in document["scenes"]:
        ms, memory = scene["breakdown_ms"], scene["peak_memory_mb"]
        detect = ms["detect: network"] + ms["detect: rest"]
        paste = ms["paste: enlarge"] + ms["paste: faces"]
        parts = (detect, ms["crop"], ms["upscale: network"], ms["upscale: rest"], paste, scene["total_ms"]["p50"])
        rates = [f"{scene[name]:.2f}" for name in ("sequential_fps", "overlapped_fps")]
        cells = [scene["size"], str(scene["faces"]), *(f"{part:.1f}" for part in parts)]
        share = f"{100 * scene['overhead_share']:.1f} %"
        rows.append([*cells, share, *rates, "–" if memory is None else f"{memory:.0f}"])
    runtimes = ", ".join(dict.fromkeys(document["runtimes"].values()))
    frames = f"{document['rounds']} × {document['frames']} frames"
    model = f"`{document['model']}`, {runtimes}, outscale {document['outscale']}; {frames}."
    return f"{run_line(document)} {model}\n\n{table(header, rows)}"


def growth_section(document: Document) -> str:
    """Time of a frame without faces, and of each face, by frame size."""
    rows = [[g["size"], f"{g['ms_per_frame']:.1f}", f"{g['ms_per_face']:.2f}"] for g in document["growth"]]
    return table(["frame", "without faces, ms", "each face, ms"], rows)


def peers_section(document: Document) -> str:
    """A table for each task."""
    parts = [f"{run_line(document)} Engine auto: {document['runtime']}."]
    for task in document["tasks"]:
        titles = list(
            dict.fromkeys(key for peer in task["peers"] for key in ("faces", "max_difference") if key in peer)
        )
        rows = [
            [peer["name"], f"{peer['p50_ms']:.2f}", f"{peer['ratio']:.2f}", *(f"{peer[key]:g}" for key in titles)]
            for peer in task["peers"]
        ]
        rows += [[name, "–", "–", *["–"] * len(titles)] for name in task["absent"]]
        header = ["", f"ms per {task['unit']}", "ratio", *(FIGURES[key] for key in titles)]
        missing = "".join(f"\n\n{name}: not timed, {reason}." for name, reason in task["absent"].items())
        parts.append(f"{_title(task)}\n\n{table(header, rows)}{missing}")
    return "\n\n".join(parts)


def _title(task: Document) -> str:
    """Title of a task without the unit, which is in the table's header."""
    title = str(task["title"]).removesuffix(f": ms per {task['unit']}")
    return f"**{title[0].upper()}{title[1:]}**"


def chart_section(alt: str, path: Path, page: Path) -> str:
    """An image with a path relative to the page."""
    return f"![{alt}]({Path(os.path.relpath(path.resolve(), page.resolve().parent)).as_posix()})"


SECTIONS: dict[str, tuple[str, Callable[[Document], str]]] = {
    "pipeline": ("pipeline", pipeline_section),
    "growth": ("pipeline", growth_section),
    "peers": ("peers", peers_section),
}
"""Name of a section -> file of the results, and function that writes the section."""
CHARTS = {
    "pipeline-chart": ("pipeline", "Stage times and frames/s over the number of faces"),
    "peers-chart": ("peers", "Latency of this package and of other software"),
}
"""Name of a section -> image of the results, and its description."""


def rewrite(text: str, folder: Path, page: Path) -> str:
    """Replace the sections of the results in a folder; sections of other results stay.

    Args:
        text: of the page.
        folder: of the results.
        page: path of the page, to which the images are relative.

    Raises:
        ValueError: the page lacks a section of the results, or the folder has no results.
    """
    sections = {}
    for name, (file, write) in SECTIONS.items():
        if (path := folder / f"{file}.json").is_file():
            sections[name] = write(json.loads(path.read_text("utf-8")))
    for name, (file, alt) in CHARTS.items():
        if (path := folder / f"{file}.png").is_file():
            sections[name] = chart_section(alt, path, page)
    if not sections:
        raise ValueError(f"{folder} has no pipeline.json and no peers.json; run facesr-edge bench pipeline -o {folder}")
    for name, content in sections.items():
        pattern = re.compile(rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        before, *after = pattern.split(text)
        if len(after) != 3:
            raise ValueError(f"expected one section {name} in {page}")
        text = f"{before}{after[0]}{content}\n{after[1]}{after[2]}"
    return text


def main() -> None:
    """Rewrite the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="results, e.g. benchmarks/results/MACHINE-DATE")
    parser.add_argument("--page", type=Path, default=PAGE, help="page to rewrite (default: docs/performance.md)")
    args = parser.parse_args()
    try:
        text = rewrite(args.page.read_text("utf-8"), args.folder, args.page)
    except (OSError, ValueError) as error:
        sys.exit(f"performance_page: {error}")
    args.page.write_text(text, "utf-8")
    print(f"{args.page}: written")


if __name__ == "__main__":
    main()
