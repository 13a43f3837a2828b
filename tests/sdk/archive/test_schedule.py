"""The order of tasks, what is tried again, and what the journal keeps."""

from __future__ import annotations

import json
import time

import pytest
from facesr_edge.engines.errors import OutputError, UsageError
from facesr_edge.sdk.archive.batch import _Run
from facesr_edge.sdk.archive.inputs import ArchiveInputs
from facesr_edge.sdk.archive.journal import BatchJournal, FileRecord, begin, earlier_identity
from facesr_edge.sdk.archive.parts import PartRecord, part_names, read_part
from facesr_edge.sdk.archive.schedule import Schedule, as_failure
from facesr_edge.sdk.archive.storage import STATE, LocalFolder
from facesr_edge.sdk.archive.tasks import (
    ArchiveFile,
    Done,
    FileTask,
    JoinTask,
    Outcome,
    PartTask,
    Split,
    TaskError,
)
from facesr_edge.sdk.archive.workers import Workers
from facesr_edge.sdk.media.video.splitting.parts import Part, PartsError
from facesr_edge.sdk.pipeline.summary import RunSummary

VIDEO = ArchiveFile("/in/a.mp4", "a.mp4", "a.mp4", "video", 10, "1")
PICTURE = ArchiveFile("/in/b.png", "b.png", "b.png", "image", 10, "1")
PLAN = Split((0, 250, 500), (None, None, None))
FINISHED = Done(1, RunSummary(frames=1))


def end(schedule, task, result):
    return schedule.end(Outcome(task, "w", result))


def test_parts_of_a_video_come_before_other_files_and_are_joined_at_the_end():
    schedule = Schedule([VIDEO, PICTURE], retries=0)
    assert end(schedule, schedule.next(), PLAN) is None
    parts = [schedule.next() for _ in range(3)]
    assert [(part.first, part.end) for part in parts] == [(0, 250), (250, 500), (500, None)]
    for part in (parts[2], parts[0]):
        end(schedule, part, Done(250, seconds=2.0))
    assert schedule.next() == FileTask(PICTURE)
    end(schedule, parts[1], Done(250, seconds=2.0))
    join = schedule.next()
    assert join == JoinTask(VIDEO, PLAN.firsts)
    finished = end(schedule, join, FINISHED)
    assert (finished.file, finished.seconds, as_failure(finished)) == (VIDEO, 6.0, None)


def test_parts_of_an_earlier_call_are_not_done_again():
    schedule = Schedule([VIDEO], 0, lambda file, split: {0, 500})
    end(schedule, schedule.next(), PLAN)
    assert schedule.next() == PartTask(VIDEO, 250, 500)
    schedule = Schedule([VIDEO], 0, lambda file, split: split.firsts)
    end(schedule, schedule.next(), PLAN)
    assert schedule.next() == JoinTask(VIDEO, PLAN.firsts)


def test_a_video_whose_parts_do_not_fit_is_done_as_a_whole():
    schedule = Schedule([VIDEO], 0, lambda file, split: split.firsts)
    end(schedule, schedule.next(), PLAN)
    assert end(schedule, schedule.next(), TaskError("frame 250 moved", "parts")) is None
    assert schedule.next() == FileTask(VIDEO, whole=True)


def test_a_part_that_fails_fails_the_video_once_and_its_other_parts_are_left_out():
    schedule = Schedule([VIDEO, PICTURE], retries=1)
    end(schedule, schedule.next(), PLAN)
    first, second, third = (schedule.next() for _ in range(3))
    assert end(schedule, first, TaskError("unreadable")) is None
    assert schedule.next() == FileTask(PICTURE)
    assert schedule.next() == first  # again, behind the others
    finished = end(schedule, first, TaskError("unreadable"))
    assert (as_failure(finished).reason, finished.attempts, schedule.retried) == ("unreadable", 2, 1)
    assert end(schedule, second, TaskError("unreadable")) is None
    assert end(schedule, third, Done(250)) is None
    end(schedule, FileTask(PICTURE), FINISHED)
    assert not schedule.left


def test_a_file_that_is_cut_short_is_a_failure_with_an_output():
    schedule = Schedule([VIDEO], retries=1)
    finished = end(schedule, schedule.next(), Done(5, RunSummary(frames=5), 99, error="truncated after 5 frames"))
    assert as_failure(finished) == TaskError("truncated after 5 frames")


def record(file, error=""):
    return FileRecord(file.source, file.output, file.version, error, bytes=7)


def test_the_journal_keeps_what_is_done_also_with_many_files_and_a_damaged_line(tmp_path):
    folder = LocalFolder(str(tmp_path))
    for number in range(102):
        journal = BatchJournal(folder)
        journal.add(FileRecord("/in", f"{number}.png", "1", bytes=7))
        journal.flush()
    journal.add(record(VIDEO))
    journal.add(record(PICTURE, "broken"))
    journal.flush()
    next((tmp_path / STATE / "journal").glob("*-000000.jsonl")).open("a").write('{"cut')
    assert len(list((tmp_path / STATE / "journal").iterdir())) < 10
    again = BatchJournal(folder)
    assert len(again.earlier) == 104
    assert again.is_done(VIDEO, {"a.mp4": 7})
    assert not again.is_done(VIDEO, {"a.mp4": 8})  # another file has its name
    assert not again.is_done(VIDEO, {})
    assert not again.is_done(PICTURE, {"b.png": 7})


def test_other_options_are_refused_once_something_is_done(tmp_path):
    folder = LocalFolder(str(tmp_path))
    begin(folder, earlier_identity(folder), {"engine": "openvino"})
    begin(folder, earlier_identity(folder), {"engine": "onnxruntime"})  # nothing was done with the first one
    journal = BatchJournal(folder)
    journal.add(record(VIDEO))
    journal.flush()
    with pytest.raises(UsageError, match="holds a batch with engine onnxruntime, now it is tensorrt"):
        begin(folder, earlier_identity(folder), {"engine": "tensorrt"})
    (tmp_path / STATE / "batch.json").write_text(json.dumps(["no options"]))
    assert earlier_identity(folder) == {}
    (tmp_path / STATE / "batch.json").write_text("{")
    with pytest.raises(OutputError, match=r"batch\.json is damaged"):
        earlier_identity(folder)


class _IdleWorkers(Workers):
    """Finish one picture, and then nothing."""

    free, closed = 1, False

    def __init__(self):
        self.tasks = []

    def submit(self, task):
        self.tasks.append(task)

    def wait(self, timeout_s):
        time.sleep(0.01)
        return [Outcome(self.tasks.pop(0), "1", FINISHED)] if self.tasks[0].file == PICTURE else []

    def close(self):
        self.closed = True


def test_records_are_written_while_the_batch_waits(tmp_path, monkeypatch):
    monkeypatch.setattr("facesr_edge.sdk.archive.journal._FLUSH_S", 0.1)
    folder = LocalFolder(str(tmp_path))
    run = _Run(folder, ArchiveInputs((PICTURE, VIDEO), (), ()), BatchJournal(folder), 0, lambda progress: None, "")
    waits = iter(range(300))
    journal = tmp_path / STATE / "journal"
    run.process(_IdleWorkers(), lambda: journal.exists() or next(waits, None) is None)
    assert list(journal.iterdir())


def test_a_part_without_its_packets_is_encoded_again_and_not_joined(tmp_path):
    folder = LocalFolder(str(tmp_path))
    part = Part(tmp_path / "not written", (0, 40), (8, 8, 3), "")
    folder.write(part_names(VIDEO, 0)[1], PartRecord(part, RunSummary()).to_json())
    run = _Run(folder, ArchiveInputs((VIDEO,), (), ()), BatchJournal(folder), 0, lambda progress: None, "")
    assert not run._parts_there(VIDEO, PLAN)
    with pytest.raises(PartsError, match="from frame 0 on is damaged or missing"):
        read_part(folder, VIDEO, 0, tmp_path)
    folder.write(part_names(VIDEO, 0)[0], b"packets")
    assert run._parts_there(VIDEO, PLAN) == {0}
