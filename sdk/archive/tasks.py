"""Tasks that workers get, and what they return; both travel between processes and machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..media.encode_options import EncodeOptions
from ..media.video.splitting.skip import Skip
from ..pipeline.summary import RunSummary
from .pipeline_spec import PipelineSpec

Kind = Literal["image", "video"]


@dataclass(frozen=True)
class ArchiveFile:
    """An input file.

    Args:
        source: path or fsspec URL.
        name: path of the input below the folder or pattern, with "/" as separator.
        output: path of the output below the output folder, with "/" as separator.
        kind: of the file.
        bytes: its size.
        version: changes when the content of the file does: size and time, or what the storage says.
    """

    source: str
    name: str
    output: str
    kind: Kind
    bytes: int
    version: str


@dataclass(frozen=True)
class WorkerSpec:
    """What every worker of a batch needs.

    Args:
        pipeline: with its engines decided.
        identity: of the pipeline where it was decided; a worker that would differ refuses to work.
        output: folder or fsspec URL of the outputs.
        options: of the encoders; each output gets those that apply to it.
        deinterlace: deinterlace interlaced videos.
        chunk: frames of an independent part of a video, a multiple of `CHUNK_FRAMES`; 0 for whole videos.
        scratch: folder for temporary files; None for the system's.
        store: address of a store for the faces of pictures; None for none.
    """

    pipeline: PipelineSpec
    identity: Mapping[str, Any]
    output: str
    options: EncodeOptions = EncodeOptions()  # noqa: RUF009 (frozen)
    deinterlace: bool = True
    chunk: int = 0
    scratch: str | None = None
    store: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class FileTask:
    """Process a file; a long video is not processed, but planned as parts.

    Args:
        file: to process.
        whole: process a long video at once: its parts do not fit to each other.
    """

    file: ArchiveFile
    whole: bool = False


@dataclass(frozen=True)
class PartTask:
    """Encode some chunks of a video.

    Args:
        file: the video.
        first: index of the first frame, a multiple of `CHUNK_FRAMES`.
        end: index behind the last frame; None to the end of the video.
        skip: key frame at which decoding begins; None for the start of the video.
    """

    file: ArchiveFile
    first: int
    end: int | None
    skip: Skip | None = None


@dataclass(frozen=True)
class JoinTask:
    """Join the parts of a video, when all are there.

    Args:
        file: the video.
        firsts: first frame of each part, in order.
    """

    file: ArchiveFile
    firsts: tuple[int, ...]


Task = FileTask | PartTask | JoinTask


@dataclass(frozen=True)
class Split:
    """Plan of a long video.

    Args:
        firsts: first frame of each part, in order.
        skips: key frame at which the decoding of each part begins.
    """

    firsts: tuple[int, ...]
    skips: tuple[Skip | None, ...]

    def tasks(self, file: ArchiveFile) -> list[PartTask]:
        """The parts; the last one is open, as the number of frames is known only when they are decoded."""
        ends = [*self.firsts[1:], None]
        parts = zip(self.firsts, ends, self.skips, strict=True)
        return [PartTask(file, first, end, skip) for first, end, skip in parts]


@dataclass(frozen=True)
class Done:
    """What a worker did.

    Args:
        frames: that it processed.
        summary: of the finished output; None for a part.
        bytes: size of the finished output.
        sha256: of the finished output; "" for a part.
        seconds: time of the worker.
        error: why the input could not be read to its end, in one line; the output has the frames before. "" if it was.
    """

    frames: int
    summary: RunSummary | None = None
    bytes: int = 0
    sha256: str = ""
    seconds: float = 0.0
    error: str = ""


@dataclass(frozen=True)
class TaskError:
    """Why a task failed.

    Args:
        reason: in one line.
        kind: "input" of one file; "parts" if those of a video do not fit to each other; "worker" if the worker died;
            "engine" if a network failed; "full" if a disk is, so that the other tasks would fail, too.
    """

    reason: str
    kind: Literal["input", "parts", "worker", "engine", "full"] = "input"


@dataclass(frozen=True)
class Outcome:
    """A task that ended.

    Args:
        task: of a worker.
        worker: name of the worker.
        result: what it returned.
    """

    task: Task
    worker: str
    result: Done | Split | TaskError


@dataclass(frozen=True)
class Ready:
    """A worker that has loaded its pipeline.

    Args:
        runtime: of the network.
        machine: host name.
        processor: name of its processor.
    """

    runtime: str
    machine: str
    processor: str
