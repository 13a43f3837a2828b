"""MQTT against a real broker: topics, retained states, last will, outages, TLS and passwords."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time

import pytest
from facesr_edge.engines.errors import InputError, MissingDependencyError, UsageError
from facesr_edge.sdk.live.camera import CameraStatus
from facesr_edge.sdk.live.sinks.mqtt import MqttAddress, MqttSink, parse_mqtt
from facesr_edge.sdk.live.sinks.queue import SinkQueue
from support.mqtt_broker import mqtt_broker, subscriber
from support.sinks import make_face, make_result, wait_until


def status(state="live", name="door", error=""):
    return CameraStatus(name, state, error, 10, 9, {"consumer": 1}, 0, 2, 0.1, 9.8, (640, 360))


def face_result(index, camera="door"):
    return make_result(index, camera=camera, faces=(make_face(),))


def indices(payloads):
    return [json.loads(payload)["index"] for payload in payloads]


def test_faces_states_and_the_life_of_the_run_are_published(tmp_path):
    with mqtt_broker(tmp_path) as broker, subscriber(broker) as client:
        queue = SinkQueue(MqttSink(f"mqtt://127.0.0.1:{broker.port}/facesr/hall"))
        result = face_result(3)
        for each in (make_result(1), result, make_result(4, ended=(7,), camera="rtsp://10.0.0.5/main")):
            queue.done(each)
        queue.changed(status("offline", error="no route to host"))
        wait_until(lambda: len(client.messages) >= 4)
        queue.close()
        wait_until(lambda: "offline" in client.of("facesr/hall/status"))
        assert client.of("facesr/hall/status") == ["online", "offline"]
        assert json.loads(client.of("facesr/hall/door/faces")[0]) == json.loads(json.dumps(result.to_dict()))
        assert json.loads(client.of("facesr/hall/door/state")[0])["error"] == "no route to host"
        (other,) = {topic for topic, *_ in client.messages if "10.0.0.5" in topic}
        assert other.startswith("facesr/hall/rtsp_10.0.0.5_main-") and other.endswith("/faces")
        assert queue.statistics().written == 3 and queue.statistics().queued == 0
        with subscriber(broker) as late:  # what is retained
            wait_until(lambda: len(late.messages) == 2)
            assert {(topic, retain) for topic, _, retain in late.messages} == {
                ("facesr/hall/status", True),
                ("facesr/hall/door/state", True),
            }


def test_messages_of_an_outage_arrive_when_the_broker_is_back(tmp_path):
    """The broker is killed: it forgets its connections and what it has retained."""
    with mqtt_broker(tmp_path) as broker, subscriber(broker) as client:
        queue = SinkQueue(MqttSink(f"mqtt://127.0.0.1:{broker.port}/cams"))
        queue.changed(status())
        queue.done(face_result(0))
        wait_until(lambda: client.of("cams/door/faces"))
        client.subscribed.clear()
        broker.kill()
        for index in range(1, 200):
            queue.done(face_result(index))
        # after a second attempt that fails, the sink waits for longer than the subscriber
        wait_until(lambda: "connection refused" in queue.statistics().error)
        assert queue.statistics().queued == 199
        broker.start()
        assert client.subscribed.wait(10)
        wait_until(lambda: queue.statistics().queued == 0)
        wait_until(lambda: len(set(indices(client.of("cams/door/faces")))) == 200)
        counted = queue.statistics()
        assert (counted.written, counted.dropped, counted.failed) == (201, 0, 0)
        with subscriber(broker) as late:
            wait_until(lambda: len(late.messages) == 2)
            assert late.of("cams/status") == ["online"] and json.loads(late.of("cams/door/state")[0])["state"] == "live"
        queue.close()


def test_an_outage_drops_the_oldest_and_never_delays_the_run(tmp_path, monkeypatch):
    with mqtt_broker(tmp_path) as broker:
        port = broker.port
    monkeypatch.setattr(MqttSink, "queue_size", 20)
    queue = SinkQueue(MqttSink(f"mqtt://127.0.0.1:{port}/cams"))
    results = [face_result(index) for index in range(300)]
    start_s = time.monotonic()
    for result in results:
        queue.done(result)
    assert time.monotonic() - start_s < 3
    counted = queue.statistics()
    assert counted.dropped >= 200 and counted.queued + counted.dropped == 300
    start_s = time.monotonic()
    queue.close()
    assert time.monotonic() - start_s < 2 and queue.statistics().queued == counted.queued


def test_a_broker_that_stops_answering_delays_nothing(tmp_path):
    with mqtt_broker(tmp_path) as broker, subscriber(broker) as client:
        queue = SinkQueue(MqttSink(f"mqtt://127.0.0.1:{broker.port}/cams"))
        queue.done(face_result(0))
        wait_until(lambda: client.of("cams/door/faces"))
        broker.freeze()
        results = [face_result(index) for index in range(1, 100)]
        start_s = time.monotonic()
        for result in results:
            queue.done(result)
        assert time.monotonic() - start_s < 3
        wait_until(lambda: "no acknowledgement" in queue.statistics().error)
        broker.thaw()
        wait_until(lambda: queue.statistics().queued == 0)
        wait_until(lambda: len(client.of("cams/door/faces")) == 100)
        assert sorted(indices(client.of("cams/door/faces"))) == list(range(100))
        queue.close()


WILL = """
import sys
from facesr_edge.sdk.live.sinks.mqtt import MqttSink
sink = MqttSink(sys.argv[1])
import time; time.sleep(60)
"""


def test_a_killed_run_goes_offline_by_its_last_will(tmp_path):
    with mqtt_broker(tmp_path) as broker, subscriber(broker) as client:
        process = subprocess.Popen([sys.executable, "-c", WILL, f"mqtt://127.0.0.1:{broker.port}/cams"])
        wait_until(lambda: client.of("cams/status") == ["online"], 30)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        wait_until(lambda: client.of("cams/status") == ["online", "offline"])


def test_a_wrong_password_is_told_and_no_password_is_logged(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    passwords = tmp_path / "passwords"
    passwords.touch()
    subprocess.run(["mosquitto_passwd", "-b", str(passwords), "ann", "s3cret:/@"], check=True, capture_output=True)
    secret = tmp_path / "secret"
    secret.write_text("s3cret:/@\n")
    with mqtt_broker(tmp_path, f"password_file {passwords}") as broker:
        wrong = SinkQueue(MqttSink(f"mqtt://ann:guess%21@127.0.0.1:{broker.port}/cams"))
        wrong.done(face_result(0))
        wait_until(lambda: "not authorized" in wrong.statistics().error)
        wrong.close()
        with subscriber(broker, user="ann", password="s3cret:/@") as client:
            for login in ("ann:s3cret%3A%2F%40@", f"ann@127.0.0.1:{broker.port}/cams?password_file={secret}"):
                url = f"mqtt://{login}" if "?" in login else f"mqtt://{login}127.0.0.1:{broker.port}/cams"
                queue = SinkQueue(MqttSink(url))
                queue.done(face_result(1))
                wait_until(lambda: queue.statistics().written == 1)  # noqa: B023
                queue.close()
            wait_until(lambda: len(client.of("cams/door/faces")) == 2)
    assert not [text for text in caplog.messages if "guess" in text or "s3cret" in text]
    assert any("mqtt://ann:***@" in text for text in caplog.messages)


def test_an_encrypted_connection_checks_the_certificate(tmp_path, certificates):
    settings = f"allow_anonymous true\ncertfile {certificates}/server.pem\nkeyfile {certificates}/server.key"
    with mqtt_broker(tmp_path, settings) as broker:
        url = f"mqtts://localhost:{broker.port}/cams?ca={certificates}"
        good, bad = SinkQueue(MqttSink(f"{url}/server.pem")), SinkQueue(MqttSink(f"{url}/stranger.pem"))
        for queue in (good, bad):
            queue.done(face_result(1))
        wait_until(lambda: good.statistics().written == 1)
        wait_until(lambda: "certificate" in bad.statistics().error)
        for queue in (good, bad):
            queue.close()


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("mqtt://host/a/b/", MqttAddress("host", 1883, "a/b")),
        ("mqtts://host:9/a?ca=x&cert=c&key=k", MqttAddress("host", 9, "a", tls=True, ca="x", cert="c", key="k")),
        ("mqtts://u:p%40@[::1]/a", MqttAddress("::1", 8883, "a", "u", "p@", True)),
        ("mqtt://u@host/a", MqttAddress("host", 1883, "a", "u")),
    ],
)  # fmt: skip
def test_an_address_is_read_from_a_url(url, address):
    assert parse_mqtt(url) == address and "p@" not in repr(parse_mqtt(url))


def test_the_default_prefix_is_this_machine():
    assert parse_mqtt("mqtt://host").prefix.startswith("facesr/")


@pytest.mark.parametrize(
    "url",
    ["http://host", "mqtt:///a", "mqtt://u:secret@host:x/", "mqtt://host/a?tls=1", "mqtt://host/a/%23", "mqtt://h?a"],
)
def test_wrong_addresses_are_told_without_the_password(url):
    with pytest.raises(UsageError, match="expected mqtt") as error:
        parse_mqtt(url)
    assert "secret" not in str(error.value)


def test_missing_files_are_told(tmp_path):
    with pytest.raises(InputError, match="cannot read the password file"):
        parse_mqtt(f"mqtt://u@host/a?password_file={tmp_path / 'no'}")
    with pytest.raises(InputError, match="cannot read the certificates of host"):
        MqttSink(f"mqtts://host/a?ca={tmp_path / 'no'}")


def test_a_missing_client_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    with pytest.raises(MissingDependencyError, match="publishing by MQTT needs paho-mqtt"):
        MqttSink("mqtt://host/a")
