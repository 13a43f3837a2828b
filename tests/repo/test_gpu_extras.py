"""Extras for GPUs: each installs packages of one CUDA version, and leaves JetPack's TensorRT alone."""

import configparser

import pytest
from facesr_edge.engines.cuda.extra import MAJORS, gpu_extra
from packaging.requirements import Requirement

SERVER_X86 = {"platform_machine": "x86_64", "platform_release": "6.8.0-60-generic", "sys_platform": "linux"}
SERVER_ARM = {"platform_machine": "aarch64", "platform_release": "6.8.0-1025-nvidia-64k", "sys_platform": "linux"}
JETSON_6 = {"platform_machine": "aarch64", "platform_release": "5.15.148-tegra", "sys_platform": "linux"}
JETSON_7 = {"platform_machine": "aarch64", "platform_release": "6.8.12-tegra", "sys_platform": "linux"}
WINDOWS = {"platform_machine": "AMD64", "platform_release": "10", "sys_platform": "win32"}


@pytest.fixture(scope="module")
def extras(root):
    parser = configparser.ConfigParser()
    parser.read(root / "setup.cfg", encoding="utf-8")
    lines = parser["options.extras_require"].items()
    return {name: [Requirement(line) for line in text.split("\n") if line] for name, text in lines}


def packages(extras, extra, environment):
    """Name -> version specifier of what an extra installs on a machine."""
    wanted = (one for one in extras[extra] if one.marker is None or one.marker.evaluate(environment))
    return {one.name: one.specifier for one in wanted if one.name != "facesr-edge"}


def test_every_extra_of_tensorrt_can_make_static_graphs(extras):
    assert {one.name for one in extras["compile"]} == {"onnx", "onnxsim"}
    for name in (extra for extra in extras if extra.startswith("tensorrt")):
        assert "facesr-edge[compile]" in map(str, extras[name])


@pytest.mark.parametrize(
    ("extra", "environment", "names"),
    [
        ("tensorrt-cu12", SERVER_X86, {"tensorrt-cu12", "cuda-python", "nvidia-cuda-nvrtc-cu12"}),
        ("tensorrt-cu12", WINDOWS, {"tensorrt-cu12", "cuda-python", "nvidia-cuda-nvrtc-cu12"}),
        ("tensorrt-cu12", SERVER_ARM, {"cuda-python", "nvidia-cuda-nvrtc-cu12"}),  # no TensorRT wheels are published
        ("tensorrt-cu12", JETSON_6, {"cuda-python"}),
        ("tensorrt-cu13", SERVER_X86, {"tensorrt-cu13", "cuda-python", "nvidia-cuda-nvrtc"}),
        ("tensorrt-cu13", WINDOWS, {"tensorrt-cu13", "cuda-python", "nvidia-cuda-nvrtc"}),
        ("tensorrt-cu13", SERVER_ARM, {"tensorrt-cu13", "cuda-python", "nvidia-cuda-nvrtc"}),
        ("tensorrt-cu13", JETSON_7, {"cuda-python"}),
        ("tensorrt-rtx", SERVER_X86, {"tensorrt-rtx-cu13", "cuda-python", "nvidia-cuda-nvrtc"}),
        ("tensorrt-rtx-cu12", SERVER_X86, {"tensorrt-rtx-cu12", "cuda-python", "nvidia-cuda-nvrtc-cu12"}),
    ],
)
def test_extra_installs_what_the_machine_lacks(extras, extra, environment, names):
    assert set(packages(extras, extra, environment)) == names


@pytest.mark.parametrize(
    ("extra", "accepted", "refused"),
    [
        ("tensorrt-cu12", {"tensorrt-cu12": "10.16.1.11", "cuda-python": "12.9.10"}, {"cuda-python": "13.0.0"}),
        ("tensorrt-cu12", {"nvidia-cuda-nvrtc-cu12": "12.9.86"}, {"tensorrt-cu12": "11.0.0.114"}),
        ("tensorrt-cu12", {"tensorrt-cu12": "10.3.0"}, {"cuda-python": "12.6.2"}),
        ("tensorrt-cu13", {"tensorrt-cu13": "11.4.0.106", "cuda-python": "13.4.4"}, {"cuda-python": "12.9.10"}),
        ("tensorrt-cu13", {"nvidia-cuda-nvrtc": "13.5.37"}, {"cuda-python": "14.0.0"}),
        ("tensorrt-rtx", {"tensorrt-rtx-cu13": "1.7.1.116"}, {"cuda-python": "12.9.10"}),
        ("tensorrt-rtx-cu12", {"tensorrt-rtx-cu12": "1.7.1.116"}, {"cuda-python": "13.0.0"}),
    ],
)
def test_extra_takes_versions_of_its_cuda_only(extras, extra, accepted, refused):
    found = packages(extras, extra, SERVER_X86)
    assert all(version in found[name] for name, version in accepted.items())
    assert not any(version in found[name] for name, version in refused.items())


@pytest.mark.parametrize(("cuda", "extra"), [(12, "cu12"), (13, "cu13"), (14, "cu13"), (11, "cu12"), (0, "cu13")])
def test_driver_decides_the_extra(extras, cuda, extra):
    assert gpu_extra(cuda) == f"tensorrt-{extra}" and gpu_extra(cuda) in extras


def test_every_cuda_version_has_an_extra(extras):
    assert {name for name in extras if name.startswith("tensorrt-cu")} == {f"tensorrt-cu{major}" for major in MAJORS}


def test_every_extra_is_in_the_readme(root, extras):
    rows = [line for line in (root / "README.md").read_text("utf-8").splitlines() if line.startswith("| `")]
    missing = [name for name in extras if not any(f"`{name}`" in row.split("|")[1] for row in rows)]
    assert not missing
