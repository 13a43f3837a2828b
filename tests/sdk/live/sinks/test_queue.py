"""Queues of sinks: bounded, never in the way of the run, and every item counted."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

import pytest
from facesr_edge.engines.errors import OutputError, SendError
from facesr_edge.sdk.live.results import LiveResult
from facesr_edge.sdk.live.sinks.queue import SinkGroup, SinkQueue, SinkStatistics
from facesr_edge.sdk.live.sinks.sink import LiveSink
from support.sinks import make_result, wait_until


class IndexSink(LiveSink[int]):
    """Keeps the indices of the frames; waits, or fails, as told."""

    def __init__(self, name: str = "indices", sleep_s: float = 0.0, size: int = 8, batch: int = 1) -> None:
        super().__init__(name)
        self.queue_size, self.max_batch = size, batch
        self.items: list[int] = []
        self.batches: list[int] = []
        self.errors: list[Exception] = []
        self.sleep_s, self.closed = sleep_s, 0
        self.go = threading.Event()
        self.go.set()

    def select(self, result: LiveResult) -> Sequence[int]:
        return [result.source.index]

    def select_rest(self) -> Sequence[int]:
        return [-1]

    def write(self, items: Sequence[int]) -> None:
        self.go.wait(5)
        time.sleep(self.sleep_s)
        if self.errors:
            raise self.errors.pop(0)
        self.items += items
        self.batches.append(len(items))

    def close(self) -> None:
        self.closed += 1


def counts(statistics: SinkStatistics) -> tuple[int, int, int, int]:
    return statistics.written, statistics.dropped, statistics.failed, statistics.queued


def test_results_reach_the_sink_in_order_and_the_rest_at_the_end():
    queue = SinkQueue(IndexSink())
    for index in range(4):
        queue.done(make_result(index))
    queue.close()
    assert queue.sink.items == [0, 1, 2, 3, -1]
    assert counts(queue.statistics()) == (5, 0, 0, 0)
    assert queue.sink.closed == 1 and not queue._thread.is_alive()


def test_a_slow_sink_never_delays_the_run_and_loses_its_oldest_items():
    queue = SinkQueue(IndexSink(sleep_s=0.2, size=4))
    results = [make_result(index) for index in range(50)]
    start_s = time.monotonic()
    for result in results:
        queue.done(result)
    assert time.monotonic() - start_s < 3
    assert queue.statistics().dropped >= 45
    queue.close()
    after = queue.statistics()
    assert after.dropped >= 45 and after.written + after.dropped + after.failed + after.queued == 51
    assert set(queue.sink.items[1:]) <= {46, 47, 48, 49, -1}


def test_a_waiting_queue_loses_nothing():
    queue = SinkQueue(IndexSink(sleep_s=0.005, size=4), wait=True)
    for index in range(40):
        queue.done(make_result(index))
    queue.close()
    assert queue.sink.items == [*range(40), -1]
    assert counts(queue.statistics()) == (41, 0, 0, 0)


def test_closing_frees_a_run_that_waits_for_a_stuck_sink():
    queue = SinkQueue(IndexSink(size=4), wait=True, drain_s=0.1)
    queue.sink.go.clear()

    def produce():
        for index in range(20):
            queue.done(make_result(index))

    producer = threading.Thread(target=produce)
    producer.start()
    wait_until(lambda: queue.statistics().queued == 5)
    start_s = time.monotonic()
    queue.close()
    producer.join(1)
    assert not producer.is_alive() and time.monotonic() - start_s < 2
    queue.sink.go.set()


def test_an_error_is_counted_and_logged_once_until_it_changes(caplog):
    caplog.set_level(logging.INFO, logger="facesr_edge")
    sink = IndexSink("mqtt://user:secret@broker/topic")
    full = OutputError("cannot write out.jsonl: no space left; free some space")
    sink.errors = [full, full, full, ValueError("see http://user:secret@host/")]
    queue = SinkQueue(sink)
    for index in range(5):
        queue.done(make_result(index))
        wait_until(lambda: queue.statistics().queued == 0)
    assert counts(queue.statistics()) == (1, 0, 4, 0) and queue.statistics().error == ""
    queue.close()
    messages = [record.getMessage() for record in caplog.records]
    name = "mqtt://user:***@broker/topic"
    assert messages == [
        f"{name}: cannot write out.jsonl: no space left; free some space",
        f"{name}: ValueError: see http://user:***@host/",
        f"{name}: writes again",
    ]


def test_a_server_that_refuses_every_second_request_does_not_fill_the_log(caplog, monkeypatch):
    caplog.set_level(logging.INFO, logger="facesr_edge")
    sink = IndexSink()
    queue = SinkQueue(sink)

    def write(index, refused):
        sink.errors = [OutputError("refused")] * refused
        queue.done(make_result(index))
        wait_until(lambda: queue.statistics().queued == 0)

    for index in range(20):
        write(index, refused=index % 2 == 0)
    assert caplog.messages == ["indices: refused", "indices: writes again"]
    write(20, refused=True)
    monkeypatch.setattr("facesr_edge.sdk.live.sinks.queue.REPEAT_S", 0.0)
    write(21, refused=True)
    wait_until(lambda: caplog.messages[2:] == ["indices: refused"])  # it lasts
    queue.close()


def test_a_server_that_does_not_answer_gets_the_same_items_again():
    sink = IndexSink()
    sink.errors = [SendError("no answer"), SendError("no answer")]
    queue = SinkQueue(sink)
    queue.done(make_result(7))
    wait_until(lambda: queue.statistics().error == "no answer")
    wait_until(lambda: sink.items == [7])
    queue.close()
    assert counts(queue.statistics()) == (2, 0, 0, 0)


def test_a_batch_that_is_refused_for_long_is_given_up(monkeypatch):
    sink = IndexSink()
    monkeypatch.setattr(sink, "retry_s", 0.1)
    sink.errors = [SendError("no answer")] * 2
    queue = SinkQueue(sink)
    queue.done(make_result(1))
    wait_until(lambda: queue.statistics().failed == 1)
    queue.done(make_result(2))
    queue.close()
    assert sink.items == [2, -1]


def test_a_batch_has_what_waits():
    sink = IndexSink(batch=3)
    sink.go.clear()
    queue = SinkQueue(sink)
    for index in range(5):
        queue.done(make_result(index))
    sink.go.set()
    queue.close()
    assert sink.items == [0, 1, 2, 3, 4, -1] and max(sink.batches) == 3


def test_closing_is_limited_and_tells_what_was_not_written(caplog):
    sink = IndexSink(sleep_s=0.7)
    queue = SinkQueue(sink)
    for index in range(4):
        queue.done(make_result(index))
    start_s = time.monotonic()
    queue.close()
    assert time.monotonic() - start_s < 2
    left = queue.statistics().queued
    assert left >= 1
    assert caplog.messages == [f"indices: closed with {left} items not written"]
    queue.close()  # idempotent
    wait_until(lambda: sink.closed == 1)


@pytest.mark.parametrize("wait", [False, True])
def test_an_unreachable_server_does_not_delay_the_end(caplog, wait):
    sink = IndexSink()
    sink.errors = [SendError("no answer")] * 100
    queue = SinkQueue(sink, wait=wait)
    queue.done(make_result(1))
    wait_until(lambda: queue.statistics().error == "no answer")
    start_s = time.monotonic()
    queue.close()
    assert time.monotonic() - start_s < 2 and queue.statistics().queued == 2
    assert caplog.messages == ["indices: no answer", "indices: closed with 2 items not written"]


def test_a_sink_that_cannot_select_does_not_stop_the_run():
    class Broken(IndexSink):
        def select(self, result):
            raise KeyError("face")

    queue = SinkQueue(Broken())
    queue.done(make_result(1))
    assert queue.statistics().failed == 1 and "KeyError" in queue.statistics().error
    queue.close()


def test_a_group_is_drained_at_the_same_time():
    group = SinkGroup([SinkQueue(IndexSink(str(number), sleep_s=0.3)) for number in range(5)])
    group.done(make_result(1))
    start_s = time.monotonic()
    group.close()
    assert time.monotonic() - start_s < 2
    assert [statistics.name for statistics in group.statistics()] == ["0", "1", "2", "3", "4"]


FORGOTTEN = """
import pathlib, sys
from facesr_edge.sdk.live.sinks.jsonl import JsonlSink
from facesr_edge.sdk.live.sinks.queue import SinkQueue
sys.path.insert(0, sys.argv[2])
from support.sinks import make_result
queue = SinkQueue(JsonlSink(pathlib.Path(sys.argv[1]), {}))
for index in range(50):
    queue.done(make_result(index))
"""


def test_a_queue_that_was_not_closed_is_drained_when_the_program_ends(tmp_path, pytestconfig):
    path, tests = tmp_path / "faces.jsonl", str(pytestconfig.rootpath / "tests")
    subprocess.run([sys.executable, "-c", FORGOTTEN, str(path), tests], check=True, timeout=60)
    lines = path.read_text().splitlines()
    assert len(lines) == 52 and '"type": "summary"' in lines[-1]


@pytest.mark.parametrize("wait", [False, True])
def test_nothing_is_taken_after_the_end(wait):
    queue = SinkQueue(IndexSink(), wait=wait)
    queue.close()
    queue.done(make_result(1))
    assert queue.sink.items == [-1]
