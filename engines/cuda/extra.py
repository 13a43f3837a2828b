"""The extra of this package that fits the installed NVIDIA driver; asked before any CUDA bindings are installed."""

from __future__ import annotations

import ctypes
import sys

MAJORS = (12, 13)
"""CUDA versions with an extra, tensorrt-cu12 and tensorrt-cu13; its packages need a driver of that version or later."""


def driver_cuda() -> int:
    """Newest major version of CUDA that the driver supports, e.g. 12; 0 without a driver."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        version = ctypes.c_int(0)
        status = driver.cuDriverGetVersion(ctypes.byref(version))  # needs no cuInit, and no GPU
    except (OSError, AttributeError):
        return 0
    return version.value // 1000 if status == 0 else 0


def rtx_extra() -> str:
    """Extra with TensorRT for RTX, as `gpu_extra`."""
    return "tensorrt-rtx-cu12" if gpu_extra() == "tensorrt-cu12" else "tensorrt-rtx"


def gpu_extra(cuda: int | None = None) -> str:
    """Extra with TensorRT, CUDA bindings and NVRTC for a driver.

    Args:
        cuda: newest major version of CUDA that the driver supports; None: of this machine's.

    Returns:
        The newest that the driver supports; without a driver the newest of all, since one would be installed with it.
    """
    cuda = driver_cuda() if cuda is None else cuda
    return f"tensorrt-cu{max((major for major in MAJORS if major <= cuda), default=MAJORS[0] if cuda else MAJORS[-1])}"
