"""The samples as a reader runs them: in a process of their own, with what is there and with what is not."""

import ast
import ctypes
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
SAMPLES = sorted(path.stem for path in (ROOT / "samples").glob("*.py") if path.stem != "__init__")
SYSTEM_GI = Path("/usr/lib/python3/dist-packages/gi")
ELEMENTS = ("videotestsrc", "videoconvert", "appsink", "appsrc", "jpegenc", "avimux", "pngdec", "imagefreeze")


def run(sample, *arguments, path="", code=None):
    """Run a sample; `code` instead of its module, with `sample` as its first argument."""
    program = ["-c", code, sample] if code else ["-m", f"facesr_edge.samples.{sample}"]
    command = [sys.executable, *program, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(path), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=300)


@pytest.fixture(scope="module")
def gi_folder(tmp_path_factory):
    """A folder with GStreamer's Python alone, for PYTHONPATH; empty where this Python has it anyway."""
    folder = tmp_path_factory.mktemp("gi")
    if importlib.util.find_spec("gi") is None and SYSTEM_GI.is_dir():
        (folder / "gi").symlink_to(SYSTEM_GI)  # of the system's Python, which may be another version
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
def test_a_sample_says_how_it_is_run_and_refuses_what_it_does_not_know(sample):
    shown = run(sample, "--help")
    assert shown.returncode == 0 and shown.stdout.startswith("usage:")
    refused = run(sample, "--nonsense", "a", "b", "c")
    assert refused.returncode == 2 and "Traceback" not in refused.stderr


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_is_short_and_tells_the_line_that_runs_it(sample):
    text = (ROOT / "samples" / f"{sample}.py").read_text("utf-8")
    assert f"python -m facesr_edge.samples.{sample}" in ast.get_docstring(ast.parse(text))
    assert len(text.splitlines()) <= 140


@pytest.mark.parametrize(
    ("sample", "arguments", "without", "said"),
    [
        ("gstreamer_appsink", ["videotestsrc"], "gi", "no GStreamer for this Python"),
        ("deepstream_probe", ["file:///a.mp4", "faces.txt", "idrn-x4"], "pyds", "needs DeepStream with pyds"),
        ("torch_shared", ["idrn-x4", "picture.png"], "torch", "needs PyTorch with CUDA"),
    ],
)
def test_a_sample_without_its_packages_says_so_in_a_line(sample, arguments, without, said):
    code = (
        "import sys, runpy\n"
        f"sys.modules[{without!r}] = None\n"
        "name = sys.argv.pop(1)\n"
        "runpy.run_module(f'facesr_edge.samples.{name}', run_name='__main__', alter_sys=True)"
    )
    done = run(sample, *arguments, code=code)
    (line,) = done.stderr.strip().splitlines()
    assert done.returncode == 1 and said in line and "install" in line


def test_torch_without_a_gpu_is_told_in_a_line():
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    done = run("torch_shared", "idrn-x4", "picture.png")
    assert done.returncode == 1 and done.stderr.startswith("PyTorch sees no GPU; ")


def test_an_opencv_without_windows_is_told_before_a_camera_is_opened():
    if not any(line.split() == ["GUI:", "NONE"] for line in cv2.getBuildInformation().splitlines()):
        pytest.skip("this OpenCV has windows")
    done = run("embed_opencv", "0")
    assert done.returncode == 1 and done.stderr.startswith("this OpenCV has no windows; ")


def test_faces_of_a_folder_are_written_beside_the_cameras_pixels(tmp_path, put_face):
    frame = np.full((240, 320, 3), 118, np.uint8)
    put_face(frame, 60, 40, 40)
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "frame.png"), frame)
    done = run("faces_to_folder", tmp_path / "in", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    (written,) = (tmp_path / "out").iterdir()
    height, width = cv2.imread(str(written)).shape[:2]
    assert width == 2 * height >= 4 * 48


def test_gstreamer_frames_come_out_twice_as_large_with_their_times(gi_folder, tmp_path, put_face):
    frame = np.full((130, 161, 3), 118, np.uint8)  # rows that GStreamer pads, in and out
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
    assert np.abs(frames[0].astype(int) - enlarged).mean() < 6  # its rows are neither sheared nor swapped


@pytest.mark.parametrize("source", ["nosuchelement", "videotestsrc num-buffers=x !! "])
def test_a_pipeline_that_cannot_be_is_told_in_a_line(gi_folder, source):
    done = run("gstreamer_appsink", source, "fakesink", path=gi_folder)
    assert done.returncode == 1 and "GStreamer cannot make this pipeline: " in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_source_that_fails_is_told_in_a_line(gi_folder, tmp_path):
    source = f"filesrc location={tmp_path}/missing.png ! pngdec"
    done = run("gstreamer_appsink", source, "fakesink", path=gi_folder)
    (line,) = done.stderr.strip().splitlines()
    assert done.returncode == 1 and line.startswith("GStreamer stopped: ")


def test_a_sink_that_fails_is_told_in_a_line(gi_folder, tmp_path):
    source = "videotestsrc num-buffers=40 ! video/x-raw,width=64,height=48"
    sink = f"jpegenc ! filesink location={tmp_path}/no/such/folder.mjpg"
    done = run("gstreamer_appsink", source, sink, path=gi_folder)
    (line,) = done.stderr.strip().splitlines()
    assert done.returncode == 1 and line.startswith("GStreamer stopped: ")


@pytest.fixture
def deepstream():
    from facesr_edge.samples import deepstream_probe

    return deepstream_probe


def test_a_surface_is_shown_to_cuda_where_it_lies(deepstream):
    make = ctypes.pythonapi.PyCapsule_New
    make.restype, make.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    capsule = make(0x7F0000001000, None, None)
    surface = deepstream.Surface([1080, 1920, 4], [7936, 4, 1], capsule, "it")
    told = surface.__cuda_array_interface__
    assert (told["shape"], told["strides"], told["typestr"]) == ((1080, 1920, 4), (7936, 4, 1), "|u1")
    assert told["data"] == (0x7F0000001000, False) and told["version"] == 3 and surface.owner == "it"


@pytest.mark.parametrize(
    ("box", "window"),
    [
        ((900, 500, 40, 50), (872, 477, 96)),
        ((0, 0, 20, 20), (0, 0, 32)),
        ((1910, 1070, 10, 10), (1888, 1048, 32)),
        ((100, 100, 85, 60), (78, 66, 128)),
        ((100, 100, 90, 60), None),
    ],
)
def test_a_window_holds_the_face_and_lies_within_the_frame(deepstream, box, window):
    assert deepstream.window_of(*box, (32, 48, 64, 96, 128)) == window


def test_a_list_of_deepstream_is_gone_through_to_its_end(deepstream):
    class Link:
        def __init__(self, data, after):
            self.data, self._after = data, after

        @property
        def next(self):
            if self._after is None:
                raise StopIteration
            return self._after

    assert list(deepstream.each(Link(1, Link(2, None)), lambda data: 10 * data)) == [10, 20]
    assert list(deepstream.each(None, int)) == []
