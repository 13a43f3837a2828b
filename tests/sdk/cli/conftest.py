"""Runner for commands (exit code, stdout, stderr) and small inputs."""

from dataclasses import dataclass

import av
import cv2
import numpy as np
import pytest
from facesr_edge.sdk.cli.main import main


@dataclass(frozen=True)
class CommandResult:
    code: int
    out: str
    err: str

    @property
    def error(self):
        """Message after "error:", which must be a single line, the last one."""
        lines = self.err.strip().splitlines()
        assert [line for line in lines if "error:" in line] == lines[-1:], self.err
        assert "Traceback" not in self.err
        return lines[-1].split("error: ", 1)[1]


@pytest.fixture
def facesr(capfd):
    """Run a command in this process."""

    def call(*arguments):
        capfd.readouterr()
        with pytest.raises(SystemExit) as exit_info:
            main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return CommandResult(exit_info.value.code, out, err)

    return call


@pytest.fixture(scope="session")
def small_frame(put_face):
    """(120, 160, 3) with one face of 20 px."""
    frame = np.full((120, 160, 3), 118, np.uint8)
    put_face(frame, 30, 20, 30)
    return frame


@pytest.fixture
def image_file(tmp_path, small_frame):
    path = tmp_path / "image.png"
    cv2.imwrite(str(path), small_frame)
    return path


@pytest.fixture(scope="session")
def clips(tmp_path_factory, small_frame):
    """Function: number of frames, and their pixels -> video file."""

    def make(frames, pixels=small_frame):
        path = tmp_path_factory.mktemp("clips") / f"{frames}.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.height, stream.width = pixels.shape[:2]
            stream.pix_fmt = "yuv420p"
            stream.codec_context.gop_size = (
                10  # spreads the data over the file, independent of the number of encoder threads
            )
            for _ in range(frames):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "bgr24")))
            container.mux(stream.encode(None))
        return path

    return make


@pytest.fixture(scope="session")
def large_frame(put_face):
    """(360, 640, 3) with one face of 30 px."""
    frame = np.full((360, 640, 3), 118, np.uint8)
    put_face(frame, 250, 150, 30)
    return frame


@pytest.fixture(scope="session")
def bundle(tiny_bundle):
    """Folder of a bundle with a tiny network."""
    return tiny_bundle().folder
