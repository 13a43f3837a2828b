"""Streams on a GPU: frames in flight, memory that results keep, order, errors and closing."""

import gc
import resource
from contextlib import contextmanager
from threading import Event

import numpy as np
import pytest
from facesr_edge.engines.bundle.bundle import open_bundle
from facesr_edge.engines.errors import EngineError
from facesr_edge.engines.onnxruntime.session import OrtSession
from facesr_edge.sdk.gpu import loans
from facesr_edge.sdk.pipeline.frame import Frame
from facesr_edge.sdk.pipeline.pipeline import _in_flight
from facesr_edge.sdk.pipeline.stages import CpuStages
from facesr_edge.sdk.profiling.timing import Span
from support.gpu_pipelines import TIMINGS, assert_same, pipelines, scene, uploaded
from support.gpu_traffic import counted


def test_frames_of_changing_sizes_do_not_affect_each_other(gpu, network):
    with pipelines(gpu, network) as (on_cpu, on_gpu):
        stream = gpu.stream()
        for name in ("many", "one", "padded", "too large", "one", "many", "none"):
            frame = scene(name)
            assert_same(on_gpu(frame), on_cpu(frame))
            shorter = np.ascontiguousarray(frame[:-7])
            assert_same(on_gpu(uploaded(gpu, shorter, stream)), on_cpu(shorter))


def test_a_result_is_not_overwritten_by_later_frames(gpu, network):
    with pipelines(gpu, network) as (on_cpu, on_gpu):
        result, expected = on_gpu(scene("many")), on_cpu(scene("many"))
        on_gpu(np.zeros_like(scene("many")))
        on_gpu(scene("many")[::-1, ::-1])
        assert_same(result, expected)


def test_composites_are_lent_and_those_that_are_kept_stay_as_they_are(gpu, machine, network):
    frames = [np.roll(scene("one"), 8 * n, axis=1) for n in range(loans.MAX_LENT + 3)]
    with pipelines(gpu, network) as (on_cpu, on_gpu):
        kept = [on_gpu(frame) for frame in frames]
        for result, frame in zip(kept, frames, strict=True):
            assert_same(result, on_cpu(frame))
        addresses = [result.frame.ctypes.data for result in kept]
        assert len(set(addresses)) == len(frames)
        del kept, result
        gc.collect()
        again = on_gpu(frames[0]).frame[8:]
        assert again.ctypes.data - again.strides[0] * 8 in addresses[: loans.MAX_LENT], "taken back and lent again"
        other = on_gpu(frames[1])
        expected = on_cpu(frames[0]).frame[8:]
        assert np.abs(again.astype(int) - expected.astype(int)).max() <= 1, "a view keeps the loan"
        assert_same(other, on_cpu(frames[1]))


def test_a_composite_that_is_dropped_is_lent_again_while_no_frame_is_processed(gpu, network):
    with pipelines(gpu, network) as (_, on_gpu):
        lent = on_gpu.stages._context.loans["composite"]
        result = on_gpu(scene("one"))
        address = result.frame.ctypes.data
        del result
        gc.collect()
        assert [array.ctypes.data for array in lent._free] == [address]


def test_composites_are_copied_beyond_a_share_of_memory(gpu, network):
    with pipelines(gpu, network) as (on_cpu, on_gpu):
        lent, frames = on_gpu.stages._context.loans["composite"], [np.roll(scene("one"), 8 * n, 1) for n in range(4)]
        lent._budget = 2 * 4 * frames[0].nbytes
        kept = [on_gpu(frame) for frame in frames]
        for result, frame in zip(kept, frames, strict=True):
            assert_same(result, on_cpu(frame))
        assert len(lent._allocated) == 2


def test_loans_of_an_earlier_size_count_until_they_are_released(gpu, machine):
    pool = loans.PinnedLoans(gpu)
    small = [pool.take((8, 8, 3)) for _ in range(loans.MAX_LENT)]
    assert pool.take((9, 9, 3)) is None
    small.pop()
    gc.collect()
    large = pool.take((9, 9, 3))
    assert large.shape == (9, 9, 3) and pool.take((9, 9, 3)) is None
    del small, large
    gc.collect()
    assert machine.live_objects()["pinned"] == 1, "only those of the present size are kept"
    pool.close()


def test_nothing_is_lent_where_the_system_has_no_page_locked_memory(gpu):
    pool = loans.PinnedLoans(gpu)
    pool._budget = 2**62
    assert pool.take((2**24, 2**24, 3)) is None
    assert pool.take((2**24, 2**24, 3)) is None
    pool.close()


def test_a_result_outlives_the_pipeline(gpu, network):
    with pipelines(gpu, network) as (on_cpu, on_gpu):
        result, expected = on_gpu(scene("one")), on_cpu(scene("one"))
        on_gpu.close()
        gc.collect()
        assert_same(result, expected)


def test_memory_stays_flat_over_many_frames(gpu, machine, network):
    with pipelines(gpu, network) as (_, on_gpu):
        stream = gpu.stream()
        frames = [scene(name) for name in ("upright", "one", "overlapping")]
        frames += [uploaded(gpu, frame, stream) for frame in frames]
        for frame in frames:
            on_gpu(frame)
        gc.collect()
        held, before = machine.live_objects(), 0
        for n in range(50):
            on_gpu(frames[n % len(frames)])
            if n == 20:
                before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert machine.live_objects() == held
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 4096  # KiB


def test_a_stream_of_frames_keeps_their_order(gpu, network):
    with pipelines(gpu, network) as (on_cpu, on_gpu):
        frames = [Frame(scene(name), index=n) for n, name in enumerate(("one", "many"))]
        for result, expected in zip(on_gpu.stream(frames), on_cpu.stream(frames), strict=True):
            assert result.source.pixels is expected.source.pixels and result.timings_ms["decode"] > 0
            assert_same(result, expected)


def test_in_a_stream_the_host_waits_once_a_frame(gpu, network):
    with pipelines(gpu, network) as (on_cpu, on_gpu):
        frames = [scene(name) for name in ("many", "one", "overview", "many", "overlapping", "none")]
        expected = [on_cpu(frame) for frame in frames]
        with counted(on_gpu) as traffic:
            results = list(_in_flight(on_gpu._jobs(frames, on_gpu._detect)))
        for result, one in zip(results, expected, strict=True):
            assert_same(result, one)
        if gpu.graphs:  # pycuda also waits where another stream is used
            assert len(frames) <= traffic["waits"] <= len(frames) + 1, (
                f"one a frame and one for the last results: {traffic}"
            )
        assert traffic["copies up"] == len(frames), "tables are arguments of the kernels"
        assert traffic["copies within"] == 0


def test_a_frame_without_a_successor_is_not_held_back(gpu, network):
    with pipelines(gpu, network) as (on_cpu, on_gpu):
        collected = Event()

        def slow_source():
            yield scene("one")
            assert collected.wait(30), "the first result must not wait for the second frame"
            yield scene("many")

        results = on_gpu.stream(slow_source())
        assert_same(next(results), on_cpu(scene("one")))
        collected.set()
        assert_same(next(results), on_cpu(scene("many")))
        assert next(results, None) is None


@pytest.mark.parametrize("failing", ["network", "detector", "source"])
def test_an_error_in_a_stream_comes_after_the_results_before_it(gpu, network, failing):
    with pipelines(gpu, network) as (on_cpu, on_gpu):
        session = (on_gpu.detector if failing == "detector" else on_gpu).session

        def frames():
            yield scene("one")
            if failing == "source":
                raise EngineError("the source failed")
            yield scene("many")

        results = on_gpu.stream(frames())
        if failing != "source":
            results = _in_flight(failing_from(session, on_gpu._jobs(frames(), on_gpu._detect)))
        assert_same(next(results), on_cpu(scene("one")))
        with pytest.raises(EngineError, match="failed"):
            next(results)
        session.fails = False
        assert_same(on_gpu(scene("overlapping")), on_cpu(scene("overlapping")))


def failing_from(session, jobs):
    """Jobs of which the second and later ones fail in a session."""
    for job in jobs:
        yield job
        session.fails = True


@pytest.mark.parametrize("taken", [0, 1, 2])
def test_a_stream_may_be_closed_with_frames_in_flight(gpu, machine, network, taken):
    with pipelines(gpu, network) as (on_cpu, on_gpu):
        on_gpu(scene("many"))
        results = on_gpu.stream([scene("many")] * 6)
        for _ in range(taken):
            next(results)
        results.close()
        for name in ("one", "overlapping"):
            assert_same(on_gpu(scene(name)), on_cpu(scene(name)))
        results = on_gpu.stream([scene("many")] * 6)
        next(results)
        on_gpu.close()
        with pytest.raises(EngineError, match="closed"):
            list(results)


def test_a_call_during_a_stream_gives_its_own_result(gpu, network):
    with pipelines(gpu, network) as (on_cpu, on_gpu):
        names = ("many", "one", "overlapping", "many", "one")
        for result, name in zip(on_gpu.stream(map(scene, names)), names, strict=True):
            assert_same(on_gpu(scene("overview")), on_cpu(scene("overview")))
            assert_same(result, on_cpu(scene(name)))


def test_timings_are_those_of_the_frame_when_the_next_one_reuses_its_buffers(gpu, network):
    with pipelines(gpu, network) as (_, on_gpu):
        timed = on_gpu.stages.timed

        @contextmanager
        def reused_at_once(spans):
            with timed(spans) as lane:
                yield lane
            with timed([Span("of another frame", 0, 1)]) as other:
                assert other is lane

        on_gpu.stages.timed = reused_at_once
        assert set(on_gpu(scene("one")).timings_ms) == TIMINGS


def test_frames_in_gpu_memory_have_their_position_as_index(gpu, network):
    with pipelines(gpu, network) as (_, on_gpu):
        stream, frame = gpu.stream(), scene("one")
        frames = [uploaded(gpu, frame, stream), frame, uploaded(gpu, frame, stream)]
        for overlap in (True, False):
            assert [result.source.index for result in on_gpu.stream(frames, overlap=overlap)] == [0, 1, 2]
        assert on_gpu(frames[0]).source.index == 0


def test_a_closed_pipeline_raises_and_holds_no_memory(gpu, machine, network):
    before = machine.live_objects()
    with pipelines(gpu, network) as (_, on_gpu):
        on_gpu(scene("one"))
        on_gpu.close()
        on_gpu.close()
        with pytest.raises(EngineError, match="the pipeline is closed; load it again"):
            on_gpu(scene("one"))
        on_gpu.session = on_gpu.detector.session = on_gpu.stages = None
        gc.collect()
        assert machine.live_objects() == before
        on_gpu.session = on_gpu.detector.session = OrtSession(open_bundle(network), 1)
        on_gpu.stages = CpuStages(on_gpu.session, on_gpu.detector, 2)
