"""Layering: imports run downward only, each runtime is imported in one file, files and folders are small."""

import ast
from collections import Counter

import pytest

ORDER = ["sdk", "training", "converters", "zoo", "calibration", "networks", "engines"]
"""A folder may import itself and the folders to its right."""
FORBIDDEN = {("training", "zoo"), ("zoo", "calibration"), ("zoo", "networks")}
"""Exceptions: only the folders that build or load bundles import the zoo, and the zoo imports only engines."""
RUNTIME_FILES = {
    "onnxruntime": "engines/onnxruntime/session.py",
    "onnxruntime.quantization": "engines/onnxruntime/quantizer.py",
    "openvino": "engines/openvino/session.py",
    "tensorrt": "engines/tensorrt/api.py",
    "cuda": "engines/cuda/cuda_python.py",
    "pycuda": "engines/cuda/pycuda.py",
    "ncnn": "sdk/bench/peers/ncnn_network.py",
}
"""Runtime -> the one file that imports it. ONNX Runtime's quantizer needs onnx, hence a file of its own."""
MAX_LINES = 400
MAX_FILES = 25


def nodes(root, path):
    return ast.walk(ast.parse((root / path).read_text("utf-8")))


def third_party(root, path):
    """Top-level names that a file imports from outside of the package, local imports included."""
    for node in nodes(root, path):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split(".")[0]


def runtimes(root, path):
    """Keys of `RUNTIME_FILES` that a file imports; the longest match of each import."""
    for node in nodes(root, path):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for module in modules:
            matches = [name for name in RUNTIME_FILES if f"{module}.".startswith(f"{name}.")]
            yield from sorted(matches, key=len)[-1:]


def internal(root, path):
    """Modules of the package that a file imports, as parts below the root; imports for type checking included."""
    for node in nodes(root, path):
        if isinstance(node, ast.ImportFrom) and node.level:
            start = path.parent.parts[: len(path.parent.parts) - (node.level - 1)]
            assert node.level - 1 <= len(path.parent.parts), f"{path} imports from outside of the package"
            if node.module:
                yield (*start, *node.module.split("."))
            else:
                yield from ((*start, alias.name) for alias in node.names)


def test_every_folder_of_the_package_is_in_the_order(sources):
    assert {path.parts[0] for path in sources if len(path.parts) > 1} == set(ORDER)


def downward(folder, target):
    if target == ("__version__",):  # the only name that modules import from the root
        return folder == "sdk"
    imported = target[0]
    return imported in ORDER and ORDER.index(folder) <= ORDER.index(imported) and (folder, imported) not in FORBIDDEN


def test_imports_run_downward_only(root, sources):
    upward = [
        f"{path} imports {'.'.join(target)}"
        for path in sources
        if len(path.parts) > 1
        for target in internal(root, path)
        if not downward(path.parts[0], target)
    ]
    assert upward == []


def test_internal_imports_are_detected(root, sources):
    edges = {(path.parts[0], target[0]) for path in sources for target in internal(root, path)}
    assert {("sdk", "engines"), ("training", "converters"), ("converters", "zoo"), ("calibration", "networks")} <= edges


def test_imports_within_the_package_are_relative(root, sources):
    assert [str(path) for path in sources if "facesr_edge" in third_party(root, path)] == []


def test_samples_use_the_public_api_only(root, files):
    samples = [path for path in files if path.suffix == ".py" and path.parts[0] == "samples"]
    assert samples and not any(target for path in samples for target in internal(root, path))
    for path in samples:
        private = [n.module for n in nodes(root, path) if isinstance(n, ast.ImportFrom) and "facesr_edge" in n.module]
        assert private == []


@pytest.mark.parametrize("runtime", sorted(RUNTIME_FILES))
def test_a_runtime_is_imported_in_one_file_only(root, sources, runtime):
    importers = {path.as_posix() for path in sources if runtime in runtimes(root, path)}
    assert importers <= {RUNTIME_FILES[runtime]}
    assert importers or not runtime.startswith("onnxruntime")


def test_run_time_modules_import_no_build_dependency(root, sources):
    build = {"torch", "onnx", "onnxsim", "onnxscript", "safetensors"}
    modules = [path for path in sources if path.parts[0] in ("sdk", "engines", "zoo", "calibration")]
    assert [str(path) for path in modules if build & set(third_party(root, path))] == []


def test_every_module_has_a_docstring(root, files):
    modules = [path for path in files if path.suffix == ".py"]
    assert [str(p) for p in modules if not ast.get_docstring(ast.parse((root / p).read_text("utf-8")))] == []


def test_no_file_has_more_than_400_lines(root, files):
    code = [path for path in files if path.suffix == ".py" and path.parts[0] != "tests"]  # tests may be longer
    lines = {str(path): len((root / path).read_text("utf-8").splitlines()) for path in code}
    assert {name: count for name, count in lines.items() if count > MAX_LINES} == {}


def test_no_folder_has_more_than_25_source_files(sources):
    folders = Counter(path.parent.as_posix() for path in sources if path.name != "__init__.py")
    assert {folder: count for folder, count in folders.items() if count > MAX_FILES} == {}
