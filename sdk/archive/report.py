"""The report of a batch: one JSON line for the batch, one for each file, one for the summary."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from ..media.url import masked
from .journal import FileRecord
from .storage import OutputFolder
from .summary import BatchSummary
from .tasks import WorkerSpec

REPORT = "batch.jsonl"
"""Name of the report in the output folder."""


def write_report(output: OutputFolder, spec: WorkerSpec, records: Iterable[FileRecord], summary: BatchSummary) -> None:
    """Write the report; it replaces that of an earlier call.

    Raises:
        OutputError: it cannot be written.
    """
    lines: list[dict[str, Any]] = [
        {"type": "batch", **spec.identity, "output": masked(spec.output), "chunk": spec.chunk}
    ]
    lines += ({"type": "file", **record.to_dict()} for record in records)
    lines.append({"type": "summary", **summary.to_dict()})
    output.write(REPORT, "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines).encode())
