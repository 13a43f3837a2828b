"""Recipes that continue from trained weights of the detector keep the frozen modules and resume."""

import json

import cv2
import numpy as np
import pytest
import torch
from facesr_edge.engines.errors import UsageError
from facesr_edge.networks.detector import Detector
from facesr_edge.networks.weights import Provenance, network_from, read_weights, weights_bytes
from facesr_edge.training.train import train_model

OPTIONS = {"width": 8, "batch": 1, "threads": 1}


@pytest.fixture
def folder(tmp_path):
    """One picture per split with a white square as a face."""
    (tmp_path / "images").mkdir()
    picture = np.full((120, 160, 3), 60, np.uint8)
    picture[30:90, 40:100] = 250
    face = {"box": [40, 30, 60, 60], "landmarks": [58, 54, 82, 54, 70, 66, 61, 78, 79, 78], "score": 0.9}
    for split in ("train", "test"):
        cv2.imwrite(str(tmp_path / "images" / f"portrait_{split}.png"), picture)
    labels = {f"portrait_{split}.png": {"faces": [face], "split": split} for split in ("train", "test")}
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    return tmp_path


@pytest.fixture
def trained(tmp_path):
    """Weights of a small detector without branches in its landmark heads."""
    torch.manual_seed(3)
    network = Detector(width=8)
    for head in network.heads:
        torch.nn.init.normal_(head[1].weight, std=0.1)
    path = tmp_path / "trained.safetensors"
    path.write_bytes(weights_bytes(network.eval(), "detector", {"width": 8}, Provenance({"steps": 1})))
    return path


def output_of(path):
    weights = read_weights(path)
    with torch.inference_mode():
        images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
        return network_from(weights, "detector", weights.config)(images)


def test_landmark_training_changes_no_score_and_no_box(folder, trained, tmp_path):
    path = train_model(
        "detector",
        folder,
        tmp_path / "run",
        recipe="landmarks",
        init_weights=trained,
        options={"landmark_width": 8},
        steps=3,
        **OPTIONS,
    )
    before, after = output_of(trained), output_of(path)
    assert torch.equal(before[..., :5], after[..., :5]) and not torch.equal(before[..., 5:], after[..., 5:])
    training = read_weights(path).origin.training
    assert (
        training["frozen"] == ["stem", "quarter", "stages", "merges", "heads"] and training["init_from"]["steps"] == 1
    )


def test_frozen_modules_are_kept_over_a_resumed_run(folder, trained, tmp_path, monkeypatch):
    options = {"recipe": "finetune", "init_weights": trained, **OPTIONS}
    monkeypatch.setattr("facesr_edge.training.trainer.REPORT_EVERY", 1)
    whole = train_model("detector", folder, tmp_path / "whole", steps=4, **options)

    def stop(progress):
        if progress.step == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("facesr_edge.training.train.train.__kwdefaults__", {**_defaults(), "save_every": 2})
    with pytest.raises(KeyboardInterrupt):
        train_model("detector", folder, tmp_path / "parts", steps=4, report=stop, **options)
    parts = train_model("detector", folder, tmp_path / "parts", steps=4, **options)
    first, again, kept = (read_weights(path).tensors for path in (whole, parts, trained))
    assert all(torch.equal(first[name], again[name]) for name in first)
    frozen = [name for name in kept if name.startswith(("stem", "quarter"))]
    assert frozen and all(torch.equal(first[name], kept[name]) for name in frozen)
    assert not torch.equal(first["stages.0.0.mix.weight"], kept["stages.0.0.mix.weight"])


def _defaults():
    from facesr_edge.training.trainer import train

    return dict(train.__kwdefaults__)


@pytest.mark.parametrize("recipe", ["finetune", "landmarks"])
def test_frozen_modules_without_trained_weights_raise(folder, tmp_path, recipe):
    with pytest.raises(UsageError, match="--init-weights FILE"):
        train_model("detector", folder, tmp_path / "run", recipe=recipe, steps=1, **OPTIONS)
    assert not (tmp_path / "run").exists()
