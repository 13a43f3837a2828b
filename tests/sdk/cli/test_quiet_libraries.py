"""C libraries do not write to the terminal while a command runs; its own messages and --debug do."""

import subprocess
import sys

import cv2
import numpy as np

CODE = (
    "import os, sys, warnings\n"
    "from facesr_edge.sdk.cli.console import quiet_libraries, say\n"
    "with quiet_libraries():\n"
    "    os.write(2, b'from a library\\n')\n"
    "    warnings.warn('from Python')\n"
    "    say('own message')\n"
    "os.write(2, b'after\\n')\n"
    "sys.stderr.write('restored\\n')\n"
)


def test_only_own_messages_reach_standard_error():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert done.stderr == "own message\nafter\nrestored\n"


def test_closed_standard_error_is_no_error():
    code = f"import os\nos.close(2)\n{CODE.split('with')[0]}with quiet_libraries(): print('ran')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "ran\n"


def test_damaged_image_is_reported_in_one_line(tmp_path):
    data = bytearray(cv2.imencode(".jpg", np.zeros((64, 64, 3), np.uint8))[1].tobytes())
    (tmp_path / "a.jpg").write_bytes(data[:-40] + b"\xff\xd9")
    command = [sys.executable, "-m", "facesr_edge", "run", str(tmp_path / "a.jpg"), "-o", str(tmp_path / "o.png")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
