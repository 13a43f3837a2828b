"""Workers: order, cancelling, and an end that does not wait for work that never ends."""

import subprocess
import sys
import threading
from concurrent.futures import CancelledError

import pytest
from facesr_edge.sdk.serving.faces.pool import Pool


class Closed:
    """A pipeline that records that it was closed."""

    def __init__(self):
        self.closed, self.detector = False, self

    def close(self):
        self.closed = True


def test_work_that_does_not_end_does_not_keep_the_pool():
    pipelines, runs, end = [Closed(), Closed()], threading.Event(), threading.Event()

    def stuck(pipeline, waited_s):
        pipeline.is_stuck = True
        runs.set()
        end.wait(60)

    pool = Pool(pipelines, 60)
    pool.submit(stuck)
    assert runs.wait(10) and pool.submit(lambda pipeline, waited_s: 7).result(10) == 7
    closing = threading.Thread(target=pool.close, args=(0.05,), daemon=True)
    closing.start()
    closing.join(10)
    assert not closing.is_alive()
    assert [pipeline.closed for pipeline in pipelines] == [not hasattr(one, "is_stuck") for one in pipelines]
    with pytest.raises(CancelledError):
        pool.submit(lambda pipeline, waited_s: 7).result(10)
    end.set()


def test_a_process_ends_although_a_worker_does_not():
    program = """
import threading
from facesr_edge.sdk.serving.faces.pool import Pool
class Closed:
    detector = property(lambda self: self)
    def close(self): pass
pool, runs = Pool([Closed()], 60), threading.Event()
pool.submit(lambda *_: (runs.set(), threading.Event().wait()))
runs.wait()
pool.close(0.05)
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 0


def test_running_work_ends_and_what_waits_is_cancelled():
    pipeline, runs, end = Closed(), threading.Event(), threading.Event()
    pool = Pool([pipeline], 60)
    running = pool.submit(lambda *_: (runs.set(), end.wait(60)))
    assert runs.wait(10)
    waiting = pool.submit(lambda *_: None)
    threading.Timer(0.1, end.set).start()
    pool.close()
    assert running.result(0) and waiting.cancelled() and pipeline.closed
