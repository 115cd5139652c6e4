"""matmul and pack against int64, on every tier."""

from __future__ import annotations

import itertools

import numpy as np
import oracle
import pytest
import qkern
from hypothesis import given
from hypothesis import strategies as st
from oracle.samples import CODES, FILLS, ODD, PAIRS, codes, ends, in_memory, misaligned, name_of

pytestmark = pytest.mark.usefixtures("isa")


def check(a, b, **kwargs):
    expected = oracle.matmul(a, b, **kwargs)
    for right in (b, qkern.pack(b)) if b.ndim == 2 else (b,):
        result = qkern.matmul(a, right, **kwargs)
        assert result.dtype == np.int32
        assert result.shape == expected.shape
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(("a_type", "b_type"), PAIRS, ids=lambda d: name_of(d))
def test_sizes_around_every_tile(rng, a_type, b_type):
    for size in ODD:
        for shape in ((size, 5, 3), (3, size, 5), (5, 3, size), (7, size, 17), (13, 9, size)):
            rows, depth, cols = shape
            check(codes(rng, a_type, (rows, depth)), codes(rng, b_type, (depth, cols)))


@pytest.mark.parametrize(("a_type", "b_type"), PAIRS, ids=lambda d: name_of(d))
def test_extremes_never_saturate(rng, a_type, b_type):
    for a_fill, b_fill in itertools.product(FILLS, FILLS):
        a, b = codes(rng, a_type, (7, 37), a_fill), codes(rng, b_type, (37, 19), b_fill)
        check(a, b)
        check(a, b, a_zero_point=ends(a_type)[1], b_zero_point=ends(b_type)[0])


@pytest.mark.parametrize(("a_type", "b_type"), PAIRS, ids=lambda d: name_of(d))
def test_zero_points(rng, a_type, b_type):
    rows, depth, cols = 9, 11, 70
    a, b = codes(rng, a_type, (rows, depth)), codes(rng, b_type, (depth, cols))
    a_zeros = [*ends(a_type), codes(rng, a_type, rows), codes(rng, a_type, rows).tolist()]
    b_zeros = [*ends(b_type), codes(rng, b_type, cols), codes(rng, b_type, (1,))]
    for a_zero, b_zero in itertools.product(a_zeros, b_zeros):
        check(a, b, a_zero_point=a_zero, b_zero_point=b_zero)


def test_accumulators_wrap(rng):
    # 255 * -128 passes -2**31 after 65794 steps; 255 * 255 passes 2**31 after 33026.
    for a_type, b_type, depth in (
        (np.uint8, np.int8, 70_001),
        (np.uint8, np.uint8, 70_003),
        (np.int8, np.int8, 140_001),
    ):
        for a_fill, b_fill in (("highest", "lowest"), ("lowest", "highest"), ("highest", "highest")):
            a, b = codes(rng, a_type, (1, depth), a_fill), codes(rng, b_type, (depth, 1), b_fill)
            check(a, b)
            check(a, b, a_zero_point=ends(a_type)[0], b_zero_point=ends(b_type)[1])


def test_batches_broadcast_as_numpy(rng):
    shapes = [
        ((5,), (5,)), ((5,), (5, 3)), ((2, 5), (5,)), ((4, 2, 5), (5,)), ((5,), (4, 5, 3)), ((1, 5), (5, 1)),
        ((4, 2, 5), (4, 5, 3)), ((4, 2, 5), (5, 3)), ((2, 5), (4, 5, 3)), ((4, 1, 2, 5), (3, 5, 3)),
        ((1, 2, 5), (4, 5, 3)), ((2, 1, 3, 2, 5), (4, 1, 5, 3)), ((0, 2, 5), (5, 3)), ((0, 2, 5), (1, 5, 3)),
        ((3, 0, 2, 5), (1, 1, 5, 3)),
    ]  # fmt: skip
    for left, right in shapes:
        check(codes(rng, np.uint8, left), codes(rng, np.int8, right), a_zero_point=3, b_zero_point=-2)


def test_zero_points_of_batches(rng):
    a, b = codes(rng, np.uint8, (3, 4, 5)), codes(rng, np.int8, (3, 5, 6))
    check(a, b, a_zero_point=codes(rng, np.uint8, 4), b_zero_point=codes(rng, np.int8, 6))


def test_a_vector_gives_a_scalar_as_numpy(rng):
    a, b = codes(rng, np.int8, 9), codes(rng, np.int8, 9)
    result = qkern.matmul(a, b)
    assert isinstance(result, np.int32)
    assert result == np.matmul(a.astype(np.int32), b)


@pytest.mark.parametrize("shape", list(itertools.product((0, 3), (0, 5), (0, 7))), ids=str)
def test_empty(rng, shape):
    rows, depth, cols = shape
    check(codes(rng, np.int8, (rows, depth)), codes(rng, np.uint8, (depth, cols)), a_zero_point=1, b_zero_point=2)
    check(
        codes(rng, np.int8, (rows, depth)), codes(rng, np.uint8, (depth, cols)),
        a_zero_point=codes(rng, np.int8, rows), b_zero_point=codes(rng, np.uint8, cols),
    )  # fmt: skip


@pytest.mark.parametrize("shape", [(7, 13, 19), (1, 6, 65), (9, 1, 3)], ids=str)
def test_any_memory(rng, shape):
    rows, depth, cols = shape
    a, b = codes(rng, np.uint8, (rows, depth)), codes(rng, np.int8, (depth, cols))
    expected = oracle.matmul(a, b, 7, -3)
    for how_a, left in in_memory(a):
        for how_b, right in in_memory(b):
            for operand in (right, qkern.pack(right)):
                result = qkern.matmul(left, operand, a_zero_point=7, b_zero_point=-3)
                np.testing.assert_array_equal(result, expected, err_msg=f"a {how_a}, b {how_b}")


def test_batches_in_any_memory(rng):
    a, b = codes(rng, np.int8, (3, 5, 7)), codes(rng, np.uint8, (3, 7, 4))
    for (how_a, left), (how_b, right) in itertools.product(in_memory(a), in_memory(b)):
        np.testing.assert_array_equal(qkern.matmul(left, right), oracle.matmul(a, b), err_msg=f"a {how_a}, b {how_b}")


def test_stride_zero(rng):
    row, column = codes(rng, np.uint8, (1, 11)), codes(rng, np.int8, (11, 1))
    a, b = np.broadcast_to(row, (8, 11)), np.broadcast_to(column, (11, 18))
    check(a, b)
    check(np.broadcast_to(np.int8(-128), (8, 11)), np.broadcast_to(np.uint8(255), (11, 18)))
    check(np.broadcast_to(a, (3, 8, 11)), np.broadcast_to(codes(rng, np.int8, (11, 4)), (3, 11, 4)))


def test_overlapping_rows(rng):
    # Rows one element apart, as a sliding window: row r + 1 begins inside row r.
    line = codes(rng, np.int8, 40)
    a = np.lib.stride_tricks.sliding_window_view(line, 9)
    check(a, codes(rng, np.int8, (9, 5)))


@pytest.mark.parametrize("dtype", CODES, ids=name_of)
@pytest.mark.parametrize("depth", [1, 2, 3, 5, 6, 7, 9, 13, 63, 65])
def test_reads_nothing_behind_the_arrays(rng, guarded, dtype, depth):
    for rows, cols in ((1, 1), (5, 3), (6, 17), (7, 65)):
        a, b = codes(rng, dtype, (rows, depth)), codes(rng, dtype, (depth, cols))
        for front in (False, True):
            left, right = guarded(a, front=front), guarded(b, front=front)
            check(left, right)
            check(left, right, a_zero_point=1, b_zero_point=3)
            right = guarded(np.ascontiguousarray(b.T), front=front).T
            check(left, right)
            # The last row ends the memory, the ones before are further apart than they are long.
            spread = guarded(np.ascontiguousarray(np.pad(a, [(0, 0), (3, 0)])), front=front)[:, 3:]
            check(spread, right)
            # Rows upwards in memory: row 0 is the last that exists.
            check(guarded(a[::-1], front=front)[::-1], right)


def test_writes_nothing_around_out(rng, guarded):
    for rows, cols in ((1, 1), (6, 17), (7, 65), (5, 3)):
        a, b = codes(rng, np.int8, (rows, 6)), codes(rng, np.int8, (6, cols))
        for front in (False, True):
            out = guarded(np.zeros((rows, cols), np.int32), front=front)
            assert qkern.matmul(a, b, out=out) is out
            np.testing.assert_array_equal(out, oracle.matmul(a, b))


def test_out(rng):
    a, b = codes(rng, np.int8, (7, 9)), codes(rng, np.uint8, (9, 5))
    expected = oracle.matmul(a, b)
    for how, out in in_memory(np.zeros((7, 5), np.int32)):
        if how == "read-only":
            with pytest.raises(ValueError, match="out"):
                qkern.matmul(a, b, out=out)
            assert not out.any()
            continue
        assert qkern.matmul(a, b, out=out) is out
        np.testing.assert_array_equal(out, expected, err_msg=how)
    vector = np.empty((), np.int32)
    assert qkern.matmul(a[0], b[:, 0], out=vector) is vector
    assert vector == expected[0, 0]


def test_out_leaves_the_rest_of_its_memory_alone(rng):
    a, b = codes(rng, np.int8, (7, 9)), codes(rng, np.uint8, (9, 5))
    memory = np.full((9, 12), 77, np.int32)
    qkern.matmul(a, b, out=memory[1:8, 2:12:2])
    np.testing.assert_array_equal(memory[1:8, 2:12:2], oracle.matmul(a, b))
    memory[1:8, 2:12:2] = 77
    assert (memory == 77).all()


def test_out_may_overlap_the_inputs(rng):
    values = codes(rng, np.int8, (16, 16))
    for offset in (0, 1, 64, 255):
        memory = np.zeros(4 * 256 + 256, np.int8)
        inside = memory[offset : offset + 256].reshape(16, 16)
        out = memory[: 4 * 256].view(np.int32).reshape(16, 16)
        expected = oracle.matmul(values, values.T)
        inside[...] = values
        qkern.matmul(inside, values.T, out=out)
        np.testing.assert_array_equal(out, expected)
        inside[...] = values
        qkern.matmul(values, inside.T, out=out)
        np.testing.assert_array_equal(out, expected)


def test_out_that_does_not_fit(rng):
    a, b = codes(rng, np.int8, (7, 9)), codes(rng, np.uint8, (9, 5))
    for shape in ((5, 7), (7, 4), (7, 5, 1), (35,), (1, 7, 5)):
        with pytest.raises(ValueError, match="out"):
            qkern.matmul(a, b, out=np.zeros(shape, np.int32))
    for dtype in (np.int64, np.float32, np.uint32, ">i4", np.int8):
        with pytest.raises(TypeError, match="out"):
            qkern.matmul(a, b, out=np.zeros((7, 5), dtype))
    with pytest.raises(TypeError, match="out"):
        qkern.matmul(a, b, out=[[0] * 5] * 7)


def test_out_at_an_odd_address(rng):
    a, b = codes(rng, np.int8, (13, 9)), codes(rng, np.uint8, (9, 67))
    out = misaligned(np.zeros((13, 67), np.int32))
    assert out.ctypes.data % 4
    assert qkern.matmul(a, b, out=out) is out
    np.testing.assert_array_equal(out, oracle.matmul(a, b))


@given(data=st.data())
def test_random(data):
    size = st.integers(0, 80)
    rows, depth, cols = data.draw(st.tuples(st.integers(0, 20), size, size))
    a_type, b_type = data.draw(st.sampled_from(PAIRS))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    a, b = (
        codes(rng, t, s, data.draw(st.sampled_from(FILLS)))
        for t, s in ((a_type, (rows, depth)), (b_type, (depth, cols)))
    )
    a_zero = data.draw(st.sampled_from([*ends(a_type), codes(rng, a_type, rows)]))
    b_zero = data.draw(st.sampled_from([*ends(b_type), codes(rng, b_type, cols)]))
    left = data.draw(st.sampled_from(list(in_memory(a))))[1]
    check(left, b, a_zero_point=a_zero, b_zero_point=b_zero)
