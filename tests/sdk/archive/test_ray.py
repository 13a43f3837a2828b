"""A batch on Ray: the same bytes as on this machine, also when actors are killed."""

from __future__ import annotations

import threading

import psutil
import pytest
from facesr_edge.engines.errors import EngineError
from facesr_edge.sdk.archive.batch import batch
from support.archives import CHUNK, SPEC

ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def cluster():
    """A Ray instance with two processors."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")  # 15 by default: behind everything else on this machine
        ray.init(num_cpus=2, include_dashboard=False, object_store_memory=80 << 20, log_to_driver=False)
        yield
        ray.shutdown()


def test_an_address_without_a_cluster_is_told_at_once(archive, tmp_path):
    with pytest.raises(EngineError, match="there is no Ray cluster at localhost:9: "):
        batch([archive], tmp_path, pipeline=SPEC, ray="localhost:9", recursive=True)


def title(process):
    return " ".join(process.info["cmdline"] or ())


def test_two_actors_give_the_bytes_of_one_process_also_if_they_are_killed(cluster, archive, tmp_path):
    options = {"pipeline": SPEC, "chunk": CHUNK, "recursive": True}
    alone = batch([archive], tmp_path / "alone", workers=1, **options)
    killed: list[int] = []
    stop = threading.Event()

    def kill_all_once():
        """All actors while one of them works, however quickly it does."""
        while not killed and not stop.wait(0.01):
            processes = list(psutil.process_iter(["cmdline"]))
            actors = [process for process in processes if title(process).startswith("ray::RayActor")]
            if any(title(process).startswith("ray::RayActor.run") for process in actors):
                killed.extend(process.pid for process in actors)
                for process in actors:
                    process.kill()

    killer = threading.Thread(target=kill_all_once)
    killer.start()
    try:
        shared = batch([archive], tmp_path / "ray", workers=2, ray="local", **options)
    finally:
        stop.set()
        killer.join()
    assert killed
    assert (shared.done, shared.complete) == (alone.done, True)
    assert shared.retries >= 1
    for name in ("lobby.png", "door/night.jpg", "door/clip.mp4"):
        assert (tmp_path / "ray" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
