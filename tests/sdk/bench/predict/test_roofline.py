"""The roofline model: devices, kernels and their predicted time."""

from dataclasses import replace

import pytest
from facesr_edge.converters.kernels import Kernel, memory_kernel
from facesr_edge.engines.errors import UnknownNameError
from facesr_edge.sdk.bench.predict.devices import DEVICES, find_device
from facesr_edge.sdk.bench.predict.reference_networks import REFERENCE_NETWORKS
from facesr_edge.sdk.bench.predict.roofline import COEFFICIENTS, latency_ms, work_of

NANO = DEVICES["orin-nano-super"]
CONV = Kernel("Conv", 4096, 64, 576, 64, 1, "fp16", 36864, 1_048_576)
COPY = memory_kernel("copy", 10_000_000)


@pytest.mark.parametrize(
    ("name", "precision", "dense_tops"),
    [
        ("orin-nano-15w", "int8", 20),  # 40 TOPS sparse
        ("orin-nano-super", "int8", 33),  # 67 TOPS sparse
        ("agx-orin", "int8", 85),  # 170 TOPS sparse, without the DLAs
        ("agx-thor", "fp16", 259),  # 2070 TFLOPS in sparse FP4
        ("agx-thor", "int8", 517),
    ],
)
def test_peak_figures_are_those_of_the_data_sheets(name, precision, dense_tops):
    assert 2 * DEVICES[name].peak_tmacs(precision) == pytest.approx(dense_tops, rel=0.03)


def test_an_unknown_device_is_named_with_the_known_ones():
    with pytest.raises(UnknownNameError, match=r"unknown device 'orin-nano'; did you mean .*known: .*agx-thor"):
        find_device("orin-nano")


@pytest.mark.parametrize("network", ["yolov8n", "yolo11m", "yoloxn"])
@pytest.mark.parametrize("precision", ["fp16", "int8"])
@pytest.mark.parametrize("name", DEVICES)
def test_faster_hardware_is_predicted_no_slower(network, precision, name):
    kernels, device = REFERENCE_NETWORKS[network](320, precision), DEVICES[name]
    ms = latency_ms(kernels, device)
    faster_clock = replace(device, gpu_ghz=1.5 * device.gpu_ghz)
    assert latency_ms(kernels, faster_clock) < ms
    assert latency_ms(kernels, replace(device, bandwidth_gbs=1.5 * device.bandwidth_gbs)) <= ms
    assert latency_ms(kernels, replace(device, multiprocessors=2 * device.multiprocessors)) <= ms
    launches_ms = len(kernels) * COEFFICIENTS.launch_kcycles * 1e-3 / device.gpu_ghz
    assert ms > launches_ms > latency_ms(kernels, replace(faster_clock, bandwidth_gbs=1e9, multiprocessors=9999)) / 2


def test_a_copy_is_limited_by_bandwidth_and_a_convolution_by_multiply_adds():
    narrow, slow = replace(NANO, bandwidth_gbs=NANO.bandwidth_gbs / 2), replace(NANO, multiprocessors=4)
    launch = latency_ms([memory_kernel("nothing", 0)], NANO)
    assert launch == pytest.approx(COEFFICIENTS.launch_kcycles * 1e-3 / NANO.gpu_ghz)
    assert latency_ms([COPY], narrow) - launch == pytest.approx(2 * (latency_ms([COPY], NANO) - launch))
    assert latency_ms([COPY], slow) == latency_ms([COPY], NANO)
    deep = replace(CONV, depth=5760, inputs=640)
    assert latency_ms([deep], narrow) == latency_ms([deep], NANO) < latency_ms([deep], slow)


def test_int8_pads_channels_to_32_and_fp32_runs_on_cuda_cores():
    thin = replace(CONV, inputs=8, depth=72)
    assert (
        work_of([thin], NANO).depth.tolist() == [72] and work_of([replace(thin, precision="int8")], NANO).depth == 288
    )
    fp32, fp16, int8 = (latency_ms([replace(CONV, precision=p)], NANO) for p in ("fp32", "fp16", "int8"))
    assert fp32 > 3 * fp16 > 3 * int8


def test_work_comes_in_waves_of_whole_tiles():
    one, full, more = (work_of([replace(CONV, rows=rows, channels=32)], NANO).tiles[0] for rows in (1, 256, 257))
    assert one == full == 32 * 32 and more > full


def test_a_batch_multiplies_rows_and_activations_but_not_weights():
    four = CONV.batched(4)
    assert (four.macs, four.traffic, four.weights) == (4 * CONV.macs, 4 * CONV.traffic, CONV.weights)
    assert four.bytes == 4 * CONV.traffic + 2 * CONV.weights
    assert latency_ms([CONV], NANO) < latency_ms([four], NANO) < 4 * latency_ms([CONV], NANO)
