"""Journals: torn lines, results of stopped runs, and what differs."""

import pytest
from facesr_edge.engines.errors import UsageError
from facesr_edge.sdk.media.journal import FinishedFile, Journal, is_stopped
from facesr_edge.sdk.media.lock import lock_path
from facesr_edge.sdk.media.results_journal import ResultsJournal

RUN = {"input": "/in.mp4", "outscale": 2}


def stopped(output):
    journal = Journal(output)
    journal.begin(RUN)
    journal.add_chunk([0, 40, 80], flushed=1000)
    journal.add_file("a.png", FinishedFile("a.png", 12, 1))
    journal.close(complete=False)
    return lock_path(output)


def test_progress_is_read_again(tmp_path):
    stopped(tmp_path / "o.mp4")
    journal = Journal(tmp_path / "o.mp4", resume=True)
    progress = journal.begin(RUN)
    assert progress is not None and progress.same_boot
    assert (list(progress.stamps), progress.flushed) == ([0, 40, 80], 1000)
    assert progress.files == {"a.png": FinishedFile("a.png", 12, 1)}
    journal.keep(777)
    journal.close(complete=False)
    assert Journal(tmp_path / "o.mp4").earlier.kept == 777


@pytest.mark.parametrize("torn", [b'{"stamps":[120,16', b"\0" * 40, b'{"stamps":[120]}'])
def test_torn_last_line_is_ignored_and_removed(tmp_path, torn):
    file = stopped(tmp_path / "o.mp4")
    whole = file.read_bytes()
    file.write_bytes(whole + torn)
    journal = Journal(tmp_path / "o.mp4", resume=True)
    progress = journal.begin(RUN)
    journal.close(complete=False)
    assert progress is not None and list(progress.stamps) == [0, 40, 80]
    assert len(file.read_bytes()) == len(whole)


def test_other_options_are_named(tmp_path):
    stopped(tmp_path / "o.mp4")
    journal = Journal(tmp_path / "o.mp4", resume=True)
    with pytest.raises(UsageError, match="outscale was 2, now it is 3; repeat the command"):
        journal.begin({**RUN, "outscale": 3})
    journal.close(complete=False)
    assert is_stopped(tmp_path / "o.mp4")


def test_journal_of_a_run_without_work_or_of_a_complete_one_is_removed(tmp_path):
    for complete, chunks in ((False, 0), (True, 1)):
        journal = Journal(tmp_path / "o.mp4")
        journal.begin(RUN)
        for _ in range(chunks):
            journal.add_chunk([0], 1)
        journal.close(complete)
        assert list(tmp_path.iterdir()) == []


def test_results_of_the_frames_that_are_kept_are_repeated_in_order(tmp_path):
    with pytest.raises(KeyboardInterrupt), ResultsJournal(tmp_path / "f.json") as journal:
        results = journal.source("in.mp4")
        results.begin(RUN)
        results.go_on(0)
        for index in range(5):
            results.add(index, {"index": index, "name": ""})
        raise KeyboardInterrupt
    with ResultsJournal(tmp_path / "f.json", resume=True) as journal:
        results = journal.source("in.mp4")
        results.begin(RUN)
        assert results.frames == 5
        results.go_on(3)
        assert [record["index"] for record in results.earlier(2)] == [0, 1]
        assert [record["index"] for record in results.earlier()] == []
    assert list(tmp_path.iterdir()) == []
