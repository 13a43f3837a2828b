"""Compile CUDA C++ for one GPU with NVIDIA's run-time compiler (NVRTC); needs neither the CUDA toolkit nor a GPU."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ..errors import EngineError, first_line
from ..files import cache_dir, write_atomic
from .extra import gpu_extra

OPTIONS = ("--std=c++17", "--fmad=false")
"""Without fused multiply-add the rounding, and so the image, is the same as on a CPU."""


def compile_kernels(nvrtc: Any, source: str, name: str, compute_capability: tuple[int, int]) -> bytes:
    """Compile for a GPU: a cubin, or PTX if the compiler is older than the GPU.

    Args:
        nvrtc: the module ``cuda.bindings.nvrtc``.
        source: CUDA C++ in one piece.
        name: file name for error messages.
        compute_capability: e.g. (8, 7).

    Raises:
        EngineError: NVRTC is missing, does not support the GPU, or rejects the source.
    """
    try:
        supported = _call(nvrtc, nvrtc.nvrtcGetSupportedArchs)
    except (RuntimeError, ImportError) as error:  # the bindings load libnvrtc on their first call
        raise EngineError(
            f"NVRTC not found ({first_line(error)}); pip install 'facesr-edge[{gpu_extra()}]', or the CUDA toolkit"
        ) from None
    capability = 10 * compute_capability[0] + compute_capability[1]
    candidates = [arch for arch in supported if arch <= capability]
    if not candidates:
        raise EngineError(
            f"NVRTC {'.'.join(map(str, _version(nvrtc)))} supports SM {min(supported) / 10} and newer, this GPU is "
            f"SM {capability / 10}; install an older cuda-python"
        )
    arch = f"--gpu-architecture={'sm' if capability in supported else 'compute'}_{max(candidates)}"
    key = "\n".join((*map(str, _version(nvrtc)), arch, *OPTIONS, source))
    return cached_image(key, lambda: _compile(nvrtc, source, name, arch))


def cached_image(key: str, compile_image: Callable[[], bytes]) -> bytes:
    """Return a compiled image from the user's cache folder, or compile it, which takes seconds, and store it there.

    The cache is ``facesr-edge/kernels``; it may be deleted at any time. If it is not writable, nothing is stored.

    Args:
        key: text of everything that determines the image.
        compile_image: called on a cache miss.
    """
    path = cache_dir("kernels") / hashlib.sha256(key.encode()).hexdigest()
    with suppress(OSError):
        data = path.read_bytes()
        digest, image = data[:32], data[32:]
        if hashlib.sha256(image).digest() == digest:
            return image
    image = compile_image()
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, hashlib.sha256(image).digest() + image)
    return image


def _compile(nvrtc: Any, source: str, name: str, arch: str) -> bytes:
    program = _call(nvrtc, nvrtc.nvrtcCreateProgram, source.encode(), name.encode(), 0, [], [])
    try:
        options = [option.encode() for option in (arch, *OPTIONS)]
        (status,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
        if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
            raise EngineError(f"NVRTC cannot compile {name}: {_first_error(nvrtc, program)}; reinstall facesr-edge")
        kind = "CUBIN" if "sm_" in arch else "PTX"
        image = b" " * _call(nvrtc, getattr(nvrtc, f"nvrtcGet{kind}Size"), program)
        _call(nvrtc, getattr(nvrtc, f"nvrtcGet{kind}"), program, image)
        return bytes(image)
    finally:
        nvrtc.nvrtcDestroyProgram(program)


def _first_error(nvrtc: Any, program: Any) -> str:
    log = b" " * _call(nvrtc, nvrtc.nvrtcGetProgramLogSize, program)
    _call(nvrtc, nvrtc.nvrtcGetProgramLog, program, log)
    lines = log.decode("utf-8", "replace").strip("\0 \n").splitlines()
    return next((line for line in lines if "error" in line), "no reason given").strip()


def _version(nvrtc: Any) -> tuple[int, int]:
    _, major, minor = nvrtc.nvrtcVersion()
    return major, minor


def _call(nvrtc: Any, function: Any, *arguments: Any) -> Any:
    status, *results = function(*arguments)
    if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        raise EngineError(
            f"NVRTC call {function.__name__} failed ({status.name}); run facesr-edge doctor to check the installation"
        )
    if function.__name__ == "nvrtcGetSupportedArchs":
        return results[-1]
    return results[0] if results else None
