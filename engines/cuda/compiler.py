"""CUDA C++ -> code for one GPU, by NVIDIA's run-time compiler (NVRTC), which needs no toolkit and no GPU."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import EngineError

OPTIONS = ("--std=c++17", "--fmad=false")
"""Products and sums are rounded apart, as on a CPU: the same picture comes out of both."""


def cubin(nvrtc: Any, source: str, name: str, compute_capability: tuple[int, int]) -> bytes:
    """Compile for a GPU: machine code, or PTX where the compiler is older than the GPU.

    Args:
        nvrtc: the module ``cuda.bindings.nvrtc``.
        source: in one piece.
        name: of the source, for messages.
        compute_capability: e.g. (8, 7).

    Raises:
        EngineError: NVRTC is missing, too old, or refuses the source.
    """
    try:
        known = _call(nvrtc, nvrtc.nvrtcGetSupportedArchs)
    except (RuntimeError, ImportError) as error:  # the bindings load libnvrtc with their first call
        reason = str(error).splitlines()[0]
        raise EngineError(f"no NVRTC here ({reason}); pip install 'cuda-python[all]', or install the toolkit") from None
    wanted = 10 * compute_capability[0] + compute_capability[1]
    older = [arch for arch in known if arch <= wanted]
    if not older:
        raise EngineError(
            f"NVRTC {'.'.join(map(str, _version(nvrtc)))} compiles for SM {min(known) / 10} and newer, this GPU is "
            f"SM {wanted / 10}; install an older cuda-python"
        )
    arch = f"--gpu-architecture={'sm' if wanted in known else 'compute'}_{max(older)}"
    text = "\n".join((*map(str, _version(nvrtc)), arch, *OPTIONS, source))
    return cached(text, lambda: _compiled(nvrtc, source, name, arch))


def cached(text: str, make: Callable[[], bytes]) -> bytes:
    """What was made of a text before, or is made now: kernels take seconds to compile and are the same each time.

    Kept in ``facesr-edge/kernels`` of the user's cache folder, which may be emptied at any time; where it cannot be
    written nothing is kept.

    Args:
        text: all that the result depends on.
        make: makes it.
    """
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    path = Path(home, "facesr-edge", "kernels", hashlib.sha256(text.encode()).hexdigest())
    with suppress(OSError):
        image = path.read_bytes()
        digest, image = image[:32], image[32:]
        if hashlib.sha256(image).digest() == digest:
            return image
    image = make()
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(hashlib.sha256(image).digest() + image)
        Path(file.name).replace(path)
    return image


def _compiled(nvrtc: Any, source: str, name: str, arch: str) -> bytes:
    program = _call(nvrtc, nvrtc.nvrtcCreateProgram, source.encode(), name.encode(), 0, [], [])
    try:
        options = [option.encode() for option in (arch, *OPTIONS)]
        (status,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
        if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
            log = b" " * _call(nvrtc, nvrtc.nvrtcGetProgramLogSize, program)
            _call(nvrtc, nvrtc.nvrtcGetProgramLog, program, log)
            lines = log.decode("utf-8", "replace").strip("\0 \n").splitlines()
            first = next((line for line in lines if "error" in line), "no reason given")
            raise EngineError(f"NVRTC refuses {name}: {first.strip()}; install facesr-edge again")
        ready = "sm_" in arch
        size, get = (
            (nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN) if ready else (nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX)
        )
        image = b" " * _call(nvrtc, size, program)
        _call(nvrtc, get, program, image)
        return bytes(image)
    finally:
        nvrtc.nvrtcDestroyProgram(program)


def _version(nvrtc: Any) -> tuple[int, int]:
    _, major, minor = nvrtc.nvrtcVersion()
    return major, minor


def _call(nvrtc: Any, function: Any, *arguments: Any) -> Any:
    status, *results = function(*arguments)
    if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        raise EngineError(f"NVRTC refused {function.__name__} ({status.name}); facesr-edge doctor says what is amiss")
    if function.__name__ == "nvrtcGetSupportedArchs":
        return results[-1]
    return results[0] if results else None
