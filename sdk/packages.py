"""The packages that this one goes without until they are needed: what for, and which extra brings them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version


@dataclass(frozen=True)
class Package:
    """A package, by the name that pip knows.

    Args:
        name: for pip.
        module: for import.
        purpose: what cannot be done without it.
        extra: of facesr-edge, that brings it; "" for those that always come along.
    """

    name: str
    module: str
    purpose: str
    extra: str = ""

    @property
    def version(self) -> str | None:
        """Version that is installed; None where it is not."""
        names = (self.name, "opencv-python") if self.module == "cv2" else (self.name,)
        for name in names:
            try:
                return installed_version(name)
            except PackageNotFoundError:
                continue
        return None

    @property
    def remedy(self) -> str:
        """The command that installs it."""
        return f"pip install 'facesr-edge[{self.extra}]'" if self.extra else f"pip install {self.name}"


PACKAGES = (
    Package("numpy", "numpy", "everything"),
    Package("opencv-python-headless", "cv2", "pictures, and the composite"),
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
    Package("tensorrt", "tensorrt", "engines on Jetson and NVIDIA GPUs", "tensorrt"),
    Package("openvino", "openvino", "faster networks on Intel CPUs", "openvino"),
)


def package_of(module: str) -> Package | None:
    """The package that a failed import was about; None where it is none of ours."""
    top = module.partition(".")[0]
    return next((package for package in PACKAGES if package.module == top), None)
