"""The house: imports run downward only, a runtime has one room, and no room is overfull."""

import ast

import pytest

ORDER = ["sdk", "training", "converters", "zoo", "calibration", "networks", "engines"]
"""A folder imports itself and what stands to its right."""
EXCEPT = {("training", "zoo"), ("zoo", "calibration"), ("zoo", "networks")}
"""To the right, and yet not to be imported: the zoo is bundles, for those who build or load them."""
ROOMS = {
    "onnxruntime": "engines/onnxruntime/session.py",
    "onnxruntime.quantization": "engines/onnxruntime/quantizer.py",
    "openvino": "engines/openvino/session.py",
    "tensorrt": "engines/tensorrt/api.py",
    "cuda": "engines/cuda/cuda_python.py",
    "pycuda": "engines/cuda/pycuda.py",
}
"""Runtime -> the one file that imports it, once there is one. ONNX Runtime's quantiser is a tool of its own that runs
nothing and needs onnx: what runs must not import it."""
MOST_LINES = 400


def nodes(root, path):
    return ast.walk(ast.parse((root / path).read_text("utf-8")))


def foreign(root, path):
    """Top names of what a file imports from outside of the package, wherever in the file."""
    for node in nodes(root, path):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split(".")[0]


def runtimes(root, path):
    """Names of `ROOMS` that a file imports, the longest that fits each import."""
    for node in nodes(root, path):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for module in modules:
            fits = [name for name in ROOMS if f"{module}.".startswith(f"{name}.")]
            yield from sorted(fits, key=len)[-1:]


def own(root, path):
    """Modules of the package that a file imports, as parts below its root; typing's own imports included."""
    for node in nodes(root, path):
        if isinstance(node, ast.ImportFrom) and node.level:
            start = path.parent.parts[: len(path.parent.parts) - (node.level - 1)]
            assert node.level - 1 <= len(path.parent.parts), f"{path} imports from outside of the package"
            if node.module:
                yield (*start, *node.module.split("."))
            else:
                yield from ((*start, alias.name) for alias in node.names)


def test_every_folder_of_the_package_has_its_place(sources):
    assert {path.parts[0] for path in sources if len(path.parts) > 1} == set(ORDER)


def downward(folder, target):
    if target == ("__version__",):  # the one thing that the root itself has to give
        return folder == "sdk"
    there = target[0]
    return there in ORDER and ORDER.index(folder) <= ORDER.index(there) and (folder, there) not in EXCEPT


def test_imports_run_downward_only(root, sources):
    upward = [
        f"{path} imports {'.'.join(target)}"
        for path in sources
        if len(path.parts) > 1
        for target in own(root, path)
        if not downward(path.parts[0], target)
    ]
    assert upward == []


def test_the_imports_are_seen_at_all(root, sources):
    seen = {(path.parts[0], target[0]) for path in sources for target in own(root, path)}
    assert {("sdk", "engines"), ("training", "converters"), ("converters", "zoo"), ("calibration", "networks")} <= seen


def test_imports_within_the_package_are_relative(root, sources):
    assert [str(path) for path in sources if "facesr_edge" in foreign(root, path)] == []


def test_samples_use_the_public_face_alone(root, files):
    samples = [path for path in files if path.suffix == ".py" and path.parts[0] == "samples"]
    assert samples and not any(target for path in samples for target in own(root, path))
    for path in samples:
        deeper = [n.module for n in nodes(root, path) if isinstance(n, ast.ImportFrom) and "facesr_edge" in n.module]
        assert deeper == []


@pytest.mark.parametrize("runtime", sorted(ROOMS))
def test_a_runtime_is_imported_in_one_file_only(root, sources, runtime):
    importers = {path.as_posix() for path in sources if runtime in runtimes(root, path)}
    assert importers <= {ROOMS[runtime]}
    assert importers or not runtime.startswith("onnxruntime")


def test_torch_stays_out_of_what_runs(root, sources):
    heavy = {"torch", "onnx", "onnxsim", "onnxscript", "safetensors"}
    runs = [path for path in sources if path.parts[0] in ("sdk", "engines", "zoo", "calibration")]
    assert [str(path) for path in runs if heavy & set(foreign(root, path))] == []


def test_every_module_begins_with_what_it_is_for(root, files):
    modules = [path for path in files if path.suffix == ".py"]
    assert [str(p) for p in modules if not ast.get_docstring(ast.parse((root / p).read_text("utf-8")))] == []


def test_no_file_is_overfull(root, files):
    code = [path for path in files if path.suffix == ".py" and path.parts[0] != "tests"]  # tables of tests may be long
    lines = {str(path): len((root / path).read_text("utf-8").splitlines()) for path in code}
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}
