"""Building, opening and validating libraries of reference faces; sessions that use them."""

import json
import os
from contextlib import closing
from dataclasses import replace

import cv2
import facesr_edge
import numpy as np
import onnx
import pytest
import torch
from facesr_edge.calibration.data.faces import low_resolution, sample_faces
from facesr_edge.converters.export.wrapper import Uint8SRWrapper
from facesr_edge.engines.bundle.bundle import EMBEDDING, ONNX, REFERENCES, open_bundle
from facesr_edge.engines.errors import EngineError, InputError, OutputError, UsageError
from facesr_edge.engines.onnxruntime.session import OrtGraph, OrtSession
from facesr_edge.engines.references.library import (
    EMBEDDER,
    KEYS,
    MANIFEST,
    Library,
    Manifest,
    ReferenceFeatures,
    open_library,
)
from facesr_edge.engines.references.session import ReferenceSession, bundle_embedding
from facesr_edge.engines.registry import ENGINES, open_session
from facesr_edge.networks.weights import network_from, read_weights
from facesr_edge.sdk.evaluation.compare import ablation
from facesr_edge.sdk.pipeline.references import build_library, check_leakage, fit_crop, open_with_references
from facesr_edge.zoo import catalogue
from onnx import TensorProto, helper
from support.onnx_rules import unsupported


@pytest.fixture(scope="session")
def small():
    """(8, 16, 16, 3): the sample faces at low resolution."""
    return low_resolution(np.stack(sample_faces()), 8)


def subset(library, entries):
    """The library with some of its entries, in this order."""
    manifest = Manifest("m", library.manifest.made_by, tuple(library.manifest.entries[at] for at in entries))
    features = ReferenceFeatures(library.keys[entries], library.values[entries], library.embeddings[entries])
    return Library(library.folder, manifest, features)


def session_of(bundle, library, max_references=4, engine="onnxruntime"):
    """A session on one thread that uses a library in memory."""
    session = open_session(bundle, engine, 1)
    return ReferenceSession(session, library, bundle_embedding(bundle, 1), max_references)


def upscale(msrnet_bundle, library, small, max_references=4):
    with closing(session_of(msrnet_bundle, library, max_references)) as session:
        return session.infer(small).astype(int)


def test_the_three_graphs_suit_tensorrt_and_agree_with_pytorch(msrnet_bundle):
    for name in (ONNX, REFERENCES, EMBEDDING):
        assert unsupported(onnx.load(msrnet_bundle.folder / name)) == ()
    parity = msrnet_bundle.card.parity
    assert parity["simplified_pre_round_max_error"] <= 1e-3
    assert parity["references_max_rel_error"] <= 1e-3 and parity["embedding_max_rel_error"] <= 1e-3
    io_spec = msrnet_bundle.card.io_spec
    assert (io_spec.crop_sizes, io_spec.references) == ((16,), 5)
    assert open_bundle(msrnet_bundle.folder).card == msrnet_bundle.card


def test_empty_reference_slots_do_not_change_the_output(msrnet_bundle, library, small):
    graph, session = OrtGraph(msrnet_bundle.onnx, 1), OrtSession(msrnet_bundle, 1)
    without = session.infer(small[:2])
    for slots in (1, 5):
        keys, values = (np.tile(array[0], (2, slots, 1, 1)) for array in (library.keys, library.values))
        absent = np.zeros((2, slots), np.float32)
        assert np.array_equal(graph.run(small[:2], keys, values, absent)[0], without)
        assert not np.array_equal(graph.run(small[:2], keys, values, absent + 1)[0], without)


def test_a_session_agrees_with_the_network_on_the_same_references(msrnet, library, small):
    msrnet_bundle, path = msrnet
    weights = read_weights(path)
    network = network_from(weights, weights.network, weights.config)
    network.load_state_dict({key: value.half().float() for key, value in network.state_dict().items()})
    session = session_of(msrnet_bundle, library, 3)
    nearest = session.nearest(small[:3])
    rgb = torch.from_numpy(small[:3, ..., ::-1].copy()).permute(0, 3, 1, 2) / 255
    with torch.inference_mode():
        distances = torch.cdist(network.embedding(rgb), torch.from_numpy(library.embeddings), p=1)
        assert nearest.tolist() == distances.topk(3, largest=False).indices.tolist()
        features = [torch.from_numpy(array[nearest].astype(np.float32)) for array in (library.keys, library.values)]
        expected = Uint8SRWrapper(network, 8)(torch.from_numpy(small[:3]), *features, torch.ones(3, 3))[0].numpy()
    assert np.abs(expected.astype(int) - session.infer(small[:3])).max() <= 1
    session.close()


def test_a_library_is_read_as_it_was_written_and_memory_mapped(msrnet_bundle, library):
    opened = open_library(library.folder, msrnet_bundle)
    assert isinstance(opened.keys, np.memmap) and isinstance(opened.values, np.memmap)
    assert opened.keys.dtype == opened.values.dtype == np.float16 and len(opened) == 6
    assert [entry.file for entry in opened.manifest.entries] == [f"{n}.png" for n in range(6)]
    faces = np.stack(sample_faces()[2:])
    keys, values = OrtGraph(msrnet_bundle.folder / REFERENCES).run(faces)
    assert np.allclose(opened.keys, keys, atol=2e-3) and np.allclose(opened.values, values, atol=2e-3, rtol=2e-3)
    embeddings = OrtGraph(msrnet_bundle.folder / EMBEDDING).run(low_resolution(faces, 8))[0]
    assert np.allclose(opened.embeddings, embeddings, atol=1e-4)
    assert opened.nearest(embeddings, 1)[:, 0].tolist() == [0, 1, 2, 3, 4, 5]


def test_mirror_images_are_separate_entries(msrnet_bundle, reference_faces, tmp_path):
    library = build_library(reference_faces, tmp_path / "both", msrnet_bundle, mirrored=True, limit=2, threads=1)
    assert [(entry.file, entry.mirrored) for entry in library.manifest.entries] == [
        *(("0.png", False), ("1.png", False), ("0.png", True), ("1.png", True))
    ]
    mirrored = cv2.imread(str(reference_faces / "0.png"))[:, ::-1]
    keys, _ = OrtGraph(msrnet_bundle.folder / REFERENCES).run(np.ascontiguousarray(mirrored)[None])
    assert np.allclose(library.keys[2], keys[0], atol=2e-3)


def test_the_order_of_entries_does_not_matter(msrnet_bundle, library, small):
    a, b = (upscale(msrnet_bundle, subset(library, order), small) for order in ([0, 2, 4, 5], [5, 4, 2, 0]))
    assert np.abs(a - b).max() <= 1


def test_five_identical_references_have_nearly_the_effect_of_one(msrnet_bundle, library, small):
    five, one = (upscale(msrnet_bundle, subset(library, [0] * count), small, 5) for count in (5, 1))
    none = OrtSession(msrnet_bundle, 1).infer(small).astype(int)
    assert np.abs(five - one).mean() < np.abs(one - none).mean()  # only the weight of "no reference" differs


def test_a_batch_equals_its_faces_one_by_one(msrnet_bundle, library, small):
    batch = upscale(msrnet_bundle, library, small[:7])
    single = np.concatenate([upscale(msrnet_bundle, library, small[n : n + 1]) for n in range(7)])
    assert np.abs(batch - single).max() <= 1


def test_the_downscaled_output_agrees_with_the_input(msrnet_bundle, library, small):
    large = upscale(msrnet_bundle, library, small).astype(np.uint8)
    error = np.abs(low_resolution(large, 8).astype(int) - small)
    assert error.mean() < 2.5  # 10 and more without the consistency projection


def test_a_damaged_library_or_one_of_another_network_is_rejected(msrnet_bundle, library, reference_faces, tmp_path):
    with pytest.raises(InputError, match="uses no references"):
        build_library(reference_faces, tmp_path / "made", catalogue.find("idrn-x4"))
    manifest = json.loads((library.folder / MANIFEST).read_text("utf-8"))
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in library.folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    (copy / MANIFEST).write_text(json.dumps({**manifest, "made_by": "0" * 64, "model": "another"}))
    with pytest.raises(InputError, match=r"was built with another, whose weights are not those of msrnet-x8"):
        open_with_references(msrnet_bundle, copy)
    (copy / MANIFEST).write_text(json.dumps({**manifest, "entries": manifest["entries"][:-1]}))
    with pytest.raises(InputError, match="its files differ in length"):
        open_library(copy)
    (copy / KEYS).write_bytes(b"no array")
    with pytest.raises(InputError, match="is damaged"):
        open_library(copy)
    with pytest.raises(InputError, match=r"is not a library, it has no library\.json"):
        open_library(reference_faces)


@pytest.mark.parametrize("shape", ["(99999999999, 64, 72)", "(6, -1, 9)", "()", "('a',)", "(6,", "(0, 0, 0)", "(6, 9)"])
def test_array_whose_header_does_not_fit_its_file_is_rejected(library, tmp_path, shape):
    for path in library.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    data = (tmp_path / KEYS).read_bytes()
    head = data[:128].decode("latin-1")
    start, end = head.index("("), head.index(")") + 1
    (tmp_path / KEYS).write_bytes(f"{head[:start]}{shape}{head[end:]}".ljust(128)[:128].encode("latin-1") + data[128:])
    with pytest.raises(InputError, match="is damaged"):
        open_library(tmp_path)


@pytest.mark.parametrize("part", ["manifest", "entry"])
def test_newer_field_asks_for_an_upgrade(library, tmp_path, part):
    manifest = json.loads((library.folder / MANIFEST).read_text("utf-8"))
    (manifest if part == "manifest" else manifest["entries"][0])["color"] = "red"
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="has the field 'color', made by a newer version; upgrade facesr-edge"):
        open_library(tmp_path)


@pytest.mark.parametrize("name", [MANIFEST, KEYS, EMBEDDER])
def test_pipe_in_a_library_is_refused_without_reading_it(msrnet_bundle, library, tmp_path, name):
    for path in library.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    manifest = json.loads((tmp_path / MANIFEST).read_text("utf-8"))
    (tmp_path / MANIFEST).write_text(json.dumps({**manifest, "embedder": "0"}))
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    with pytest.raises((InputError, EngineError), match=f"no {MANIFEST}|it is not a regular file"):
        open_with_references(msrnet_bundle, tmp_path)


def test_scale_that_is_not_that_of_the_graph_is_refused_with_references_too(msrnet_bundle, library):
    io_spec = replace(msrnet_bundle.card.io_spec, scale=4)
    other = replace(msrnet_bundle, card=replace(msrnet_bundle.card, io_spec=io_spec))
    with pytest.raises(EngineError, match="expected an output of"):
        open_with_references(other, library.folder, threads=1)


@pytest.mark.parametrize("changes", [{"file": {}}, {"sha256": 5}])
def test_entry_of_wrong_types_is_rejected(library, tmp_path, changes):
    manifest = json.loads((library.folder / MANIFEST).read_text("utf-8"))
    manifest["entries"][0] |= changes
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="cannot be read"):
        open_library(tmp_path)


def test_only_a_library_is_replaced_and_errors_leave_the_old_one(msrnet_bundle, reference_faces, tmp_path):
    build_library(reference_faces, tmp_path / "library", msrnet_bundle, limit=2, threads=1)
    assert len(build_library(reference_faces, tmp_path / "library", msrnet_bundle, limit=3, threads=1)) == 3
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "text.txt").write_text("text")
    with pytest.raises(OutputError, match="is not a library; choose another folder"):
        build_library(reference_faces, tmp_path / "other", msrnet_bundle)
    cv2.imwrite(str(tmp_path / "other" / "small.png"), np.zeros((100, 200, 3), np.uint8))
    with pytest.raises(InputError, match=r"small\.png is 200x100 px, at least 128x128"):
        build_library(tmp_path / "other", tmp_path / "library", msrnet_bundle)
    assert len(open_library(tmp_path / "library")) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["library", "other"]


def test_a_large_image_is_downscaled_and_cropped_as_training_faces_are(msrnet_bundle):
    image = np.zeros((288, 400, 3), np.uint8)
    image[:, 200:] = 255
    crop = fit_crop(image, "x", msrnet_bundle.card.io_spec)
    assert crop.shape == (128, 128, 3) and (crop[:, :63] == 0).all() and (crop[:, 65:] == 255).all()
    exact = np.random.default_rng(0).integers(0, 256, (144, 144, 3), np.uint8)
    assert np.array_equal(fit_crop(exact, "x", msrnet_bundle.card.io_spec), exact[8:136, 8:136])


@pytest.mark.parametrize("max_references", [0, 6])
def test_a_number_of_references_out_of_range_is_rejected(msrnet_bundle, library, max_references):
    with pytest.raises(UsageError, match=f"expected 1 to 5 references per face, got {max_references}"):
        open_with_references(msrnet_bundle, library.folder, max_references)


@pytest.mark.parametrize("workers", [1, 2])
def test_openvino_agrees_with_onnx_runtime(msrnet_bundle, library, small, workers):
    pytest.importorskip("openvino", reason="needs OpenVINO; pip install 'facesr-edge[openvino]'")
    session = ENGINES["openvino"](msrnet_bundle, workers, "fp32", workers)
    with closing(ReferenceSession(session, library, bundle_embedding(msrnet_bundle, 1), 3)) as references:
        outputs = references.infer_batches([small, small[:1]])
        assert references.runtime.startswith("OpenVINO") and "3 references per face of 6" in references.runtime
    with closing(session_of(msrnet_bundle, library, 3)) as reference:
        for output, expected in zip(outputs, reference.infer_batches([small, small[:1]]), strict=True):
            differences = np.abs(output.tensor.astype(int) - expected.tensor)
            assert differences.max() <= 1 and (differences > 0).mean() < 0.001  # rounding of ties
            np.testing.assert_allclose(output.residual, expected.residual, rtol=1e-3)


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_a_pipeline_uses_its_library(msrnet_bundle, library, engine):
    pytest.importorskip(engine)
    options = {"references": library.folder, "max_references": 2, "threads": 1, "engine": engine}
    with facesr_edge.load(msrnet_bundle.folder, **options) as pipeline:
        crops = low_resolution(np.stack(sample_faces()[:2]), 8)
        pipeline.warm_up()
        assert "2 references per face of 6" in pipeline.session.runtime
        assert np.abs(pipeline.upscale(crops) - upscale(msrnet_bundle, library, crops, 2)).max() <= 1
        assert sum(layer.ms for layer in pipeline.session.layer_times(crops, runs=1)) > 0
    with pytest.raises(EngineError, match="closed"):
        pipeline.upscale(crops)


def test_a_closed_session_raises_also_without_a_batch(msrnet_bundle, library, small):
    session = session_of(msrnet_bundle, library)
    session.close()
    for call in (lambda: session.infer_batches([]), lambda: session.infer(small), lambda: session.layer_times(small)):
        with pytest.raises(EngineError, match="closed"):
            call()


def test_the_ablation_has_a_row_per_number_of_references_and_rejects_faces_of_the_library(msrnet_bundle, library):
    new_faces = [np.ascontiguousarray(face[::-1]) for face in sample_faces()[:2]]
    result = ablation(msrnet_bundle, library.folder, new_faces, threads=1)
    assert len(result.by_references) == 6 and result.entries == 6
    decibels = [row["psnr_y_db"] for row in result.by_references]
    assert len(set(decibels)) > 1 and result.to_dict()["ablation"][2]["references"] == 2
    with pytest.raises(UsageError, match="2 of 2 faces are in"):
        check_leakage(library, np.stack(sample_faces()[3:5]))


def test_an_embedder_of_another_network_chooses_the_references(msrnet_bundle, reference_faces, tmp_path, small):
    nodes = [
        helper.make_node("AveragePool", ["face"], ["pooled"], kernel_shape=[16, 16], strides=[16, 16]),
        helper.make_node("Flatten", ["pooled"], ["out"]),
    ]
    face = helper.make_tensor_value_info("face", TensorProto.FLOAT, [1, 3, 112, 112])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 147])
    graph = helper.make_graph(nodes, "recognizer", [face], [out])
    embedder = tmp_path / "embedder.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), embedder)
    library = build_library(reference_faces, tmp_path / "library", msrnet_bundle, embedder=embedder, threads=1)
    assert library.embeddings.shape == (6, 147)
    embedder.unlink()  # the library has a copy
    session = open_with_references(msrnet_bundle, library.folder, 1, threads=1)
    assert session.nearest(small[2:])[:, 0].tolist() == [0, 1, 2, 3, 4, 5]
    session.close()
    (library.folder / EMBEDDER).write_bytes(msrnet_bundle.onnx.read_bytes())
    with pytest.raises(InputError, match="was altered"):
        open_with_references(msrnet_bundle, library.folder)
