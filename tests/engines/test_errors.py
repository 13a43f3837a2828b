"""The exception tree matches its documentation, and unknown names get a suggestion."""

import inspect

import pytest
from facesr_edge.engines import errors
from facesr_edge.engines.errors import (
    MAX_MESSAGE,
    FacesrError,
    MissingDependencyError,
    UnknownNameError,
    UsageError,
    one_line,
)

CLASSES = [value for value in vars(errors).values() if inspect.isclass(value) and value.__module__ == errors.__name__]


def documented_tree():
    """Class name -> name of its base, from the tree in the module docstring."""
    parents, path = {}, []
    for line in errors.__doc__.splitlines()[2:]:
        mark = max(line.find("├── "), line.find("└── "))
        depth = 0 if mark < 0 else mark // 4 + 1
        name = line[mark + 4 if mark >= 0 else 0 :].split()[0]
        path[depth:] = [name]
        parents[name] = path[depth - 1] if depth else None
    return parents


def test_documented_tree_matches_the_classes():
    actual = {c.__name__: c.__base__.__name__ if issubclass(c.__base__, FacesrError) else None for c in CLASSES}
    assert documented_tree() == actual


def test_every_exception_has_a_docstring():
    assert all(c.__doc__ for c in CLASSES)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("idrm-x4", "did you mean 'idrn-x4'? "), ("IDRN-x4", "did you mean 'idrn-x4'? "), ("zzz", "")],
)
def test_unknown_name_suggests_the_closest_and_lists_all(name, hint):
    error = UnknownNameError("model", name, ["idrn-x4", "detector"])
    assert str(error) == f"unknown model '{name}'; {hint}known: detector, idrn-x4"
    assert isinstance(error, UsageError) and isinstance(error, ValueError)


@pytest.mark.parametrize(("extra", "command"), [("build", "'facesr-edge[build]'"), ("", "facesr-edge")])
def test_missing_package_is_reported_with_the_install_command(extra, command):
    text = str(MissingDependencyError("torch", extra, "building"))
    assert text == f"building needs torch, which is not installed; pip install {command}"


def test_message_is_one_printable_line():
    assert one_line("a\n  b\x1b[31m\u202e\x00") == "a b\\x1b[31m\\u202e\\x00"


def test_long_message_keeps_its_end():
    text = one_line("x" * 5000 + "; copy it again")
    assert len(text) <= MAX_MESSAGE + 3 and text.endswith("; copy it again")
