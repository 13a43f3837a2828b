"""Outputs of the command line: which sink a text opens, and what is told if it opens none."""

from __future__ import annotations

import json
import threading

import pytest
from facesr_edge.engines.errors import InputError, OutputError, UsageError
from facesr_edge.sdk.live.sinks.best_shots import BestShotsSink
from facesr_edge.sdk.live.sinks.hls import HlsSink
from facesr_edge.sdk.live.sinks.jsonl import JsonlSink
from facesr_edge.sdk.live.sinks.mjpeg import MjpegSink
from facesr_edge.sdk.live.sinks.mqtt import MqttSink
from facesr_edge.sdk.live.sinks.open import check_live_sink, open_live_sink, open_live_sinks
from facesr_edge.sdk.live.sinks.rtsp import RtspSink
from facesr_edge.sdk.live.sinks.store import StoreSink
from facesr_edge.sdk.live.sinks.video import VideoFileSink
from facesr_edge.sdk.live.sinks.webhook import WebhookSink
from support.sinks import make_face, make_result

KINDS = {
    "faces.jsonl": JsonlSink,
    "faces.JSONL?max_mb=0.1": JsonlSink,
    "shots/": BestShotsSink,
    "shots/?max=10&days=0.5": BestShotsSink,
    "out.mp4": VideoFileSink,
    "out.mkv?crf=30&preset=veryfast": VideoFileSink,
    "stream.m3u8": HlsSink,
    "rtsp://127.0.0.1:9/live": RtspSink,
    "mjpeg://127.0.0.1:0": MjpegSink,
    "mqtt://127.0.0.1:9/a": MqttSink,
    "http://127.0.0.1:9/": WebhookSink,
    "store:faces?days=3&max_gb=1": StoreSink,
}


@pytest.mark.parametrize("output", KINDS)
def test_an_output_opens_its_sink(tmp_path, monkeypatch, output):
    monkeypatch.chdir(tmp_path)
    with open_live_sink(output, cameras=["door"]) as group:
        assert [type(queue.sink) for queue in group.queues] == [KINDS[output]]


def test_a_path_of_a_folder_is_one_of_best_shots(tmp_path):
    with open_live_sink(tmp_path) as group:
        assert isinstance(group.queues[0].sink, BestShotsSink)


def test_all_outputs_of_a_run_get_its_results(tmp_path):
    outputs = [
        tmp_path / "faces.jsonl",
        f"{tmp_path}/shots/",
        tmp_path / "{camera}.mp4",
        f"{tmp_path}/hls/{{camera}}.m3u8",
    ]
    cameras = ["door", "a/b"]
    with open_live_sinks(outputs, cameras=cameras, about={"model": "m"}, wait=True) as group:
        assert len(group.queues) == 6
        for index in range(5):
            for camera in cameras:
                group.done(make_result(index, camera=camera, faces=(make_face(),)))
    assert all(one.dropped == one.failed == one.queued == 0 and one.written for one in group.statistics())
    lines = (tmp_path / "faces.jsonl").read_text().splitlines()
    assert len(lines) == 12 and json.loads(lines[0])["model"] == "m"
    assert len(list(tmp_path.glob("*.mp4"))) == len(list(tmp_path.glob("hls/*.m3u8"))) == 2
    assert len(list(tmp_path.glob("shots/*/*.json"))) == 2


def test_options_reach_the_sink(tmp_path):
    with open_live_sink(f"{tmp_path}/faces.jsonl?max_mb=0.1") as group:
        assert group.queues[0].sink._max_bytes == 100_000
    for options, wait, seconds in (("", False, 3600), ("?minutes=2&crf=30", False, 120), ("", True, None)):
        with open_live_sink(f"{tmp_path}/out.mp4{options}", cameras=["door"], wait=wait) as group:
            assert group.queues[0].sink._max_s == seconds
    with open_live_sink(f"{tmp_path}/shots/?max=3&days=0.5") as group:
        assert (group.queues[0].sink._max_count, group.queues[0].sink._max_age_s) == (3, 43_200)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("faces.json", "unknown output faces.json; give one like faces.jsonl, shots/, evidence:cards, store:DIR"),
        ("shots", "unknown output shots"),
        ("-", "unknown output -"),
        ("out.gif", "unknown output out.gif"),
        ("ftp://u:secret@host/x", r"unknown output ftp://u:\*\*\*@host/x"),
        ("out.mp4", r"out.mp4 holds one camera, got 2; put {camera} into its name"),
        ("{camera}.jsonl", "gets all cameras; leave out {camera}"),
        ("faces.jsonl?size=3", r"wrong options of faces.jsonl\?size=3; its options are max_mb"),
        ("faces.jsonl?max_mb=much", "wrong options"),
        ("faces.jsonl?max_mb", "wrong options"),
        ("{camera}.m3u8?x=1", "it has no options"),
        ("{camera}.mp4?crf=99", "expected a crf of 0 to 63"),
        ("{camera}.mp4?crf=60", "expected a crf of 0 to 51 for libx264"),
        ("{camera}.mp4?preset=quick", "unknown preset quick"),
        ("{camera}.mp4?minutes=0", "more than 0 seconds"),
        ("faces.jsonl?max_mb=nan", "wrong options"),
        ("faces.jsonl?max_mb=inf", "wrong options"),
        ("faces.jsonl?max_mb=1e308", "wrong options"),
        ("faces.jsonl?max_mb=-1", "files of 65,536 bytes or more"),
        ("shots/?max=-1", "a limit of more than 0 shots, got -1"),
        ("shots/?days=nan", "wrong options"),
        ("mqtt:///x", "expected mqtt"),
        ("mqtt://", "expected mqtt"),
        ("http://", "expected a webhook"),
        ("rtsp:///{camera}", r"expected rtsp\[s\]://"),
        ("mjpeg://host", "expected mjpeg"),
        ("mjpeg://0.0.0.0:8090", "can be reached by other machines; give a token"),
    ],
)
def test_wrong_outputs_are_told(tmp_path, monkeypatch, output, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        open_live_sink(output, cameras=["door", "yard"])
    with pytest.raises(UsageError, match=message):
        check_live_sink(output, ["door", "yard"])
    assert not list(tmp_path.iterdir())


def test_a_check_reads_the_password_file_of_a_broker(tmp_path):
    with pytest.raises(InputError, match="cannot read the password file"):
        check_live_sink(f"mqtt://ann@host/x?password_file={tmp_path}/none", ["door"])


@pytest.mark.parametrize("output", KINDS)
def test_a_check_accepts_what_can_be_opened_and_opens_nothing(tmp_path, monkeypatch, output):
    monkeypatch.chdir(tmp_path)
    before = threading.active_count()
    check_live_sink(output, ["door"])
    assert threading.active_count() == before and not list(tmp_path.iterdir())


def test_if_one_output_cannot_be_opened_none_stays_open(tmp_path):
    (tmp_path / "file").touch()
    before = threading.active_count()
    with pytest.raises(OutputError):
        open_live_sinks([tmp_path / "faces.jsonl", tmp_path / "file" / "faces.jsonl"])
    assert threading.active_count() == before
    open_live_sink(tmp_path / "faces.jsonl").close()


def test_a_wrong_output_is_told_before_another_is_opened(tmp_path):
    (tmp_path / "faces.jsonl").write_text("earlier\n")
    with pytest.raises(UsageError, match="unknown output"):
        open_live_sinks([tmp_path / "faces.jsonl", "faces.txt"])
    assert [path.name for path in tmp_path.iterdir()] == ["faces.jsonl"]


def test_an_output_is_given_once():
    with pytest.raises(UsageError, match=r"a\.jsonl is given twice"):
        open_live_sinks(["a.jsonl", "a.jsonl"])


def test_webhooks_of_one_host_have_names_of_their_own_without_their_paths():
    urls = ["http://127.0.0.1:9/secret1", "http://127.0.0.1:9/secret2"]
    with open_live_sinks(urls) as group:
        assert [one.name for one in group.statistics()] == ["http://127.0.0.1:9", "http://127.0.0.1:9 #2"]
    with pytest.raises(UsageError, match=r"^http://127\.0\.0\.1:9 is given twice"):
        open_live_sinks([urls[0], urls[0]])
