"""The GStreamer element in real pipelines: gst-launch-1.0 in the documented environment, and a program with a probe."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import facesr_edge
import numpy as np
import pytest
from facesr_edge.engines.errors import InputError, UsageError
from facesr_edge.sdk.gstreamer.environment import PLUGIN, environment, shell_lines
from facesr_edge.sdk.gstreamer.pixels import FORMATS, Layout, bgr_from_buffer, write_bgr
from facesr_edge.sdk.gstreamer.settings import Settings
from facesr_edge.sdk.provenance.statement import DIGITAL_SOURCE_TYPE, STATEMENT

SYSTEM_GI = Path("/usr/lib/python3/dist-packages/gi")
MODEL = "model=edge-nano-x4 engine=onnxruntime precision=fp32 threads=1"
WIDTH, HEIGHT = 163, 130  # GStreamer pads the rows of this width


@pytest.fixture(scope="module")
def launch(tmp_path_factory):
    """Run gst-launch-1.0 in the environment that `facesr-edge export gstreamer` prints."""
    program = shutil.which("gst-launch-1.0")
    if program is None:
        pytest.skip("needs gst-launch-1.0; apt install gstreamer1.0-tools")
    command = ["/usr/bin/python3", "-c", "import sys; print(*sys.version_info[:2])"]
    system = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    if system != list(map(str, sys.version_info[:2])):
        pytest.skip(f"GStreamer runs Python {'.'.join(system)}, which cannot load the packages of this one")
    variables = {"GST_REGISTRY": str(tmp_path_factory.mktemp("gst") / "registry.bin"), "PYTHONDONTWRITEBYTECODE": "1"}
    clean = {name: value for name, value in os.environ.items() if name not in environment()} | variables
    if subprocess.run(["gst-inspect-1.0", "python"], capture_output=True, env=clean, check=False).returncode:
        pytest.skip("needs GStreamer's loader of Python plugins; apt install gstreamer1.0-python3-plugin-loader")

    def run(description):
        script = "\n".join([*shell_lines(), f"exec gst-launch-1.0 -q {description}"])
        return subprocess.run(["sh", "-c", script], capture_output=True, text=True, env=clean, check=False, timeout=300)

    return run


@pytest.fixture(scope="module")
def frames(put_face):
    """Three frames with a face at different places."""
    images = [np.full((HEIGHT, WIDTH, 3), 118, np.uint8) for _ in range(3)]
    for n, image in enumerate(images):
        put_face(image, 8 + 20 * n, 10 + 5 * n, 34)
    return images


@pytest.fixture(scope="module")
def raw_file(frames, tmp_path_factory):
    """The frames as raw BGR with padded rows."""
    path = tmp_path_factory.mktemp("raw") / "frames.bgr"
    pad = ((0, 0), (0, -3 * WIDTH % 4))
    path.write_bytes(b"".join(np.pad(frame.reshape(HEIGHT, -1), pad).tobytes() for frame in frames))
    return path


def reader(raw_file, image_format="bgr"):
    return (
        f"filesrc location={raw_file} ! rawvideoparse format={image_format} width={WIDTH} height={HEIGHT} framerate=5/1"
    )


def test_faces_of_a_file_are_upscaled_into_a_file_as_the_pipeline_does(launch, frames, raw_file, tmp_path):
    out = tmp_path / "out.bgr"
    done = launch(f"{reader(raw_file)} ! facesr {MODEL} outscale=2 ! filesink location={out}")
    assert done.returncode == 0, done.stderr
    stride = -(-6 * WIDTH // 4) * 4
    written = np.frombuffer(out.read_bytes(), np.uint8).reshape(3, 2 * HEIGHT, stride)[:, :, : 6 * WIDTH]
    with facesr_edge.load("edge-nano-x4", engine="onnxruntime", precision="fp32", threads=1, outscale=2) as sr:
        results = [sr(frame) for frame in frames]
    assert [len(result.faces) for result in results] == [1, 1, 1]
    for result, image in zip(results, written, strict=True):
        assert np.array_equal(image.reshape(2 * HEIGHT, 2 * WIDTH, 3), result.frame)


@pytest.fixture(scope="module")
def clip(frames, tmp_path_factory):
    """The frames as H.264 with times that are not evenly spaced."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 160, 128, "yuv420p"
        for time, image in zip((0, 2, 5), frames, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image[:128, :160]), format="bgr24")
            frame.pts, frame.time_base = time, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def documented_line():
    """The first line of gst-launch-1.0 in the documentation, from a file to a file."""
    page = (Path(__file__).parents[3] / "docs" / "gstreamer.md").read_text("utf-8")
    return re.search(r"^gst-launch-1.0 (filesrc .*?)\n```", page, re.DOTALL | re.MULTILINE)[1].replace("\\\n", " ")


def test_the_documented_line_keeps_timestamps_and_says_that_faces_are_estimates(launch, clip, tmp_path):
    line = documented_line()
    assert " facesr outscale=2 " in line and "=clip.mp4 " in line
    out = tmp_path / "out.mp4"
    tagged = f'taginject tags="title=hall,comment=north" ! facesr {MODEL} '
    replaced = {"facesr ": tagged, "=clip.mp4": f"={clip}", "=upscaled.mp4": f"={out}"}
    for old, new in replaced.items():
        line = line.replace(old, new)
    done = launch(line)
    if "missing a plug-in" in done.stderr or 'no element "x264enc"' in done.stderr:
        pytest.skip("GStreamer lacks a codec for H.264; apt install gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly")
    assert done.returncode == 0, done.stderr
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (320, 256)
        assert stream.metadata["comment"] == f"{STATEMENT} {DIGITAL_SOURCE_TYPE} north"
        assert stream.metadata["title"] == "hall"
        assert [round(float(frame.pts * frame.time_base), 3) for frame in container.decode(stream)] == [0, 0.2, 0.5]


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ("model=nosuch", "unknown model 'nosuch'"),
        ("engine=nosuch", "unknown engine 'nosuch'"),
    ],
)
def test_a_wrong_property_is_an_error_message_of_the_element(launch, properties, expected):
    done = launch(f"videotestsrc num-buffers=1 ! video/x-raw,width=64,height=48 ! facesr {properties} ! fakesink")
    lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR: from element")]
    assert len(lines) == 1 and done.returncode != 0, done.stderr
    assert expected in lines[0] and "Traceback" not in done.stderr


PROGRAM = """
import json, sys
import gi
for name in ("Gst", "GstVideo"):
    gi.require_version(name, "1.0")
from gi.repository import Gst, GstVideo
Gst.init(None)
pipeline = Gst.parse_launch(sys.argv[1])
probed = []

def on_buffer(pad, info):
    buffer, regions = info.get_buffer(), []
    region = GstVideo.buffer_get_video_region_of_interest_meta_id(buffer, 0)
    if region is not None:
        found = region.get_param("detection")
        box = [region.x, region.y, region.w, region.h]
        regions.append([box, found.get_double("confidence")[1], found.get_double("consistency_db")[1]])
    caps = pad.get_current_caps().get_structure(0)
    probed.append([buffer.pts, buffer.duration, caps.get_int("width")[1], caps.get_int("height")[1], regions])
    return Gst.PadProbeReturn.OK

pipeline.get_by_name("end").get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, on_buffer)
for _ in range(2):  # the element is started again after a stop
    pipeline.set_state(Gst.State.PLAYING)
    message = pipeline.get_bus().timed_pop_filtered(120 * Gst.SECOND, Gst.MessageType.EOS | Gst.MessageType.ERROR)
    if message is None or message.type == Gst.MessageType.ERROR:
        sys.exit(message.parse_error()[0].message if message else "no end of the stream")
    pipeline.set_state(Gst.State.NULL)
print(json.dumps(probed))
"""


def test_faces_are_regions_of_interest_of_the_buffer(launch, frames, raw_file, tmp_path):
    (tmp_path / "gi").symlink_to(SYSTEM_GI)
    own = str(tmp_path) if importlib.util.find_spec("gi") is None else ""
    variables = environment() | {"GST_REGISTRY": str(tmp_path / "registry.bin")}
    variables["PYTHONPATH"] = f"{own}:{variables['PYTHONPATH']}"
    description = f"{reader(raw_file)} ! facesr {MODEL} outscale=2 ! fakesink name=end"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, description],
        capture_output=True, text=True, check=False, env={**os.environ, **variables}, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    probed = json.loads(done.stdout)
    with facesr_edge.load("edge-nano-x4", engine="onnxruntime", precision="fp32", threads=1) as sr:
        faces = [sr(frame).faces[0] for frame in frames]
    assert [row[:4] for row in probed] == [[n * 200_000_000, 200_000_000, 2 * WIDTH, 2 * HEIGHT] for n in range(3)] * 2
    for (*_, regions), face in zip(probed, faces * 2, strict=True):
        ((box, confidence, consistency_db),) = regions
        left, top, right, bottom = (2 * float(v) for v in face.box_xyxy)
        assert np.abs(np.subtract(box, [left, top, right - left, bottom - top])).max() <= 0.5
        assert (confidence, consistency_db) == (face.score, face.consistency_db)


@pytest.mark.parametrize("image_format", FORMATS)
def test_a_frame_survives_its_way_through_a_buffer(image_format):
    frame = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    layout = Layout(image_format, 7, 5, 40, offset=3)
    buffer = bytearray(b"\x07" * 203)
    write_bgr(frame, buffer, layout)
    assert np.array_equal(bgr_from_buffer(bytes(buffer), layout), frame)
    first = frame[0, 0, ::-1] if image_format.startswith("RGB") else frame[0, 0]
    assert list(buffer[3:6]) == list(first)
    used = 7 * len(image_format)
    assert set(buffer[3 + used : 43]) == {7} and set(buffer[:3]) == {7}  # padding is left alone
    if image_format.endswith("x"):
        assert buffer[6] == 255


@pytest.mark.parametrize(("size", "stride"), [(83, 28), (200, 20)])
def test_a_buffer_that_is_too_small_is_refused(size, stride):
    with pytest.raises(InputError, match="expected a buffer of 7x3 BGRx in rows of"):
        bgr_from_buffer(bytes(size), Layout("BGRx", 7, 3, stride))


def test_an_invalid_outscale_is_refused_before_a_network_is_loaded():
    with pytest.raises(UsageError, match="outscale is 5"):
        Settings(outscale=5, model="nosuch").open()


def test_the_plugin_lies_where_the_loader_looks():
    assert [path.name for path in (PLUGIN / "python").glob("*.py")] == ["facesr.py"]
    assert environment()["GST_PLUGIN_PATH"] == str(PLUGIN.absolute())


def test_printed_folders_come_before_those_of_the_environment():
    script = "\n".join([*shell_lines(), 'echo "$GST_PLUGIN_PATH $PYTHONPATH"'])
    for before, after in (({}, ""), ({"GST_PLUGIN_PATH": "/a b", "PYTHONPATH": "/c"}, True)):
        done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True, env=before)
        values = environment()
        ends = (":/a b", ":/c") if after else ("", "")
        assert done.stdout == f"{values['GST_PLUGIN_PATH']}{ends[0]} {values['PYTHONPATH']}{ends[1]}\n"
