"""Timing tables 1 and 2 of the IDRN paper: properties that hold on every machine.

Times are CPU times of the one worker thread, which other processes hardly affect. No absolute time is tested;
`facesr-edge bench tables` measures those.
"""

from functools import cache, partial
from itertools import pairwise
from time import thread_time

import pytest

pytest.importorskip("torch", reason="needs PyTorch to export the networks; pip install 'facesr-edge[build]'")
pytest.importorskip("pytest_benchmark", reason="needs pytest-benchmark; pip install 'facesr-edge[test]'")

from facesr_edge.calibration.timing import interleaved
from facesr_edge.sdk.bench.paper import SIDE, TABLES, sizes

ROUNDS, RETRY_ROUNDS = 2, 6
"""Rounds of the first measurement, and of a second one if the first fails; the minimum of the rounds is used."""
TOLERANCE = 0.05
"""Measurement noise allowed between rows, which differ by at least a sixth."""
MIN_RATIO, MAX_RATIO = 0.6, 1.3
"""Limits of a row's latency ratio relative to its ratio of multiply-adds: wide networks use a processor better."""
ROWS = [
    pytest.param(table, row, id=f"{table.varies}-{getattr(row, table.varies)}")
    for table in TABLES
    for row in table.rows
]


@pytest.fixture(scope="module")
def best_ms(session_of, face):
    """Number of rounds -> minimum time of each network in ms, interleaved and cached."""

    @cache
    def measured(rounds):
        calls = [partial(session_of(size).infer, face) for size in sizes(TABLES)]
        samples = interleaved(calls, rounds, warm_up=0, clock=thread_time)
        return {size: min(ms) for size, ms in zip(sizes(TABLES), samples, strict=True)}

    return measured


def check_with_retry(condition, best_ms):
    """Whether a condition holds for the measured times, or for a longer measurement; and the last times."""
    for rounds in (ROUNDS, RETRY_ROUNDS):
        times_ms = best_ms(rounds)
        if condition(times_ms):
            break
    return condition(times_ms), times_ms


@pytest.mark.benchmark(timer=thread_time)
@pytest.mark.parametrize(("table", "row"), ROWS)
def test_latency_of_each_row(benchmark, session_of, face, macs, table, row):
    benchmark.group = f"{table.title} (paper: {', '.join(f'{r.paper_ms:g}' for r in table.rows)} ms on a GTX 1060)"
    benchmark.extra_info.update(paper_ms=row.paper_ms, gmac=macs(row.size) / 1e9)
    sr = benchmark.pedantic(session_of(row.size).infer, (face,), rounds=2, iterations=1)
    assert sr.shape == (1, 4 * SIDE, 4 * SIDE, 3)


@pytest.mark.parametrize("size", sizes(TABLES))
def test_multiply_adds_are_given_by_depth_and_width(macs, size):
    depth, width = size
    unit = 9 * width * width + 9 * 2 * width * width
    upsampling = 9 * width * 4 * width * (1 + 4)  # the second step has four times the pixels
    head, tail = 9 * 3 * width, 9 * width * 3 * 16
    assert macs(size) == SIDE * SIDE * (head + depth * unit + upsampling + tail)


def test_first_row_is_the_shipped_network(macs):
    from facesr_edge.converters.macs import macs_of
    from facesr_edge.zoo import catalogue

    shipped = catalogue.find("idrn-x4")
    assert (shipped.card.config["depth"], shipped.card.config["width"]) == TABLES[0].rows[0].size
    assert macs_of(shipped.onnx, SIDE, ["Conv"]) == macs(TABLES[0].rows[0].size)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.varies)
def test_latency_increases_from_row_to_row(best_ms, table):
    def increases(ms):
        return all(ms[small.size] < (1 + TOLERANCE) * ms[large.size] for small, large in pairwise(table.rows))

    passed, times_ms = check_with_retry(increases, best_ms)
    assert passed, {row.size: times_ms[row.size] for row in table.rows}


@pytest.mark.parametrize(("table", "row"), ROWS)
def test_latency_ratio_follows_the_multiply_adds(best_ms, macs, table, row):
    first = table.rows[0].size
    expected = macs(row.size) / macs(first)

    def proportional(ms):
        return MIN_RATIO * expected <= ms[row.size] / ms[first] <= MAX_RATIO * expected

    passed, times_ms = check_with_retry(proportional, best_ms)
    assert passed, (times_ms[row.size] / times_ms[first], expected)
