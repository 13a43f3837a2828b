"""Runs of ``facesr-edge run``: one after another through one pipeline, with their progress and what is kept of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ....engines.errors import EngineError, FacesrError, InputError
from ...media.images.source import FolderSource
from ...media.reasons import is_full, plural
from ...media.results_journal import ResultsJournal, SourceResults
from ...media.resume import is_complete
from ...pipeline.run import Run, run
from ...pipeline.summary import Failure, RunSummary
from ..console import Stop, Stopped, note, paused, progress, say
from ..options import pipeline_line, run_summary
from .face_outputs import FaceOutput
from .plan import Job
from .report import note_lines, summary_line

if TYPE_CHECKING:
    from rich.progress import TaskID

    from ...media.source_sink import Sink, Source
    from ...pipeline.frame import Frame
    from ...pipeline.pipeline import Pipeline
    from ...pipeline.results import FrameResult
    from ...profiling.json_writer import JsonLinesWriter, JsonWriter

Writer: TypeAlias = "JsonWriter | JsonLinesWriter"


class Jobs:
    """Runs the jobs of a command and counts. One of several inputs that fails does not stop the others.

    Args:
        jobs: to run.
        skipped: names of files that are not read.
        failures: inputs that failed before.
        labeled: add the source to the JSON of each frame.
        resume: go on with a stopped command.

    Attributes:
        writers: of the results; to be filled before `process`.
        outputs: of the faces, besides composites and JSON; to be filled before `process`.
        full: number of frames in which the whole frame was searched for faces.
        journal: of the results; None if they go to no file.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        skipped: Sequence[str] = (),
        failures: Sequence[Failure] = (),
        labeled: bool = False,
        resume: bool = False,
    ) -> None:
        self.writers: list[Writer] = []
        self.outputs: list[FaceOutput] = []
        self.journal: ResultsJournal | None = None
        self._resume = resume
        self.full = 0
        self._jobs, self._labeled = jobs, labeled
        self._before = RunSummary(skipped=tuple(skipped), failures=tuple(failures), complete=not failures)
        self._done: list[RunSummary] = []
        self._run: Run | None = None
        self._source: Source | None = None
        self._stop, self._bar = Stop(self._close_source), progress()

    @property
    def summary(self) -> RunSummary:
        """Of all jobs so far."""
        current = [self._run.summary] if self._run else []
        summary = RunSummary.merge([self._before, *self._done, *current])
        return replace(summary, complete=summary.complete and len(self._done) == len(self._jobs))

    def process(self, pipeline: Pipeline, opened: tuple[Source, Sink | None] | None = None) -> None:
        """Run all jobs.

        Args:
            pipeline: to run.
            opened: source and sink of the only job, if they are open.

        Raises:
            Stopped: the user stopped the command.
            FacesrError: the only job failed, or an error that would stop the other jobs, too.
        """
        if len(self._jobs) > 1:
            say(pipeline_line(plural(self._files(len(self._jobs)), "file"), pipeline))
        with self._stop, self._bar:
            for number, job in enumerate(self._jobs):
                if self._stop.requested:
                    raise Stopped(f"stopped; {self._progress(number)}")
                try:
                    self._process(pipeline, *(opened or job.open(pipeline.outscale, self._resume)))
                except FacesrError as error:
                    self._fail(job, error)
                    if len(self._jobs) == 1 or isinstance(error, (Stopped, EngineError)) or is_full(error):
                        raise

    def _process(self, pipeline: Pipeline, source: Source, sink: Sink | None) -> None:
        """Run one job."""
        several, start, full = len(self._jobs) > 1, time.perf_counter(), self.full
        label = f"[{len(self._done) + 1}/{len(self._jobs)}] " if several else ""
        self._say(*source.info, *(sink.info if sink else ()), *(() if several else [run_summary(pipeline, source)]))
        if pipeline.frames > 1 and (source.kind == "folder" or (source.kind == "image" and source.frame_count == 1)):
            self._say(f"{source.name}: a single picture has one frame, and its faces are made from it")
        task = self._bar.add_task(label + (Path(source.name).name or source.name), total=source.frame_count)
        journal = self.journal.source(source.name) if self.journal else None
        try:
            if not self._write_outputs(pipeline, source, sink, journal, task):
                self._repeat(source, sink, journal)
                self._bar.remove_task(task)
                return
        except (FacesrError, KeyboardInterrupt) as error:  # after the output was closed: a full disk changes the count
            if isinstance(error, (Stopped, KeyboardInterrupt)):
                raise self._stopped(source, sink) from None
            with paused(self._bar):
                note(self._kept(source, sink, resumable=not isinstance(error, InputError)))
            raise
        if journal and self._run:
            journal.finish(self._run.summary.to_dict())
        self._end()
        self._bar.remove_task(task)
        if several:
            line = summary_line(self._done[-1], time.perf_counter() - start, self.full - full)
            self._say(f"{source.name}: {line}{f' → {sink.path}' if sink else ''}")

    def _write_outputs(
        self, pipeline: Pipeline, source: Source, sink: Sink | None, journal: SourceResults | None, task: TaskID
    ) -> bool:
        """Run a job to its end; returns False if the stopped command has finished it."""
        with source, sink or nullcontext():
            self._source = source
            if self._resume and is_complete(source, sink, journal):
                return False
            if self._stop.requested:  # while the source was opened
                source.close()
            with run(pipeline, source, sink, results=journal) as results, ExitStack() as stack:
                # a stop closes the source, which ends the results
                consumers = [stack.enter_context(output.of(source)) for output in self.outputs]
                self._run = results
                self._say(*(sink.journal.info if sink and sink.journal else ()))
                self._bar.advance(task, results.summary.resumed)
                for result in results:
                    self.full += result.detection is None or result.detection.kind == "full"
                    self._add(result, source, journal)
                    for consumer in consumers:
                        consumer.add(result)
                    self._bar.advance(task)
            if self._stop.requested and source.kind != "live":  # stopping is the regular end of a live source
                raise Stopped("stopped")
            self._write_earlier(journal)
        return True

    def _stopped(self, source: Source, sink: Sink | None) -> Stopped:
        done = [self._progress(len(self._done))] if len(self._jobs) > 1 else []
        kept = self._kept(source, sink, resumable=True) or ["no frame was processed"]
        return Stopped("; ".join(["stopped", *done, *kept]))

    def _say(self, *lines: str) -> None:
        if lines:
            with paused(self._bar):
                for line in lines:
                    say(line)

    def _add(self, result: FrameResult, source: Source, journal: SourceResults | None) -> None:
        """Write the JSON of one frame, after those of a stopped run before it."""
        if not self.writers:
            return
        record = {**self._label(source, result.source), **result.to_dict()}
        self._write_earlier(journal, result.source.index)
        if journal:
            journal.add(result.source.index, record)
        self._write(record)

    def _write_earlier(self, journal: SourceResults | None, before: int | None = None) -> None:
        for record in journal.earlier(before) if journal else ():
            self._write(record)

    def _write(self, record: dict[str, Any]) -> None:
        for writer in self.writers:
            writer.add_record(record)

    def _repeat(self, source: Source, sink: Sink | None, journal: SourceResults | None) -> None:
        """Take over a source that the stopped command has finished."""
        self._say(f"{sink.path if sink else source.name} is complete")
        summary = RunSummary(resumed=source.frame_count or 0, complete=True)
        if journal:
            journal.go_on(None)
            summary = RunSummary.from_dict(journal.summary).as_resumed()
        self._write_earlier(journal)
        self._end(summary=summary)

    def _end(self, failure: Failure | None = None, summary: RunSummary | None = None) -> None:
        """Print the notes of the current job, and add its summary to those done."""
        summary = summary or (self._run.summary if self._run else RunSummary())
        if self._source and self._source.kind != "folder" and len(self._jobs) > 1:  # those of a folder name its files
            summary = replace(summary, notes=tuple(note_lines(summary.notes, self._source.name)))
        if failure:
            summary = replace(summary, failures=(*summary.failures, failure), complete=False)
        if summary.notes:
            with paused(self._bar):
                note(summary.notes)
        self._done.append(summary)
        self._run = self._source = None

    def _fail(self, job: Job, error: FacesrError) -> None:
        failure = None if isinstance(error, Stopped) else Failure(job.name, str(error))
        self._end(failure)

    def _label(self, source: Source, frame: Frame) -> dict[str, str]:
        if not self._labeled:
            return {}
        return {"source": str(source.images[frame.name]) if isinstance(source, FolderSource) else source.name}

    def _files(self, jobs: int) -> int:
        """Number of input files of the first jobs."""
        return sum(len(job.images) or 1 for job in self._jobs[:jobs])

    def _progress(self, jobs: int) -> str:
        return f"{self._files(jobs)} of {self._files(len(self._jobs))} files are done"

    def _kept(self, source: Source, sink: Sink | None, resumable: bool) -> list[str]:
        """How many frames are in the output, once it is closed."""
        summary = self._run.summary if self._run else RunSummary()
        frames, destination = summary.resumed + summary.frames, "the JSON document" if self.writers else None
        if sink and (sink.frames_written or not self.writers):
            frames = sink.frames_written + (summary.resumed if source.kind == "folder" else 0)
            destination = str(sink.path)
        if destination is None or frames == 0:
            return []
        total = f" of {source.frame_count}" if source.frame_count else ""
        kept = f"{frames}{total} {'frame is' if frames == 1 and not total else 'frames are'} in {destination}"
        journaled = sink.resumable if sink else self.journal is not None
        resumable = resumable and journaled and source.kind in ("video", "folder")
        return [f"{kept}; --resume goes on" if resumable else kept]

    def _close_source(self) -> None:
        if self._source:
            self._source.close()
