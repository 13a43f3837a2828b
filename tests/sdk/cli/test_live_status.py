"""The status of a live run on a terminal and in a log."""

import io

import pytest
from facesr_edge.sdk.cli.live.status import TREATMENTS, CameraLine, summary_line, table
from facesr_edge.sdk.live.camera import CameraStatus
from rich.console import Console

ERROR = "rtsp://viewer:***@192.0.2.11/main cannot be opened: connection refused; check that it is on and reachable"
LONG = "rtsp://viewer:***@192.0.2.11/main/of/a/long/path"


def line(name, state, rates=(), error="", fps=None, age_ms=None, dropped=0):
    status = CameraStatus(
        *(name, state, error, 100, 90, {"consumer": dropped} if dropped else {}, 0, 0, 0.1, fps, (160, 120))
    )
    return CameraLine(status, age_ms, dict.fromkeys(TREATMENTS, 0.0) | dict(rates))


LINES = [
    line("gate", "live", {"network": 31.24, "reused": 1120.4, "skipped": 0.2}, fps=24.96, age_ms=84.2, dropped=12),
    line(LONG, "offline", error=ERROR),
    line("yard", "connecting"),
]


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_has_every_figure_in_80_columns(width):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(table(LINES))
    text = console.export_text()
    rows = {row.split()[0]: row.split()[1:] for row in text.splitlines() if row.strip()}
    assert rows["camera"] == ["state", "fps", "age", "network", "reused", "small", "bicubic", "skipped", "drops"]
    assert rows["gate"] == ["live", "25.0", "84", "ms", "31.2", "1120.4", "0.2", "12"]
    assert rows["yard"] == ["connecting", "0"]
    assert "offline" in text and ERROR in " ".join(text.split()) and "…" in text


def test_a_name_cannot_control_the_terminal():
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(table([line("[red]a\x1b[2J", "live")]))
    text = console.export_text()
    assert "\x1b" not in text and "[red]a\\x1b[2J" in text


def test_a_line_for_the_log_has_states_rates_and_losses():
    expected = "1 of 3 cameras live, 1 connecting, 1 offline, 1151.8 faces/s, age p99 84 ms, 12 frames dropped"
    assert summary_line(LINES) == expected
