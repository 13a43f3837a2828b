"""README's model table agrees with the models."""

from pathlib import Path

import pytest
from facesr_edge.benchmarks import model_table
from facesr_edge.engines.bundle.bundle import WEIGHTS
from facesr_edge.zoo import catalogue

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
SIZE, LATENCY = 3, 6


def cells(line):
    values = [cell.strip() for cell in line.strip("| ").split(" | ")]
    return [value for i, value in enumerate(values) if i not in (SIZE, LATENCY)]


@pytest.mark.parametrize("name", catalogue.names())
def test_readme_shows_the_parameters_and_the_quality_on_the_card(name):
    (line,) = [line for line in README.splitlines() if line.startswith(f"| `{name}` |") and " ms |" in line]
    assert cells(line) == cells(model_table.row(catalogue.find(name), 0.0))


def test_buffers_of_batch_normalization_are_no_parameters():
    torch = pytest.importorskip("torch")
    from facesr_edge.networks import build_network

    bundle = catalogue.find("srresnet-x4")
    with torch.device("meta"):
        network = build_network(bundle.card.network, bundle.card.config)
    expected = sum(parameter.numel() for parameter in network.parameters())
    assert model_table.parameters(bundle.folder / WEIGHTS) == expected
