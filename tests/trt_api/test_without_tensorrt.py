"""What is said where TensorRT is missing, broken or old; and what needs none of it: its log, and how far a build is."""

import builtins
import io
import sys
import threading
from types import SimpleNamespace

import pytest
from facesr_edge.engines.errors import EngineError, MissingDependencyError
from facesr_edge.engines.tensorrt.api import KEPT, Log, one_line, tensorrt, version
from facesr_edge.engines.tensorrt.progress import Tracker


@pytest.fixture
def importing(monkeypatch):
    """Make an import of TensorRT raise."""

    def raises(error):
        monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
        plain = builtins.__import__

        def refuse(name, *args, **kwargs):
            if name == "tensorrt":
                raise error
            return plain(name, *args, **kwargs)

        monkeypatch.setattr(builtins, "__import__", refuse)

    return raises


def test_missing_tensorrt_says_how_to_get_it(importing):
    importing(ModuleNotFoundError("No module named 'tensorrt'", name="tensorrt"))
    with pytest.raises(MissingDependencyError, match=r"pip install 'facesr-edge\[tensorrt\]'"):
        version()


@pytest.mark.parametrize("error", [ImportError, OSError])
def test_tensorrt_without_its_libraries_says_which(importing, error):
    importing(error("libnvinfer.so.10: cannot open shared object file"))
    with pytest.raises(EngineError, match=r"libnvinfer\.so\.10.*LD_LIBRARY_PATH"):
        tensorrt()


@pytest.mark.parametrize("old", ["8.5.2.2", "10.0.1", "10.2.0.post1"])
def test_a_release_that_is_too_old_is_refused(monkeypatch, old):
    monkeypatch.setitem(sys.modules, "tensorrt", SimpleNamespace(__version__=old))
    with pytest.raises(EngineError, match=f"expected TensorRT 10.3 or later, found {old}; .*JetPack 6.1"):
        tensorrt()


@pytest.mark.parametrize("new", ["10.3.0", "10.16.1.11", "11.4.0.106", "12.0.0"])
def test_a_release_from_the_oldest_on_is_taken(monkeypatch, new):
    monkeypatch.setitem(sys.modules, "tensorrt", SimpleNamespace(__version__=new))
    assert version() == new


def test_a_log_keeps_all_but_the_verbose_messages_and_the_file_gets_all():
    file = io.StringIO()
    log = Log(file)
    for severity in ("verbose", "info", "warning", "error", "internal_error"):
        log.add(severity, f"{severity}\nof two lines")
    assert log.lines[0] == "info: info of two lines" and len(log.lines) == 4
    assert log.errors == ("error of two lines", "internal_error of two lines")
    assert log.last_error == "internal_error of two lines"
    assert file.getvalue().startswith("verbose: verbose\nof two lines\ninfo: ")


def test_a_log_without_errors_says_so_and_forgets_what_is_old():
    log = Log()
    assert log.last_error == "TensorRT gave no reason"
    for number in range(KEPT + 5):
        log.add("info", str(number))
    assert len(log.lines) == KEPT and log.lines[0] == "info: 5"


def test_a_log_file_that_cannot_be_written_is_told_once():
    file = io.StringIO()
    file.close()
    log = Log(file)
    log.add("error", "one")
    log.add("error", "two")
    assert [line for line in log.lines if "log file ends early" in line] == [log.lines[1]] and len(log.lines) == 3


def test_a_long_text_is_cut():
    assert one_line("a\n b\t c") == "a b c"
    assert len(one_line("x" * 1000)) == 300 and one_line("x" * 1000).endswith("…")


def test_progress_counts_inner_phases_and_never_falls():
    seen = []
    tracker = Tracker(lambda progress: seen.append(round(progress.fraction, 3)), threading.Event())
    tracker.start("build", None, 2)
    tracker.start("inner", "build", 4)
    assert tracker.step("inner", 0) and tracker.step("inner", 3)
    tracker.finish("inner")
    assert tracker.step("build", 0)
    tracker.start("inner", "build", 2)  # names come again once they are finished
    assert tracker.step("inner", 0)
    tracker.finish("inner")
    tracker.finish("build")  # before all of its steps are done
    tracker.start("after", None, 10)
    assert seen == [0, 0, 0.125, 0.5, 0.5, 0.5, 0.75, 0.75]


def test_a_step_of_a_phase_that_nobody_started_is_no_error():
    tracker = Tracker(lambda progress: None, threading.Event())
    assert tracker.step("unheard of", 3) and tracker.failure is None
    tracker.finish("unheard of")


def test_a_build_is_told_to_stop_by_its_event_and_by_a_report_that_raises():
    stop = threading.Event()
    tracker = Tracker(lambda progress: None, stop)
    tracker.start("build", None, 2)
    stop.set()
    assert not tracker.step("build", 0)

    failing = Tracker(lambda progress: 1 / 0, threading.Event())
    failing.start("build", None, 2)
    assert not failing.step("build", 0) and isinstance(failing.failure, ZeroDivisionError)
