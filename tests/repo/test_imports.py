"""What an import costs, and what it brings: numpy is enough to import the package, and PyTorch never runs a frame."""

import json
import os
import subprocess
import sys
from pathlib import Path

import facesr_edge
import numpy
import pytest

PUBLIC = [
    "Bundle",
    "Card",
    "DEFAULT_MODEL",
    "Detections",
    "Detector",
    "Face",
    "FacesrError",
    "Frame",
    "FrameResult",
    "Pipeline",
    "__version__",
    "load",
    "load_detector",
    "open_bundle",
    "open_sink",
    "open_source",
]
BUILDING = ["torch", "onnx", "onnxsim", "onnxscript", "onnx_ir", "safetensors", "skimage", "scipy", "PIL"]
"""What only building needs; whoever embeds the package need not have it."""


def python(program, *arguments, alone=None):
    """Run a program; `alone`, with nothing to import but the standard library and that folder."""
    if alone is not None:
        program, arguments = f"import sys; sys.path.insert(0, sys.argv[1])\n{program}", (str(alone), *arguments)
    options = ["-I", "-S"] if alone is not None else []
    command = [sys.executable, *options, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": ""})


@pytest.fixture(scope="module")
def bare(tmp_path_factory, root):
    """A folder with numpy and the package in it and nothing else."""
    folder = tmp_path_factory.mktemp("bare")
    numpy_folder = Path(numpy.__file__).parent
    for path in (numpy_folder, numpy_folder.with_name("numpy.libs")):
        if path.is_dir():
            (folder / path.name).symlink_to(path)
    (folder / "facesr_edge").symlink_to(root)
    return folder


def test_the_public_names_are_these():
    assert sorted(facesr_edge.__all__) == PUBLIC and dir(facesr_edge) == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_can_be_imported(name):
    value = getattr(facesr_edge, name)
    assert value is vars(facesr_edge)[name]  # found once, then kept
    assert isinstance(value, str) or value.__name__ == name


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'facesr_edge' has no attribute 'lode'"):
        _ = facesr_edge.lode


def test_numpy_is_enough_to_import_the_package(bare):
    done = python("import facesr_edge; print(facesr_edge.__version__, facesr_edge.FacesrError.__name__)", alone=bare)
    assert (done.returncode, done.stdout) == (0, f"{facesr_edge.__version__} FacesrError\n"), done.stderr


def test_the_bare_folder_is_bare(bare):
    for name in ("cv2", "onnxruntime", "torch", "click"):
        assert f"No module named '{name}'" in python(f"import {name}", alone=bare).stderr


def test_importing_costs_next_to_nothing_beyond_numpy(bare):
    program = (
        "import time, numpy\nstart = time.perf_counter()\nimport facesr_edge\n"
        "facesr_edge.Card, facesr_edge.FacesrError\nprint(time.perf_counter() - start)"
    )
    assert min(float(python(program, alone=bare).stdout) for _ in range(5)) < 0.2


def test_importing_the_package_alone_imports_nothing_heavy():
    done = python("import sys, facesr_edge, json; print(json.dumps(sorted({n.split('.')[0] for n in sys.modules})))")
    assert not {"cv2", "onnxruntime", "av", "click", "rich", *BUILDING} & set(json.loads(done.stdout))


def test_running_a_pipeline_never_imports_what_only_building_needs():
    program = (
        "import sys, json, numpy, facesr_edge\n"
        "with facesr_edge.load('idrn-x4', threads=1) as sr:\n"
        "    sr(numpy.zeros((96, 128, 3), numpy.uint8)); sr.upscale(numpy.zeros((1, 32, 32, 3), numpy.uint8))\n"
        "print(json.dumps(sorted({n.split('.')[0] for n in sys.modules})))"
    )
    done = python(program)
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout))
    assert {"onnxruntime", "cv2"} <= loaded and not set(BUILDING) & loaded


def test_all_that_runs_can_be_imported_without_what_only_building_needs(sources):
    runs = [p for p in sources if p.parts[0] in ("sdk", "engines", "zoo", "calibration") or p.name == "bicubic.py"]
    names = [".".join(("facesr_edge", *p.with_suffix("").parts)).removesuffix(".__init__") for p in runs]
    program = (
        f"import sys, importlib\nfor name in {BUILDING}: sys.modules[name] = None\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
    )
    done = python(program, *names)
    assert done.returncode == 0, done.stderr
    assert len(names) > 40
