"""JSON from outside is parsed with limits of nesting, numbers, texts and size."""

import json
import os
from contextlib import suppress

import pytest
from facesr_edge.engines import json_input
from facesr_edge.engines.json_input import MAX_DEPTH, parse_json, read_json
from hypothesis import given, settings
from hypothesis import strategies as st

LIMITED = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abé猫 \n"), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=100, deadline=None)
@given(LIMITED)
def test_document_within_the_limits_is_parsed_as_by_json(document):
    assert parse_json(json.dumps(document)) == document


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200))
def test_any_other_content_is_a_value_error(content):
    with suppress(ValueError):
        json.dumps(parse_json(content), allow_nan=False).encode()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000, "nested deeper"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "nested deeper"),
        ('{"a": NaN}', "not finite"),
        ("[1e999]", "not finite"),
        (str(2**63), "64 bits"),
    ],
)
def test_document_beyond_a_limit_is_a_value_error(text, reason):
    with pytest.raises(ValueError, match=reason):
        parse_json(text)


def test_text_of_a_document_can_be_printed_and_stored():
    text = str(parse_json('{"\\ud800\\u001b[31m": ["a\\u0000", "\\u009b"]}'))
    text.encode()
    assert not set(text) & set("\x00\x1b\x9b\ud800")


def test_larger_file_is_not_read_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(json_input, "MAX_BYTES", 100)
    (tmp_path / "a.json").write_text(json.dumps("x" * 200))
    with pytest.raises(OSError, match="it has more than"):
        read_json(tmp_path / "a.json")


def test_pipe_is_refused_without_reading_it(tmp_path):
    os.mkfifo(tmp_path / "a.json")
    with pytest.raises(OSError, match="it is not a regular file"):
        read_json(tmp_path / "a.json")
