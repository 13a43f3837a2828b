"""Fuzz the commands: mutated files of every kind, each read by a process of its own.

    python tests/fuzz/campaign.py --inputs 10000 --kind all --seed 0 -o benchmarks/results/fuzz.json

Exit code 1 if there was a fault; every fault is printed with the command that reproduces it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

from fuzz.cases import PREPARE, cases
from fuzz.isolate import Ended, import_everything, in_child, run_isolated
from fuzz.outcome import Outcome, outcome_of
from fuzz.seeds import write_seeds


def campaign(kind: str, inputs: int, seed: int, base: Path, jobs: int = 2, keep: Path | None = None) -> dict[str, Any]:
    """Run a campaign and return its summary.

    Args:
        kind: of the inputs, or "all".
        inputs: number.
        seed: of the first input.
        base: an empty folder for everything that is written.
        jobs: processes at once.
        keep: folder for the working folders of faults.
    """
    make_seeds(base / "seeds", list(PREPARE))
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    seconds: Counter[str] = Counter()
    faults, slowest, largest = [], (0.0, 0), (0, 0)
    start = time.monotonic()
    for number, ended in enumerate(run_isolated(cases(kind, inputs, seed, base / "seeds"), base / "run", jobs), 1):
        outcome = outcome_of(ended)
        counts[ended.case.kind][outcome.name] += 1
        seconds[ended.case.kind] += ended.seconds / jobs
        slowest = max(slowest, (round(ended.seconds, 1), ended.case.seed))
        largest = max(largest, (ended.peak_bytes >> 20, ended.case.seed))
        if outcome.is_fault:
            faults.append(_report(ended, outcome))
            if keep:
                shutil.copytree(ended.folder, keep / f"{ended.case.kind}-{ended.case.seed}", dirs_exist_ok=True)
        if number % 500 == 0:
            print(f"{number} of {inputs}, {len(faults)} faults, {time.monotonic() - start:.0f} s", flush=True)
    return {
        "kind": kind,
        "seed": seed,
        "inputs": inputs,
        "seconds": round(time.monotonic() - start, 1),
        "slowest_s": slowest[0],
        "largest_mb": largest[0],
        "kinds": {
            name: {"inputs": sum(found.values()), "seconds": round(seconds[name], 1), "outcomes": dict(found)}
            for name, found in sorted(counts.items())
        },
        "faults": faults,
    }


def make_seeds(folder: Path, kinds: Sequence[str]) -> None:
    """Write the valid files of kinds into subfolders of a folder."""
    for kind in kinds:
        (folder / kind).mkdir(parents=True)
        in_child(partial(write_seeds, kind, folder / kind))


def _report(ended: Ended, outcome: Outcome) -> dict[str, Any]:
    print(f"{ended.case.kind} {ended.case.seed}: {outcome.name}: {outcome.details}", flush=True)
    print(f"    facesr-edge {' '.join(ended.arguments)}", flush=True)
    print(f"    again: campaign.py --kind {ended.case.kind} --seed {ended.case.seed} --inputs 1", flush=True)
    return {
        "kind": ended.case.kind,
        "seed": ended.case.seed,
        "outcome": outcome.name,
        "details": outcome.details[-500:],
        "arguments": ended.arguments,
    }


def main() -> int:
    """Parse the arguments, run the campaign, write the summary; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--kind", choices=("all", *PREPARE), default="all")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first input; the others follow")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="folder for the inputs and outputs of faults")
    parser.add_argument("-o", "--output", type=Path, help="write the summary to this JSON file")
    options = parser.parse_args()
    import_everything()
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None, prefix="fuzz-") as folder:
        summary = campaign(options.kind, options.inputs, options.seed, Path(folder), options.jobs, options.keep)
    if options.output:
        options.output.write_text(json.dumps(summary, indent=2) + "\n", "utf-8")
    print(json.dumps({key: value for key, value in summary.items() if key != "faults"}, indent=2))
    return 1 if summary["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
