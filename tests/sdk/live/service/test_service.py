"""Which runs wait for their outputs."""

import pytest
from facesr_edge.sdk.live.camera import CameraOptions
from facesr_edge.sdk.live.config.live_config import CameraConfig, LiveConfig
from facesr_edge.sdk.live.service.service import _loses_nothing


@pytest.mark.parametrize(
    ("cameras", "waits"),
    [
        ([("a.mp4", "auto")], True),
        ([("a.mp4", "wait"), ("b.mp4", "auto")], True),
        ([("a.mp4", "newest")], False),
        ([("rtsp://camera/live", "auto")], False),
        ([("rtsp://camera/live", "wait")], False),
        ([("a.mp4", "wait"), ("0", "wait")], False),
    ],
)
def test_only_files_wait_for_their_outputs(cameras, waits):
    """A server that is off would hold up a live camera, and with it the scheduler and the watchdog."""
    options = [CameraConfig(source, source, CameraOptions(policy=policy)) for source, policy in cameras]
    assert _loses_nothing(LiveConfig(tuple(options))) == waits
