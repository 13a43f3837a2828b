"""The overlapped chain: order, errors, back-pressure, and a prompt stop in every situation."""

import itertools
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest
from facesr_edge.engines.errors import EngineError, OutputError
from facesr_edge.sdk.pipeline.overlap import InFlight, Overlap


def running():
    """Threads of overlaps that are alive."""
    return [thread for thread in threading.enumerate() if thread.name == "frames" or thread.name.startswith("step ")]


@contextmanager
def no_threads_left():
    before = set(running())
    yield
    assert not set(running()) - before


def slowly(item):
    time.sleep(0.002 * (item % 3))
    return item


def double(item):
    return 2 * item


@pytest.mark.parametrize("threads", [1, 2, 8])
@pytest.mark.parametrize("count", [0, 1, 50])
def test_results_keep_the_order_of_the_items(threads, count):
    with no_threads_left(), Overlap(range(count), [slowly, double, slowly], threads) as results:
        assert list(results) == [2 * n for n in range(count)]


def test_steps_of_different_items_run_at_once():
    both = threading.Barrier(2, timeout=10)

    def first(item):
        if item > 0:
            both.wait()
        return item

    def second(item):
        if item < 3:
            both.wait()
        return item

    with Overlap(range(4), [first, second], 2) as results:
        assert list(results) == [0, 1, 2, 3]


@pytest.mark.parametrize("threads", [1, 2])
def test_no_more_steps_compute_at_once_than_there_are_threads(threads):
    lock, counts = threading.Lock(), [0, 0]

    def step(item):
        with lock:
            counts[0] += 1
            counts[1] = max(counts)
        time.sleep(0.002)
        with lock:
            counts[0] -= 1
        return item

    with Overlap(range(20), [step, step, step], threads) as results:
        assert len(list(results)) == 20
    assert counts[1] == threads


@pytest.mark.parametrize(("threads", "limit"), [(1, 2), (2, 3), (8, 4)])
def test_a_consumer_that_does_not_ask_stops_the_source(threads, limit):
    read = []
    source = (read.append(n) or n for n in range(100))
    with no_threads_left(), Overlap(source, [double, double, double], threads) as results:
        taken = iter(results)
        assert next(taken) == 0
        time.sleep(0.2)
        assert len(read) <= 1 + limit
        assert next(taken) == 8
        time.sleep(0.2)
        assert len(read) <= 2 + limit


def test_an_error_of_a_step_is_raised_after_the_results_before_it():
    written = []

    def fail(item):
        if item == 5:
            raise OutputError("the disk is full")
        return item

    with no_threads_left(), Overlap(range(100), [fail, lambda n: written.append(n) or n], 4) as results:
        taken = []
        with pytest.raises(OutputError, match="the disk is full"):
            for item in results:
                taken.append(item)
    assert taken == written == [0, 1, 2, 3, 4]


def test_an_error_of_the_source_is_raised_after_the_results_before_it():
    def source():
        yield from range(3)
        raise KeyError("camera")

    taken = []
    with no_threads_left(), Overlap(source(), [slowly], 2) as results, pytest.raises(KeyError, match="camera"):
        for item in results:
            taken.append(item)
    assert taken == [0, 1, 2]


def test_closing_leaves_a_source_that_never_returns_to_its_thread():
    blocked = threading.Event()

    def source():
        yield 1
        blocked.wait()

    start = time.monotonic()
    with Overlap(source(), [double], 2) as results:
        assert next(iter(results)) == 2
    assert time.monotonic() - start < 5
    blocked.set()


def test_closing_from_another_thread_ends_the_wait_of_the_consumer():
    blocked = threading.Event()

    def source():
        yield 1
        blocked.wait()

    with Overlap(source(), [double], 2) as results:
        taken = iter(results)
        next(taken)
        threading.Timer(0.1, results.close).start()
        with pytest.raises(EngineError, match="closed while it streamed"):
            next(taken)
    blocked.set()


def in_flight(log):
    """A step that finishes an item after it has started the next one, or where none waits."""

    def run(items):
        started = None
        for item in items:
            log.append(("start", item))
            if item == "bad":
                raise ValueError(item)
            if started is not None:
                yield started
            started = item
        if started is not None:
            yield started

    return InFlight(run)


def test_a_step_with_an_item_in_flight_gives_all_results_in_order():
    log = []
    with Overlap(range(20), [in_flight(log), str], 2) as results:
        assert list(results) == [str(n) for n in range(20)]
    assert [item for _, item in log if item is not None] == list(range(20))


def test_an_item_in_flight_is_finished_where_none_waits():
    release = threading.Event()

    def source():
        yield 1
        assert release.wait(10)
        yield 2

    with Overlap(source(), [in_flight([])], 1) as results:
        taken = iter(results)
        assert next(taken) == 1
        release.set()
        assert list(taken) == [2]


def test_errors_of_the_source_and_of_a_step_with_items_in_flight_are_raised():
    def source(last):
        yield 1
        if last is None:
            raise KeyError("source")
        yield last

    with Overlap(source(None), [in_flight([])], 2) as results:
        taken = iter(results)
        assert next(taken) == 1
        with pytest.raises(KeyError, match="source"):
            next(taken)
    with Overlap(source("bad"), [in_flight([])], 2) as results, pytest.raises(ValueError, match="bad"):
        list(results)


def test_an_overlap_with_items_in_flight_can_be_closed():
    closed = []

    def run(items):
        try:
            yield from (item for item in items if item is not None)
        finally:
            closed.append(True)

    with Overlap(itertools.count(), [InFlight(run)], 2) as results:
        assert next(iter(results)) == 0
    assert closed == [True]


@pytest.mark.parametrize("source_ends", [True, False])
def test_an_overlap_that_is_closed_with_items_in_flight_does_not_end_as_if_complete(source_ends):
    begin = threading.Event()

    def run(items):
        assert begin.wait(10)
        first = next(item for item in items if item is not None)
        if source_ends:
            assert [item for item in items if item is not None] == []
        results._closed.set()  # the first step of `close`, in another thread
        yield first

    results = Overlap([1] if source_ends else itertools.count(), [InFlight(run)], 2)
    begin.set()
    with results, pytest.raises(EngineError, match="closed while it streamed"):
        list(results)


PROGRAM = """
import os, signal, sys, threading, time
from facesr_edge.sdk.pipeline.overlap import Overlap
def source():
    for n in range(3): yield n
    {block}
results = Overlap(source(), [lambda n: n], 2)
items = iter(results)
print(next(items), next(items), next(items), flush=True)
{end}
"""
BLOCK = "threading.Event().wait()"
INTERRUPT = "threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start(); next(items)"


@pytest.mark.parametrize(("block", "end", "code"), [(BLOCK, "", 0), ("pass", "", 0), (BLOCK, INTERRUPT, -2)])
def test_threads_do_not_delay_the_end_of_the_interpreter(block, end, code):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(block=block, end=end)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "0 1 2\n" and done.returncode == code, done.stderr
    assert ("KeyboardInterrupt" in done.stderr) == (code != 0)
