"""Surfaces of a Jetson on the emulated GPU: real GStreamer buffers, EGL images of emulated video hardware."""

import ctypes
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
from facesr_edge.engines.cuda.nvbufsurface import RGBA, RGBX, SURFACE_ARRAY, _EglFrame, mapped_frame
from facesr_edge.engines.errors import EngineError

WIDTH, HEIGHT, PITCH = 50, 20, 256


class Image(ctypes.Structure):
    """EglImage of egl_image.h; frame type 1 is pitch linear, 0 an array."""

    _fields_ = [("pixels", ctypes.c_void_p)] + [
        (name, ctypes.c_int) for name in ("width", "height", "pitch", "planes", "channels", "frame_type")
    ]


class Hardware:
    """The emulated video hardware with a batch of two frames in a GStreamer buffer."""

    def __init__(self, path, memory_type=SURFACE_ARRAY, color_format=RGBA):
        self.library = ctypes.CDLL(path)  # later found by its name
        self.gst = ctypes.CDLL("libgstreamer-1.0.so.0")
        for function in (self.library.emulatedBatch, self.gst.gst_buffer_new_allocate):
            function.restype = ctypes.c_void_p
        self.gst.gst_init(None, None)
        size = self.library.emulatedSize()
        batch = ctypes.string_at(self.library.emulatedBatch(memory_type, color_format), size)
        self.buffer = self.gst.gst_buffer_new_allocate(None, ctypes.c_size_t(size), None)
        self.gst.gst_buffer_fill(ctypes.c_void_p(self.buffer), 0, batch, ctypes.c_size_t(size))
        for index in range(2):
            self.show(index, 0)

    def show(self, index, address, planes=1, channels=4, frame_type=1):
        image = Image(address, WIDTH, HEIGHT, PITCH, planes, channels, frame_type)
        self.library.emulatedFrame(index, image)


@contextmanager
def refused(hardware, message):
    with pytest.raises(EngineError, match=message):
        yield
    assert hardware.library.emulatedMapped() == 0


def upload(gpu, host):
    device, stream = gpu.empty(host.shape, np.uint8), gpu.stream()
    gpu.upload(host, device, stream)
    stream.synchronize()
    return device


def test_frame_is_read_in_place_and_unmapped(gpu, emulated, nvbufsurface):
    hardware, rows = Hardware(nvbufsurface), np.random.default_rng(0).integers(0, 256, (2, HEIGHT, PITCH), np.uint8)
    frames = [upload(gpu, one) for one in rows]
    for index, device in enumerate(frames):
        hardware.show(index, device.pointer)
    stream = gpu.stream()
    for index, host in enumerate(rows):
        with gpu.nvmm_frame(hardware.buffer, index) as frame:
            view = gpu.view(frame)
            assert view.pointer == frames[index].pointer and view.shape == (HEIGHT, WIDTH, 4)
            assert emulated.live_objects()["surfaces"] == 1 and hardware.library.emulatedMapped() == 1
            first_row = {**frame.__cuda_array_interface__, "shape": (1, WIDTH, 4), "strides": None}
            row = gpu.view(SimpleNamespace(__cuda_array_interface__=first_row))
            found = np.empty(row.shape, np.uint8)
            gpu.download(row, found, stream)
            stream.synchronize()
            assert np.array_equal(found, host[:1, : 4 * WIDTH].reshape(1, WIDTH, 4)) and view.strides == (PITCH, 4, 1)
        assert "surfaces" not in emulated.live_objects() and hardware.library.emulatedMapped() == 0


def test_frame_is_unmapped_after_an_error_of_the_caller(gpu, emulated, nvbufsurface):
    hardware, device = Hardware(nvbufsurface), upload(gpu, np.zeros((HEIGHT, PITCH), np.uint8))
    hardware.show(0, device.pointer)
    with pytest.raises(ZeroDivisionError), gpu.nvmm_frame(hardware.buffer, 0):
        raise ZeroDivisionError
    assert hardware.library.emulatedMapped() == 0  # the leak check of the driver's objects follows


@pytest.mark.parametrize("shape", [{"frame_type": 0}, {"planes": 2}, {"channels": 1}])
def test_frame_that_is_not_rgba_is_refused(gpu, emulated, nvbufsurface, shape):
    hardware, device = Hardware(nvbufsurface), upload(gpu, np.zeros((HEIGHT, PITCH), np.uint8))
    hardware.show(0, device.pointer, **shape)
    with refused(hardware, "pitch-linear RGBA.*nvvideoconvert"), gpu.nvmm_frame(hardware.buffer, 0):
        pass


@pytest.mark.parametrize(("color_format", "name"), [(20, "BGRA"), (21, "ARGB"), (24, "BGRx"), (6, "NvBuf.*Format 6")])
def test_frame_with_channels_in_another_order_is_refused(gpu, emulated, nvbufsurface, color_format, name):
    hardware, device = (
        Hardware(nvbufsurface, color_format=color_format),
        upload(gpu, np.zeros((HEIGHT, PITCH), np.uint8)),
    )
    hardware.show(0, device.pointer)
    with refused(hardware, f"RGBA frame, got {name}; .*nvvideoconvert"), gpu.nvmm_frame(hardware.buffer, 0):
        pass


def test_frame_with_a_padding_byte_in_place_of_alpha_is_read(gpu, emulated, nvbufsurface):
    hardware, device = Hardware(nvbufsurface, color_format=RGBX), upload(gpu, np.zeros((HEIGHT, PITCH), np.uint8))
    hardware.show(0, device.pointer)
    with gpu.nvmm_frame(hardware.buffer, 0) as frame:
        assert gpu.view(frame).pointer == device.pointer


def test_memory_of_another_kind_is_refused(gpu, emulated, nvbufsurface):
    hardware = Hardware(nvbufsurface, memory_type=2)
    with refused(hardware, r"type 4\), got type 2"), gpu.nvmm_frame(hardware.buffer, 0):
        pass


@pytest.mark.parametrize("index", [-1, 2])
def test_frame_outside_of_the_batch_is_refused(gpu, emulated, nvbufsurface, index):
    hardware = Hardware(nvbufsurface)
    with refused(hardware, f"0 to 1, got {index}"), gpu.nvmm_frame(hardware.buffer, index):
        pass


def test_buffer_in_host_memory_is_refused(gpu, emulated, nvbufsurface):
    hardware = Hardware(nvbufsurface)
    small = hardware.gst.gst_buffer_new_allocate(None, ctypes.c_size_t(16), None)
    with refused(hardware, "memory:NVMM, got 16 bytes"), gpu.nvmm_frame(small, 0):
        pass


def test_failed_mapping_is_reported(gpu, emulated, nvbufsurface):
    hardware = Hardware(nvbufsurface)  # its frames have no image
    with refused(hardware, "NvBufSurfaceMapEglImage failed"), gpu.nvmm_frame(hardware.buffer, 0):
        pass


def test_driver_error_has_the_name_of_the_call(gpu, emulated, nvbufsurface):
    hardware, device = Hardware(nvbufsurface), upload(gpu, np.zeros((HEIGHT, PITCH), np.uint8))
    hardware.show(0, device.pointer)
    with refused(hardware, "cuGraphicsEGLRegisterImage failed.*INVALID_CONTEXT"), mapped_frame(hardware.buffer, 0):
        pass  # without a current context


def test_egl_frame_has_the_layout_of_cuda(gpu, emulated):
    cuda = pytest.importorskip("cuda.bindings.driver")
    frame = cuda.CUeglFrame()
    frame.width, frame.height, frame.pitch, frame.planeCount, frame.numChannels = 1920, 1080, 7680, 1, 4
    frame.frameType = cuda.CUeglFrameType.CU_EGL_FRAME_TYPE_PITCH
    frame.eglColorFormat = cuda.CUeglColorFormat.CU_EGL_COLOR_FORMAT_ABGR
    frame.cuFormat = cuda.CUarray_format.CU_AD_FORMAT_UNSIGNED_INT8
    ours = _EglFrame.from_address(frame.getPtr())
    assert (ours.width, ours.height, ours.pitch, ours.plane_count, ours.channels) == (1920, 1080, 7680, 1, 4)
    assert (ours.frame_type, ours.color_format) == (1, int(frame.eglColorFormat)) and ours.format == int(frame.cuFormat)
