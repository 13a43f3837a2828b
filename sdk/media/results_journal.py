"""Journal of the results that go to JSON: a resumed run repeats those of the frames that are not done again."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...engines.files import remove_temporaries
from .journal import Identity, check_identity
from .journal_file import JournalFile


class ResultsJournal:
    """Journal of one JSON file, which is locked while the journal is open. A complete command removes it.

    Args:
        output: JSON file that is going to be written.
        resume: go on with a stopped command.

    Raises:
        OutputError: another run writes this file, or the journal cannot be written.
    """

    def __init__(self, output: Path, resume: bool = False) -> None:
        self.output, self.resume = output, resume
        self._file = JournalFile(output)
        self.notes = self._file.notes
        self._jobs: dict[str, SourceResults] = {}
        for offset, record in self._file.read():
            if "source" in record:
                self.source(str(record["source"]))._apply(record, offset)
        self.stopped = bool(self._jobs)
        if resume and self.stopped:
            self._file.truncate()
        else:
            self._jobs = {}
            self._file.begin({})
        remove_temporaries([output])

    def source(self, name: str) -> SourceResults:
        """Results of one source, by its name."""
        return self._jobs.setdefault(name, SourceResults(name, self._file, self.output))

    def close(self, complete: bool) -> None:
        """Release the lock, and remove the journal of a complete command, or one without results; idempotent."""
        self._file.close(remove=complete or not any(one.indices or one.has_work for one in self._jobs.values()))

    def __enter__(self) -> ResultsJournal:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close(complete=kind is None)


class SourceResults:
    """Results of the frames of one source.

    Attributes:
        identity: of the stopped run; empty without one.
        done: the stopped command has finished this source.
        summary: of the run that has finished it, see `RunSummary.to_dict`.
        has_work: results were added.
    """

    def __init__(self, name: str, file: JournalFile, output: Path) -> None:
        self.identity: Identity = {}
        self.done = self.has_work = False
        self.summary: dict[str, Any] = {}
        self._name, self._file, self._output = name, file, output
        self._offsets: dict[int, int] = {}
        self._names: dict[int, str] = {}
        self._unread: deque[int] = deque()

    @property
    def indices(self) -> frozenset[int]:
        """Frames whose results are there."""
        return frozenset(self._offsets)

    def images(self) -> dict[str, int]:
        """Name of an image → number of its results; without the last image, of which some may be missing."""
        counts = Counter(self._names[index] for index in sorted(self._offsets))
        counts.pop(next(reversed(counts), ""), 0)
        return dict(counts)

    @property
    def frames(self) -> int:
        """Number of frames from the first one on whose results are there."""
        return next(index for index in range(len(self._offsets) + 1) if index not in self._offsets)

    def begin(self, identity: Identity) -> None:
        """Begin or resume the run of the source.

        Raises:
            UsageError: the stopped run has another identity.
            OutputError: the journal cannot be written.
        """
        now = json.loads(json.dumps(identity))
        if self.identity:
            check_identity(self._output, self.identity, now)
        self.identity = now
        self._add({"run": now})

    def go_on(self, frames: int | None) -> None:
        """Keep the results of the first frames; None for all."""
        if frames is not None:
            self._offsets = {index: offset for index, offset in self._offsets.items() if index < frames}
            self._add({"resumed": frames})
        self._unread = deque(sorted(self._offsets))

    def add(self, index: int, result: Mapping[str, Any]) -> None:
        """Add the result of a frame as it is in the JSON output."""
        self._add({"index": index, "result": result})
        self.has_work = True

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Add that the source is finished, with the summary of its run."""
        self.done = True
        self._add({"done": dict(summary)})

    def earlier(self, before: int | None = None) -> Iterator[dict[str, Any]]:
        """Yield the results of the stopped run that were not yielded yet, in order.

        Args:
            before: only of frames before this one, whose own result is replaced; None for all.
        """
        while self._unread and (before is None or self._unread[0] <= before):
            index = self._unread.popleft()
            if index != before:
                result: dict[str, Any] = self._file.at(self._offsets[index])["result"]
                yield result

    def _add(self, record: Mapping[str, Any]) -> int:
        return self._file.add({"source": self._name, **record})

    def _apply(self, record: Mapping[str, Any], offset: int) -> None:
        if "run" in record:
            self.identity = record["run"]
        elif "result" in record:
            index = int(record["index"])
            self._offsets[index], self._names[index] = offset, str(record["result"].get("name", ""))
        elif "resumed" in record:
            self._offsets = {index: at for index, at in self._offsets.items() if index < int(record["resumed"])}
        elif "done" in record:
            self.done, self.summary = True, record["done"]
