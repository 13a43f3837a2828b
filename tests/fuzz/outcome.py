"""What a run must not do: the fault of an ended process, or none."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from .isolate import HARNESS_FAILED, Ended, files_of

MAX_ERR_BYTES = 8_000
_UNEXPECTED = re.compile(r"error: unexpected \w+: ")
_OWN_LINE = re.compile(
    r"(facesr-edge: |note: |.* · |decoded |encoded |encoding |\d+ (faces|images) of |[\w/.-]+ is ready: |"
    r"[\w/.-]+: missed faces|step 1/1: |faces above |failed: |[\w/.-]+: \d+ frames?, |\d+ files )"
)
"""Lines that the commands write to standard error; others come from a library."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_TEMPORARY = re.compile(r"(^|/)\.[^/]*$|\.part(ial)?(\.[^/.]*)?$|\.tmp$")


@dataclass(frozen=True)
class Outcome:
    """Result of a case: "done", "refused", or the name of a fault with its details."""

    name: str
    details: str = ""

    @property
    def is_fault(self) -> bool:
        return self.name not in ("done", "refused")


def outcome_of(ended: Ended) -> Outcome:
    """Classify an ended process."""
    err = ended.err.decode("utf-8", "backslashreplace")
    out = ended.out.decode("utf-8", "backslashreplace")
    last = err.strip().splitlines()[-1][:300] if err.strip() else ""
    if ended.code == HARNESS_FAILED:
        return Outcome("harness", err[-2000:])
    if ended.stopped:
        return Outcome(ended.stopped, f"{ended.seconds:.1f} s, {ended.peak_bytes >> 20} MB")
    if ended.code < 0:
        return Outcome("time" if ended.code in (-24, -9) else "signal", f"{-ended.code}, {last}")
    if "Traceback (most recent call last)" in err:
        return Outcome("traceback", err[-3000:])
    if _UNEXPECTED.search(err) or ended.code not in (0, 1, 2):
        return Outcome("unexpected", last)
    if "out of memory" in last:
        return Outcome("memory", last)
    return _messages(ended, out, err) or _files(ended) or Outcome("refused" if ended.code else "done", last)


def _messages(ended: Ended, out: str, err: str) -> Outcome | None:
    lines = err.splitlines()
    errors = [line for line in lines if line.startswith("facesr-edge: ")]
    if len(ended.err) > MAX_ERR_BYTES:
        return Outcome("long message", f"{len(ended.err)} bytes: {err[:300]}")
    if found := _CONTROL.search(err) or _CONTROL.search(out):
        return Outcome("control character", repr(found.string[max(0, found.start() - 60) : found.end() + 60]))
    if foreign := [line for line in lines if not _OWN_LINE.match(line)]:
        return Outcome("foreign line", foreign[0][:300])
    if ended.code and (len(errors) != 1 or lines[-1] != errors[0] or len(errors[0]) > 1000):
        return Outcome("not one line", err[:600])
    if not ended.code and errors:
        return Outcome("error with exit 0", err[:600])
    return None


def _files(ended: Ended) -> Outcome | None:
    after = files_of(ended.folder)
    own = ("stdout", "stderr", "arguments", "before")
    new = {path for path in after if ended.before.get(path) != after[path] and path not in own}
    allowed = ("work/out/", "home/.cache/facesr-edge/")
    if stray := sorted(path for path in new if not path.startswith(allowed)):
        return Outcome("stray file", ", ".join(stray)[:300])
    resumable = ".journal" if ended.code else None  # kept by a run that failed, for --resume
    if left := sorted(path for path in new if _TEMPORARY.search(path) and Path(path).suffix != resumable):
        return Outcome("temporary file", ", ".join(left)[:300])
    if gone := sorted(path for path in ended.before if path not in after and path.startswith("work/")):
        return Outcome("removed input", ", ".join(gone)[:300])
    return None
