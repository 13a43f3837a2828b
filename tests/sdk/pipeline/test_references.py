"""Libraries of references: made, opened, refused; and sessions that borrow from them."""

import json

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
from facesr_edge.engines.onnxruntime.reference_library import (
    EMBEDDER,
    KEYS,
    MANIFEST,
    Library,
    ReferenceFeatures,
    open_library,
)
from facesr_edge.engines.onnxruntime.reference_session import ReferenceSession
from facesr_edge.engines.onnxruntime.session import OrtGraph, OrtSession
from facesr_edge.engines.registry import open_session
from facesr_edge.networks.weights import network_from, read_weights
from facesr_edge.sdk.evaluation.compare import ablation
from facesr_edge.sdk.pipeline.references import build_library, check_leakage, fit_crop, open_with_references
from facesr_edge.zoo import catalogue
from onnx import TensorProto, helper
from support.onnx_rules import unsupported


@pytest.fixture(scope="session")
def small():
    """(8, 16, 16, 3): the sample faces, small."""
    return low_resolution(np.stack(sample_faces()), 8)


def only(library, entries):
    """The library with some of its entries, in an order."""
    about = type(library.about)("m", library.about.made_by, tuple(library.about.entries[at] for at in entries))
    kept = ReferenceFeatures(library.keys[entries], library.values[entries], library.embeddings[entries])
    return Library(library.folder, about, kept)


def enlarged(msrnet_bundle, library, small, most=4):
    session = ReferenceSession(msrnet_bundle, library, most, threads=1)
    try:
        return session.infer(small).astype(int)
    finally:
        session.close()


def test_the_three_graphs_are_tensorrts_and_agree_with_pytorch(msrnet_bundle):
    for name in (ONNX, REFERENCES, EMBEDDING):
        assert unsupported(onnx.load(msrnet_bundle.folder / name)) == ()
    parity = msrnet_bundle.card.parity
    assert parity["simplified_largest_departure"] <= 1e-3
    assert parity["references_largest_departure"] <= 1e-3 and parity["embedding_largest_departure"] <= 1e-3
    io_spec = msrnet_bundle.card.io_spec
    assert (io_spec.windows, io_spec.references) == ((16,), 5) and open_bundle(
        msrnet_bundle.folder
    ).card == msrnet_bundle.card


def test_references_that_are_absent_change_nothing(msrnet_bundle, library, small):
    graph, plain = OrtGraph(msrnet_bundle.onnx, 1), OrtSession(msrnet_bundle, 1)
    alone = plain.infer(small[:2])
    for slots in (1, 5):
        keys, values = (np.tile(part[0], (2, slots, 1, 1)) for part in (library.keys, library.values))
        absent = np.zeros((2, slots), np.float32)
        assert np.array_equal(graph.run(small[:2], keys, values, absent)[0], alone)
        assert not np.array_equal(graph.run(small[:2], keys, values, absent + 1)[0], alone)


def test_a_session_gives_what_the_network_gives_with_the_same_references(borrower, library, small):
    msrnet_bundle, weights = borrower
    read = read_weights(weights)
    network = network_from(read, read.network, read.config)
    network.load_state_dict({key: value.half().float() for key, value in network.state_dict().items()})
    session = ReferenceSession(msrnet_bundle, library, 3, threads=1)
    near = session.near(small[:3])
    rgb = torch.from_numpy(small[:3, ..., ::-1].copy()).permute(0, 3, 1, 2) / 255
    with torch.inference_mode():
        points = torch.cdist(network.embedding(rgb), torch.from_numpy(library.embeddings), p=1)
        assert near.tolist() == points.topk(3, largest=False).indices.tolist()
        lent = [torch.from_numpy(part[near].astype(np.float32)) for part in (library.keys, library.values)]
        wanted = Uint8SRWrapper(network, 8)(torch.from_numpy(small[:3]), *lent, torch.ones(3, 3)).numpy()
    got = session.infer(small[:3])
    assert np.abs(wanted.astype(int) - got).max() <= 1
    session.close()


def test_a_library_comes_back_as_it_was_written_and_stays_on_disk(msrnet_bundle, library):
    again = open_library(library.folder, msrnet_bundle)
    assert isinstance(again.keys, np.memmap) and isinstance(again.values, np.memmap)
    assert again.keys.dtype == again.values.dtype == np.float16 and len(again) == 6
    assert [entry.file for entry in again.about.entries] == [f"{n}.png" for n in range(6)]
    faces = np.stack(sample_faces()[2:])
    keys, values = OrtGraph(msrnet_bundle.folder / REFERENCES).run(faces)
    assert np.allclose(again.keys, keys, atol=2e-3) and np.allclose(again.values, values, atol=2e-3, rtol=2e-3)
    points = OrtGraph(msrnet_bundle.folder / EMBEDDING).run(low_resolution(faces, 8))[0]
    assert np.allclose(again.embeddings, points, atol=1e-4)
    assert again.nearest(points, 1)[:, 0].tolist() == [0, 1, 2, 3, 4, 5]


def test_mirror_images_are_entries_of_their_own(msrnet_bundle, reference_faces, tmp_path):
    made = build_library(reference_faces, tmp_path / "both", msrnet_bundle, mirrored=True, limit=2, threads=1)
    assert [(entry.file, entry.mirrored) for entry in made.about.entries] == [
        *(("0.png", False), ("1.png", False), ("0.png", True), ("1.png", True))
    ]
    swapped = cv2.imread(str(reference_faces / "0.png"))[:, ::-1]
    keys, _ = OrtGraph(msrnet_bundle.folder / REFERENCES).run(np.ascontiguousarray(swapped)[None])
    assert np.allclose(made.keys[2], keys[0], atol=2e-3)


def test_the_order_of_entries_does_not_matter(msrnet_bundle, library, small):
    straight, turned = (enlarged(msrnet_bundle, only(library, order), small) for order in ([0, 2, 4, 5], [5, 4, 2, 0]))
    assert np.abs(straight - turned).max() <= 1


def test_five_identical_references_are_nearly_one(msrnet_bundle, library, small):
    five, one = (enlarged(msrnet_bundle, only(library, [0] * count), small, 5) for count in (5, 1))
    plain = OrtSession(msrnet_bundle, 1).infer(small).astype(int)
    assert np.abs(five - one).mean() < np.abs(one - plain).mean()  # they outvote "none", that is all


def test_a_batch_is_what_its_faces_are_alone(msrnet_bundle, library, small):
    together = enlarged(msrnet_bundle, library, small[:7])
    alone = np.concatenate([enlarged(msrnet_bundle, library, small[n : n + 1]) for n in range(7)])
    assert np.abs(together - alone).max() <= 1


def test_the_result_shrinks_to_the_cameras_own_pixels(msrnet_bundle, library, small):
    large = enlarged(msrnet_bundle, library, small)
    assert (
        np.abs(low_resolution(large.astype(np.uint8), 8).astype(int) - small).mean() < 2.5
    )  # without the projection 10 and more


def test_another_networks_library_is_refused(msrnet_bundle, library, reference_faces, tmp_path):
    with pytest.raises(InputError, match="borrows from no references"):
        build_library(reference_faces, tmp_path / "made", catalogue.find("idrn-x4"))
    said = json.loads((library.folder / MANIFEST).read_text("utf-8"))
    strange = tmp_path / "strange"
    strange.mkdir()
    for path in library.folder.iterdir():
        (strange / path.name).write_bytes(path.read_bytes())
    (strange / MANIFEST).write_text(json.dumps({**said, "made_by": "0" * 64, "model": "another"}))
    with pytest.raises(InputError, match=r"was made with another, its weights are not those of msrnet-x8"):
        open_with_references(msrnet_bundle, strange)
    (strange / MANIFEST).write_text(json.dumps({**said, "entries": said["entries"][:-1]}))
    with pytest.raises(InputError, match="its files differ in length"):
        open_library(strange)
    (strange / KEYS).write_bytes(b"no array")
    with pytest.raises(InputError, match="is damaged"):
        open_library(strange)
    with pytest.raises(InputError, match=r"is no library, it has no library\.json"):
        open_library(reference_faces)


def test_a_library_replaces_an_older_one_and_nothing_else(msrnet_bundle, reference_faces, tmp_path):
    build_library(reference_faces, tmp_path / "library", msrnet_bundle, limit=2, threads=1)
    assert len(build_library(reference_faces, tmp_path / "library", msrnet_bundle, limit=3, threads=1)) == 3
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(OutputError, match="is no library; choose another folder"):
        build_library(reference_faces, tmp_path / "mine", msrnet_bundle)
    cv2.imwrite(str(tmp_path / "mine" / "small.png"), np.zeros((100, 200, 3), np.uint8))
    with pytest.raises(InputError, match=r"small\.png is 200x100 px, at least 128x128"):
        build_library(tmp_path / "mine", tmp_path / "library", msrnet_bundle)
    assert len(open_library(tmp_path / "library")) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["library", "mine"]


def test_a_large_picture_is_framed_as_the_faces_of_the_training_are(msrnet_bundle):
    face = np.zeros((288, 400, 3), np.uint8)
    face[:, 200:] = 255
    cut = fit_crop(face, "x", msrnet_bundle.card.io_spec)
    assert cut.shape == (128, 128, 3) and (cut[:, :63] == 0).all() and (cut[:, 65:] == 255).all()
    exact = np.random.default_rng(0).integers(0, 256, (144, 144, 3), np.uint8)
    assert np.array_equal(fit_crop(exact, "x", msrnet_bundle.card.io_spec), exact[8:136, 8:136])


@pytest.mark.parametrize("most", [0, 6])
def test_a_number_of_references_that_cannot_be_is_refused(msrnet_bundle, library, most):
    with pytest.raises(UsageError, match=f"expected 1 to 5 references a face, got {most}"):
        open_with_references(msrnet_bundle, library.folder, most)


def test_tensorrt_is_refused_in_one_line(msrnet_bundle, library):
    with pytest.raises(EngineError, match="leave --engine out"):
        open_session(msrnet_bundle, "tensorrt")
    with pytest.raises(EngineError, match="leave --engine out"):
        open_with_references(msrnet_bundle, library.folder, engine="tensorrt")


def test_a_pipeline_borrows_from_its_library(msrnet_bundle, library):
    with facesr_edge.load(msrnet_bundle.folder, references=library.folder, most=2, threads=1) as pipeline:
        crops = low_resolution(np.stack(sample_faces()[:2]), 8)
        pipeline.warm_up()
        assert "2 references a face of 6" in pipeline.session.runtime
        assert np.array_equal(pipeline.upscale(crops), enlarged(msrnet_bundle, library, crops, 2))
        assert sum(layer.ms for layer in pipeline.session.layer_times(crops, runs=1)) > 0
    with pytest.raises(EngineError, match="closed"):
        pipeline.upscale(crops)


def test_the_ablation_has_a_row_for_each_number_and_refuses_faces_of_the_library(msrnet_bundle, library):
    strangers = [np.ascontiguousarray(face[::-1]) for face in sample_faces()[:2]]
    found = ablation(msrnet_bundle, library.folder, strangers, threads=1)
    assert len(found.by_references) == 6 and found.entries == 6
    figures = [turn["psnr_y_db"] for turn in found.by_references]
    assert len(set(figures)) > 1 and found.to_dict()["ablation"][2]["references"] == 2
    with pytest.raises(UsageError, match="2 of 2 faces are in"):
        check_leakage(library, np.stack(sample_faces()[3:5]))


def test_another_network_may_say_who_is_alike(msrnet_bundle, reference_faces, tmp_path, small):
    nodes = [
        helper.make_node("AveragePool", ["face"], ["pooled"], kernel_shape=[16, 16], strides=[16, 16]),
        helper.make_node("Flatten", ["pooled"], ["out"]),
    ]
    given = helper.make_tensor_value_info("face", TensorProto.FLOAT, [1, 3, 112, 112])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 147])
    graph = helper.make_graph(nodes, "recogniser", [given], [out])
    seer = tmp_path / "seer.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), seer)
    made = build_library(reference_faces, tmp_path / "seen", msrnet_bundle, embedder=seer, threads=1)
    assert made.embeddings.shape == (6, 147)
    seer.unlink()  # the library has its own copy
    session = open_with_references(msrnet_bundle, made.folder, 1, threads=1)
    assert session.near(small[2:])[:, 0].tolist() == [0, 1, 2, 3, 4, 5]
    session.close()
    (made.folder / EMBEDDER).write_bytes(b"another")
    with pytest.raises(InputError, match="is missing or was altered"):
        open_with_references(msrnet_bundle, made.folder)
