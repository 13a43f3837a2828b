"""Make the input of a fault smaller by removing halves, quarters, … of its files."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

from .isolate import Case, Ended, run_isolated
from .outcome import outcome_of

MAX_RUNS = 200


def minimized(ended: Ended, base: Path) -> dict[str, bytes]:
    """The input files of a fault, each as short as halving makes it with the same outcome.

    Args:
        ended: the fault; its working folder must still exist.
        base: an empty folder for the runs.

    Returns:
        Path within the input folder -> content.
    """
    source, wanted, runs = ended.folder / "work/in", outcome_of(ended).name, 0
    files = {str(path.relative_to(source)): path.read_bytes() for path in source.rglob("*") if path.is_file()}

    def fails(changed: dict[str, bytes]) -> bool:
        case = Case(ended.case.kind, ended.case.seed, partial(_prepare, changed, ended.arguments))
        (again,) = [outcome_of(one).name for one in run_isolated([case], base, jobs=1)]
        return again == wanted

    for name in sorted(files):
        size = len(files[name]) // 2
        while size and runs < MAX_RUNS:
            start = 0
            while start < len(files[name]) and runs < MAX_RUNS:
                shorter = files[name][:start] + files[name][start + size :]
                runs += 1
                if fails({**files, name: shorter}):
                    files[name] = shorter
                else:
                    start += size
            size //= 2
    return files


def _prepare(files: dict[str, bytes], arguments: list[str], folder: Path) -> list[str]:
    shutil.rmtree(folder / "work/in")
    for name, data in files.items():
        path = folder / "work/in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return arguments
