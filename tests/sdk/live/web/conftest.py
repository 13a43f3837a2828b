"""A live run of simulated cameras with its page, and a browser."""

import itertools
import shutil
import time

import facesr_edge
import pytest
from facesr_edge.calibration.data.faces import sample_faces
from facesr_edge.sdk.bench.scenes import portraits_of
from facesr_edge.sdk.bench.walkers import make_view
from facesr_edge.sdk.live.camera import Camera, CameraOptions
from facesr_edge.sdk.live.live import live
from facesr_edge.sdk.live.monitoring.monitor import Monitor
from facesr_edge.sdk.live.monitoring.observed import ObservedRun
from support.live_runs import SinkFigures

RATE = 6.0
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    *("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking"),
    *("disable-component-update", "disable-sync", "disable-dev-shm-usage", "window-size=1280,1000"),
)
ENGINE = {"engine": "onnxruntime", "precision": "fp32", "threads": 1}


def in_real_time(view):
    """Two seconds of a view, over and over, at the rate of a camera."""
    frames, start_s = list(view.frames(int(2 * RATE))), time.monotonic()
    for n in itertools.count():
        time.sleep(max(0.0, start_s + n / RATE - time.monotonic()))
        yield facesr_edge.Frame(frames[n % len(frames)].pixels, n, n / RATE)


@pytest.fixture(scope="module")
def run():
    """Two cameras that deliver, and one that is off."""
    portraits = portraits_of(sample_faces(), facesr_edge.load_detector(**ENGINE))
    options = CameraOptions(policy="newest")
    cameras = [
        Camera(in_real_time(make_view(portraits, 2, seed=n, rate=RATE)), options, name=name)
        for n, name in enumerate(("door", "<b>hall</b>"))  # a name that is HTML stays text
    ]
    cameras.append(Camera("rtsp://admin:secret@127.0.0.1:9/live"))
    monitor = Monitor()
    with live(cameras, observers=[monitor], **ENGINE) as run:
        yield ObservedRun(run, monitor, [SinkFigures("results.jsonl", 120, 3, 0, 2, "disk full")])


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Headless Chromium with a profile of its own."""
    webdriver = pytest.importorskip("selenium.webdriver")
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("needs chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_page_load_timeout(30)
    driver.set_script_timeout(30)
    yield driver
    driver.quit()
