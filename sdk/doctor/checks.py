"""One thing that doctor looked at."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from typing import Any, Literal

State = Literal["ok", "missing", "broken"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Args:
        name: of the thing.
        state: there; not there, which nothing needs that was asked for so far; or so that nothing runs.
        detail: in words.
        remedy: the command that helps; "" where none does or none is needed.
    """

    name: str
    state: State
    detail: str
    remedy: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Package:
    """A package, by the name that pip knows.

    Args:
        name: for pip.
        module: for import.
        purpose: what cannot be done without it.
        extra: of facesr-edge, that brings it; "" for those that always come along.
        others: names of packages that hold the same module, e.g. for one version of CUDA.
    """

    name: str
    module: str
    purpose: str
    extra: str = ""
    others: tuple[str, ...] = ()

    @property
    def version(self) -> str | None:
        """Version that is installed; None where it is not."""
        for name in (self.name, *self.others):
            try:
                return installed_version(name)
            except PackageNotFoundError:
                continue
        return None

    @property
    def remedy(self) -> str:
        """The command that installs it."""
        return f"pip install 'facesr-edge[{self.extra}]'" if self.extra else f"pip install {self.name}"


TENSORRT = Package(
    "tensorrt", "tensorrt", "engines on Jetson and NVIDIA GPUs", "tensorrt", ("tensorrt-cu13", "tensorrt-cu12")
)
NVRTC = Package(
    *("nvidia-cuda-nvrtc", "cuda", "kernels compiled for the GPU at hand", "tensorrt"),
    others=("nvidia-cuda-nvrtc-cu13", "nvidia-cuda-nvrtc-cu12"),
)
PACKAGES = (
    Package("numpy", "numpy", "everything"),
    Package("opencv-python-headless", "cv2", "pictures, and the composite", others=("opencv-python",)),
    Package("onnxruntime", "onnxruntime", "running networks on the CPU"),
    Package("av", "av", "videos, cameras and streams"),
    Package("click", "click", "this command line"),
    Package("rich", "rich", "this command line"),
    Package("torch", "torch", "build and train", "build"),
    Package("onnx", "onnx", "build", "build"),
    Package("onnxsim", "onnxsim", "build", "build"),
    Package("onnxscript", "onnxscript", "build", "build"),
    Package("safetensors", "safetensors", "build and train", "build"),
    Package("scikit-image", "skimage", "eval, and the picture of the demo", "demo"),
    TENSORRT,
    Package("cuda-python", "cuda", "running on a GPU", "tensorrt", ("cuda-bindings",)),
    Package("pycuda", "pycuda", "running on a GPU, without CUDA graphs", "tensorrt"),
    Package("openvino", "openvino", "networks in FP16 and INT8 on CPUs, quicker", "openvino"),
)


def package_of(module: str) -> Package | None:
    """The package that a failed import was about; None where it is none of ours."""
    top = module.partition(".")[0]
    return next((package for package in PACKAGES if package.module == top), None)
