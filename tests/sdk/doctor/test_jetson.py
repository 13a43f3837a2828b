"""A Jetson's files and tools, written as they are on one, in a root of their own; what board and doctor make of it."""

import json
import shutil
import stat

import pytest
from facesr_edge.engines.jetson import Clock, run_tool, this_jetson
from facesr_edge.sdk.doctor.examine import examine
from facesr_edge.sdk.doctor.gpu import gpu_checks, smi_says
from facesr_edge.sdk.doctor.machine import this_machine

ORIN = """\
# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8 01:49:37 UTC 2025
# KERNEL_VARIANT: oot
TARGET_USERSPACE_LIB_DIR=nvidia
TARGET_USERSPACE_LIB_DIR_PATH=usr/lib/aarch64-linux-gnu/nvidia
"""
THOR = ORIN.replace("R36", "R38").replace("4.3,", "4.0,")
NVPMODEL = "NV Fan Mode:quiet\nNV Power Mode: MODE_30W\n2\n"


def put(root, name, text):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def put_tool(root, name, says, code=0, wants=""):
    """A program that prints a text where its arguments hold `wants`, and fails elsewhere."""
    path = root / "usr/bin" / name
    put(root, f"usr/share/{name}.txt", says)
    shell = shutil.which("sh")
    put(
        root,
        f"usr/bin/{name}",
        f'#!{shell}\ncase "$*" in *"{wants}"*) ;; *) exit 9 ;; esac\n'
        f'while IFS= read -r line; do echo "$line"; done < "{root}/usr/share/{name}.txt"\nexit {code}\n',
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def put_clock(root, folder, prefix, current, least, most):
    for kind, value in (("cur", current), ("min", least), ("max", most)):
        put(root, f"{folder}/{prefix}{kind}_freq", f"{value}\n")


@pytest.fixture
def orin(tmp_path):
    """An AGX Orin of JetPack 6.2 in its 30 W mode, clocks free."""
    put(tmp_path, "etc/nv_tegra_release", ORIN)
    put(tmp_path, "proc/device-tree/model", "NVIDIA Jetson AGX Orin Developer Kit\0")
    put(tmp_path, "proc/cpuinfo", "processor\t: 0\nFeatures\t: fp asimd aes asimdhp asimddp\nCPU part\t: 0xd42\n\n")
    put_tool(tmp_path, "dpkg-query", "6.2+b77\n", wants="nvidia-jetpack")
    put_tool(tmp_path, "nvpmodel", NVPMODEL, wants="-q")
    put_clock(tmp_path, "sys/class/devfreq/17000000.gpu", "", 306000000, 306000000, 624750000)
    put_clock(tmp_path, "sys/class/devfreq/15340000.vic", "", 115200000, 115200000, 729600000)
    put_clock(tmp_path, "sys/devices/system/cpu/cpu0/cpufreq", "scaling_", 729600, 729600, 1728000)
    for bus in ("bus@0/13e00000.host1x", "host1x"):
        for core in ("15880000.nvdla0", "158c0000.nvdla1"):
            (tmp_path / "sys/devices/platform" / bus / core).mkdir(parents=True)
    return tmp_path


def told(root):
    return {finding.name: finding for finding in gpu_checks(root)}


def test_a_jetson_tells_what_it_is_and_how_it_is_set(orin):
    board = this_jetson(orin)
    assert (board.model, board.l4t, board.jetpack) == ("NVIDIA Jetson AGX Orin Developer Kit", "36.4.3", "6.2")
    assert (board.power_mode, board.dla_cores, board.release) == ("MODE_30W", 2, "6.2")
    assert board.clocks == (Clock("GPU", 306, 306, 625), Clock("CPU", 730, 730, 1728))
    assert not board.locked


def test_what_a_card_keeps_of_it_goes_into_json(orin):
    kept = json.loads(json.dumps(this_jetson(orin).settings()))
    assert kept == {
        "model": "NVIDIA Jetson AGX Orin Developer Kit",
        "l4t": "36.4.3",
        "power_mode": "MODE_30W",
        "clocks_mhz": {"GPU": 306, "CPU": 730},
        "clocks_locked": False,
    }


def test_doctor_tells_the_board_and_the_command_that_steadies_it(orin):
    found = told(orin)
    assert found["Jetson"].detail == "NVIDIA Jetson AGX Orin Developer Kit, JetPack 6.2, Jetson Linux 36.4.3"
    assert found["Jetson"].remedy == ""
    assert found["power mode"].detail == "MODE_30W; GPU 306 to 625 MHz, CPU 730 to 1728 MHz, not locked"
    assert found["power mode"].remedy == "sudo jetson_clocks"
    assert found["DLA"].detail == "2 cores"


def test_locked_clocks_need_no_command(orin):
    put_clock(orin, "sys/class/devfreq/17000000.gpu", "", 1300500000, 1300500000, 1300500000)
    put_clock(orin, "sys/devices/system/cpu/cpu0/cpufreq", "scaling_", 2201600, 2201600, 2201600)
    assert this_jetson(orin).locked
    found = told(orin)["power mode"]
    assert (found.detail, found.remedy) == ("MODE_30W; GPU at 1300 MHz, CPU at 2202 MHz", "")


def test_a_board_without_jetpack_says_how_to_have_it(orin):
    put_tool(orin, "dpkg-query", "dpkg-query: no packages found\n", code=1)
    assert this_jetson(orin).release == "L4T 36.4.3"
    found = told(orin)["Jetson"]
    assert "no JetPack packages" in found.detail and found.remedy == "sudo apt install nvidia-jetpack"


def test_the_remedies_of_a_jetson_are_its_own(orin):
    found = told(orin)
    if found["CUDA"].state == "missing":
        assert "cuda-python==12.*" in found["CUDA"].remedy or "driver" in found["CUDA"].detail
    if found["TensorRT"].detail.startswith("not installed"):
        assert "python3-libnvinfer" in found["TensorRT"].remedy and "--system-site-packages" in found["TensorRT"].remedy


@pytest.mark.parametrize(("release", "major"), [(ORIN, 12), (THOR, 13), ("# R35 (release), REVISION: 6.0", 12)])
def test_cuda_bindings_are_those_of_the_jetsons_cuda(orin, release, major):
    from facesr_edge.sdk.doctor.gpu import cuda_python_for

    put(orin, "etc/nv_tegra_release", release)
    assert cuda_python_for(this_jetson(orin)) == f"pip install 'cuda-python=={major}.*'"


def test_a_toolkits_nvrtc_is_found(orin):
    put(orin, "usr/local/cuda-12.6/targets/aarch64-linux/lib/libnvrtc.so.12.6.77", "")
    (orin / "usr/local/cuda-12.6/targets/aarch64-linux/lib/libnvrtc.so.12").symlink_to("libnvrtc.so.12.6.77")
    found = told(orin)["NVRTC"]
    assert found.state == "ok" and (found.detail == "12.6.77, of the CUDA toolkit" or found.detail[0].isdigit())


def test_a_board_that_tells_little_is_still_told(tmp_path):
    put(tmp_path, "etc/nv_tegra_release", "something else\n")
    board = this_jetson(tmp_path)
    assert (board.l4t, board.model, board.power_mode, board.clocks, board.dla_cores) == (
        "something else",
        "",
        "",
        (),
        0,
    )
    found = told(tmp_path)
    assert found["power mode"].detail == "not known (sudo nvpmodel -q)" and found["power mode"].remedy == ""
    assert found["DLA"].state == "missing"


def test_the_machine_of_a_report_names_the_boards_setting(orin, tmp_path_factory):
    machine = this_machine(orin)
    assert machine.cpu == "NVIDIA Jetson AGX Orin Developer Kit" and machine.instructions == (
        "asimd",
        "asimdhp",
        "asimddp",
    )
    assert str(machine).endswith("JetPack 6.2, power mode MODE_30W, clocks not locked")
    assert this_machine(tmp_path_factory.mktemp("plain")).board == ""


def test_nvidia_smi_is_read_and_what_it_does_not_know_left_out(tmp_path):
    query = "--query-gpu=name,compute_cap,memory.total,driver_version"
    put_tool(tmp_path, "nvidia-smi", "NVIDIA RTX A2000, 8.6, 6138 MiB, 570.124.06\nsecond, 8.6, 1, 2\n", wants=query)
    assert smi_says(tmp_path) == "NVIDIA RTX A2000, compute capability 8.6, 6138 MiB, driver 570.124.06"
    put_tool(tmp_path, "nvidia-smi", "Orin (nvgpu), [N/A], [N/A], 540.4.0\n", wants=query)
    assert smi_says(tmp_path) == "Orin (nvgpu), driver 540.4.0"


@pytest.mark.parametrize("says", ["", "No devices were found", "a, b"])
def test_an_nvidia_smi_without_a_gpu_is_none(tmp_path, says):
    put_tool(tmp_path, "nvidia-smi", says)
    assert smi_says(tmp_path) == ""


def test_a_tool_that_fails_or_is_not_there_says_nothing(tmp_path):
    put_tool(tmp_path, "broken", "half an answer\n", code=3)
    put_tool(tmp_path, "whole", "an answer\n")
    assert run_tool("broken", root=tmp_path) == run_tool("absent", root=tmp_path) == ""
    assert run_tool("whole", root=tmp_path) == "an answer"
    assert run_tool("sh", "-c", "echo here") == "here"


@pytest.fixture
def no_gpu():
    from facesr_edge.engines.cuda.device import Gpu
    from facesr_edge.engines.errors import FacesrError

    try:
        Gpu().close()
    except FacesrError:
        return
    pytest.skip("this machine has a GPU")


def test_a_machine_with_none_of_it_has_one_line(no_gpu, tmp_path):
    findings = [finding for finding in gpu_checks(tmp_path) if finding.name != "TensorRT"]
    (only,) = findings
    assert (only.name, only.state, only.detail) == ("NVIDIA GPU", "missing", "none; networks run on the CPU")
    assert only.remedy == ""


def test_a_card_without_a_driver_is_told_with_the_command(no_gpu, tmp_path):
    device = "sys/bus/pci/devices/0000:01:00.0"
    put(tmp_path, f"{device}/vendor", "0x10de\n")
    put(tmp_path, f"{device}/class", "0x030000\n")
    found = told(tmp_path)["NVIDIA GPU"]
    assert found.detail == "there, without a driver" and found.remedy == "sudo ubuntu-drivers install"
    put(tmp_path, f"{device}/class", "0x040300\n")  # the sound of the same card
    assert told(tmp_path)["NVIDIA GPU"].remedy == ""


def test_doctor_looks_at_all_of_it_in_one_list(orin):
    names = [finding.name for finding in examine(orin)]
    for name in ("Jetson", "power mode", "DLA", "NVIDIA GPU", "CUDA", "NVRTC", "TensorRT", "numpy", "model idrn-x4"):
        assert names.count(name) == 1
    assert "cuda-python" not in names and "pycuda" not in names
