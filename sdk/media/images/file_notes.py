"""Notes of a source or sink of files: one line for each kind of loss, however many files have it."""

from __future__ import annotations


class FileNotes:
    """Adds lines to the notes of a source or sink.

    Args:
        notes: of the source or sink; extended, and its lines updated when further files have the same loss.
    """

    def __init__(self, notes: list[str]) -> None:
        self._notes = notes
        self._lines: dict[str, tuple[int, str, int]] = {}
        self._last: dict[str, str] = {}

    def add(self, text: str, name: str = "") -> None:
        """Add a loss of a file; `name` is left out where there is only one file."""
        if text not in self._lines:
            self._lines[text] = (len(self._notes), name, 0)
            self._notes.append(f"{text} ({name})" if name else text)
        elif name and self._last[text] != name:
            line, first, more = self._lines[text]
            self._lines[text] = (line, first, more + 1)
            self._notes[line] = f"{text} ({first} and {more + 1} more)"
        self._last[text] = name
