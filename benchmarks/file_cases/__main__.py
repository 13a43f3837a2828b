"""Inputs on which video and picture tools are known to fail: what `facesr-edge run` makes of them.

    python -m facesr_edge.benchmarks.file_cases CLIP [--start SECONDS] [--only WORD ...]

CLIP is any video; of the 3 s after --start, some frames should have faces. Prints the command, the right value and the
measured one of every case. Exit code 1 if one is wrong.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from .cases import CASES
from .workspace import Measured, Workspace


def measure(name: str, space: Workspace) -> Measured:
    """Measure a case; an exception is a wrong value."""
    try:
        return CASES[name][1](space)
    except Exception as error:  # the other cases go on
        return Measured("", f"{type(error).__name__}: {error}", False)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("clip", type=Path, help="a video with faces")
    parser.add_argument("--start", type=float, default=0.0, help="where they are, in seconds (default: 0)")
    parser.add_argument("--only", nargs="+", default=[""], metavar="WORD", help="only cases whose name has a word")
    parser.add_argument("--folder", type=Path, help="keep inputs and outputs here")
    args = parser.parse_args()
    chosen = [name for name in CASES if any(word.lower() in name.lower() for word in args.only)]
    print("| case | command | right | measured | |\n|---|---|---|---|---|")
    wrong = 0
    with tempfile.TemporaryDirectory() as temporary:
        space = Workspace(args.folder or Path(temporary), args.clip, args.start)
        for name in chosen:
            found = measure(name, space)
            wrong += not found.right
            cells = (name, f"`{found.command}`" if found.command else "", CASES[name][0], found.value)
            text = " | ".join(cell.replace("|", "/").replace(f"{space.folder}/", "") for cell in cells)
            print(f"| {text} | {'right' if found.right else '**wrong**'} |", flush=True)
    print(f"\n{len(chosen) - wrong} of {len(chosen)} are right")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
