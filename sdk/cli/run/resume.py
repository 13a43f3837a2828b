"""``facesr-edge run --resume``: what is finished already, and the journal of the JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...media.journal import is_stopped
from ...media.journal_file import JournalFile
from ...media.results_journal import ResultsJournal
from ...media.resume import is_complete
from ..options import STDOUT

if TYPE_CHECKING:
    from ...media.source_sink import Sink, Source
    from .plan import Job


def results_files(json_file: str | None, jsonl_file: str | None, resume: bool) -> list[Path]:
    """Files that get the results of the frames.

    Raises:
        click.UsageError: they go to standard output, which cannot be resumed.
    """
    given = [file for file in (json_file, jsonl_file) if file is not None]
    if resume and STDOUT in given:
        raise click.UsageError("--resume cannot go on with JSON on standard output; give a file")
    return [Path(file) for file in given if file != STDOUT]


@contextmanager
def lock_results(files: Sequence[Path], resume: bool) -> Iterator[ResultsJournal | None]:
    """Lock the files of the results; yields their journal, beside the first one."""
    with ExitStack() as stack:
        for file in files[1:]:
            stack.callback(JournalFile(file).close, remove=True)
        yield stack.enter_context(ResultsJournal(files[0], resume)) if files else None


def is_done(jobs: Sequence[Job], opened: tuple[Source, Sink | None] | None, results: Sequence[Path]) -> bool:
    """Whether an earlier command has finished all outputs.

    Args:
        jobs: of the command.
        opened: source and sink of the only job, if they are open.
        results: see `results_files`.
    """
    if any(is_stopped(file) or not file.exists() for file in results):
        return False
    if opened:
        return opened[1] is None or is_complete(*opened, None)
    return all(job.output is None or _exists(job, job.output) for job in jobs)


def _exists(job: Job, output: Path) -> bool:
    return not is_stopped(output) and all((output / name).exists() for name in job.images or ("",))
