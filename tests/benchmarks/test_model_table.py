"""The model tables of README and docs/papers.md agree with the models."""

from pathlib import Path

import pytest
from facesr_edge.benchmarks import model_table
from facesr_edge.engines.bundle.bundle import WEIGHTS
from facesr_edge.zoo import catalogue

ROOT = Path(__file__).parents[2]
README, PAPERS = ((ROOT / name).read_text("utf-8") for name in ("README.md", "docs/papers.md"))
SIZE, LATENCY = 3, 6


def cells(line):
    values = [cell.strip() for cell in line.strip("| ").split(" | ")]
    return [value for i, value in enumerate(values) if i not in (SIZE, LATENCY)]


@pytest.mark.parametrize("name", catalogue.names())
def test_readme_shows_the_parameters_and_the_quality_on_the_card(name):
    (line,) = [line for line in README.splitlines() if line.startswith(f"| `{name}` |") and " ms |" in line]
    assert cells(line) == cells(model_table.row(catalogue.find(name), 0.0))


def of_precision(card, precision):
    """Metrics on clean faces, or an empty dict."""
    kinds = {(one.degradation, one.precision): one.metrics for one in card.evaluations}
    return kinds.get(("bicubic", precision), {})


@pytest.mark.parametrize("name", [name for name in catalogue.names() if name != catalogue.DEFAULT_DETECTOR])
def test_the_papers_page_shows_the_parameters_and_the_metrics_on_the_card(name):
    bundle = catalogue.find(name)
    fp32 = of_precision(bundle.card, "fp32")
    drops = [abs(of_precision(bundle.card, one)["drop_db"] - shown) for one, shown in page_drops(f"`{name}`").items()]
    assert page_cells(f"`{name}`")[:4] == [
        f"{model_table.parameters(bundle.folder / WEIGHTS):,}",
        f"{fp32['psnr_y_db']:.2f} dB, {fp32['gain_db']:+.2f}",
        f"{fp32['ssim_y']:.4f}",
        f"{fp32['vif']:.4f}",
    ]
    assert max(drops) < 0.00051


def page_cells(name):
    (line,) = [line for line in PAPERS.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.split("|")][2:]


def page_drops(name):
    return dict(zip(("fp16", "int8"), map(float, page_cells(name)[4:6]), strict=True))


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_the_papers_page_shows_the_bicubic_baseline_of_every_card(scale):
    cards = [catalogue.find(name).card for name in catalogue.names() if name != catalogue.DEFAULT_DETECTOR]
    for fp32 in [of_precision(card, "fp32") for card in cards if card.io_spec.scale == scale]:
        metrics = [f"{fp32[f'bicubic_{name}']:.4f}" for name in ("ssim_y", "vif")]
        assert page_cells(f"×{scale} bicubic")[1:4] == [f"{fp32['bicubic_psnr_y_db']:.2f} dB", *metrics]


def test_buffers_of_batch_normalization_are_no_parameters():
    torch = pytest.importorskip("torch")
    from facesr_edge.networks import build_network

    bundle = catalogue.find("srresnet-x4")
    with torch.device("meta"):
        network = build_network(bundle.card.network, bundle.card.config)
    expected = sum(parameter.numel() for parameter in network.parameters())
    assert model_table.parameters(bundle.folder / WEIGHTS) == expected
