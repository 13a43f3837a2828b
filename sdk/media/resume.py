"""Begin a run with its journals, or go on with a stopped one."""

from __future__ import annotations

from ...engines.errors import UsageError
from ..pipeline.chunks import whole_chunks
from .identity import source_identity
from .images.source import FolderSource
from .journal import Identity, Progress
from .results_journal import SourceResults
from .source_sink import Sink, Source
from .video.reader import VideoSource


def begin(source: Source, sink: Sink | None, results: SourceResults | None, identity: Identity) -> int:
    """Begin a run, or prepare its source and sink to go on with a stopped one.

    Args:
        source: its iteration begins at the first frame that is not done.
        sink: its `write` gets the frames that are not done; None for JSON only.
        results: what goes to JSON; None without it.
        identity: networks and options, see `pipeline_identity`.

    Returns:
        Number of frames of the stopped run that are not done again.

    Raises:
        UsageError: the stopped run differs, or wrote no JSON, which is needed now.
        OutputError: the journal cannot be written.
    """
    journal = sink.journal if sink else None
    if journal and (reason := _reason_not_to_resume(source, sink)):
        if journal.resume:
            journal.info.append(f"{reason}; it starts anew")
        journal.resume = False
    identity = {**identity, **source_identity(source)}
    earlier = journal.begin({**identity, **(sink.identity if sink else {})}) if journal else None
    if sink is not None and earlier is None:
        sink.discard_earlier()
    if results is not None:
        results.begin(identity)
        if earlier and not results.indices and (earlier.stamps or earlier.files):
            raise UsageError(f"{source.name}: the stopped run wrote no JSON; leave it out, or start without --resume")
    frames = _go_on(source, sink, earlier, results) if earlier or sink is None else 0
    if results is not None:
        results.go_on(None if isinstance(source, FolderSource) else frames)
    if journal and earlier:
        nothing = "nothing of the stopped run is whole; it starts anew"
        journal.info.append(f"{frames} frames are from the stopped run" if frames else nothing)
    return frames


def _reason_not_to_resume(source: Source, sink: Sink | None) -> str:
    if source.kind == "live":
        return f"{source.name} is live and cannot be resumed"
    if source.kind == "video" and not isinstance(source, VideoSource):
        return f"{source.name} is an animation and cannot be resumed"
    if source.kind == "video" and source.path is not None and not source.path.is_file():
        return f"{source.name} is a pipe and cannot be resumed"
    if sink is not None and not sink.resumable:
        return f"{sink.path} cannot be resumed in this format"
    return ""


def _go_on(source: Source, sink: Sink | None, earlier: Progress | None, results: SourceResults | None) -> int:
    """Prepare source and sink; returns the number of frames that are not done again."""
    if isinstance(source, FolderSource):
        source.done = _finished_images(source, sink, earlier, results)
        return sum(source.done.values())
    if not isinstance(source, VideoSource):
        return 0
    frames = whole_chunks(results.frames) if results else len(earlier.stamps) if earlier else 0
    if sink is not None and earlier:
        frames = sink.go_on(earlier, frames)
        if sink.journal:
            sink.journal.go_on(frames)
    source.first_index = frames
    return frames


def _finished_images(
    source: FolderSource, sink: Sink | None, earlier: Progress | None, results: SourceResults | None
) -> dict[str, int]:
    """Images that are not done again → number of their frames."""
    there = results.images() if results else {}
    if sink is None or earlier is None:
        return there
    names = [name for name in source.images if not results or name in there]
    return sink.keep_files(earlier, names)


def is_complete(source: Source, sink: Sink | None, results: SourceResults | None) -> bool:
    """Whether an earlier run has finished the outputs of a source, and nothing is left to resume."""
    if sink is None or (results is not None and not results.done):
        return results is not None and results.done
    journal = sink.journal
    if journal is None or not journal.resume or journal.earlier.identity:
        return False
    names = source.images if isinstance(source, FolderSource) else ()
    return all((sink.path / name).exists() for name in names) and sink.path.exists()
