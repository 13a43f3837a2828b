"""Plan of ``facesr-edge run``: the sources with their outputs, checked before a model is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ....engines.errors import UsageError
from ...media.encode_options import EncodeOptions
from ...media.images.formats import IMAGE_SUFFIXES
from ...media.images.sequence import DEFAULT_RATE, is_sequence
from ...media.images.source import FolderSource
from ...media.sinks import make_writable, open_sink, output_name, output_options
from ...media.sources import open_source
from ...media.url import Transport, masked
from ...media.video.containers import CONTAINER_FORMATS
from ...provenance.signable import check_signable

if TYPE_CHECKING:
    from ...media.inputs import Input, Inputs
    from ...media.source_sink import Sink, Source
    from ...provenance.credentials import Credentials


@dataclass(frozen=True)
class Job:
    """One source with its output.

    Args:
        source: for `open_source`; "" for several images.
        images: name of the output -> image file.
        folder: of the images, if they are those of one folder.
        output: file or folder; None for faces only.
        options: of the output.
        hwaccel: decoding on hardware.
        deinterlace: deinterlace interlaced videos.
        rate: frames/s of numbered images.
        transport: of RTSP.
        sign: what signs the output; None for unsigned ones.
    """

    source: str
    images: dict[str, Path] = field(default_factory=dict)
    folder: Path | None = None
    output: Path | None = None
    options: EncodeOptions = EncodeOptions()  # noqa: RUF009 (frozen)
    hwaccel: str | None = None
    deinterlace: bool = True
    rate: float = DEFAULT_RATE
    transport: Transport = "auto"
    sign: Credentials | None = None

    @property
    def name(self) -> str:
        """For messages, without credentials."""
        return masked(self.source) or str(self.folder or f"{len(self.images)} images")

    def open(self, outscale: int, resume: bool = False) -> tuple[Source, Sink | None]:
        """Open source and output; errors as of `open_source` and `open_sink`."""
        if self.images:
            source: Source = FolderSource(self.folder, self.images)
        else:
            source = open_source(
                self.source,
                hwaccel=self.hwaccel,
                threads=self.options.threads,
                deinterlace=self.deinterlace,
                rate=self.rate,
                transport=self.transport,
            )
        try:
            if self.output is None:
                return source, None
            sink = open_sink(
                self.output, source, outscale=outscale, options=self.options, resume=resume, sign=self.sign
            )
            return source, sink
        except BaseException:
            source.close()
            raise


def plan_jobs(inputs: Inputs, output: Path | None, options: EncodeOptions) -> list[Job]:
    """One job for all image files together, and one for each other source.

    Args:
        inputs: of the command.
        output: file or folder; a folder if there are several inputs.
        options: of the outputs; each gets those that apply to it.

    Raises:
        UsageError: the output is a file or an input, two inputs have the same output, or an option applies to none.
        OutputError: the output folder cannot be created or is not writable.
    """
    if inputs.single:
        return [Job(inputs.found[0].source, output=output, options=options, hwaccel=options.hwaccel)]
    if output is not None:
        _check_folder(inputs, output)
        names = {_output_name(found) for found in inputs.found}
        options.check_applicable(sorted({option for name in names for option in output_options(name)}), output)
        _check_overwriting(inputs, output)
        make_writable(output)
    return [*_image_job(inputs, output, options), *_jobs(inputs, output, options)]


def with_credentials(jobs: list[Job], credentials: Credentials) -> list[Job]:
    """Jobs that sign their outputs.

    Raises:
        UsageError: the format of one cannot be signed.
    """
    for job in jobs:
        for name in job.images or ([job.output.name] if job.output and job.output.suffix else []):
            check_signable(name)
    return [replace(job, sign=credentials) for job in jobs]


def _image_job(inputs: Inputs, output: Path | None, options: EncodeOptions) -> Iterator[Job]:
    named = output is not None or inputs.folder is not None  # else two files may have the same name
    images = {
        found.name if named else found.source: Path(found.source) for found in inputs.found if _is_image_file(found)
    }
    if images:
        applicable = {option for name in images for option in output_options(name)}
        yield Job("", images, inputs.folder, output, options.only(applicable))


def _jobs(inputs: Inputs, output: Path | None, options: EncodeOptions) -> Iterator[Job]:
    for found in inputs.found:
        if not _is_image_file(found):
            name = _output_name(found)
            path = output / name if output else None
            hwaccel = None if found.kind == "image" else options.hwaccel
            yield Job(found.source, output=path, options=options.only(output_options(name)), hwaccel=hwaccel)


def _is_image_file(found: Input) -> bool:
    return found.kind == "image" and "://" not in found.source


def _output_name(found: Input) -> str:
    if is_sequence(found.source):
        return found.name
    return output_name(found.name, "image" if found.kind == "image" else "video")


def _check_folder(inputs: Inputs, output: Path) -> None:
    what = f"{inputs.folder} is a folder" if inputs.folder else f"there are {len(inputs.found)} inputs"
    if output.exists() and not output.is_dir():
        raise UsageError(f"{what} and {output} is a file; give a folder")
    if output.suffix.lower() in IMAGE_SUFFIXES | frozenset(CONTAINER_FORMATS) and not output.is_dir():
        raise UsageError(f"{what} and {output} is a file; give a folder")


def _check_overwriting(inputs: Inputs, output: Path) -> None:
    sources = {Path(found.source).resolve(): found for found in inputs.found if "://" not in found.source}
    written: dict[str, str] = {}
    for found in inputs.found:
        path = output / _output_name(found)
        if path.resolve() in sources:
            raise UsageError(f"{path} is an input and would be overwritten; give another output folder")
        other = written.setdefault(str(path), found.source)
        if other != found.source:
            raise UsageError(f"{other} and {found.source} would both be written to {path}; run them one by one")


def check_files(
    output: Path | None, json_file: str | None, jsonl_file: str | None, folders: Mapping[str, Path]
) -> None:
    """Check that the outputs of a command differ, and create the folders of its JSON files.

    Raises:
        UsageError: two of them are the same file, or both standard output.
        OutputError: a folder cannot be created or is not writable.
    """
    given = {"-o": output and str(output), "--json": json_file, "--jsonl": jsonl_file}
    given |= {f"--{name}": str(folder) for name, folder in folders.items()}
    seen: dict[str, str] = {}
    for option, name in given.items():
        if name is None:
            continue
        key = name if name == "-" else str(Path(name).resolve())
        if key in seen:
            where = "standard output" if name == "-" else name
            raise UsageError(f"{seen[key]} and {option} are both {where}; give another one for one of them")
        seen[key] = option
        if option in ("--json", "--jsonl") and name != "-":
            if Path(name).is_dir():
                raise UsageError(f"{option} {name} is a folder; give a file")
            make_writable(Path(name).parent)
