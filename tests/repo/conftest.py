"""Files of the repository, without untracked build products."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OUTSIDE = ("tests", "samples", "benchmarks", "docs")
"""Folders whose Python files are not modules of the package."""


@pytest.fixture(scope="session")
def root():
    return ROOT


@pytest.fixture(scope="session")
def files():
    """Paths relative to the root: tracked files and untracked ones that git does not ignore."""
    if not (ROOT / ".git").exists():
        pytest.skip("needs the repository, not a copy of its files")
    command = ["git", "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    return sorted(Path(name) for name in listed if name and (ROOT / name).is_file())


@pytest.fixture(scope="session")
def sources(files):
    """Modules of the package."""
    return [path for path in files if path.suffix == ".py" and path.parts[0] not in OUTSIDE]


@pytest.fixture(scope="session")
def checkout(tmp_path_factory, files):
    """Copy of these files in a folder named `facesr_edge`."""
    folder = tmp_path_factory.mktemp("checkout") / "facesr_edge"
    for path in files:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, folder / path)
    return folder
