"""Reading cameras.yaml: values, defaults, and problems with their positions."""

import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from facesr_edge.engines.errors import ConfigError, InputError
from facesr_edge.sdk.live.camera import CameraOptions
from facesr_edge.sdk.live.config.live_config import CameraConfig, LiveConfig, WebConfig, read_config
from facesr_edge.sdk.live.config.yaml_document import MAX_CHARACTERS

SAMPLE = Path(__file__).parents[4] / "samples" / "cameras.yaml"
PASSWORDS = {"GATE_PASSWORD": "g@te", "YARD_PASSWORD": "yard"}


@pytest.fixture
def read(tmp_path):
    """Configuration of a text."""

    def read_text(text, **environment):
        path = tmp_path / "cameras.yaml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return read_config(path, environment)

    return read_text


def problems(read, text, **environment):
    with pytest.raises(ConfigError) as error:
        read(text, **environment)
    assert all("\n" not in line and line.startswith("cameras.yaml:") for line in error.value.problems)
    return [line.removeprefix("cameras.yaml:") for line in error.value.problems]


def test_the_sample_has_the_defaults_of_every_key():
    config = read_config(SAMPLE, PASSWORDS)
    gate, yard = config.cameras
    assert (gate.name, gate.source) == ("gate", "rtsp://viewer:g%40te@192.0.2.10/main")
    assert gate.options == CameraOptions()
    sub = "rtsp://viewer:yard@192.0.2.11/sub"
    assert yard.options == replace(CameraOptions(), timeout_s=8, detect_source=sub)
    assert replace(config, cameras=()) == LiveConfig(())


def test_the_sample_has_every_key():
    document = yaml.safe_load(SAMPLE.read_text("utf-8"))
    assert {*document} == {*LiveConfig.__dataclass_fields__, "camera"}
    assert {*document["camera"]} == {*CameraOptions.__dataclass_fields__}
    commented = SAMPLE.read_text("utf-8").partition("# web:\n")[2].replace("#  ", "")
    web = yaml.safe_load(commented)
    assert WebConfig(**{**web, "hosts": tuple(web["hosts"])}) == WebConfig()
    assert {*web} == {*WebConfig.__dataclass_fields__}


def test_the_sample_without_its_variables_names_them():
    with pytest.raises(ConfigError) as error:
        read_config(SAMPLE, {"YARD_PASSWORD": "yard"})
    (line,) = error.value.problems
    assert line.startswith("cameras.yaml:7:9: cameras.gate: the environment variable GATE_PASSWORD is not set; set it")


def test_values_are_read(read):
    config = read(
        "cameras:\n  7: 0\n  no: clip.mp4\n  west gate: {url: 'rtsp://h/s', transport: udp, reconnect: false}\n"
        "camera: {timeout_s: 2.5, reconnect: {max_s: 3}}\nfps: 25\nsmall_model: ~\noutputs: [a.jsonl, '${B}']\n"
        "web: {port: '${PORT}', token_file: token}\nrecord: run.rec\nlog_level: debug\nthreads: 2\nframes: 5",
        B="mqtt://u:p@h/t",
        PORT="0",
    )
    assert [(camera.name, camera.source) for camera in config.cameras] == [
        ("7", "0"),
        ("no", "clip.mp4"),
        ("west gate", "rtsp://h/s"),
    ]
    options = [camera.options for camera in config.cameras]
    assert [one.timeout_s for one in options] == [2.5, 2.5, 2.5] and options[0].reconnect.max_s == 3
    assert options[2].reconnect is None and options[2].transport == "udp"
    assert (config.fps, config.small_model, config.threads, config.frames) == (25, None, 2, 5)
    assert config.outputs == ("a.jsonl", "mqtt://u:p@h/t")
    assert config.web == WebConfig(port=0, token_file=Path("token"))
    assert (config.record, config.log_level) == (Path("run.rec"), "debug")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cameras: {a: 0}\nmodle: x", "2:1: unknown key 'modle'; did you mean 'model'? known: budget_ms, camera, "),
        ("cameras: {a: {url: x, trasport: tcp}}", "1:23: unknown key of cameras.a 'trasport'; did you mean 'transpor"),
        ("cameras:\n  a:\n    url: x\n    transport: tpc", "4:16: cameras.a.transport: unknown value 'tpc'; did you m"),
        ("cameras: {a: 0}\nbudget_ms: fast", "2:12: budget_ms: expected milliseconds above 0, got 'fast'"),
        ("cameras: {a: 0}\nbudget_ms: -3", "got '-3'"),
        ("cameras: {a: 0}\nbudget_ms: .inf", "got '.inf'"),
        ("cameras: {a: 0}\nbudget_ms: 1e999", "got '1e999'"),
        ("cameras: {a: 0}\nbudget_ms: 1:30", "got '1:30'"),
        ("cameras: {a: 0}\nbudget_ms:", "2:11: budget_ms: expected milliseconds above 0, got nothing"),
        ("cameras: {a: 0}\nbudget_ms: [1]", "2:12: budget_ms: expected milliseconds above 0, got a list"),
        ("cameras: {a: 0}\nfps: 0", "2:6: fps: expected frames/s above 0, or null, got '0'"),
        ("cameras: {a: 0}\nthreads: 1.5", "2:10: threads: expected a number of threads, 0 for one per core, got '1.5'"),
        ("cameras: {a: 0}\nframes: 0", "2:9: frames: expected a number of crops of a face, 1 for the newest only, got"),
        ("cameras: {a: 0}\nframes: 8", "2:9: frames: frames is 8, but edge-tiny-x4-track takes at most 7 crops of a"),
        ("cameras: {a: 0}\nframes: 2\nmodel: edge-tiny-x2", "2:9: frames: expected a track_model of x2 for the crop"),
        ("cameras: {a: 0}\nframes: 2\ntrack_model: edge-tiny-x4", "frames: expected a track_model that takes several"),
        ("cameras: {a: 0}\noutscale: 5", "2:11: outscale: expected a whole number from 1 to 4, got '5'"),
        ("cameras: {a: 0}\nmodel: idrn-x5", "2:8: model: unknown model 'idrn-x5'; did you mean 'idrn-x"),
        ("cameras: {a: 0}\nengine: openvina", "2:9: engine: unknown value 'openvina'; did you mean 'openvino'?"),
        ("cameras: {a: 0}\noutputs: a.jsonl", "2:10: outputs: expected a list of outputs, got 'a.jsonl'"),
        ("cameras: {a: 0}\noutputs: [a.jsonl, []]", "2:20: outputs[1]: expected an output, got a list"),
        ("cameras: {a: 0}\noutputs: [a.jsonl, b.xyz]", "2:20: outputs: unknown output b.xyz; give one like faces"),
        ("cameras: {a: 0, b: 1}\noutputs: [o.mp4]", "2:11: outputs: o.mp4 holds one camera, got 2; put {camera} into"),
        ("cameras: {a: 0}\nweb: 8080", "2:6: web: expected keys with values, got '8080'"),
        ("cameras: {a: 0}\nweb: {port: 80800}", "2:13: web.port: expected a port from 0 to 65535, got '80800'"),
        ("cameras: {a: 0}\ncamera: {deliver_damaged: 2}", "expected true or false, got '2'"),
        ("cameras: {a: 0}\ncamera: {reconnect: {jitter: 2}}", "camera.reconnect.jitter: expected a number from 0 to 1"),
        ("cameras: {a: {url: 0, reconnect: {max_s: 0.1}}}", "1:34: cameras.a.reconnect: expected 0 < first_s <= max_s"),
        ("cameras: {a: ''}", "1:14: cameras.a: expected a URL, a file or the number of a device, got nothing"),
        ("cameras: {a: {}}", "1:14: cameras.a: expected a url, got none"),
        ("cameras: {}", "1:10: cameras: expected at least one camera, got none"),
        ("cameras:", "1:9: cameras: expected keys with values, got nothing"),
        ("cameras: [rtsp://a/b]", "1:10: cameras: expected keys with values, got a list"),
        ("model: idrn-x4", "1:1: cameras: expected at least one camera, got none"),
        ("rtsp://a:b@c/d", "1:1: the file: expected keys with values, got 'rtsp://a:***@c/d'"),
        ("", "1:1: expected one document, got none"),
        ("cameras: {a: 0}\n---\nb: 1", "2:1: expected one document, got another one"),
        ("cameras:\n  a: 0\n  a: 1", "3:3: key 'a' is set twice, first in line 2"),
        ("cameras:\n\ta: 0", "2:1: not valid YAML: "),
        ("cameras: {a: 0", "not valid YAML: while parsing a flow mapping expected ',' or '}', but got"),
        ("cameras: {a: &x 0}", "1:14: anchors such as &x are not supported"),
        ("cameras: *x", "1:10: aliases such as *x are not supported"),
        ("cameras: !!python/object:os.system {}", "1:10: tags such as tag:yaml.org,2002:python/object:os.system are"),
        ("cameras: {? [1] : 2}", "expected a text as key, got a list or a mapping"),
        ("cameras: {a: 0}\nx: \x07", "2:4: expected printable characters, got '\\x07'"),
        ("a: " + "[" * 100_000, "1:14: expected at most 10 levels"),
        ("a: " + "{b: " * 10_000, "1:41: expected at most 10 levels"),
        ("#" * (MAX_CHARACTERS + 1), "1:1: expected at most 200,000 characters, got 200,001"),
    ],
)  # fmt: skip
def test_a_problem_names_position_key_expectation_and_value(read, text, expected):
    (line,) = problems(read, text)
    assert expected in line and line.split(":")[0].isdecimal() and line.split(":")[1].isdecimal()


def test_all_problems_are_listed_in_the_order_of_the_file(read):
    lines = problems(
        read, "cameras:\n  a: {url: 0, x: 1, timeout_s: -1}\n  b: {}\n  c: ${C}\ncamera: {y: 2}\nweb: {z: 3, port: a}"
    )
    assert [line.split(": ")[0] for line in lines] == ["2:15", "2:32", "3:6", "4:6", "5:10", "6:7", "6:19"]


def test_passwords_are_in_no_problem_and_no_repr(read):
    secret = "hunter2" * 20
    text = f"cameras: {{a: 'rtsp://u:{secret}@h', b: {{url: 'rtsp://u:{secret}@h', policy: 'rtsp://u:{secret}@h/s'}}}}"
    assert secret[:14] not in str(problems(read, text)) and "rtsp://u:***@" in str(problems(read, text))
    assert secret not in str(problems(read, "cameras: {a: '${A}', b: 1}\nfps: ${A}", A=secret))
    config = read("cameras: {a: {url: '${A}', detect_source: '${A}'}}\noutputs: ['${A}']", A=f"rtsp://u:{secret}@h")
    assert secret in config.cameras[0].source and secret not in repr(config)


def test_a_bomb_of_aliases_is_refused_at_once(read):
    levels = "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    start = time.perf_counter()
    assert "anchors such as &a are not supported" in problems(read, "a: &a [x]\n" + levels)[0]
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("name", ["", "missing.yaml"])
def test_an_unreadable_file_is_reported(tmp_path, name):
    with pytest.raises(InputError, match=r"cannot be read: .*; give a YAML file of cameras"):
        read_config(tmp_path / name, {})


def test_a_file_that_is_no_text_is_reported(read):
    with pytest.raises(InputError, match="is not UTF-8 text: invalid start byte at byte 9; save it as UTF-8"):
        read(b"cameras: \xff")
    with pytest.raises(InputError, match="has more than 800,000 bytes"):
        read_config(Path("/dev/zero"), {})


def test_a_byte_order_mark_is_ignored(read):
    assert read(b"\xef\xbb\xbfcameras: {a: 0}").cameras == (CameraConfig("a", "0"),)


def test_a_missing_parser_is_reported(read, monkeypatch):
    import sys

    from facesr_edge.engines.errors import MissingDependencyError

    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingDependencyError, match=r"reading cameras.yaml needs PyYAML.*'facesr-edge\[cameras\]'"):
        read("cameras: {a: 0}")
