"""The OpenAPI document, the page for people, metrics, and what the service leaves behind: nothing."""

import logging
import os
import sys
import threading
from contextlib import contextmanager

import cv2
import numpy as np
import pytest
from facesr_edge.sdk.serving.faces.problem import STATUSES
from prometheus_client.parser import text_string_to_metric_families


def resolved(schema, document):
    """A schema without references."""
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def check(value, schema, document, path="answer"):
    """A value has the type of its schema, and the fields that it lists and no others."""
    schema = resolved(schema, document)
    if "anyOf" in schema:
        schemas = [one for one in schema["anyOf"] if (one.get("type") == "null") == (value is None)]
        assert len(schemas) == 1, path
        return check(value, schemas[0], document, path)
    types = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool}
    types["null"] = type(None)
    assert isinstance(value, types[schema["type"]]), path
    if "properties" in schema:
        assert set(schema.get("required", ())) <= value.keys() <= schema["properties"].keys(), path
        for name, own in value.items():
            check(own, schema["properties"][name], document, f"{path}.{name}")
    for item in value if isinstance(value, list) else ():
        check(item, schema["items"], document, f"{path}[]")
    return None


@pytest.fixture(scope="module")
def document(client):
    status, _, found = client("GET", "/openapi.json")
    assert status == 200
    return found


@pytest.mark.parametrize("query", ["", "?originals=true", "?pictures=none"])
def test_answers_are_as_documented(client, document, picture, query):
    schema = document["paths"]["/faces"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    answer = client.post(picture, query)[2]
    assert answer["faces"]
    check(answer, schema, document)
    health = document["paths"]["/healthz"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    check(client("GET", "/healthz")[2], health, document)


def test_every_status_is_documented_with_its_answer(document):
    responses = document["paths"]["/faces"]["post"]["responses"]
    assert set(responses) == {"200", *map(str, STATUSES)}
    for status in map(str, STATUSES):
        schema = responses[status]["content"]["application/json"]["schema"]
        check({"detail": "one line"}, schema, document)
    assert "Retry-After" in responses["429"]["headers"] and "Retry-After" in responses["503"]["headers"]
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_every_option_and_field_is_described(document):
    route = document["paths"]["/faces"]["post"]
    assert len(route["parameters"]) == 7 and all(option["description"] for option in route["parameters"])
    assert set(route["requestBody"]["content"]) == {"multipart/form-data", "application/octet-stream", "image/*"}
    assert all(schema["description"] for schema in document["components"]["schemas"].values())


def test_the_page_for_people_needs_no_script_and_no_internet(client, document):
    status, headers, content = client("GET", "/docs")
    page = content.decode()
    assert status == 200 and headers["content-type"].startswith("text/html")
    assert "<script" not in page and "http://" not in page.replace("http://127.0.0.1", "").replace("http://192.0.2", "")
    names = [option["name"] for option in document["paths"]["/faces"]["post"]["parameters"]]
    assert all(f"<td>{name}</td>" in page for name in [*names, *map(str, STATUSES), "consistency_db"])


def test_metrics_count_responses_faces_and_time(client, picture):
    def values():
        families = text_string_to_metric_families(client("GET", "/metrics")[2].decode())
        return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}

    prefix, before = "facesr_edge_service_", values()
    assert client.post(picture)[0] == 200 and client.post(b"no picture")[0] == 415
    after = values()
    counted = {name: value - before.get(name, 0) for name, value in after.items() if not name[0].endswith("_created")}
    verdicts = sum(value for name, value in counted.items() if name[0] == f"{prefix}faces_total")
    assert verdicts == 2 and counted[f"{prefix}responses_total", "200"] == 1
    assert counted[f"{prefix}responses_total", "415"] == 1 and counted[f"{prefix}request_seconds_count",] == 1
    stages = {name[1] for name in after if name[0] == f"{prefix}stage_seconds_sum"}
    assert stages == {"wait", "decode", "detect", "upscale", "encode"}
    assert (after[f"{prefix}requests",], after[f"{prefix}workers",]) == (0, 2)
    assert after["process_resident_memory_bytes",] > 0


_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_written, _watched = [], threading.Event()


def _watch(event, arguments):
    if event == "open" and _watched.is_set() and isinstance(arguments[2], int) and arguments[2] & _WRITES:
        _written.append(arguments[0])


@contextmanager
def files_written():
    """Names of the files that Python opens for writing meanwhile."""
    if not getattr(sys, "_files_are_watched", False):
        sys.addaudithook(_watch)
        sys._files_are_watched = True
    _written.clear()
    _watched.set()
    try:
        yield _written
    finally:
        _watched.clear()


def test_pictures_reach_neither_the_disk_nor_the_log(client, two_faces, tmp_path, caplog):
    noise = np.random.default_rng(0).integers(0, 256, (340, 460, 3), np.uint8)  # 469 kB as PNG
    body = cv2.imencode(".png", noise)[1].tobytes()
    head = b'--XX\r\nContent-Disposition: form-data; name="picture"; filename="secret-name.png"\r\n\r\n'
    with caplog.at_level(logging.DEBUG), files_written() as names:
        with (tmp_path / "seen").open("w"):
            pass
        kind = "multipart/form-data; boundary=XX"
        assert client.post(head + body + b"\r\n--XX--\r\n", content_type=kind)[0] == 200
        assert client.post(head + b"secret-name\r\n--XX--\r\n", content_type=kind)[0] == 415
        assert client.post(body[:-9])[0] == 422
    assert [str(name) for name in names] == [str(tmp_path / "seen")]
    assert "secret-name" not in caplog.text
