"""The error tree: drawn as it is, one line a text, a name close by is offered."""

import inspect

import pytest
from facesr_edge.engines import errors
from facesr_edge.engines.errors import FacesrError, MissingDependencyError, UnknownNameError, UsageError

CLASSES = [value for value in vars(errors).values() if inspect.isclass(value) and value.__module__ == errors.__name__]


def drawn():
    """Class name -> the name of its parent, as the drawing at the top of the file has it."""
    parents, path = {}, []
    for line in errors.__doc__.splitlines()[2:]:
        mark = max(line.find("├── "), line.find("└── "))
        depth = 0 if mark < 0 else mark // 4 + 1
        name = line[mark + 4 if mark >= 0 else 0 :].split()[0]
        path[depth:] = [name]
        parents[name] = path[depth - 1] if depth else None
    return parents


def test_the_tree_is_drawn_as_it_is():
    real = {c.__name__: c.__base__.__name__ if issubclass(c.__base__, FacesrError) else None for c in CLASSES}
    assert drawn() == real


def test_every_error_says_when_it_is_raised():
    assert all(c.__doc__ for c in CLASSES)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("idrm-x4", "did you mean 'idrn-x4'? "), ("IDRN-x4", "did you mean 'idrn-x4'? "), ("zzz", "")],
)
def test_an_unknown_name_offers_the_one_close_by_and_lists_all(name, hint):
    error = UnknownNameError("model", name, ["idrn-x4", "detector"])
    assert str(error) == f"unknown model '{name}'; {hint}known: detector, idrn-x4"
    assert isinstance(error, UsageError) and isinstance(error, ValueError)


@pytest.mark.parametrize(("extra", "command"), [("build", "'facesr-edge[build]'"), ("", "facesr-edge")])
def test_a_missing_package_names_the_command_that_installs_it(extra, command):
    text = str(MissingDependencyError("torch", extra, "building"))
    assert text == f"building needs torch, which is not installed; pip install {command}"
