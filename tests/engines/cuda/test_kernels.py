"""The kernels' source: compiled by the toolkit and at run time for every GPU it is meant for, and then kept."""

import shutil
import subprocess

import pytest
from facesr_edge.engines.cuda import compiler as cuda_compile
from facesr_edge.engines.cuda import kernels
from facesr_edge.engines.cuda.compiler import OPTIONS, cached, cubin
from facesr_edge.engines.errors import EngineError

NAMES = ["gather_bgr", "gather_nv12", "enlarge", "project_down", "project_up", "paste"]
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


def holds_all(image):
    return all(f"\0{name}\0".encode() in image for name in NAMES)


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_the_toolkit_compiles_the_kernels(tmp_path, capability):
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("needs nvcc")
    arch = "sm_{}{}".format(*capability)
    if arch not in subprocess.run([nvcc, "--list-gpu-code"], capture_output=True, text=True, check=True).stdout.split():
        pytest.skip(f"this nvcc does not know {arch}")
    source, image = tmp_path / "kernels.cu", tmp_path / "kernels.cubin"
    source.write_text(kernels.source(), "utf-8")
    command = [nvcc, "-cubin", f"-arch={arch}", *OPTIONS, "-Werror", "all-warnings", "-o", image, source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert holds_all(image.read_bytes())


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_the_kernels_are_compiled_at_run_time(nvrtc, cache, capability):
    if 10 * capability[0] + capability[1] not in nvrtc.nvrtcGetSupportedArchs()[-1]:
        pytest.skip(f"this NVRTC does not know {capability}")
    image = cubin(nvrtc, kernels.source(), "kernels.cu", capability)
    assert image.startswith(b"\x7fELF") and holds_all(image)


def test_a_gpu_newer_than_the_compiler_gets_code_that_its_driver_finishes(nvrtc, cache):
    text = cubin(nvrtc, kernels.source(), "kernels.cu", (99, 0))
    assert b".version" in text and all(f".entry {name}(".encode() in text for name in NAMES)


def test_a_gpu_older_than_the_compiler_is_told(nvrtc, cache):
    with pytest.raises(EngineError, match=r"compiles for SM .* and newer, this GPU is SM 2\.0; install an older"):
        cubin(nvrtc, kernels.source(), "kernels.cu", (2, 0))


def test_a_source_that_does_not_compile_is_told_and_not_kept(nvrtc, cache):
    with pytest.raises(EngineError, match=r"NVRTC refuses odd\.cu: odd\.cu\(1\): error: .*expected an expression"):
        cubin(nvrtc, 'extern "C" __global__ void f(int *p) { *p = ; }', "odd.cu", (8, 7))
    assert not cache.exists()


def test_kernels_are_compiled_once(nvrtc, cache, monkeypatch):
    first = cubin(nvrtc, kernels.source(), "kernels.cu", (8, 7))
    monkeypatch.setattr(cuda_compile, "_compiled", lambda *_: pytest.fail("compiled again"))
    assert cubin(nvrtc, kernels.source(), "kernels.cu", (8, 7)) == first
    with pytest.raises(pytest.fail.Exception, match="compiled again"):
        cubin(nvrtc, kernels.source() + "\n", "kernels.cu", (8, 7))


def test_what_was_kept_and_spoilt_is_made_again(cache):
    assert [cached("text", lambda: b"image") for _ in range(2)] == [b"image"] * 2
    (path,) = cache.iterdir()
    for spoilt in (b"", path.read_bytes()[:-1], path.read_bytes()[:-1] + b"x"):
        path.write_bytes(spoilt)
        assert cached("text", lambda: b"image") == b"image"
    assert [p.name for p in cache.iterdir()] == [path.name]


def test_where_nothing_can_be_kept_it_is_made_each_time(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert [cached("text", lambda n=n: b"%d" % n) for n in range(2)] == [b"0", b"1"]
