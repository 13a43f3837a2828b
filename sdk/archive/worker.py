"""A worker of a batch: one pipeline, and the tasks that it runs one after another."""

from __future__ import annotations

import hashlib
import platform
import shutil
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ...engines.errors import BundleError, EngineError, FacesrError, InputError, OutputError, first_line, one_line
from ..media.encode_options import EncodeOptions
from ..media.reasons import error_reason, is_full, write_error
from ..media.sinks import open_sink, output_options
from ..media.source_sink import Sink, Source
from ..media.sources import open_source
from ..media.url import masked
from ..media.video.reader import VideoSource
from ..media.video.splitting.parts import JoinSink, PartsError, PartSink, is_splittable
from ..media.video.splitting.skip import Skip, SkipError, index_video
from ..pipeline.run import run
from ..pipeline.summary import RunSummary
from ..provenance.network_use import NetworkUse
from ..store.open import open_store
from ..store.run_output import add_picture
from .inputs import fetch_input
from .parts import PartRecord, part_names, read_part
from .scratch import Scratch
from .storage import Advance, open_output
from .tasks import ArchiveFile, Done, JoinTask, PartTask, Ready, Split, Task, TaskError, WorkerSpec

if TYPE_CHECKING:
    from ..store.store import Store

Progress = Callable[[int], None]
"""Called with the number of frames that are done since the last call."""


class Worker:
    """Runs tasks; a context manager.

    Args:
        spec: of the batch.

    Raises:
        EngineError: this machine has other networks or versions, so that its outputs would differ.
        FacesrError: the pipeline cannot be loaded.
    """

    def __init__(self, spec: WorkerSpec) -> None:
        self._spec = spec
        _check_identity(spec)
        self._output = open_output(spec.output)
        self._pipeline = spec.pipeline.load()
        self._store: Store | None = None
        try:
            if spec.store is not None:
                self._store = open_store(spec.store, about={"command": "batch"})
            self._folder = Scratch(Path(spec.scratch) if spec.scratch else self._output.scratch())
        except BaseException:
            self._close()
            raise

    @property
    def ready(self) -> Ready:
        """What runs here."""
        return Ready(self._pipeline.session.runtime, platform.node(), _processor())

    def run(self, task: Task, progress: Progress = lambda frames: None) -> Done | Split | TaskError:
        """Run a task; an error is returned, not raised.

        Args:
            task: to run.
            progress: see `Progress`; 0 frames tell that the task advances.
        """
        start = time.perf_counter()
        try:
            result = self._run(task, progress)
        except PartsError as error:
            return TaskError(self._text(error, task.file), "parts")
        except (EngineError, BundleError) as error:
            return TaskError(self._text(error, task.file), "engine")
        except (FacesrError, OSError) as error:
            return TaskError(self._text(error, task.file), "full" if is_full(error) else "input")
        except MemoryError:
            return TaskError(f"{masked(task.file.source)}: out of memory; use a smaller outscale or fewer workers")
        except Exception as error:  # of a library, on a damaged file: it must not stop the other files
            reason = f"{masked(task.file.source)}: unexpected {type(error).__name__}: {first_line(error)}"
            return TaskError(one_line(reason))
        finally:
            self._clear()
        return replace(result, seconds=time.perf_counter() - start) if isinstance(result, Done) else result

    def _run(self, task: Task, progress: Progress) -> Done | Split:
        file = task.file
        path = fetch_input(file, self._folder.path / "in", lambda: progress(0))
        if isinstance(task, PartTask):
            return self._encode_part(task, path, progress)
        if isinstance(task, JoinTask):
            return self._join(task, path, progress)
        if self._spec.chunk and not task.whole and (split := self._split(file, path, progress)):
            return split
        return self._process(file, path, progress)

    def _split(self, file: ArchiveFile, path: Path, progress: Progress) -> Split | None:
        """Plan of a video that is longer than a part."""
        if file.kind != "video":
            return None
        with self._open(path, file) as source:
            if not is_splittable(source, Path(file.output)):
                return None
        index = index_video(path, lambda: progress(0))
        if index.frames <= self._spec.chunk:
            return None
        firsts = tuple(range(0, index.frames, self._spec.chunk))
        return Split(firsts, tuple(index.skip_to(first) for first in firsts))

    def _process(self, file: ArchiveFile, path: Path, progress: Progress) -> Done:
        """Process a whole file and publish the output."""
        target = self._target(file)
        options = self._options(file)
        with self._open(path, file) as source:
            sink = open_sink(target, source, outscale=self._pipeline.outscale, options=options)
            summary, error = self._write(source, sink, progress, file)
        return self._publish(file, target, summary, error, progress)

    def _write(self, source: Source, sink: Sink, progress: Progress, file: ArchiveFile) -> tuple[RunSummary, str]:
        """Run the pipeline without overlap, so that packets of all streams are written in the same order every time.

        Returns:
            The summary, and why the source was not read to its end.
        """
        error, counts = "", RunSummary()
        with suppress(_TruncatedError), sink, run(self._pipeline, source, sink, overlap=False) as results:
            try:
                for result in results:
                    if self._store and source.kind == "image":
                        add_picture(self._store, result, masked(file.source), NetworkUse.of(self._pipeline))
                    progress(1)
            except InputError as raised:
                error = str(raised)
                if not sink.frames_written:
                    raise
                counts = results.summary
                raise _TruncatedError from None  # closes the sink with the frames so far
            counts = results.summary
        return replace(counts, notes=tuple(dict.fromkeys([*counts.notes, *source.notes, *sink.notes]))), error

    def _publish(self, file: ArchiveFile, target: Path, summary: RunSummary, error: str, progress: Progress) -> Done:
        if not target.is_file():
            raise InputError(error or f"{file.source} has no frames")
        size, digest = target.stat().st_size, _sha256(target, lambda: progress(0))
        self._output.publish(target, file.output, lambda: progress(0))
        notes = tuple(self._replaced(line, file) for line in summary.notes)
        error = self._replaced(error, file)
        return Done(summary.frames, replace(summary, notes=notes), size, digest, error=error)

    def _encode_part(self, task: PartTask, path: Path, progress: Progress) -> Done:
        """Encode a part, and publish it with its record, which says that it is whole."""
        try:
            return self._encode(task, task.skip, path, progress)
        except SkipError:
            return self._encode(task, None, path, progress)

    def _encode(self, task: PartTask, skip: Skip | None, path: Path, progress: Progress) -> Done:
        file, target = task.file, self._target(task.file)
        with self._open(path, file) as source:
            if not isinstance(source, VideoSource):
                raise InputError(f"{file.source} is no video any more; run the command again")
            source.first_index, source.end_index, source.skip = task.first, task.end, skip
            source.on_skipped = lambda: progress(0)
            sink = PartSink(target, source, self._options(file), self._pipeline.outscale)
            with sink, run(self._pipeline, source, sink, overlap=False) as results, suppress(InputError):
                for _ in results:  # a video that is cut short ends here, and the join says so
                    progress(1)
        video, record = part_names(file, task.first)
        if sink.part.path is not None:
            self._output.publish(target, video, lambda: progress(0))
        self._output.write(record, PartRecord(sink.part, results.summary).to_json())
        return Done(results.summary.frames)

    def _join(self, task: JoinTask, path: Path, progress: Progress) -> Done:
        """Join the parts of a video, publish the output and remove the parts."""
        file, target = task.file, self._target(task.file)
        folder = self._folder.path / "parts"
        records = [read_part(self._output, file, first, folder, lambda: progress(0)) for first in task.firsts]
        with self._open(path, file) as source:
            if not isinstance(source, VideoSource):
                raise InputError(f"{file.source} is no video any more; run the command again")
            with closing(iter(source)) as frames:  # type: ignore[type-var]  # a generator
                first = next(frames)
            counts = RunSummary.merge(record.summary for record in records)
            source.damaged_frames = counts.damaged_frames
            sink = JoinSink(target, source, self._options(file), self._pipeline.outscale)
            error = ""
            with suppress(_TruncatedError), sink:
                try:
                    parts = [record.part for record in records]
                    for _ in sink.join(first, parts, upscaled=counts.upscaled > 0):
                        progress(0)
                except InputError as raised:
                    error = str(raised)
                    raise _TruncatedError from None
        notes = tuple(dict.fromkeys([*source.notes, *sink.notes]))
        summary = replace(counts, notes=notes, damaged_packets=source.damaged_packets, complete=not error)
        return self._publish(file, target, summary, error, progress)

    def _open(self, path: Path, file: ArchiveFile) -> Source:
        options = self._spec.options
        hwaccel = options.hwaccel if file.kind == "video" else None
        threads = self._spec.pipeline.threads
        return open_source(path, hwaccel=hwaccel, threads=threads, deinterlace=self._spec.deinterlace)

    def _options(self, file: ArchiveFile) -> EncodeOptions:
        return self._spec.options.only(output_options(file.output))

    def _target(self, file: ArchiveFile) -> Path:
        """Temporary file of an output."""
        folder = self._folder.path / "out"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(write_error(folder, error)) from error
        return folder / f"output{PurePosixPath(file.output).suffix}"

    def _clear(self) -> None:
        """Remove temporary files, but a copy of the input, which the next task may need."""
        for name in ("out", "parts"):
            shutil.rmtree(self._folder.path / name, ignore_errors=True)

    def _text(self, error: Exception, file: ArchiveFile) -> str:
        reason = str(error) if isinstance(error, FacesrError) else error_reason(error)
        return one_line(self._replaced(reason, file))

    def _replaced(self, text: str, file: ArchiveFile) -> str:
        """Names of temporary files replaced by those of the input and the output."""
        text = text.replace(str(self._target(file)), file.output)
        return masked(text.replace(str(self._folder.path / "in"), file.source.rpartition("/")[0]))

    def close(self) -> None:
        """Release the engines and remove the temporary files."""
        self._close()
        self._folder.close()

    def _close(self) -> None:
        self._pipeline.close()
        if self._store:
            with suppress(FacesrError):  # the faces are stored; the next opening notes the end of the run
                self._store.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class _TruncatedError(Exception):
    """Closes a sink as after an error, so that the frames so far are kept."""


def _check_identity(spec: WorkerSpec) -> None:
    here = spec.pipeline.identity()
    for name, value in spec.identity.items():
        if here.get(name) != value:
            raise EngineError(
                f"{platform.node()}: {name} is {here.get(name)}, where the batch was started it is {value}; "
                "install the same versions and models on all machines"
            )


def _sha256(path: Path, advance: Advance) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
            advance()
    return digest.hexdigest()


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
