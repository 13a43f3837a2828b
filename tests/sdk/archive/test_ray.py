"""A batch on Ray: the same bytes as on this machine, also when an actor is killed."""

from __future__ import annotations

import psutil
import pytest
from facesr_edge.sdk.archive.batch import batch
from support.archives import CHUNK, SPEC

ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def cluster():
    """A Ray instance with two processors."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(num_cpus=2, include_dashboard=False, object_store_memory=80 << 20, log_to_driver=False)
        yield
        ray.shutdown()


def test_two_actors_give_the_bytes_of_one_process_also_if_one_is_killed(cluster, archive, tmp_path):
    options = {"pipeline": SPEC, "chunk": CHUNK, "recursive": True}
    alone = batch([archive], tmp_path / "alone", workers=1, **options)
    killed: list[int] = []

    def kill_once(progress):
        for process in psutil.process_iter(["cmdline"]):
            if (
                progress.frames > 2
                and not killed
                and " ".join(process.info["cmdline"] or ()).startswith("ray::RayActor")
            ):
                killed.append(process.pid)
                process.kill()

    shared = batch([archive], tmp_path / "ray", workers=2, ray="local", on_progress=kill_once, **options)
    assert killed
    assert (shared.done, shared.retries, shared.complete) == (alone.done, 1, True)
    for name in ("lobby.png", "door/night.jpg", "door/clip.mp4"):
        assert (tmp_path / "ray" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
