"""Without TensorRT: errors if it is missing, broken or too old; the log and the progress tracker."""

import io
import sys
import threading
from types import SimpleNamespace

import pytest
from facesr_edge.engines.cuda.extra import gpu_extra
from facesr_edge.engines.errors import EngineError, MissingDependencyError
from facesr_edge.engines.jetson import this_jetson
from facesr_edge.engines.tensorrt import api
from facesr_edge.engines.tensorrt.api import MAX_MESSAGES, Log, one_line, tensorrt, version
from facesr_edge.engines.tensorrt.progress import Tracker


@pytest.fixture
def importing(monkeypatch):
    """Let the import of TensorRT raise an error."""

    def fail_with(error):
        def failing_import(name):
            raise error

        monkeypatch.setattr(api, "import_module", failing_import)

    return fail_with


def test_missing_tensorrt_raises_with_the_install_command(importing):
    importing(ModuleNotFoundError("No module named 'tensorrt'", name="tensorrt"))
    with pytest.raises(MissingDependencyError, match=rf"pip install 'facesr-edge\[{gpu_extra()}\]'"):
        version()


def test_missing_tensorrt_of_a_jetson_is_installed_from_jetpack(importing, monkeypatch, tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nv_tegra_release").write_text("# R36 (release), REVISION: 4.3,")
    monkeypatch.setattr(api, "this_jetson", lambda: this_jetson(tmp_path))
    importing(ModuleNotFoundError("No module named 'tensorrt'", name="tensorrt"))
    with pytest.raises(MissingDependencyError, match=r"not installed; sudo apt install python3-libnvinfer") as caught:
        version()
    assert "pip" not in str(caught.value)


@pytest.mark.parametrize("error", [ImportError, OSError])
def test_tensorrt_without_its_libraries_raises_with_their_name(importing, error):
    importing(error("libnvinfer.so.10: cannot open shared object file"))
    with pytest.raises(EngineError, match=r"libnvinfer\.so\.10.*LD_LIBRARY_PATH"):
        tensorrt()


@pytest.mark.parametrize("too_old", ["8.5.2.2", "10.0.1", "10.2.0.post1"])
def test_a_release_older_than_the_minimum_raises(monkeypatch, too_old):
    monkeypatch.setitem(sys.modules, "tensorrt", SimpleNamespace(__version__=too_old))
    with pytest.raises(EngineError, match=f"expected TensorRT 10.3 or later, found {too_old}; .*JetPack 6.1"):
        tensorrt()


@pytest.mark.parametrize("supported", ["10.3.0", "10.16.1.11", "11.4.0.106", "12.0.0"])
def test_supported_releases_are_accepted(monkeypatch, supported):
    monkeypatch.setitem(sys.modules, "tensorrt", SimpleNamespace(__version__=supported))
    assert version() == supported


def test_a_log_drops_verbose_messages_and_its_file_receives_all():
    file = io.StringIO()
    log = Log(file)
    for severity in ("verbose", "info", "warning", "error", "internal_error"):
        log.add(severity, f"{severity}\nof two lines")
    assert log.lines[0] == "info: info of two lines" and len(log.lines) == 4
    assert log.errors == ("error of two lines", "internal_error of two lines")
    assert log.last_error == "internal_error of two lines"
    assert file.getvalue().startswith("verbose: verbose\nof two lines\ninfo: ")


def test_a_log_keeps_the_newest_messages_only():
    log = Log()
    assert log.last_error == "TensorRT gave no reason"
    for number in range(MAX_MESSAGES + 5):
        log.add("info", str(number))
    assert len(log.lines) == MAX_MESSAGES and log.lines[0] == "info: 5"


def test_a_log_file_that_cannot_be_written_is_reported_once():
    file = io.StringIO()
    file.close()
    log = Log(file)
    log.add("error", "one")
    log.add("error", "two")
    assert [line for line in log.lines if "log file is incomplete" in line] == [log.lines[1]] and len(log.lines) == 3


def test_long_texts_are_truncated():
    assert one_line("a\n b\t c") == "a b c"
    assert len(one_line("x" * 1000)) == 300 and one_line("x" * 1000).endswith("…")


def test_progress_includes_inner_phases_and_never_decreases():
    fractions = []
    tracker = Tracker(lambda progress: fractions.append(round(progress.fraction, 3)), threading.Event())
    tracker.start("build", None, 2)
    tracker.start("inner", "build", 4)
    assert tracker.step("inner", 0) and tracker.step("inner", 3)
    tracker.finish("inner")
    assert tracker.step("build", 0)
    tracker.start("inner", "build", 2)  # a finished phase may start again
    assert tracker.step("inner", 0)
    tracker.finish("inner")
    tracker.finish("build")  # before all of its steps are done
    tracker.start("after", None, 10)
    assert fractions == [0, 0, 0.125, 0.5, 0.5, 0.5, 0.75, 0.75]


def test_a_step_of_an_unknown_phase_is_ignored():
    tracker = Tracker(lambda progress: None, threading.Event())
    assert tracker.step("unknown", 3) and tracker.failure is None
    tracker.finish("unknown")


def test_the_stop_event_and_a_failing_report_cancel_a_build():
    stop = threading.Event()
    tracker = Tracker(lambda progress: None, stop)
    tracker.start("build", None, 2)
    stop.set()
    assert not tracker.step("build", 0)

    failing = Tracker(lambda progress: 1 / 0, threading.Event())
    failing.start("build", None, 2)
    assert not failing.step("build", 0) and isinstance(failing.failure, ZeroDivisionError)
