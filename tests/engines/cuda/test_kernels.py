"""Kernel source: compiled with nvcc and NVRTC for every supported GPU generation, and cached_image."""

import shutil
import subprocess

import pytest
from facesr_edge.engines.cuda import compiler, kernels
from facesr_edge.engines.cuda.compiler import OPTIONS, cached_image, compile_kernels
from facesr_edge.engines.errors import EngineError

NAMES = ["gather_bgr", "gather_nv12", "enlarge", "paste", "paste_many", "fill_cells", "append_candidates"]
CAPABILITIES = [(7, 5), (8, 7), (9, 0), (11, 0)]
"""Turing, Orin, Hopper, Thor."""


@pytest.fixture(scope="module")
def nvrtc():
    module = pytest.importorskip("cuda.bindings.nvrtc", exc_type=ImportError)
    try:
        module.nvrtcVersion()
    except RuntimeError as error:
        pytest.skip(f"needs NVRTC: {error}")
    return module


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "facesr-edge" / "kernels"


def contains_all(image):
    return all(f"\0{name}\0".encode() in image for name in NAMES)


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_nvcc_compiles_the_kernels_without_warnings(tmp_path, capability):
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("needs nvcc")
    arch = "sm_{}{}".format(*capability)
    if arch not in subprocess.run([nvcc, "--list-gpu-code"], capture_output=True, text=True, check=True).stdout.split():
        pytest.skip(f"this nvcc does not support {arch}")
    source, image = tmp_path / "kernels.cu", tmp_path / "kernels.cubin"
    source.write_text(kernels.source(), "utf-8")
    command = [nvcc, "-cubin", f"-arch={arch}", *OPTIONS, "-Werror", "all-warnings", "-o", image, source]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 0 and not process.stderr, process.stderr
    assert contains_all(image.read_bytes())


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_nvrtc_compiles_the_kernels(nvrtc, cache, capability):
    if 10 * capability[0] + capability[1] not in nvrtc.nvrtcGetSupportedArchs()[-1]:
        pytest.skip(f"this NVRTC does not support {capability}")
    image = compile_kernels(nvrtc, kernels.source(), "kernels.cu", capability)
    assert image.startswith(b"\x7fELF") and contains_all(image)


def test_a_gpu_newer_than_the_compiler_gets_ptx(nvrtc, cache):
    text = compile_kernels(nvrtc, kernels.source(), "kernels.cu", (99, 0))
    assert b".version" in text and all(f".entry {name}(".encode() in text for name in NAMES)


def test_a_gpu_older_than_the_compiler_raises(nvrtc, cache):
    with pytest.raises(EngineError, match=r"supports SM .* and newer, this GPU is SM 2\.0; install an older"):
        compile_kernels(nvrtc, kernels.source(), "kernels.cu", (2, 0))


def test_a_source_that_does_not_compile_raises_and_is_not_cached(nvrtc, cache):
    with pytest.raises(EngineError, match=r"NVRTC cannot compile invalid\.cu: .*\(1\): error: .*expected an expr"):
        compile_kernels(nvrtc, 'extern "C" __global__ void f(int *p) { *p = ; }', "invalid.cu", (8, 7))
    assert not cache.exists()


def test_compiled_kernels_are_cached(nvrtc, cache, monkeypatch):
    first = compile_kernels(nvrtc, kernels.source(), "kernels.cu", (8, 7))
    monkeypatch.setattr(compiler, "_compile", lambda *_: pytest.fail("compiled again"))
    assert compile_kernels(nvrtc, kernels.source(), "kernels.cu", (8, 7)) == first
    with pytest.raises(pytest.fail.Exception, match="compiled again"):
        compile_kernels(nvrtc, kernels.source() + "\n", "kernels.cu", (8, 7))


def test_a_corrupt_cache_file_is_replaced(cache):
    assert [cached_image("text", lambda: b"image") for _ in range(2)] == [b"image"] * 2
    (path,) = cache.iterdir()
    for corrupt in (b"", path.read_bytes()[:-1], path.read_bytes()[:-1] + b"x"):
        path.write_bytes(corrupt)
        assert cached_image("text", lambda: b"image") == b"image"
    assert [p.name for p in cache.iterdir()] == [path.name]


def test_without_a_writable_cache_every_call_compiles(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert [cached_image("text", lambda n=n: b"%d" % n) for n in range(2)] == [b"0", b"1"]
