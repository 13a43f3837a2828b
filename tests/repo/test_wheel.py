"""The wheel has exactly the files of the package, and the installed package runs."""

import subprocess
import sys
import zipfile
from email.parser import Parser

import facesr_edge
import pytest
from facesr_edge.zoo import catalogue

MAX_MB = 80
SUFFIXES = (
    ".py",
    ".html",
    ".sh",
    ".json",
    ".onnx",
    ".safetensors",
    ".typed",
    ".h",
    ".cu",
    ".csv",
    ".css",
    ".js",
    ".svg",
    ".yaml",
    ".service",
)


@pytest.fixture(scope="module")
def wheel(checkout, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation", "--no-index", "-q"]
    done = subprocess.run([*command, "-w", folder], cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_the_wheel_has_every_module_and_data_file_and_nothing_else(wheel, files):
    expected = {
        f"facesr_edge/{path.as_posix()}"
        for path in files
        if path.parts[0] not in ("tests", "benchmarks", "docs", ".ci") and path.suffix in SUFFIXES
    }
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == expected


@pytest.mark.parametrize(
    "name",
    [
        "py.typed",
        "sdk/cli/main.py",
        "sdk/profiling/report.html",
        "sdk/live/web/page.html",
        "engines/cuda/kernels/kernels.cu",
        "engines/cuda/kernels/pixels.h",
        "training/recipes/idrn.py",
        "zoo/idrn-x4/card.json",
        "zoo/idrn-x4/model.onnx",
        "zoo/idrn-x4/weights.safetensors",
        "zoo/detector/card.json",
        "zoo/detector/model.onnx",
        "zoo/uncertainty-x4/model.onnx",
        "zoo/uncertainty-x4/calibration.json",
    ],
)
def test_the_wheel_has_the_file(wheel, name):
    assert f"facesr_edge/{name}" in wheel.namelist()


def test_the_wheel_has_every_model_and_is_below_the_size_limit(wheel):
    files = set(wheel.namelist())
    assert len(catalogue.names()) == 25
    assert [name for name in catalogue.names() if f"facesr_edge/zoo/{name}/model.onnx" not in files] == []
    assert sum(entry.compress_size for entry in wheel.infolist()) < MAX_MB * 1e6


def test_the_metadata_of_the_wheel(wheel):
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = Parser().parsestr(wheel.read(name).decode("utf-8"))
    assert (metadata["Name"], metadata["Version"]) == ("facesr-edge", facesr_edge.__version__)
    required = " ".join(line for line in metadata.get_all("Requires-Dist") if "extra" not in line)
    assert "numpy" in required and "onnxruntime" in required and "torch" not in required
    scripts = wheel.read(name.replace("METADATA", "entry_points.txt")).decode()
    assert "facesr-edge = facesr_edge.sdk.cli.main:main" in scripts


def test_the_installed_wheel_runs_the_default_model(wheel, tmp_path):
    wheel.extractall(tmp_path)
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import numpy, facesr_edge\n"
        "assert facesr_edge.__file__.startswith(sys.argv[1]), facesr_edge.__file__\n"
        "with facesr_edge.load(threads=1) as sr: print(sr.upscale(numpy.zeros((1, 32, 32, 3), numpy.uint8)).shape)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=False)
    assert done.stdout == "(1, 128, 128, 3)\n", done.stderr
