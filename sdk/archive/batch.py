"""`batch`: process an archive of images and videos with many workers, so that it can be stopped at any time."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ...engines.cpu import usable_cores
from ...engines.errors import EngineError, OutputError, UsageError
from ..media.encode_options import EncodeOptions
from ..media.journal_file import JournalFile
from ..media.reasons import plural
from ..media.sinks import make_writable, output_options
from ..media.url import masked
from ..media.video.splitting.parts import check_chunk
from ..pipeline.chunks import CHUNK_FRAMES
from ..pipeline.summary import Failure
from ..store.address import parse_address
from ..store.open import open_store
from .inputs import ArchiveInputs, find_files
from .journal import BatchJournal, FileRecord, begin, earlier_identity
from .local_workers import LocalWorkers
from .parts import PARTS, part_folder, part_names, remove_parts
from .pipeline_spec import PipelineSpec
from .report import write_report
from .schedule import Finished, Schedule, as_failure
from .storage import STATE, LocalFolder, OutputFolder, is_url, open_output
from .summary import BatchSummary
from .tasks import ArchiveFile, Done, Outcome, PartTask, Ready, Split, TaskError, WorkerSpec
from .workers import Workers

DEFAULT_CHUNK = 4 * CHUNK_FRAMES
DEFAULT_RETRIES = 1
DEFAULT_STALL_S = 600.0
_WAIT_S = 0.2
_MAX_ENGINE_ERRORS = 4
"""Tasks in a row that fail because of an engine; then the others would fail, too."""
_DEFAULT_PIPELINE = PipelineSpec()
_DEFAULT_OPTIONS = EncodeOptions()


@dataclass(frozen=True)
class BatchProgress:
    """How far a batch is.

    Args:
        files: to process in this call.
        done: files that are done or failed.
        bytes: of the inputs to process in this call.
        bytes_done: of the inputs of files that are done or failed, and of parts.
        frames: that were processed in this call.
        event: a line about a task that is tried again; "" without.
    """

    files: int = 0
    done: int = 0
    bytes: int = 0
    bytes_done: float = 0.0
    frames: int = 0
    event: str = ""


def batch(
    inputs: Sequence[str | Path],
    output: str | Path,
    *,
    pipeline: PipelineSpec = _DEFAULT_PIPELINE,
    options: EncodeOptions = _DEFAULT_OPTIONS,
    recursive: bool = False,
    deinterlace: bool = True,
    workers: int = 0,
    ray: str | None = None,
    retries: int = DEFAULT_RETRIES,
    chunk: int = DEFAULT_CHUNK,
    stall_s: float = DEFAULT_STALL_S,
    scratch: str | Path | None = None,
    store: str | None = None,
    on_progress: Callable[[BatchProgress], None] = lambda progress: None,
    stopped: Callable[[], bool] = lambda: False,
) -> BatchSummary:
    """Upscale the faces of many files with several workers.

    The outputs are the same bytes for any number of workers, and equal those of `run` with as many threads. A second
    call with the same arguments does what is left.

    Args:
        inputs: files, folders, patterns and fsspec URLs of images and videos; ``@list.txt`` lists one a line.
        output: folder or fsspec URL of the outputs, and of the report ``batch.jsonl``.
        pipeline: networks and their options. Engines and precisions that are "auto" are decided once, here.
        options: of the encoders; each output gets those that apply to it. `threads` is that of the pipeline.
        recursive: read the subfolders of folders.
        deinterlace: deinterlace interlaced videos.
        workers: number of processes or Ray actors, each with a pipeline of its own; 0 for as many as the processor's
            cores allow, at least 1.
        ray: address of a Ray cluster; "local" to start one here; None for processes of this machine.
        retries: how often what failed is tried again.
        chunk: frames of the parts in which several workers process one video, a multiple of `CHUNK_FRAMES`; 0 for
            whole videos.
        stall_s: a process that finishes no frame for so long is replaced, in seconds.
        scratch: folder of the workers for temporary files; None for one in the output folder, or the system's.
        store: address of a store, see `open_store`, that gets the faces of pictures; None for none. Workers on other
            machines need a PostgreSQL, and a folder of pictures that all of them see.
        on_progress: called when something is done.
        stopped: asked several times a second; True ends the call early.

    Returns:
        The summary; files that failed are in it, and in the report.

    Raises:
        UsageError: invalid options, an input that is no file, two inputs with one output, or the folder holds a batch
            with other options.
        InputError: there are no inputs.
        OutputError: the output cannot be written, or another batch writes it.
        EngineError: no worker can run the networks.
        MissingDependencyError: fsspec or Ray is needed and not installed.
    """
    start = time.perf_counter()
    _check(workers, retries, stall_s, pipeline)
    check_chunk(chunk)
    location = str(output) if is_url(str(output)) else str(Path(str(output).removeprefix("file://")).absolute())
    found = find_files([str(one) for one in inputs], location, recursive)
    options = replace(options, threads=pipeline.threads)
    scratch = None if scratch is None else str(Path(scratch).absolute())
    _check_options(found, options, location)
    folder = open_output(location)
    with ExitStack() as stack:
        stack.enter_context(_locked(folder))
        earlier = earlier_identity(folder)
        decided = pipeline.as_before(earlier).decided()
        identity = decided.identity()
        begin(folder, earlier, {**identity, **vars(options), "deinterlace": deinterlace, "chunk": chunk})
        journal = BatchJournal(folder)
        spec = WorkerSpec(decided, identity, location, options, deinterlace, chunk, scratch and str(scratch), store)
        if store is not None:
            open_store(store).close()  # a wrong one is reported once, not by each worker
            if videos := sum(file.kind == "video" for file in found.files):
                on_progress(BatchProgress(event=f"the store gets no faces of videos: {videos} left out of it"))
        run = _Run(folder, found, journal, retries, on_progress, "" if store is None else _store_name(store))
        try:
            if run.todo:
                pool = stack.enter_context(_open_workers(spec, workers, ray, stall_s))
                run.process(pool, stopped)
        finally:
            journal.flush()
        summary = replace(run.summary, seconds=time.perf_counter() - start)
        write_report(folder, spec, run.records(), summary)
    return summary


def _check(workers: int, retries: int, stall_s: float, pipeline: PipelineSpec) -> None:
    if workers < 0:
        raise UsageError(f"expected workers of 0 or more, got {workers}")
    if retries < 0:
        raise UsageError(f"expected retries of 0 or more, got {retries}")
    if stall_s <= 0:
        raise UsageError(f"expected a stall_s above 0 seconds, got {stall_s:g}")
    if pipeline.threads < 1:
        raise UsageError(f"expected threads of 1 or more for each worker, got {pipeline.threads}")


def _store_name(store: str) -> str:
    """Name of a store for the records, alike for all its relative paths."""
    address = parse_address(store)
    return address.name if address.database is None else str(address.database.parent.resolve())


def _check_options(found: ArchiveInputs, options: EncodeOptions, output: str) -> None:
    names = sorted({option for file in found.files for option in output_options(file.output)})
    options.check_applicable(names, Path(output))


@contextmanager
def _locked(folder: OutputFolder) -> Iterator[None]:
    """Create and lock a local folder, and remove what killed workers left."""
    if not isinstance(folder, LocalFolder):
        yield
        return
    state = Path(folder.location.removeprefix("file://")) / STATE
    make_writable(state)
    lock = JournalFile(state / "batch")
    try:
        folder.remove(f"{STATE}/work")
        yield
    finally:
        folder.remove(f"{STATE}/work")
        lock.close(remove=True)


def _open_workers(spec: WorkerSpec, count: int, ray: str | None, stall_s: float) -> Workers:
    if ray is None:
        return LocalWorkers(spec, count or max(1, usable_cores() // spec.pipeline.threads), stall_s)
    from .ray_workers import RayWorkers

    return RayWorkers(spec, count, ray, stall_s)


class _Run:
    """One call: what is left of the batch, and what becomes of it."""

    def __init__(
        self,
        folder: OutputFolder,
        found: ArchiveInputs,
        journal: BatchJournal,
        retries: int,
        on_progress: Callable[[BatchProgress], None],
        store: str,
    ) -> None:
        self._folder, self._found, self._journal, self._on_progress = folder, found, journal, on_progress
        self._stores = {"image": store, "video": ""}
        sizes = folder.sizes()
        self.todo = [file for file in found.files if not journal.is_done(file, sizes, self._stores[file.kind])]
        if again := sum(journal.is_done(file, sizes) for file in self.todo):
            on_progress(BatchProgress(event=f"{plural(again, 'picture')} done again, as the store lacks their faces"))
        left = {file.output for file in self.todo}
        self._records = {file.output: journal.earlier[file.output] for file in found.files if file.output not in left}
        self._schedule = Schedule(self.todo, retries, self._parts_there)
        self._progress = BatchProgress(len(self.todo), bytes=sum(file.bytes for file in self.todo))
        self._part_bytes: dict[str, float] = {}
        self._bytes_done = 0
        self._engine_errors = 0
        self._counts = BatchSummary(
            files=len(found.files) + len(found.failures),
            earlier=len(self._records),
            failures=found.failures,
            skipped=found.skipped,
        )

    def records(self) -> Iterator[FileRecord]:
        """Of all files of the batch that are done or failed, in the order of the inputs."""
        for file in self._found.files:
            if file.output in self._records:
                yield self._records[file.output]

    @property
    def summary(self) -> BatchSummary:
        """Counts so far."""
        counts = self._counts
        complete = not counts.failures and counts.done + counts.earlier == counts.files
        return replace(counts, retries=self._schedule.retried, complete=complete)

    def process(self, workers: Workers, stopped: Callable[[], bool]) -> None:
        """Process what is left.

        Raises:
            EngineError, OutputError: the other files would fail, too.
        """
        workers.on_frames, workers.on_ready = self._add_frames, self._add_worker
        self._tell()
        while self._schedule.left and not stopped():
            while workers.free and (task := self._schedule.next()):
                workers.submit(task)
            for outcome in workers.wait(_WAIT_S):
                self._check(outcome)
                before = self._schedule.retried
                finished = self._schedule.end(outcome)
                if isinstance(outcome.result, TaskError) and self._schedule.retried > before:
                    self._tell(f"tried again: {outcome.result.reason}")
                if isinstance(outcome.task, PartTask) and isinstance(outcome.result, Done):
                    self._add_part(outcome.task)
                if finished:
                    self._finish(finished)
            self._journal.flush_due()
        if not self._schedule.left:
            self._folder.remove(PARTS)  # also those of videos that have changed or are gone

    def _check(self, outcome: Outcome) -> None:
        """Give up where the other tasks would fail, too."""
        if not isinstance(outcome.result, TaskError):
            self._engine_errors = 0
        elif outcome.result.kind == "full":
            raise OutputError(outcome.result.reason)
        elif outcome.result.kind == "engine":
            self._engine_errors += 1
            if self._engine_errors >= _MAX_ENGINE_ERRORS:
                raise EngineError(outcome.result.reason)

    def _parts_there(self, file: ArchiveFile, split: Split) -> Collection[int]:
        """Parts that earlier calls have finished."""
        there = self._folder.sizes(part_folder(file))
        return {first for first in split.firsts if all(name in there for name in part_names(file, first))}

    def _add_frames(self, frames: int) -> None:
        self._tell(frames=frames)

    def _add_worker(self, name: str, ready: Ready) -> None:
        line = f"{ready.machine} · {ready.processor} · {ready.runtime}"
        if line not in self._counts.workers:
            self._counts = replace(self._counts, workers=(*self._counts.workers, line))

    def _add_part(self, task: PartTask) -> None:
        """Count a part; all of a video have the same share of its bytes."""
        output = task.file.output
        self._part_bytes[output] = self._part_bytes.get(output, 0) + task.file.bytes / self._schedule.parts(task.file)
        self._tell()

    def _tell(self, event: str = "", frames: int = 0) -> None:
        done = self._bytes_done + sum(self._part_bytes.values())
        self._progress = replace(self._progress, event=event, frames=self._progress.frames + frames, bytes_done=done)
        self._on_progress(self._progress)

    def _finish(self, finished: Finished) -> None:
        file, error = finished.file, as_failure(finished)
        done = finished.result if isinstance(finished.result, Done) else None
        summary = done.summary if done else None
        record = FileRecord(
            masked(file.source),
            file.output,
            file.version,
            error.reason if error else "",
            done.bytes if done else 0,
            done.sha256 if done else "",
            summary.frames if summary else 0,
            summary.faces if summary else 0,
            summary.upscaled if summary else 0,
            summary.too_large if summary else 0,
            finished.seconds,
            finished.attempts,
            finished.worker,
            summary.notes if summary else (),
            self._stores[file.kind] if done else "",
        )
        self._journal.add(record)
        self._records[file.output] = record
        if file.kind == "video":
            remove_parts(self._folder, file)
        counts = self._counts
        if error:
            counts = replace(counts, failures=(*counts.failures, Failure(masked(file.source), error.reason)))
        self._counts = replace(
            counts,
            done=counts.done + (error is None),
            frames=counts.frames + record.frames,
            faces=counts.faces + record.faces,
            upscaled=counts.upscaled + record.upscaled,
            too_large=counts.too_large + record.too_large,
            notes=counts.notes + bool(record.notes),
        )
        self._part_bytes.pop(file.output, None)
        self._bytes_done += file.bytes
        self._progress = replace(self._progress, done=self._progress.done + 1)
        self._tell()
