"""Reads the values of a configuration file; what is wrong is collected, each problem with its line and column."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from ....engines.errors import FacesrError, UnknownNameError, one_line
from ...media.url import masked
from .variables import expand
from .yaml_document import Entries, Items, Mark, Node, Scalar

MAX_SHOWN = 60
"""Characters of a value in a message."""
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")
_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_NOTHING = ("", "~", "null", "Null", "NULL")


class Mistake(Exception):  # noqa: N818 (never leaves a reader)
    """A value is not what was expected.

    Args:
        message: what was expected and what came; without the key.
        mark: of the value.
    """

    def __init__(self, message: str, mark: Mark) -> None:
        super().__init__(message)
        self.mark = mark


class ConfigReader:
    """Reads sections and collects problems.

    Args:
        file: name for messages.
        environment: variables that texts may refer to.
    """

    def __init__(self, file: str, environment: Mapping[str, str]) -> None:
        self._file, self._environment = file, environment
        self._problems: list[tuple[Mark, str]] = []

    @property
    def problems(self) -> list[str]:
        """Lines with file, line and column, without credentials, in the order of the file."""
        return [f"{self._file}:{mark.line}:{mark.column}: {message}" for mark, message in sorted(self._problems)]

    def add(self, mark: Mark, message: str) -> None:
        """Add a problem."""
        self._problems.append((mark, one_line(masked(message))))

    def section(self, node: Node, name: str, fields: Mapping[str, Field]) -> dict[str, Any]:
        """Values of those keys of a mapping that are right.

        Args:
            node: of the mapping.
            name: for messages, e.g. "cameras.gate"; "" for the whole file.
            fields: key -> what reads its value.
        """
        entries, values = self.entries(node, name), {}
        for key, value in entries.nodes.items():
            path = f"{name}.{key}" if name else key
            if key not in fields:
                what = f"key of {name}" if name else "key"
                self.add(entries.keys[key], str(UnknownNameError(what, key, fields)))
                continue
            try:
                values[key] = fields[key](self, value, path)
            except Mistake as mistake:
                self.add(mistake.mark, f"{path}: {mistake}")
        return values

    def entries(self, node: Node, name: str) -> Entries:
        """Keys and values of a mapping; none, and a problem, for another node."""
        if isinstance(node, Entries):
            return node
        self.add(node.mark, f"{name or 'the file'}: expected keys with values, got {_shown(node)}")
        return Entries({}, {}, node.mark)

    def expanded(self, node: Node, expected: str) -> str:
        """Text of a scalar with its environment variables.

        Raises:
            Mistake: not a scalar, empty, or a variable is not set.
        """
        if not isinstance(node, Scalar) or is_nothing(node):
            raise Mistake(f"expected {expected}, got {_shown(node)}", node.mark)
        try:
            return expand(node.text, self._environment)
        except ValueError as error:
            raise Mistake(str(error), node.mark) from error


Field: TypeAlias = Callable[[ConfigReader, Node, str], Any]
"""Reads a value, given the reader, the node and the path of the key; raises `Mistake`."""


def text(expected: str = "a text") -> Field:
    """A text that is not empty."""

    def read(reader: ConfigReader, node: Node, path: str) -> str:
        value = reader.expanded(node, expected)
        if not value.strip():
            raise Mistake(f"expected {expected}, got nothing", node.mark)
        return value

    return read


def number(expected: str, fits: Callable[[float], bool]) -> Field:
    """A finite number."""

    def read(reader: ConfigReader, node: Node, path: str) -> float:
        value = reader.expanded(node, expected)
        if not _NUMBER.fullmatch(value) or not fits(float(value)) or float(value) == float("inf"):
            raise Mistake(f"expected {expected}, got {_shown(node)}", node.mark)
        return float(value)

    return read


def whole(expected: str, low: int, high: int) -> Field:
    """A whole number from `low` to `high`."""
    read_number = number(expected, lambda value: low <= value <= high and value.is_integer())
    return lambda reader, node, path: int(read_number(reader, node, path))


def choice(names: Sequence[str]) -> Field:
    """One of several names."""

    def read(reader: ConfigReader, node: Node, path: str) -> str:
        value = reader.expanded(node, " or ".join(names))
        if value not in names:
            raise Mistake(str(UnknownNameError("value", value, names)), node.mark)
        return value

    return read


def boolean(reader: ConfigReader, node: Node, path: str) -> bool:
    """True or false."""
    value = reader.expanded(node, "true or false").lower()
    if value not in _BOOLEANS:
        raise Mistake(f"expected true or false, got {_shown(node)}", node.mark)
    return _BOOLEANS[value]


def optional(field: Field) -> Field:
    """A value, or None for ``null``."""
    return lambda reader, node, path: None if is_nothing(node) else field(reader, node, path)


def items(field: Field, expected: str) -> Field:
    """A list, as a tuple; items with problems are left out."""

    def read(reader: ConfigReader, node: Node, path: str) -> tuple[Any, ...]:
        if not isinstance(node, Items):
            raise Mistake(f"expected {expected}, got {_shown(node)}", node.mark)
        values = []
        for n, item in enumerate(node.nodes):
            try:
                values.append(field(reader, item, f"{path}[{n}]"))
            except Mistake as mistake:
                reader.add(mistake.mark, f"{path}[{n}]: {mistake}")
        return tuple(values)

    return read


def checked(field: Field, check: Callable[[Any], object]) -> Field:
    """A value that a function takes, which raises an error of the package otherwise."""

    def read(reader: ConfigReader, node: Node, path: str) -> Any:
        value = field(reader, node, path)
        try:
            check(value)
        except FacesrError as error:
            raise Mistake(str(error), node.mark) from error
        return value

    return read


def is_nothing(node: Node) -> bool:
    """Whether a value is null or was left out."""
    return isinstance(node, Scalar) and not node.quoted and node.text in _NOTHING


def _shown(node: Node) -> str:
    if isinstance(node, Scalar):
        value = masked(node.text)  # before it is shortened: a URL without its end cannot be masked
        short = value if len(value) <= MAX_SHOWN else f"{value[:MAX_SHOWN]}…"
        return "nothing" if is_nothing(node) else f"'{short}'"
    return "a list" if isinstance(node, Items) else "keys with values"
