"""Journal of a run: what its output holds, so that a stopped run can go on."""

from __future__ import annotations

import json
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...engines.errors import UsageError
from .journal_file import HEAD_BYTES, JournalFile
from .lock import lock_path

FORMAT = 1
Identity = Mapping[str, Any]
"""What the frames of a run depend on, ready for JSON: input, options, networks, versions."""


@dataclass(frozen=True)
class FinishedFile:
    """An image that is written.

    Args:
        path: below the output folder.
        bytes: its size.
        frames: more than one for an animation or pages.
    """

    path: str
    bytes: int
    frames: int


@dataclass
class Progress:
    """What the journal of a stopped run says.

    Attributes:
        identity: of the run; empty if it did not begin.
        boot: identifies the boot of the machine; files written since then are whole even if they were not flushed.
        stamps: timestamps of the encoded frames of the whole chunks.
        flushed: bytes of the video file that were flushed to the disk with the last chunk.
        upscaled: number of frames at the end of each chunk by which one had upscaled faces.
        files: name of an image that is finished → its file.
        kept: bytes of the output that the stopped run has closed; 0 without one.
    """

    identity: Identity = field(default_factory=dict)
    boot: str = ""
    stamps: array[int] = field(default_factory=lambda: array("q"))
    flushed: int = 0
    upscaled: list[int] = field(default_factory=list)
    files: dict[str, FinishedFile] = field(default_factory=dict)
    kept: int = 0

    @property
    def same_boot(self) -> bool:
        """Whether the machine has been running since."""
        return self.boot != "" and self.boot == _boot()

    def add(self, record: Mapping[str, Any]) -> None:
        """Apply one line of the journal."""
        if "run" in record:
            self.identity, self.boot = record["run"], str(record["boot"])
        elif "stamps" in record:
            self.stamps.extend(record["stamps"])
            self.flushed = int(record["flushed"])
            self.upscaled += [len(self.stamps)] * bool(record.get("upscaled"))
        elif "file" in record:
            self.files[str(record["name"])] = FinishedFile(**record["file"])
        elif "kept" in record:
            self.kept = int(record["kept"])
        elif "resumed" in record:
            self.boot = str(record["boot"])
            self.cut(int(record["resumed"]))

    def cut(self, frames: int) -> None:
        """Forget all frames of a video but the first ones."""
        del self.stamps[frames:]
        self.upscaled = [end for end in self.upscaled if end <= frames]


class Journal:
    """Journal of one output, which is locked while the journal is open. A complete run removes it.

    Args:
        output: file or folder that is going to be written.
        resume: go on with a stopped run.

    Attributes:
        notes: one line if the output cannot be locked.
        info: what an earlier run had done.
        resume: see above.
        earlier: what a stopped run had done.

    Raises:
        OutputError: another run writes this output, or the journal cannot be written.
    """

    def __init__(self, output: Path, resume: bool = False) -> None:
        self.resume = resume
        self._file, self._begun = JournalFile(output), False
        self.notes, self.info = self._file.notes, list[str]()
        self.earlier = Progress()
        for _, record in self._file.read():
            self.earlier.add(record)
        self._has_work = bool(self.earlier.identity)

    def begin(self, identity: Identity) -> Progress | None:
        """Begin or resume a run.

        Returns:
            What the stopped run has done, None if the run starts anew.

        Raises:
            UsageError: the stopped run has another identity.
            OutputError: the journal cannot be written.
        """
        output, now = self._file.output, json.loads(json.dumps({"format": FORMAT, **identity}))
        if self.resume and self.earlier.identity:
            check_identity(output, self.earlier.identity, now)
            self._file.truncate()
            self._begun = True
            return self.earlier
        if self.resume:
            self.info.append(f"{output}: there is no stopped run; it starts anew")
        elif self.earlier.identity:
            self.info.append(f"{output}: a stopped run is started anew; --resume would go on with it")
        self._file.begin({"kept": 0})
        self._begun = True
        self._add({"run": now, "boot": _boot()})
        self._has_work = False
        return None

    def go_on(self, frames: int) -> None:
        """Go on after the first frames of a video; the others of the stopped run are done again."""
        self.earlier.cut(frames)
        self._add({"resumed": frames, "boot": _boot()})

    def add_chunk(self, stamps: Sequence[int], flushed: int, upscaled: bool = False) -> None:
        """Add a chunk of encoded frames, and whether a frame up to its end has upscaled faces; see `Progress`."""
        self._add({"stamps": list(stamps), "flushed": flushed, **({"upscaled": True} if upscaled else {})})
        self._file.flush()

    def add_file(self, name: str, file: FinishedFile) -> None:
        """Add a finished image, given its name in the source."""
        self._add({"name": name, "file": asdict(file)})

    def keep(self, size: int) -> None:
        """Tell that the run is stopped and that its output is going to have so many bytes."""
        if self._begun:
            self._file.replace_first({"kept": size})
            self._has_work = True

    def close(self, complete: bool) -> None:
        """Release the lock, and remove the journal of a run that is complete or has done nothing; idempotent."""
        self._file.close(remove=complete or not self._has_work)

    def _add(self, record: Mapping[str, Any]) -> None:
        if self._begun:
            self._file.add(record)
            self._has_work = True


def check_identity(output: Path, earlier: Identity, now: Identity) -> None:
    """Compare a stopped run with the one that is to go on with it.

    Raises:
        UsageError: they differ.
    """
    for name in {**earlier, **now}:
        if earlier.get(name) != now.get(name):
            raise UsageError(
                f"{output} cannot be resumed: {name} was {earlier.get(name)}, now it is {now.get(name)}; "
                "repeat the command of the stopped run, or start anew without --resume"
            )


def is_stopped(output: Path) -> bool:
    """Whether the run of an output has begun and is not finished."""
    try:
        return lock_path(output).stat().st_size > HEAD_BYTES
    except OSError:
        return False


def _boot() -> str:
    """Identifies the boot of the machine; "" where there is no such name."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""
