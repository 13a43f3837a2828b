"""Workers: every task runs once, on at most as many threads as there are workers, and errors are not lost."""

import threading
import time
from functools import partial

import pytest
from facesr_edge.engines.workers import Workers


@pytest.fixture
def workers():
    workers = Workers(3)
    yield workers
    workers.close()


@pytest.mark.parametrize("count", [0, 1, 2, 3, 50])
def test_every_task_runs_once(workers, count):
    done = []
    workers.run([lambda worker, n=n: done.append(n) for n in range(count)])
    assert sorted(done) == list(range(count))


def test_one_worker_is_the_calling_thread():
    threads = set()
    Workers(1).run([lambda worker: threads.add(threading.current_thread())] * 5)
    assert threads == {threading.current_thread()}


def test_workers_run_at_once_with_an_index_of_their_own(workers):
    barrier = threading.Barrier(3, timeout=10)  # is passed only if three tasks run at the same time
    indices = []

    def task(worker):
        barrier.wait()
        indices.append(worker)

    workers.run([task] * 3)
    assert sorted(indices) == [0, 1, 2]


@pytest.mark.parametrize("failing", [0, 1, 20])
def test_error_of_a_task_is_raised_and_the_workers_remain_usable(workers, failing):
    def task(number, worker):
        time.sleep(0.001)
        if number == failing:
            raise ValueError("task failed")

    with pytest.raises(ValueError, match="task failed"):
        workers.run([partial(task, n) for n in range(30)])
    done = []
    workers.run([done.append] * 4)
    assert len(done) == 4


def test_after_an_error_no_other_task_starts(workers):
    started = []

    def fail(worker):
        raise ValueError("task failed")

    with pytest.raises(ValueError, match="task failed"):
        workers.run([fail, *[lambda worker: (started.append(worker), time.sleep(0.01))] * 200])
    assert len(started) < 100


def test_close_ends_the_threads(workers):
    workers.run([lambda worker: time.sleep(0.01)] * 6)
    before = threading.active_count()
    workers.close()
    workers.close()
    assert threading.active_count() <= before - 1
    done = []
    workers.run([done.append] * 4)
    assert len(done) == 4
