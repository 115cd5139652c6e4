"""Arrays in one block of memory: none that is needed at the same time as another shares a byte with it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qkern import _core

lives = st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 20), st.integers(0, 20)), max_size=40)


def placed(each: list[tuple[int, int, int]], alignment: int = 64) -> tuple[list[int], int]:
    columns = np.array(each, np.int64).reshape(-1, 3).T
    offsets, size = _core.place(*map(np.ascontiguousarray, columns), alignment)
    return offsets.tolist(), size


@given(lives, st.sampled_from([1, 16, 64]))
def test_arrays_of_overlapping_lives_share_no_byte(each: list[tuple[int, int, int]], alignment: int):
    each = [(size, min(a, b), max(a, b)) for size, a, b in each]
    offsets, total = placed(each, alignment)
    for i, (offset, (size, first, last)) in enumerate(zip(offsets, each, strict=True)):
        assert offset % alignment == 0
        assert offset + size <= total
        for other, (other_size, other_first, other_last) in zip(offsets[:i], each[:i], strict=True):
            if first <= other_last and other_first <= last:
                assert offset + size <= other or other + other_size <= offset


def test_an_arena_is_as_small_as_can_be_for_a_chain():
    offsets, total = placed([(640, i, i + 1) for i in range(50)])
    assert total == 2 * 640
    assert set(offsets) == {0, 640}


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="length"):
        _core.place(np.zeros(2, np.int64), np.zeros(1, np.int64), np.zeros(2, np.int64), 64)
    with pytest.raises(ValueError, match="alignment"):
        _core.place(*[np.zeros(1, np.int64)] * 3, 0)
