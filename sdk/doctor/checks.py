"""The result of one check, and the Python packages that are checked."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from typing import Literal

from ...engines.cuda.extra import gpu_extra, rtx_extra

State = Literal["ok", "missing", "broken"]
"""Missing: optional and not available; broken: nothing can run without it."""


@dataclass(frozen=True)
class Check:
    """The result of one check."""

    name: str
    state: State
    detail: str  # version, size or problem, for the user
    remedy: str = ""  # command that fixes it; "" if there is none or none is needed


GPU = "gpu"
"""Stands for the extra that fits the driver; see `gpu_extra`."""
RTX = "rtx"
"""Stands for the extra of TensorRT for RTX that fits the driver; see `rtx_extra`."""


@dataclass(frozen=True)
class Package:
    """A Python package."""

    name: str  # of the distribution, for pip
    module: str  # name to import
    purpose: str  # what needs it
    extra: str = ""  # extra of facesr-edge that installs it, `GPU` or `RTX`; "" for required packages
    others: tuple[str, ...] = ()  # distributions with the same module, e.g. for one version of CUDA

    @property
    def version(self) -> str | None:
        """Installed version; None if it is not installed."""
        for name in (self.name, *self.others):
            try:
                return installed_version(name)
            except PackageNotFoundError:
                continue
        return None

    @property
    def remedy(self) -> str:
        """The command that installs it."""
        extra = {GPU: gpu_extra, RTX: rtx_extra}[self.extra]() if self.extra in (GPU, RTX) else self.extra
        return f"pip install 'facesr-edge[{extra}]'" if extra else f"pip install {self.name}"


TENSORRT = Package("tensorrt", "tensorrt", "engines on Jetson and NVIDIA GPUs", GPU, ("tensorrt-cu13", "tensorrt-cu12"))
NVRTC = Package("nvidia-cuda-nvrtc", "cuda", "compiling CUDA kernels", GPU, ("nvidia-cuda-nvrtc-cu12",))
CUDA_PYTHON = Package("cuda-python", "cuda", "running on a GPU", GPU, ("cuda-bindings",))
PYCUDA = Package("pycuda", "pycuda", "running on a GPU, without CUDA graphs", "pycuda")
PACKAGES = (
    Package("numpy", "numpy", "everything"),
    Package("opencv-python-headless", "cv2", "images, and the composite", others=("opencv-python",)),
    Package("onnxruntime", "onnxruntime", "running networks on the CPU"),
    Package("av", "av", "videos, cameras and streams"),
    Package("platformdirs", "platformdirs", "the cache folder"),
    Package("psutil", "psutil", "memory and load of the machine"),
    Package("click", "click", "the command line"),
    Package("rich", "rich", "the command line"),
    Package("torch", "torch", "build and train", "build"),
    Package("onnx", "onnx", "build, and compiling engines", "compile"),
    Package("onnxsim", "onnxsim", "build, and compiling engines", "compile"),
    Package("onnxscript", "onnxscript", "build", "build"),
    Package("safetensors", "safetensors", "build and train", "build"),
    Package("scikit-image", "skimage", "eval, and the demo image", "demo"),
    Package("pyyaml", "yaml", "cameras.yaml", "cameras"),
    Package("starlette", "starlette", "the web page of live cameras", "cameras"),
    Package("uvicorn", "uvicorn", "the web page of live cameras", "cameras"),
    Package("prometheus_client", "prometheus_client", "metrics of live cameras", "cameras"),
    Package("paho-mqtt", "paho", "MQTT", "cameras"),
    Package("sqlalchemy", "sqlalchemy", "stores of faces", "store"),
    Package("pyarrow", "pyarrow", "export of stores to Parquet", "store"),
    Package("psycopg", "psycopg", "stores in PostgreSQL", "postgresql"),
    *(TENSORRT, CUDA_PYTHON, PYCUDA),
    Package(
        *("tensorrt-rtx-cu13", "tensorrt_rtx", "engines for RTX GPUs, built on any machine", RTX),
        ("tensorrt-rtx-cu12", "tensorrt-rtx"),
    ),
    Package("openvino", "openvino", "faster FP16 and INT8 networks on CPUs", "openvino"),
)


def package_of(module: str) -> Package | None:
    """The package of a module that failed to import; None for other modules."""
    top = module.partition(".")[0]
    return next((package for package in PACKAGES if package.module == top), None)
