"""The API reference builds and is complete; the index lists every page."""

import re
import subprocess
import sys
from types import FunctionType

import facesr_edge
import pytest

METHODS = ["Pipeline.__call__", "Pipeline.stream", "Pipeline.upscale", "Detector.__call__", "Face.consistency_db"]


@pytest.fixture(scope="module")
def reference(root, tmp_path_factory):
    """HTML of the API reference."""
    pytest.importorskip("pdoc")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, root / "docs" / "build_api.py", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "UserWarning" not in done.stderr, done.stderr
    return (folder / "facesr_edge.html").read_text("utf-8")


@pytest.mark.parametrize("name", [*facesr_edge.__all__, *METHODS])
def test_the_reference_has_every_public_name(reference, name):
    assert f'id="{name}"' in reference


def test_the_reference_has_no_private_name(reference):
    names = re.findall(r'id="([\w.]+)"', reference)
    private = {name for name in names if re.search(r"(?:^|\.)_", name)}
    assert {name for name in private if not name.endswith("__")} == set()


def test_every_public_name_has_a_docstring_of_its_own():
    documented = [getattr(facesr_edge, name) for name in facesr_edge.__all__]
    documented = [value for value in documented if isinstance(value, (type, FunctionType))]  # others are aliases
    assert [value.__name__ for value in documented if not value.__doc__] == []


def test_the_index_lists_every_page(root):
    index = (root / "docs" / "README.md").read_text("utf-8")
    pages = sorted(path.name for path in (root / "docs").glob("*.md") if path.name != "README.md")
    assert pages and [page for page in pages if f"({page})" not in index] == []


def test_the_readme_has_the_two_commands_that_ci_runs(root):
    lines = [
        line for line in (root / "README.md").read_text("utf-8").splitlines() if line.startswith("python3 -m venv ")
    ]
    assert [line.rsplit("&& ")[-1].split()[0] for line in lines] == [".venv/bin/facesr-edge", ".venv-test/bin/python"]


def additions(root):
    """Rows of CONTRIBUTING's table of where to add things: (what to write, where to register it)."""
    table = (root / "CONTRIBUTING.md").read_text("utf-8").partition("## Where to add things")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    return [row[1:] for row in rows[1:] if len(row) == 3]


def test_the_files_that_contributing_names_exist(root):
    paths = {name for row in additions(root) for cell in row for name in re.findall(r"`([\w/]+/[\w.]+)`", cell)}
    missing = [name for name in sorted(paths) if "NAME" not in name and not (root / name).exists()]
    assert len(paths) > 20 and missing == []


def test_the_registries_that_contributing_names_exist(root):
    pairs = [pair for row in additions(root) for pair in re.findall(r"`(\w+)` in `([\w/]+\.py)`", row[-1])]
    missing = [(name, path) for name, path in pairs if not re.search(rf"\b{name}\b", (root / path).read_text("utf-8"))]
    assert len(pairs) > 8 and missing == []
