"""Parsers of untrusted bytes return a result or raise their documented error, whatever the bytes are."""

import json
from contextlib import suppress
from pathlib import Path
from random import Random

import numpy as np
import pytest
from facesr_edge.calibration.data.detection import labeled_faces
from facesr_edge.calibration.ranges import _read_cache
from facesr_edge.engines.bundle.card import card_from_json
from facesr_edge.engines.errors import EngineError, FacesrError, one_line
from facesr_edge.engines.yunet import YuNetSession
from facesr_edge.networks.weights import read_weights
from facesr_edge.sdk.media.images.exif import orientation, resized_exif, upright_exif, upright_xmp
from facesr_edge.sdk.media.images.header import image_header, jpeg_end, png_chunks
from facesr_edge.sdk.media.inputs import expand_inputs
from facesr_edge.sdk.media.video.truncation import missing_bytes
from facesr_edge.zoo.catalogue import locate
from fuzz.mutate import VALUES, mutated, mutated_json, mutated_safetensors
from fuzz.seeds import yunet_file
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import load_from_string
from support.media import encoded, make_video

FAST = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x40\0\0\0WEBPVP8X", b"BM", b"II*\0", b"MM\0*", b"\xff\x0a")
MAGIC += (b"\0\0\0\x20ftypavif", b"\0\0\0\x20ftypheic", b"\0\0\0\x0cJXL \r\n\x87\n", b"\x1a\x45\xdf\xa3", b"GIF89a")
FILES = st.builds(bytes.__add__, st.sampled_from(MAGIC), st.binary(max_size=300))


@FAST
@given(FILES | st.binary(max_size=50))
def test_image_header_of_any_bytes(data):
    header = image_header(data)
    assert header is None or min(header.size_wh) >= 0
    assert -1 <= jpeg_end(data) < max(1, len(data))
    assert sum(len(content) for _, content in png_chunks(data)) <= len(data)


@FAST
@given(st.sampled_from([".jpg", ".png", ".webp", ".tif", ".bmp"]), st.integers(0, 10**6))
def test_image_header_of_mutated_files(suffix, seed):
    header = image_header(mutated(encoded(suffix), [], Random(seed)))
    assert header is None or min(header.size_wh) >= 0


@FAST
@given(
    st.builds(bytes.__add__, st.sampled_from([b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b""]), st.binary(max_size=200))
)
def test_exif_of_any_bytes(data):
    assert 1 <= orientation(data) <= 8
    assert len(upright_exif(data)) == len(data)
    assert len(resized_exif(data, (100_000, 50))) <= len(data)
    upright_xmp(data)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return make_video(tmp_path_factory.mktemp("video") / "a.mp4", frames=2).read_bytes()


@FAST
@given(st.integers(0, 10**6), FILES)
def test_missing_bytes_of_any_file(tmp_path, video, seed, other):
    path = tmp_path / "a.mp4"
    for data in (mutated(video, [], Random(seed)) or b"\0", other):
        path.write_bytes(data)
        assert missing_bytes(path) >= 0


def test_a_length_beyond_any_file_is_missing(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes((16).to_bytes(4, "big") + b"ftyp" + bytes(8) + b"\0\0\0\1mdat" + b"\xff" * 8)
    assert missing_bytes(path) > 2**62


@FAST
@given(st.lists(st.text(st.characters(exclude_characters="\0/", codec="utf-8"), min_size=1, max_size=20), max_size=3))
def test_inputs_of_any_names(names):
    with suppress(FacesrError):
        expand_inputs([f"/nonexistent/{name}" for name in names])


@pytest.mark.parametrize("name", ["edge-nano-x4", "detector"])
def test_mutated_cards_are_read_or_refused_in_one_line(name):
    text = (locate(name) / "card.json").read_text("utf-8")
    for seed in range(150):
        changed = mutated_json(text, Random(seed))
        try:
            json.dumps(card_from_json(changed.decode()).to_json())
        except (FacesrError, UnicodeDecodeError) as error:
            assert len(one_line(error)) < 700


def test_mutated_weights_are_read_or_refused(tmp_path, tiny_weights):
    data, path = tiny_weights().read_bytes(), tmp_path / "w.safetensors"
    for seed in range(150):
        path.write_bytes(mutated_safetensors(data, Random(seed)))
        with suppress(FacesrError):
            assert all(isinstance(key, str) for key in read_weights(path).tensors)


@FAST
@given(st.lists(st.sampled_from(VALUES), min_size=4, max_size=4), st.sampled_from(VALUES), st.sampled_from(VALUES))
def test_labels_of_any_values(box, landmarks, score):
    with suppress(ValueError, TypeError, KeyError, AttributeError, OverflowError):
        labels = labeled_faces([{"box": box, "landmarks": landmarks, "score": score}])
        assert labels.boxes_xyxy.shape == (len(labels), 4)


def test_mutated_cache_of_ranges_is_read_or_removed(tmp_path):
    text = json.dumps({"key": "k", "ranges": {"a": [0.0, 1.0], "b": [-2.5, 3.0]}})
    for seed in range(150):
        path = Path(tmp_path / "r.json")
        path.write_bytes(mutated_json(text, Random(seed)))
        ranges = _read_cache(path, "k")
        assert ranges is None or all(low <= high for low, high in ranges.values()) or path.exists()


def test_maps_of_another_shape_raise(tmp_path):
    model = load_from_string(yunet_file())
    first = next(node for node in model.graph.node if node.op_type == "Conv")
    del first.attribute[:]  # stride 1
    (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(EngineError, match=r"cls_8 has the shape \(1, 3249, 1\), expected \(1, 64, 1\)"):
        YuNetSession(tmp_path / "a.onnx", threads=1).infer(np.zeros((1, 64, 64, 3), np.uint8))
