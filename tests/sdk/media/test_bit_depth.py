"""`deep_composite`: all bits outside of faces, the network's change inside."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from facesr_edge.sdk.media.bit_depth import deep_composite
from facesr_edge.sdk.pipeline.frame import Frame
from facesr_edge.sdk.pipeline.paste import enlarge


def deep_frame() -> Frame:
    deep = np.random.default_rng(0).integers(0, 65536, (70, 41, 3), dtype=np.uint16)
    return Frame((deep >> 8).astype(np.uint8), deep=deep)


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_source_is_enlarged_with_all_bits_where_the_composite_is_unchanged(scale: int) -> None:
    frame = deep_frame()
    assert frame.deep is not None
    expected = cv2.resize(frame.deep, (41 * scale, 70 * scale), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_array_equal(deep_composite(frame, enlarge(frame.pixels, scale)), expected)
    assert not np.shares_memory(deep_composite(frame, enlarge(frame.pixels, scale)), frame.deep)


def test_change_of_the_network_is_added_and_saturates() -> None:
    frame = deep_frame()
    plain = enlarge(frame.pixels, 2)
    changed = plain.copy()
    changed[60:100, 20:50] = np.random.default_rng(1).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    before = deep_composite(frame, plain).astype(int)
    expected = np.clip(before + 257 * (changed.astype(int) - plain), 0, 65535)
    np.testing.assert_array_equal(deep_composite(frame, changed), expected)


def test_composite_of_an_8_bit_frame_is_widened_to_full_range() -> None:
    pixels = np.full((4, 5, 3), 255, np.uint8)
    assert deep_composite(Frame(pixels), pixels).min() == 65535
