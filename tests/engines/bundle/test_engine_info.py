"""Compatibility of an engine with the device: every mismatch is reported, what TensorRT guarantees is accepted."""

from dataclasses import asdict, replace

import pytest
from facesr_edge.engines.bundle.engine_info import EngineInfo, mismatches
from facesr_edge.engines.errors import BundleError

AGX = {"model": "NVIDIA Jetson AGX Orin Developer Kit", "power_mode": "MAXN"}
NANO = {"model": "NVIDIA Jetson Orin Nano Developer Kit", "power_mode": "15W"}
ORIN = EngineInfo(
    *("TensorRT", "10.3.0", "Orin", "8.7", "12.6", "ab" * 32),
    jetpack="6.2",
    jetson=AGX,
    platform="linux-aarch64",
    multiprocessors=16,
)
A10 = replace(
    ORIN, gpu="A10", compute_capability="8.6", jetpack="", jetson={}, platform="linux-x86_64", multiprocessors=72
)


def test_engine_matches_the_device_it_was_compiled_on():
    assert mismatches(ORIN, ORIN) == ()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"version": "10.7.0"}, "compiled by TensorRT 10.3.0, this is 10.7.0"),
        ({"runtime": "OpenVINO", "version": "2026.1"}, "compiled by TensorRT, this is OpenVINO"),
        ({"compute_capability": "9.0", "gpu": "H200"}, "compute capability 8.7 (Orin), this GPU has 9.0 (H200)"),
        ({"gpu": "A10"}, "compiled for Orin, this GPU is A10"),
        ({"onnx": "cd" * 32}, "from another graph than the bundle's"),
        ({"calibration": "ef" * 32}, "calibrated on other inputs than the card's"),
        ({"platform": "linux-x86_64"}, "compiled on linux-aarch64, this is linux-x86_64"),
        ({"multiprocessors": 14}, "compiled for 16 multiprocessors, this GPU has 14 in power mode MAXN"),
        (
            {"jetson": NANO, "multiprocessors": 8},
            "on NVIDIA Jetson AGX Orin Developer Kit, this is NVIDIA Jetson Orin Nano",
        ),
    ],
)
def test_mismatch_names_both_values(changes, expected):
    (message,) = mismatches(ORIN, replace(ORIN, **changes))
    assert expected in message


def test_all_mismatches_are_reported_together():
    current = replace(ORIN, version="11.4.0", compute_capability="11.0", gpu="Thor", onnx="cd" * 32)
    assert len(mismatches(ORIN, current)) == 3


@pytest.mark.parametrize("changes", [{"driver": "13.0"}, {"jetpack": "6.1"}, {"jetson": {**AGX, "power_mode": "15W"}}])
def test_driver_jetpack_and_power_mode_are_not_compared(changes):
    assert mismatches(ORIN, replace(ORIN, **changes)) == ()


@pytest.mark.parametrize(
    ("version", "compatible"),
    [
        ("10.3.0", True),
        ("10.16.1", True),
        ("11.4.0", True),
        ("10.2.0", False),
        ("12.0.0", False),
        ("10.3.0.post1", True),
    ],
)
def test_version_compatible_engine_runs_in_later_versions_of_this_and_the_next_major(version, compatible):
    engine = replace(ORIN, version_compatible=True)
    assert (mismatches(engine, replace(ORIN, version=version)) == ()) is compatible


@pytest.mark.parametrize(("capability", "compatible"), [("8.0", True), ("9.0", True), ("11.0", True), ("7.5", False)])
def test_hardware_compatible_engine_runs_from_ampere_on(capability, compatible):
    engine = replace(A10, hardware_compatible=True)
    current = replace(A10, compute_capability=capability, gpu="other", multiprocessors=132)
    assert (mismatches(engine, current) == ()) is compatible


def test_hardware_compatible_engine_does_not_run_on_a_jetson():
    engine = replace(A10, hardware_compatible=True, platform="linux-aarch64")  # of an ARM server
    (message,) = mismatches(engine, ORIN)
    assert "does not support on a Jetson" in message
    assert len(mismatches(replace(engine, platform="linux-x86_64"), ORIN)) == 2


@pytest.mark.parametrize("unknown", [{"platform": ""}, {"multiprocessors": 0}, {"jetson": {"power_mode": "15W"}}])
def test_what_is_unknown_is_not_compared(unknown):
    other = replace(ORIN, platform="linux-x86_64", multiprocessors=8, jetson=NANO)
    for engine, current in ((replace(ORIN, **unknown), other), (other, replace(ORIN, **unknown))):
        different = replace(engine, **{name: getattr(current, name) for name in unknown})
        assert mismatches(engine, current) == mismatches(different, current)


def test_card_of_an_earlier_release_is_read_and_its_engine_accepted():
    values = {k: v for k, v in asdict(ORIN).items() if k not in ("platform", "multiprocessors")}
    engine = EngineInfo(**values)
    assert (engine.platform, engine.multiprocessors) == ("", 0) and mismatches(engine, ORIN) == ()


@pytest.mark.parametrize(
    "changes",
    [
        *({"gpu": ""}, {"onnx": 7}, {"version": None}, {"version": "ten"}, {"version": "²"}, {"platform": 3}),
        *({"jetpack": 6}, {"calibration": None}, {"jetson": "MAXN"}, {"multiprocessors": "8"}, {"multiprocessors": -1}),
        *({"dla": "x"}, {"dla": True}, {"dla": -1}, {"hardware_compatible": 1}, {"version_compatible": "false"}),
        *({"layers": [1]}, {"layers": {"32x32": 5}}, {"layers": {"32x32": {"kernels": "16"}}}),
        *({"compute_capabilities": value} for value in ("8.6", ["a.b"], ["8"], ["8.6\n"], [8.6], {"8.6": 1}, None)),
    ],
)
def test_field_of_the_wrong_type_is_rejected(changes):
    with pytest.raises(BundleError, match="engine info needs"):
        replace(ORIN, **changes)


def test_layers_core_and_capabilities_of_a_card_are_read():
    engine = replace(ORIN, dla=0, layers={"32x32": {"kernels": 16}}, compute_capabilities=["8.6", "12.0"])
    assert engine.compute_capabilities == ("8.6", "12.0") and engine.layers["32x32"]["kernels"] == 16
