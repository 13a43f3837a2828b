"""Samples, each run in a process of its own, with and without optional packages."""

import ast
import ctypes
import importlib.util
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest
from facesr_edge.engines.bundle.io_spec import CROP_SIZES
from facesr_edge.engines.cuda.nvbufsurface import RgbaFrame

ROOT = Path(__file__).parents[2]
SAMPLES = sorted(path.stem for path in (ROOT / "samples").glob("*.py") if path.stem != "__init__")
SYSTEM_GI = Path("/usr/lib/python3/dist-packages/gi")
ELEMENTS = ("videotestsrc", "videoconvert", "appsink", "appsrc", "jpegenc", "avimux", "pngdec", "imagefreeze")


def run(sample, *arguments, path="", code=None):
    """Run a sample, or `code` with the sample's name as first argument."""
    program = ["-c", code, sample] if code else ["-m", f"facesr_edge.samples.{sample}"]
    command = [sys.executable, *program, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(path), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=300)


@pytest.fixture(scope="module")
def gi_folder(tmp_path_factory):
    """Folder for PYTHONPATH with only the system's GStreamer bindings; empty if this Python already has them."""
    folder = tmp_path_factory.mktemp("gi")
    if importlib.util.find_spec("gi") is None and SYSTEM_GI.is_dir():
        (folder / "gi").symlink_to(SYSTEM_GI)  # built for the system's Python, possibly another version
    code = (
        "import gi; [gi.require_version(n, '1.0') for n in ('Gst', 'GstApp', 'GstVideo')]\n"
        "from gi.repository import Gst, GstApp, GstVideo; Gst.init(None)\n"
        f"print([n for n in {ELEMENTS} if Gst.ElementFactory.find(n) is None])"
    )
    done = run("", path=folder, code=code)
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1]
        pytest.skip(f"no GStreamer for this Python ({reason}); apt install python3-gi gir1.2-gst-plugins-base-1.0")
    if done.stdout.strip() != "[]":
        pytest.skip(f"GStreamer lacks {done.stdout.strip()}; apt install gstreamer1.0-plugins-good")
    return folder


@pytest.mark.parametrize("sample", SAMPLES)
def test_sample_has_help_and_rejects_unknown_options(sample):
    shown = run(sample, "--help")
    assert shown.returncode == 0 and shown.stdout.startswith("usage:")
    rejected = run(sample, "--nonsense", "a", "b", "c")
    assert rejected.returncode == 2 and "Traceback" not in rejected.stderr


@pytest.mark.parametrize("sample", SAMPLES)
def test_sample_is_short_and_documents_its_command_line(sample):
    text = (ROOT / "samples" / f"{sample}.py").read_text("utf-8")
    assert f"python -m facesr_edge.samples.{sample}" in ast.get_docstring(ast.parse(text))
    assert len(text.splitlines()) <= 140


@pytest.mark.parametrize(
    ("sample", "arguments", "missing", "expected"),
    [
        ("gstreamer_appsink", ["videotestsrc"], "gi", "no GStreamer for this Python"),
        ("deepstream_probe", ["file:///a.mp4", "faces.txt", "idrn-x4"], "pyds", "needs DeepStream with pyds"),
        ("torch_shared", ["idrn-x4", "image.png"], "torch", "needs PyTorch with CUDA"),
        ("triton_client", ["{picture}", "faces"], "tritonclient", "needs Triton's client"),
    ],
)
def test_missing_package_is_reported_in_one_line(sample, arguments, missing, expected, tmp_path):
    cv2.imwrite(str(tmp_path / "picture.png"), np.zeros((8, 8, 3), np.uint8))
    arguments = [argument.format(picture=tmp_path / "picture.png") for argument in arguments]
    code = (
        "import sys, runpy\n"
        f"sys.modules[{missing!r}] = None\n"
        "name = sys.argv.pop(1)\n"
        "runpy.run_module(f'facesr_edge.samples.{name}', run_name='__main__', alter_sys=True)"
    )
    done = run(sample, *arguments, code=code)
    (line,) = done.stderr.strip().splitlines()
    assert done.returncode == 1 and expected in line and "install" in line


def test_missing_gpu_is_reported_in_one_line():
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    done = run("torch_shared", "idrn-x4", "image.png")
    assert done.returncode == 1 and done.stderr.startswith("PyTorch finds no GPU; ")


def test_missing_gui_support_is_reported_before_the_camera_is_opened():
    if not any(line.split() == ["GUI:", "NONE"] for line in cv2.getBuildInformation().splitlines()):
        pytest.skip("this OpenCV has GUI support")
    done = run("embed_opencv", "0")
    assert done.returncode == 1 and done.stderr.startswith("OpenCV has no GUI support; ")


def test_faces_are_written_next_to_the_input_pixels(tmp_path, put_face):
    frame = np.full((240, 320, 3), 118, np.uint8)
    put_face(frame, 60, 40, 40)
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "frame.png"), frame)
    done = run("faces_to_folder", tmp_path / "in", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    (written,) = (tmp_path / "out").iterdir()
    height, width = cv2.imread(str(written)).shape[:2]
    assert width == 2 * height >= 4 * 48


def test_faces_of_several_cameras_are_printed(tmp_path, put_face):
    frame = np.full((240, 320, 3), 118, np.uint8)
    put_face(frame, 60, 40, 40)
    clips = [tmp_path / "one.avi", tmp_path / "two.avi"]
    for clip in clips:
        writer = cv2.VideoWriter(str(clip), cv2.VideoWriter.fourcc(*"MJPG"), 25, (320, 240))
        for _ in range(3):
            writer.write(frame)
        writer.release()
    done = run("live_cameras", *clips)
    assert done.returncode == 0, done.stderr
    lines = sorted(done.stdout.splitlines())
    assert [line.partition(", ")[0] for line in lines] == [f"{clip}: face 1 by network" for clip in clips]
    failed = run("live_cameras", tmp_path / "three.avi")
    (line,) = failed.stderr.strip().splitlines()
    assert failed.returncode == 1 and "three.avi does not exist" in line


def test_gstreamer_frames_are_upscaled_by_two_with_their_timestamps(gi_folder, tmp_path, put_face):
    frame = np.full((130, 161, 3), 118, np.uint8)  # GStreamer pads the rows of this width
    put_face(frame, 20, 20, 40)
    cv2.imwrite(str(tmp_path / "face.png"), frame)
    out = tmp_path / "larger.avi"
    source = (
        f"filesrc location={tmp_path}/face.png ! pngdec ! videoconvert ! "
        "imagefreeze num-buffers=6 ! video/x-raw,framerate=5/1"
    )
    sink = f"jpegenc quality=95 ! avimux ! filesink location={out}"
    done = run("gstreamer_appsink", source, sink, path=gi_folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "6 faces\n"
    with av.open(str(out)) as container:
        frames = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    assert len(frames) == 6 and frames[0].shape == (260, 322, 3)
    enlarged = cv2.resize(frame, (322, 260), interpolation=cv2.INTER_CUBIC)
    assert np.abs(frames[0].astype(int) - enlarged).mean() < 6  # correct row stride and channel order


@pytest.mark.parametrize("source", ["nosuchelement", "videotestsrc num-buffers=x !! "])
def test_invalid_pipeline_is_reported_in_one_line(gi_folder, source):
    done = run("gstreamer_appsink", source, "fakesink", path=gi_folder)
    assert done.returncode == 1 and "GStreamer cannot create this pipeline: " in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_failing_source_is_reported_in_one_line(gi_folder, tmp_path):
    source = f"filesrc location={tmp_path}/missing.png ! pngdec"
    done = run("gstreamer_appsink", source, "fakesink", path=gi_folder)
    (line,) = done.stderr.strip().splitlines()
    assert done.returncode == 1 and line.startswith("GStreamer stopped: ")


def test_failing_sink_is_reported_in_one_line(gi_folder, tmp_path):
    source = "videotestsrc num-buffers=40 ! video/x-raw,width=64,height=48"
    sink = f"jpegenc ! filesink location={tmp_path}/no/such/folder.mjpg"
    done = run("gstreamer_appsink", source, sink, path=gi_folder)
    (line,) = done.stderr.strip().splitlines()
    assert done.returncode == 1 and line.startswith("GStreamer stopped: ")


@pytest.fixture
def deepstream():
    from facesr_edge.samples import deepstream_probe

    return deepstream_probe


@pytest.mark.parametrize(
    ("box", "window"),
    [
        ((900, 500, 40, 50), (880, 485, 80)),
        ((0, 0, 20, 20), (0, 0, 32)),
        ((1910, 1070, 10, 10), (1888, 1048, 32)),
        ((100, 100, 85, 60), (78, 66, 128)),
        ((100, 100, 90, 60), None),
    ],
)
def test_window_contains_the_face_and_lies_within_the_frame(deepstream, box, window):
    assert deepstream.crop_window(*box, CROP_SIZES) == window


def test_deepstream_list_is_iterated_to_its_end(deepstream):
    class Link:
        def __init__(self, data, after):
            self.data, self._after = data, after

        @property
        def next(self):
            if self._after is None:
                raise StopIteration
            return self._after

    assert list(deepstream.iterate(Link(1, Link(2, None)), lambda data: 10 * data)) == [10, 20]
    assert list(deepstream.iterate(None, int)) == []


class Pyds:
    """What the sample uses of pyds: a batch of one frame with one face, whose surface is an array in host memory."""

    def __init__(self, pixels):
        self.pixels, cast = pixels, SimpleNamespace(cast=lambda data: data)
        self.NvDsFrameMeta = self.NvDsObjectMeta = cast

    def gst_buffer_get_nvds_batch_meta(self, buffer):
        box = SimpleNamespace(left=100, top=50, width=20, height=20)
        faces = SimpleNamespace(data=SimpleNamespace(rect_params=box), next=None)
        frame = SimpleNamespace(batch_id=0, obj_meta_list=faces)
        return SimpleNamespace(frame_meta_list=SimpleNamespace(data=frame, next=None))

    def get_nvds_buf_surface_gpu(self, buffer, index):
        make = ctypes.pythonapi.PyCapsule_New
        make.restype, make.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        return "uint8", self.pixels.shape, self.pixels.strides, make(self.pixels.ctypes.data, None, None), 0


@pytest.mark.parametrize("on_jetson", [False, True])
@pytest.mark.parametrize("stops_early", [False, True])
def test_surface_is_released_after_the_work_on_it_is_done(deepstream, monkeypatch, on_jetson, stops_early):
    rows = np.random.default_rng(0).integers(0, 256, (deepstream.HEIGHT, deepstream.WIDTH + 64, 4), np.uint8)
    pixels = rows[:, :-64]  # padded rows
    events, pyds = [], Pyds(pixels)

    @contextmanager
    def mapped(address, index):
        assert (address, index) == (hash("buffer"), 0)
        try:
            yield RgbaFrame(pixels.ctypes.data, deepstream.WIDTH, deepstream.HEIGHT, pixels.strides[0])
        finally:
            events.append("unmapped")

    def as_array(view):
        interface = view.__cuda_array_interface__
        assert (interface["shape"], interface["strides"]) == (pixels.shape, pixels.strides)
        assert interface["data"] == (pixels.ctypes.data, False) and interface["version"] == 3
        return pixels

    def infer(crop):
        assert np.array_equal(crop[0], pixels[44:76, 94:126, 2::-1]) and crop.flags.c_contiguous
        events.append("inferred")
        return crop

    stream = SimpleNamespace(synchronize=lambda: events.append("waited"))
    cuda = SimpleNamespace(get_current_stream=lambda: stream)
    cupy = SimpleNamespace(asarray=as_array, ascontiguousarray=np.ascontiguousarray, from_dlpack=np.asarray, cuda=cuda)
    gpu, io_spec = SimpleNamespace(nvmm_frame=mapped), SimpleNamespace(crop_sizes=CROP_SIZES)
    monkeypatch.setattr(deepstream, "ON_JETSON", on_jetson)
    session = SimpleNamespace(gpu=gpu, io_spec=io_spec, infer_on_device=infer)
    faces = deepstream.upscale_faces("buffer", pyds, cupy, session)
    assert next(faces).shape == (32, 32, 3)
    if stops_early:
        faces.close()
    assert list(faces) == [] and events == ["inferred", "waited", *(["unmapped"] if on_jetson else [])]
