"""The wheel: what is on disk is what is installed, and nothing else is."""

import subprocess
import sys
import zipfile
from email.parser import Parser

import facesr_edge
import pytest
from facesr_edge.zoo.catalogue import ELSEWHERE

MOST_MB = 40
PACKAGED = (".py", ".html", ".sh", ".json", ".onnx", ".safetensors", ".typed", ".h", ".cu")


@pytest.fixture(scope="module")
def wheel(checkout, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation", "--no-index", "-q"]
    done = subprocess.run([*command, "-w", folder], cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_the_wheel_holds_every_module_and_data_file_and_nothing_else(wheel, files):
    expected = {
        f"facesr_edge/{path.as_posix()}"
        for path in files
        if path.parts[0] not in ("tests", "benchmarks", "docs", ".ci")
        and path.suffix in PACKAGED
        and path.parts[:2] not in [("zoo", name) for name in ELSEWHERE]
    }
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert held == expected


@pytest.mark.parametrize(
    "name",
    [
        "py.typed",
        "sdk/cli/main.py",
        "sdk/profiling/report.html",
        "engines/cuda/kernels/kernels.cu",
        "engines/cuda/kernels/pixels.h",
        "training/recipes/idrn.py",
        "zoo/idrn-x4/card.json",
        "zoo/idrn-x4/model.onnx",
        "zoo/idrn-x4/weights.safetensors",
        "zoo/detector/card.json",
        "zoo/detector/model.onnx",
    ],
)
def test_the_wheel_holds(wheel, name):
    assert f"facesr_edge/{name}" in wheel.namelist()


def test_the_wheel_is_small_and_what_it_leaves_out_is_in_the_repository(wheel, checkout):
    assert sum(entry.compress_size for entry in wheel.infolist()) < MOST_MB * 1e6
    assert [name for name in ELSEWHERE if not (checkout / "zoo" / name / "card.json").exists()] == []


def test_the_wheel_says_what_it_is(wheel):
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    said = Parser().parsestr(wheel.read(name).decode("utf-8"))
    assert (said["Name"], said["Version"]) == ("facesr-edge", facesr_edge.__version__)
    needed = " ".join(line for line in said.get_all("Requires-Dist") if "extra" not in line)
    assert "numpy" in needed and "onnxruntime" in needed and "torch" not in needed
    scripts = wheel.read(name.replace("METADATA", "entry_points.txt")).decode()
    assert "facesr-edge = facesr_edge.sdk.cli.main:main" in scripts


def test_what_is_installed_runs_the_model_in_the_wheel(wheel, tmp_path):
    wheel.extractall(tmp_path)
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import numpy, facesr_edge\n"
        "assert facesr_edge.__file__.startswith(sys.argv[1]), facesr_edge.__file__\n"
        "with facesr_edge.load(threads=1) as sr: print(sr.upscale(numpy.zeros((1, 32, 32, 3), numpy.uint8)).shape)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=False)
    assert done.stdout == "(1, 128, 128, 3)\n", done.stderr
