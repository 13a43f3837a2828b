"""YAML documents with the position of every value, for messages.

A subset of YAML: keys and values are taken as they are written, so that `no` and `1:30` are no boolean and no number
unless they are read as one. Anchors, aliases and tags, with which a small file can grow without limit or create
objects, are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from ....engines.errors import MissingDependencyError

MAX_CHARACTERS = 200_000
"""A file of 1,000 cameras with all options; the parser takes a second or two for it."""
MAX_DEPTH = 10


@dataclass(frozen=True, order=True)
class Mark:
    """Position in a file, both from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Scalar:
    """A text, number, or nothing.

    Args:
        text: as written, without quotes.
        quoted: whether it stands in quotes or in a block.
        mark: of its first character.
    """

    text: str
    quoted: bool
    mark: Mark


@dataclass(frozen=True)
class Items:
    """A list."""

    nodes: tuple[Node, ...]
    mark: Mark


@dataclass(frozen=True)
class Entries:
    """A mapping: key -> value, and key -> position of the key."""

    nodes: dict[str, Node]
    keys: dict[str, Mark]
    mark: Mark


Node: TypeAlias = "Scalar | Items | Entries"


class YamlError(Exception):
    """A text is not the expected YAML.

    Args:
        message: in one line.
        mark: where.
    """

    def __init__(self, message: str, mark: Mark) -> None:
        super().__init__(message)
        self.mark = mark


def parse_yaml(text: str) -> Node:
    """Parse the only document of a text.

    Args:
        text: YAML, at most `MAX_CHARACTERS`.

    Raises:
        YamlError: a syntax error, a duplicate key, an anchor, alias or tag, or a text that is too long or too deep.
        MissingDependencyError: PyYAML is not installed.
    """
    yaml = _yaml()
    if len(text) > MAX_CHARACTERS:
        raise YamlError(f"expected at most {MAX_CHARACTERS:,} characters, got {len(text):,}", Mark(1, 1))
    try:
        return _Tree(yaml, yaml.parse(text, Loader=yaml.SafeLoader)).document()
    except yaml.MarkedYAMLError as error:
        problem = " ".join(filter(None, (error.context, error.problem)))
        raise YamlError(f"not valid YAML: {problem}", _mark(error.problem_mark or error.context_mark)) from error
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        mark = Mark(before.count("\n") + 1, error.position - before.rfind("\n"))
        raise YamlError(f"expected printable characters, got {chr(error.character)!a}", mark) from error


def _yaml() -> Any:
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise MissingDependencyError("PyYAML", "cameras", "reading cameras.yaml") from error
    return yaml


def _mark(mark: Any) -> Mark:
    return Mark(mark.line + 1, mark.column + 1)


class _Tree:
    """Builds nodes from the events of the parser, which has read no further than the tree: its depth is limited."""

    def __init__(self, yaml: Any, events: Iterator[Any]) -> None:
        self._yaml, self._events = yaml, events

    def document(self) -> Node:
        """The only document."""
        next(self._events)  # start of the stream
        if isinstance(next(self._events), self._yaml.StreamEndEvent):
            raise YamlError("expected one document, got none", Mark(1, 1))
        root = self.node(0)
        next(self._events)  # end of the document
        after = next(self._events)
        if not isinstance(after, self._yaml.StreamEndEvent):
            raise YamlError("expected one document, got another one", _mark(after.start_mark))
        return root

    def node(self, depth: int) -> Node:
        """The next node."""
        node = self._node_or_end(depth)
        assert node is not None  # only lists and mappings end
        return node

    def _node_or_end(self, depth: int) -> Node | None:
        event = next(self._events)
        if isinstance(event, self._yaml.CollectionEndEvent):
            return None
        mark = _mark(event.start_mark)
        self._refuse_references(event, mark)
        if depth > MAX_DEPTH:
            raise YamlError(f"expected at most {MAX_DEPTH} levels", mark)
        if isinstance(event, self._yaml.ScalarEvent):
            return Scalar(event.value, event.style is not None, mark)
        return (
            self._items(mark, depth) if isinstance(event, self._yaml.SequenceStartEvent) else self._entries(mark, depth)
        )

    def _items(self, mark: Mark, depth: int) -> Items:
        nodes = []
        while (node := self._node_or_end(depth + 1)) is not None:
            nodes.append(node)
        return Items(tuple(nodes), mark)

    def _entries(self, mark: Mark, depth: int) -> Entries:
        nodes: dict[str, Node] = {}
        keys: dict[str, Mark] = {}
        while (key := self._node_or_end(depth + 1)) is not None:
            if not isinstance(key, Scalar):
                raise YamlError("expected a text as key, got a list or a mapping", key.mark)
            if key.text in keys:
                raise YamlError(f"key '{key.text}' is set twice, first in line {keys[key.text].line}", key.mark)
            keys[key.text], nodes[key.text] = key.mark, self.node(depth + 1)
        return Entries(nodes, keys, mark)

    def _refuse_references(self, event: Any, mark: Mark) -> None:
        if isinstance(event, self._yaml.AliasEvent):
            raise YamlError(f"aliases such as *{event.anchor} are not supported; write the value out", mark)
        if event.anchor is not None:
            raise YamlError(f"anchors such as &{event.anchor} are not supported; remove it", mark)
        if event.tag is not None:
            raise YamlError(f"tags such as {event.tag} are not supported; remove it", mark)
