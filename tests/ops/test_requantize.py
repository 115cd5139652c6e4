"""requantize against its definition, on every tier: ties, accumulators beyond float32, biases that wrap."""

from __future__ import annotations

import itertools

import numpy as np
import oracle
import pytest
import qkern
from hypothesis import given
from hypothesis import strategies as st
from oracle.samples import CODES, ODD, codes, ends, in_memory, misaligned, name_of

pytestmark = pytest.mark.usefixtures("isa")
both = pytest.mark.parametrize("dtype", CODES, ids=name_of)
INT = np.iinfo(np.int32)
BIG = np.array(
    [0, 1, -1, 2**24 - 1, 2**24, 2**24 + 1, 2**24 + 2, 2**24 + 3, -(2**24) - 1, -(2**24) - 3, 2**25 + 2, 2**25 + 6,
     2**30 + 33, INT.max, INT.max - 1, INT.max - 64, INT.min, INT.min + 1, 16777217, 33554433, 33554435,
     123456789, -987654321],
    np.int32,
)  # fmt: skip
MULTIPLIERS = (1.0, 0.5, 2**-24, 1 / 3, 1e-7, 1.4e-45, 1e-38, 3.4e38, 0.0123, 2**-17 * 1.0000001)


def accumulators(rng, shape, size=2**31):
    return rng.integers(-size, size, shape).astype(np.int32)


def check(acc, multiplier, zero_point=0, **kwargs):
    result = qkern.requantize(acc, multiplier, zero_point, **kwargs)
    if kwargs.get("bias", 0) is None:
        kwargs.pop("bias")
    np.testing.assert_array_equal(result, oracle.requantize(acc, multiplier, zero_point, **kwargs), strict=True)


@both
def test_big_accumulators(dtype):
    for multiplier, zero in itertools.product(MULTIPLIERS, ends(dtype)):
        check(BIG, multiplier, zero, dtype=dtype)


@both
def test_ties_go_to_even(dtype):
    odd = np.arange(-601, 602, 2, dtype=np.int32)  # times 0.5: halves, exactly
    for zero in (*ends(dtype), 3):
        check(odd, 0.5, zero, dtype=dtype)
        check(odd * 1024, 0.5 / 1024, zero, dtype=dtype)
    np.testing.assert_array_equal(qkern.requantize(np.int32([1, 3, 5, -1, -3]), 0.5, 1), [1, 3, 3, 1, -1])


@both
def test_no_product_is_contracted(rng, dtype):
    # acc * multiplier rounded to float32 often ends in .5 where the exact product does not: a fused step would show.
    acc = accumulators(rng, 20_000, 2**26)
    for multiplier in (128.5 / 2**26, 1 / 3e5, 0.1 / 2**16, 1.1e-6):
        check(acc, multiplier, 7, dtype=dtype)


def test_float32_of_the_accumulator_rounds_first():
    # 2**24 + 1 is not a float32: it becomes 2**24, and the product a tie that goes to even.
    multiplier = 2.5 / 2**24
    assert oracle.requantize(np.int32([2**24 + 1]), multiplier) == 2
    check(np.int32([2**24 + 1, 2**24 + 3, -(2**24) - 1]), multiplier)


@both
def test_bias_wraps(dtype):
    acc = np.int32([[INT.max, INT.min, 5], [INT.max - 3, INT.min + 3, -5]])
    for bias in (1, -1, INT.max, INT.min, [1, -1, 0], [INT.max, INT.min, 7], np.int64([3, -3, 1])):
        check(acc, 1e-7, 4 if dtype is np.uint8 else -4, dtype=dtype, bias=bias)


@pytest.mark.parametrize("shape", [(5, 7, 3), (1, 65), (2, 1, 9), (4, 0, 3), (0, 4), (33,)], ids=str)
def test_axes(rng, shape):
    acc = accumulators(rng, shape, 2**20)
    for axis in range(-len(shape), len(shape)):
        n = shape[axis]
        multiplier, bias = rng.uniform(1e-5, 1e-3, n).astype(np.float32), accumulators(rng, n, 2**20)
        for m, b in ((multiplier, bias), (multiplier, 7), (multiplier, None), (3e-4, bias), (3e-4, None)):
            check(acc, m, -9, axis=axis, bias=b)


def test_no_dimensions():
    assert qkern.requantize(np.array(10, np.int32), 0.25).shape == ()
    assert qkern.requantize(np.array(10, np.int32), 0.25, bias=4) == 4


@both
def test_clamps(rng, dtype):
    acc = accumulators(rng, 500, 1000)
    limits = np.iinfo(dtype)
    for clamp in (
        (limits.min, limits.max),
        (3, 90),
        (limits.max, limits.max),
        (limits.min, limits.min),
        (10, 10),
        None,
    ):
        for zero in ends(dtype):
            check(acc, 0.5, zero, dtype=dtype, clamp=clamp)


@pytest.mark.parametrize("n", ODD)
def test_lengths(rng, guarded, n):
    for front, dtype in itertools.product((False, True), CODES):
        acc = guarded(accumulators(rng, (2, n), 2**12), front=front)
        out = guarded(np.zeros((2, n), dtype), front=front)
        multiplier = guarded(rng.uniform(0.01, 0.1, n).astype(np.float32), front=front)
        bias = guarded(accumulators(rng, n, 2**10), front=front)
        qkern.requantize(acc, multiplier, 3, bias=bias, dtype=dtype, out=out)
        np.testing.assert_array_equal(out, oracle.requantize(acc, multiplier, 3, bias=bias, dtype=dtype))
        qkern.requantize(acc, 0.05, 3, dtype=dtype, out=out)
        np.testing.assert_array_equal(out, oracle.requantize(acc, 0.05, 3, dtype=dtype))


def test_any_memory(rng):
    acc = accumulators(rng, (5, 6, 7), 2**12)
    multiplier = rng.uniform(0.01, 0.1, 6).astype(np.float32)
    for how, array in in_memory(acc):
        result = qkern.requantize(array, multiplier, axis=1)
        np.testing.assert_array_equal(result, oracle.requantize(acc, multiplier, axis=1), err_msg=how)
        for _, m in in_memory(multiplier):
            np.testing.assert_array_equal(qkern.requantize(array, m, axis=1), result)
    odd = misaligned(accumulators(rng, 131, 2**12))
    assert odd.ctypes.data % 4
    check(odd, 0.05)


@both
def test_out(rng, dtype):
    acc = accumulators(rng, (6, 7), 2**12)
    expected = oracle.requantize(acc, 0.05, dtype=dtype)
    for how, out in in_memory(np.zeros((6, 7), dtype)):
        if how == "read-only":
            with pytest.raises(ValueError, match="out"):
                qkern.requantize(acc, 0.05, dtype=dtype, out=out)
            continue
        assert qkern.requantize(acc, 0.05, dtype=dtype, out=out) is out
        np.testing.assert_array_equal(out, expected, err_msg=how)
    for offset in (0, 1, 100):
        memory = acc.copy()
        out = memory.reshape(-1).view(dtype)[offset : offset + acc.size].reshape(acc.shape)
        np.testing.assert_array_equal(qkern.requantize(memory, 0.05, dtype=dtype, out=out), expected)
    with pytest.raises(ValueError, match="out"):
        qkern.requantize(acc, 0.05, dtype=dtype, out=np.zeros((7, 6), dtype))
    with pytest.raises(TypeError, match="out"):
        qkern.requantize(acc, 0.05, dtype=dtype, out=np.zeros((6, 7), np.int32))


@given(data=st.data())
def test_random(data):
    dtype = data.draw(st.sampled_from(CODES))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    shape = data.draw(st.lists(st.integers(0, 40), min_size=1, max_size=2))
    acc = accumulators(rng, shape, 2 ** data.draw(st.integers(1, 31)))
    multiplier = data.draw(st.floats(2.0**-149, 2.0**127, width=32))
    zero = data.draw(st.sampled_from([*ends(dtype), int(codes(rng, dtype, ()))]))
    check(acc, multiplier, zero, dtype=dtype, bias=accumulators(rng, shape[-1]))


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_arrays_that_no_cache_holds(rng, axis):
    shape = (1031, 1109)  # more than 4 MiB of sums: fetched ahead, in pieces
    multiplier = 1e-5 if axis is None else rng.uniform(1e-5, 2e-5, shape[axis]).astype(np.float32)
    check(accumulators(rng, shape, 2**24), multiplier, 3, **({} if axis is None else {"axis": axis}))
