"""Imports: numpy suffices to import the package, and running a pipeline does not import the build dependencies."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import FunctionType

import facesr_edge
import numpy
import pytest

PUBLIC = [
    "BestShot",
    "BestShots",
    "Bundle",
    "BundleError",
    "Camera",
    "CameraOptions",
    "CameraStatus",
    "Card",
    "Color",
    "Cycle",
    "DEFAULT_MODEL",
    "DetectEvery",
    "Detection",
    "Detections",
    "Detector",
    "DetectorUse",
    "EncodeOptions",
    "EngineError",
    "EngineInfo",
    "Evaluation",
    "Face",
    "FaceFilter",
    "FacesrError",
    "Failure",
    "Frame",
    "FrameResult",
    "IOSpec",
    "ImageMetadata",
    "InputError",
    "Live",
    "LiveFace",
    "LiveResult",
    "LiveSink",
    "MissingDependencyError",
    "Observer",
    "OutputError",
    "Pipeline",
    "Plan",
    "Reconnect",
    "Run",
    "RunSummary",
    "Session",
    "Sink",
    "SinkGroup",
    "SinkQueue",
    "SinkStatistics",
    "SkippedFace",
    "Source",
    "SourceAuthenticationError",
    "SourceBrokenError",
    "SourceClosedError",
    "SourceNotFoundError",
    "SourceTimeoutError",
    "SourceUnreachableError",
    "Span",
    "Store",
    "StoredFace",
    "UncertaintySession",
    "UnknownNameError",
    "Usability",
    "UsageError",
    "__version__",
    "bgr_from",
    "from_supervision",
    "live",
    "load",
    "load_detector",
    "load_uncertainty",
    "open_bundle",
    "open_live_sink",
    "open_sink",
    "open_source",
    "open_store",
    "run",
    "to_supervision",
    "uncertainty_of",
    "uncertainty_sheet",
]
BUILD_DEPENDENCIES = ["torch", "onnx", "onnxsim", "onnxscript", "onnx_ir", "safetensors", "skimage", "scipy"]
"""Packages that only `build`, `train` and the demo need."""

HOSTED = {"sdk/gstreamer/element.py", "sdk/gstreamer/plugin/python/facesr.py"}
"""Modules that GStreamer loads, whose Python bindings come with it."""


def python(program, *arguments, site=None):
    """Run a program in a new process; with `site`, only the standard library and that folder can be imported."""
    if site is not None:
        program, arguments = f"import sys; sys.path.insert(0, sys.argv[1])\n{program}", (str(site), *arguments)
    options = ["-I", "-S"] if site is not None else []
    command = [sys.executable, *options, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": ""})


@pytest.fixture(scope="module")
def bare_site(tmp_path_factory, root):
    """Folder that holds numpy and the package only."""
    folder = tmp_path_factory.mktemp("site")
    numpy_folder = Path(numpy.__file__).parent
    for path in (numpy_folder, numpy_folder.with_name("numpy.libs")):
        if path.is_dir():
            (folder / path.name).symlink_to(path)
    (folder / "facesr_edge").symlink_to(root)
    return folder


def test_the_public_names_are_pinned():
    assert sorted(facesr_edge.__all__) == PUBLIC and dir(facesr_edge) == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_can_be_imported(name):
    value = getattr(facesr_edge, name)
    assert value is vars(facesr_edge)[name]  # cached after the first use
    assert not isinstance(value, (type, FunctionType)) or value.__name__ == name


def test_an_unknown_name_raises_attribute_error():
    with pytest.raises(AttributeError, match="module 'facesr_edge' has no attribute 'lode'"):
        _ = facesr_edge.lode


def test_numpy_suffices_to_import_the_package(bare_site):
    done = python(
        "import facesr_edge; print(facesr_edge.__version__, facesr_edge.FacesrError.__name__)", site=bare_site
    )
    assert (done.returncode, done.stdout) == (0, f"{facesr_edge.__version__} FacesrError\n"), done.stderr


def test_the_bare_site_lacks_the_other_dependencies(bare_site):
    for name in ("cv2", "onnxruntime", "torch", "click"):
        assert f"No module named '{name}'" in python(f"import {name}", site=bare_site).stderr


def test_importing_takes_less_than_200_ms_beyond_numpy(bare_site):
    program = (
        "import time, numpy\nstart = time.perf_counter()\nimport facesr_edge\n"
        "facesr_edge.Card, facesr_edge.FacesrError\nprint(time.perf_counter() - start)"
    )
    assert min(float(python(program, site=bare_site).stdout) for _ in range(5)) < 0.2


def test_importing_the_package_imports_no_dependency():
    done = python("import sys, facesr_edge, json; print(json.dumps(sorted({n.split('.')[0] for n in sys.modules})))")
    assert not {"cv2", "PIL", "onnxruntime", "av", "click", "rich", *BUILD_DEPENDENCIES} & set(json.loads(done.stdout))


def test_running_a_pipeline_imports_no_build_dependency():
    program = (
        "import sys, json, numpy, facesr_edge\n"
        "with facesr_edge.load('idrn-x4', engine='onnxruntime', threads=1) as sr:\n"
        "    sr(numpy.zeros((96, 128, 3), numpy.uint8)); sr.upscale(numpy.zeros((1, 32, 32, 3), numpy.uint8))\n"
        "print(json.dumps(sorted({n.split('.')[0] for n in sys.modules})))"
    )
    done = python(program)
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout))
    assert {"onnxruntime", "cv2"} <= loaded and not set(BUILD_DEPENDENCIES) & loaded


def test_every_run_time_module_imports_without_the_build_dependencies(sources):
    modules = [p for p in sources if p.parts[0] in ("sdk", "engines", "zoo", "calibration") or p.name == "bicubic.py"]
    modules = [path for path in modules if path.as_posix() not in HOSTED]
    names = [".".join(("facesr_edge", *p.with_suffix("").parts)).removesuffix(".__init__") for p in modules]
    program = (
        f"import sys, importlib\nfor name in {BUILD_DEPENDENCIES}: sys.modules[name] = None\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
    )
    done = python(program, *names)
    assert done.returncode == 0, done.stderr
    assert len(names) > 40
