"""Detection of a Jetson and the GPU checks of doctor, on a simulated root file system."""

import json
import shutil
import stat

import pytest
from facesr_edge.engines.jetson import Clock, PowerMode, fastest_mode, run_tool, this_jetson
from facesr_edge.sdk.doctor import gpu
from facesr_edge.sdk.doctor.checks import PYCUDA
from facesr_edge.sdk.doctor.examine import examine
from facesr_edge.sdk.doctor.gpu import gpu_checks, nvidia_smi
from facesr_edge.sdk.doctor.machine import this_machine

ORIN = """\
# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8 01:49:37 UTC 2025
# KERNEL_VARIANT: oot
TARGET_USERSPACE_LIB_DIR=nvidia
TARGET_USERSPACE_LIB_DIR_PATH=usr/lib/aarch64-linux-gnu/nvidia
"""
THOR = ORIN.replace("R36", "R38").replace("4.3,", "4.0,")
NANO_SUPER = """\
# Copyright and explanation of the format: < POWER_MODEL ID=9 NAME=MAXN_SUPER >
< PARAM TYPE=FILE NAME=CPU_ONLINE >
CORE_0 /sys/devices/system/cpu/cpu0/online
< PARAM TYPE=CLOCK NAME=GPU >
MAX_FREQ /sys/devices/platform/17000000.gpu/devfreq_dev/max_freq

< POWER_MODEL ID=0 NAME=15W >
CPU_ONLINE CORE_0 1
GPU MAX_FREQ 612000000

< POWER_MODEL ID=1 NAME=25W >
GPU MAX_FREQ 918000000

< POWER_MODEL ID=2 NAME=MAXN_SUPER >
GPU MAX_FREQ -1

< POWER_MODEL ID=3 NAME=7W >
GPU MAX_FREQ 408000000

< PM_CONFIG DEFAULT=1 >
"""
NANO = "< POWER_MODEL ID=0 NAME=15W >\nGPU MAX_FREQ 624750000\n\n< POWER_MODEL ID=1 NAME=7W >\n< PM_CONFIG DEFAULT=0 >"
NX = "".join(f"< POWER_MODEL ID={n} NAME={name} >\n" for n, name in enumerate(("MAXN", "10W", "15W", "25W")))
NX_SUPER = NX.replace("MAXN", "MAXN_SUPER") + "< POWER_MODEL ID=4 NAME=40W >\n"
AGX = NX.replace("10W", "MODE_15W").replace("=15W", "=MODE_30W").replace("25W", "MODE_50W")
CARRIER = "< POWER_MODEL ID=0 NAME=10W >\n<POWER_MODEL ID=4 NAME=40W>\n< POWER_MODEL ID=3 NAME=25W >\n"  # no MAXN
NVPMODEL = "NV Fan Mode:quiet\nNV Power Mode: MODE_30W\n2\n"


def write_text(root, name, text):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write_tool(root, name, output, code=0, arguments=""):
    """An executable that prints `output` if its arguments contain `arguments`, and fails otherwise."""
    path = root / "usr/bin" / name
    write_text(root, f"usr/share/{name}.txt", output)
    shell = shutil.which("sh")
    write_text(
        root,
        f"usr/bin/{name}",
        f'#!{shell}\ncase "$*" in *"{arguments}"*) ;; *) exit 9 ;; esac\n'
        f'while IFS= read -r line; do echo "$line"; done < "{root}/usr/share/{name}.txt"\nexit {code}\n',
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def write_clock(root, folder, prefix, current_hz, min_hz, max_hz):
    for kind, value in (("cur", current_hz), ("min", min_hz), ("max", max_hz)):
        write_text(root, f"{folder}/{prefix}{kind}_freq", f"{value}\n")


@pytest.fixture
def orin(tmp_path):
    """An AGX Orin with JetPack 6.2 in the 30 W mode, clocks not locked."""
    write_text(tmp_path, "etc/nv_tegra_release", ORIN)
    write_text(tmp_path, "proc/device-tree/model", "NVIDIA Jetson AGX Orin Developer Kit\0")
    write_text(
        tmp_path, "proc/cpuinfo", "processor\t: 0\nFeatures\t: fp asimd aes asimdhp asimddp\nCPU part\t: 0xd42\n\n"
    )
    write_tool(tmp_path, "dpkg-query", "6.2+b77\n", arguments="nvidia-jetpack")
    write_tool(tmp_path, "nvpmodel", NVPMODEL, arguments="-q")
    write_clock(tmp_path, "sys/class/devfreq/17000000.gpu", "", 306000000, 306000000, 624750000)
    write_clock(tmp_path, "sys/class/devfreq/15340000.vic", "", 115200000, 115200000, 729600000)
    write_clock(tmp_path, "sys/devices/system/cpu/cpu0/cpufreq", "scaling_", 729600, 729600, 1728000)
    for bus in ("bus@0/13e00000.host1x", "host1x"):
        for core in ("15880000.nvdla0", "158c0000.nvdla1"):
            (tmp_path / "sys/devices/platform" / bus / core).mkdir(parents=True)
    return tmp_path


def checks_by_name(root):
    return {check.name: check for check in gpu_checks(root)}


def test_jetson_is_detected_with_its_settings(orin):
    jetson = this_jetson(orin)
    assert (jetson.model, jetson.l4t, jetson.jetpack) == ("NVIDIA Jetson AGX Orin Developer Kit", "36.4.3", "6.2")
    assert (jetson.power_mode, jetson.dla_cores, jetson.release) == ("MODE_30W", 2, "6.2")
    assert jetson.clocks == (Clock("GPU", 306, 306, 625), Clock("CPU", 730, 730, 1728))
    assert not jetson.locked


def test_settings_for_the_card_are_json(orin):
    settings = json.loads(json.dumps(this_jetson(orin).settings()))
    assert settings == {
        "model": "NVIDIA Jetson AGX Orin Developer Kit",
        "l4t": "36.4.3",
        "power_mode": "MODE_30W",
        "clocks_mhz": {"GPU": 306, "CPU": 730},
        "clocks_locked": False,
    }


def test_jetson_checks_have_settings_and_the_command_that_locks_the_clocks(orin):
    checks = checks_by_name(orin)
    assert checks["Jetson"].detail == "NVIDIA Jetson AGX Orin Developer Kit, JetPack 6.2, Jetson Linux 36.4.3"
    assert checks["Jetson"].remedy == ""
    assert checks["power mode"].detail == "MODE_30W; GPU 306 to 625 MHz, CPU 730 to 1728 MHz, not locked"
    assert checks["power mode"].remedy == "sudo jetson_clocks"
    assert checks["DLA"].detail == "2 cores"


@pytest.mark.parametrize(
    ("conf", "fastest"),
    [
        (NANO_SUPER, (2, "MAXN_SUPER")),
        (NANO, (0, "15W")),
        (NX, (0, "MAXN")),
        (NX_SUPER, (0, "MAXN_SUPER")),
        (AGX, (0, "MAXN")),
        (CARRIER, (4, "40W")),
    ],
)
def test_fastest_power_mode_is_found_by_its_name(conf, fastest):
    assert fastest_mode(conf) == PowerMode(*fastest)


def test_unreadable_power_modes_have_no_fastest():
    assert fastest_mode("") is None and fastest_mode("# < POWER_MODEL ID=2 NAME=MAXN >") is None


@pytest.mark.parametrize(
    ("current", "remedy"),
    [
        ("15W", "sudo nvpmodel -m 2 && sudo jetson_clocks  # MAXN_SUPER"),
        ("MAXN_SUPER", "sudo jetson_clocks"),
        ("", "sudo jetson_clocks"),
    ],
)
def test_slower_power_mode_has_the_command_that_sets_the_fastest(orin, current, remedy):
    write_text(orin, "etc/nvpmodel.conf", NANO_SUPER)
    write_tool(orin, "nvpmodel", f"NV Power Mode: {current}\n2\n" if current else "", arguments="-q")
    assert checks_by_name(orin)["power mode"].remedy == remedy


@pytest.mark.parametrize(
    ("model", "encodes"),
    [("Jetson Orin Nano Developer Kit", False), ("Jetson Orin NX", True), ("Jetson AGX Orin Developer Kit", True)],
)
def test_orin_nano_has_no_video_encoder(orin, model, encodes):
    write_text(orin, "proc/device-tree/model", f"NVIDIA {model}\0")
    assert this_jetson(orin).encodes_video is encodes
    assert ("video encoder" in checks_by_name(orin)) is not encodes


def test_locked_clocks_have_no_remedy(orin):
    write_clock(orin, "sys/class/devfreq/17000000.gpu", "", 1300500000, 1300500000, 1300500000)
    write_clock(orin, "sys/devices/system/cpu/cpu0/cpufreq", "scaling_", 2201600, 2201600, 2201600)
    assert this_jetson(orin).locked
    check = checks_by_name(orin)["power mode"]
    assert (check.detail, check.remedy) == ("MODE_30W; GPU at 1300 MHz, CPU at 2202 MHz", "")


def test_jetson_without_jetpack_has_the_install_command(orin):
    write_tool(orin, "dpkg-query", "dpkg-query: no packages found\n", code=1)
    assert this_jetson(orin).release == "L4T 36.4.3"
    check = checks_by_name(orin)["Jetson"]
    assert "no JetPack packages" in check.detail and check.remedy == "sudo apt install nvidia-jetpack"


def test_jetson_has_its_own_install_commands(orin):
    checks = checks_by_name(orin)
    if checks["CUDA"].state == "missing":
        assert "cuda-python==12.*" in checks["CUDA"].remedy or "driver" in checks["CUDA"].detail
    if checks["TensorRT"].detail.startswith("not installed"):
        remedy = checks["TensorRT"].remedy
        assert "python3-libnvinfer" in remedy and "--system-site-packages" in remedy


@pytest.mark.parametrize(("release", "major"), [(ORIN, 12), (THOR, 13), ("# R35 (release), REVISION: 6.0", 12)])
def test_cuda_bindings_match_the_cuda_of_the_jetson(orin, release, major):
    from facesr_edge.sdk.doctor.gpu import cuda_python_for

    write_text(orin, "etc/nv_tegra_release", release)
    assert cuda_python_for(this_jetson(orin), 0) == f"pip install 'cuda-python=={major}.*'"


@pytest.mark.parametrize(
    ("cuda", "command"),
    [
        (0, "pip install 'facesr-edge[tensorrt-cu13]'"),
        (11, "sudo ubuntu-drivers install"),
        (12, "pip install 'facesr-edge[tensorrt-cu12]'"),
        (13, "pip install 'facesr-edge[tensorrt-cu13]'"),
    ],
)
def test_workstation_gets_the_packages_of_its_drivers_cuda(tmp_path, monkeypatch, cuda, command):
    write_tool(tmp_path, "nvidia-smi", "NVIDIA RTX A2000, 8.6, 6138 MiB, 570.124.06\n")
    monkeypatch.setattr(gpu, "driver_cuda", lambda: cuda)
    checks = [check for check in gpu_checks(tmp_path) if check.remedy and check.name in ("CUDA", "NVRTC", "TensorRT")]
    assert {check.remedy for check in checks if check.name == "TensorRT"} == {command}
    assert {check.remedy for check in checks} == {command}


def test_pycuda_is_installed_by_its_own_extra():
    assert PYCUDA.remedy == "pip install 'facesr-edge[pycuda]'"


def test_nvrtc_of_the_cuda_toolkit_is_found(orin):
    write_text(orin, "usr/local/cuda-12.6/targets/aarch64-linux/lib/libnvrtc.so.12.6.77", "")
    (orin / "usr/local/cuda-12.6/targets/aarch64-linux/lib/libnvrtc.so.12").symlink_to("libnvrtc.so.12.6.77")
    check = checks_by_name(orin)["NVRTC"]
    assert check.state == "ok" and (check.detail == "12.6.77, of the CUDA toolkit" or check.detail[0].isdigit())


def test_jetson_with_unreadable_settings_is_detected(tmp_path):
    write_text(tmp_path, "etc/nv_tegra_release", "something else\n")
    jetson = this_jetson(tmp_path)
    assert (jetson.l4t, jetson.model, jetson.power_mode, jetson.clocks, jetson.dla_cores) == (
        "something else",
        "",
        "",
        (),
        0,
    )
    checks = checks_by_name(tmp_path)
    assert checks["power mode"].detail == "not known (sudo nvpmodel -q)" and checks["power mode"].remedy == ""
    assert checks["DLA"].state == "missing"


def test_machine_has_the_settings_of_the_jetson(orin, tmp_path_factory):
    machine = this_machine(orin)
    assert machine.cpu == "NVIDIA Jetson AGX Orin Developer Kit" and machine.instructions == (
        "asimd",
        "asimdhp",
        "asimddp",
    )
    assert str(machine).endswith("JetPack 6.2, power mode MODE_30W, clocks not locked")
    assert this_machine(tmp_path_factory.mktemp("plain")).jetson == ""


def test_nvidia_smi_fields_that_are_not_available_are_left_out(tmp_path):
    query = "--query-gpu=name,compute_cap,memory.total,driver_version"
    write_tool(
        tmp_path, "nvidia-smi", "NVIDIA RTX A2000, 8.6, 6138 MiB, 570.124.06\nsecond, 8.6, 1, 2\n", arguments=query
    )
    assert nvidia_smi(tmp_path) == "NVIDIA RTX A2000, compute capability 8.6, 6138 MiB, driver 570.124.06"
    write_tool(tmp_path, "nvidia-smi", "Orin (nvgpu), [N/A], [N/A], 540.4.0\n", arguments=query)
    assert nvidia_smi(tmp_path) == "Orin (nvgpu), driver 540.4.0"


@pytest.mark.parametrize("output", ["", "No devices were found", "a, b"])
def test_nvidia_smi_without_a_gpu_is_empty(tmp_path, output):
    write_tool(tmp_path, "nvidia-smi", output)
    assert nvidia_smi(tmp_path) == ""


def test_failing_or_missing_tool_has_no_output(tmp_path):
    write_tool(tmp_path, "failing", "partial output\n", code=3)
    write_tool(tmp_path, "working", "output\n")
    assert run_tool("failing", root=tmp_path) == run_tool("missing", root=tmp_path) == ""
    assert run_tool("working", root=tmp_path) == "output"
    assert run_tool("sh", "-c", "echo output") == "output"


@pytest.fixture
def no_gpu():
    from facesr_edge.engines.cuda.device import Gpu
    from facesr_edge.engines.errors import FacesrError

    try:
        Gpu().close()
    except FacesrError:
        return
    pytest.skip("this machine has a GPU")


def test_machine_without_a_gpu_has_one_check(no_gpu, tmp_path):
    (check,) = [check for check in gpu_checks(tmp_path) if check.name != "TensorRT"]
    assert (check.name, check.state, check.detail) == ("NVIDIA GPU", "missing", "none; networks run on the CPU")
    assert check.remedy == ""


def test_gpu_without_a_driver_has_the_install_command(no_gpu, tmp_path):
    device = "sys/bus/pci/devices/0000:01:00.0"
    write_text(tmp_path, f"{device}/vendor", "0x10de\n")
    write_text(tmp_path, f"{device}/class", "0x030000\n")
    check = checks_by_name(tmp_path)["NVIDIA GPU"]
    assert check.detail == "no driver installed" and check.remedy == "sudo ubuntu-drivers install"
    write_text(tmp_path, f"{device}/class", "0x040300\n")  # the audio device of the same card
    assert checks_by_name(tmp_path)["NVIDIA GPU"].remedy == ""


def test_examine_runs_all_checks(orin):
    names = [check.name for check in examine(orin)]
    for name in ("Jetson", "power mode", "DLA", "NVIDIA GPU", "CUDA", "NVRTC", "TensorRT", "numpy", "model idrn-x4"):
        assert names.count(name) == 1
    assert "cuda-python" not in names and "pycuda" not in names
