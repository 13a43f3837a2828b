"""The repository's own files, apart from whatever else lies in the folder."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def root():
    return ROOT


@pytest.fixture(scope="session")
def files():
    """Paths, relative to the root, of all that is committed or would be."""
    if not (ROOT / ".git").exists():
        pytest.skip("needs the repository, not a copy of its files")
    command = ["git", "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    return sorted(Path(name) for name in listed if name and (ROOT / name).is_file())


@pytest.fixture(scope="session")
def sources(files):
    """Those of the package: the modules, neither tests nor samples nor benchmarks."""
    return [path for path in files if path.suffix == ".py" and path.parts[0] not in ("tests", "samples", "benchmarks")]


@pytest.fixture(scope="session")
def checkout(tmp_path_factory, files):
    """A fresh copy of the repository's files, in a folder named as the package is."""
    folder = tmp_path_factory.mktemp("checkout") / "facesr_edge"
    for path in files:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, folder / path)
    return folder
