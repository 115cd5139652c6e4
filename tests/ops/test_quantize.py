"""quantize and dequantize against their definition in IEEE float32, on every tier."""

from __future__ import annotations

import itertools

import numpy as np
import oracle
import pytest
import qkern
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from oracle.samples import CODES, ODD, codes, ends, in_memory, misaligned, name_of

both = pytest.mark.parametrize("dtype", CODES, ids=name_of)
FLOAT = np.finfo(np.float32)
SCALES = (1.0, 0.1, 1 / 3, 0.0078125, 255.0, FLOAT.tiny, FLOAT.smallest_subnormal, 1e-42, FLOAT.max, 1e30)
SPECIAL = np.array(
    [0, -0.0, np.nan, -np.nan, np.inf, -np.inf, FLOAT.max, FLOAT.min, FLOAT.tiny, -FLOAT.tiny, FLOAT.smallest_subnormal,
     0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 126.5, 127.5, 128.5, -127.5, -128.5, -129.5, 254.5, 255.5, 256.5, 2**22,
     2**23, 2**24, -(2**22), -(2**23), 2**31, 2**32, 2**63, -(2**31), 8388607.5, 4194303.5, 0.49999997,
     0.50000006, 1e20, -1e20],
    np.float32,
)  # fmt: skip


def check(x, scale, zero_point, **kwargs):
    result = qkern.quantize(x, scale, zero_point, **kwargs)
    expected = oracle.quantize(x, scale, zero_point, **kwargs)
    assert result.dtype == expected.dtype
    np.testing.assert_array_equal(result, expected, strict=True)


@both
def test_special_values(isa, dtype):
    for scale, zero in itertools.product(SCALES, ends(dtype)):
        check(SPECIAL, scale, zero, dtype=dtype)
        with np.errstate(all="ignore"):
            scaled = SPECIAL * np.float32(scale)
        check(scaled, scale, zero, dtype=dtype)


def test_what_the_contract_says():
    x = np.array([np.nan, np.inf, -np.inf, 0.5, 1.5, 2.5, -0.5, -1.5], np.float32)
    np.testing.assert_array_equal(qkern.quantize(x, 1.0, 3), [3, 127, -128, 3, 5, 5, 3, 1])
    np.testing.assert_array_equal(qkern.quantize(x, 1.0, 3, dtype=np.uint8), [3, 255, 0, 3, 5, 5, 3, 1])


def test_a_true_division(isa):
    told = 0
    for scale in np.arange(1, 60, dtype=np.float32) / np.float32(37):
        x = (np.arange(100, dtype=np.float32) + np.float32(0.5)) * scale
        told += (np.rint(x * (1 / scale)) != np.rint(x / scale)).sum()
        np.testing.assert_array_equal(qkern.quantize(x, scale), np.rint(x / scale))
    assert told > 0, "these inputs don't tell a division from a multiplication"


@both
def test_ties_go_to_even(isa, dtype):
    halves = np.arange(-300, 300, dtype=np.float32) + np.float32(0.5)
    near = np.concatenate([halves, np.nextafter(halves, np.float32(np.inf)), np.nextafter(halves, np.float32(-np.inf))])
    for scale in (1.0, 0.25, 2.0, 3.0, 0.1):
        for zero in ends(dtype):
            check(near * np.float32(scale), scale, zero, dtype=dtype)


@both
def test_every_scale_of_a_random_image(isa, rng, dtype):
    x = (rng.standard_normal(5000) * 40).astype(np.float32)
    for scale in np.exp(rng.uniform(-6, 3, 50)).astype(np.float32):
        check(x, scale, 17, dtype=dtype)


@pytest.mark.parametrize("n", [0, *ODD])
def test_lengths(isa, rng, guarded, n):
    x = (rng.standard_normal(n) * 100).astype(np.float32)
    for front, dtype in itertools.product((False, True), CODES):
        x_guarded = guarded(x, front=front)
        check(x_guarded, 0.7, 5, dtype=dtype)
        out = guarded(np.zeros(n, dtype), front=front)
        qkern.quantize(x_guarded, 0.7, 5, dtype=dtype, out=out)
        np.testing.assert_array_equal(out, oracle.quantize(x, 0.7, 5, dtype=dtype))
        for source in (np.int32, *CODES):
            q = guarded(codes(rng, source, n), front=front)
            y = guarded(np.zeros(n, np.float32), front=front)
            qkern.dequantize(q, 0.3, 1, out=y)
            np.testing.assert_array_equal(y, oracle.dequantize(q, 0.3, 1))


@both
@pytest.mark.parametrize("shape", [(5, 7, 3), (1, 65, 1), (2, 1, 9), (4, 0, 3), (0, 4), (33,)], ids=str)
def test_axes(isa, rng, dtype, shape):
    x = (rng.standard_normal(shape) * 50).astype(np.float32)
    for axis in range(-len(shape), len(shape)):
        n = shape[axis]
        scale, zero = rng.uniform(0.1, 2, n).astype(np.float32), codes(rng, dtype, n)
        for s, z in ((scale, zero), (scale, 7), (0.3, zero), (scale.astype(np.float64), zero.tolist()), ([0.5], [1])):
            if n == 0 and np.size(z) == 0 and isinstance(z, list):
                z = zero
            check(x, s, z, dtype=dtype, axis=axis)
            q = codes(rng, dtype, shape)
            result = qkern.dequantize(q, s, z, axis=axis)
            np.testing.assert_array_equal(result, oracle.dequantize(q, s, z, axis=axis), strict=True)


def test_other_floats_are_rounded_to_float32_first(isa):
    x = np.array([0.5 + 1e-12, 1.5 - 1e-12, 3.7, -200], np.float64)  # both halves only after rounding
    for values in (x, x.astype(np.float16), x.astype(np.longdouble), x.astype(">f4"), x.tolist(), 2.5, np.float64(3.5)):
        check(values, 1.0, 0)
    assert qkern.quantize(2.5, 1.0).shape == ()
    np.testing.assert_array_equal(qkern.quantize(x, 1.0), [0, 2, 4, -128])


@pytest.mark.parametrize("source", [np.int8, np.uint8, np.int32], ids=name_of)
def test_dequantize_everything(isa, source):
    limits = np.iinfo(source)
    near = np.array([limits.min, limits.min + 1, -1, 0, 1, 2**24, 2**24 + 1, 2**24 + 3, -(2**25) - 1, limits.max])
    q = (near if source is np.int32 else np.arange(limits.min, limits.max + 1)).astype(source)
    for scale, zero in itertools.product(SCALES, (limits.min, -1 if limits.min else 0, 0, 1, limits.max)):
        result = qkern.dequantize(q, scale, zero)
        np.testing.assert_array_equal(result, oracle.dequantize(q, scale, zero), strict=True, err_msg=f"{scale} {zero}")


def test_any_memory(isa, rng):
    x, q = (rng.standard_normal((5, 6, 7)) * 50).astype(np.float32), codes(rng, np.int8, (5, 6, 7))
    wide = rng.integers(-(2**31), 2**31, (5, 6, 7)).astype(np.int32)
    scale = rng.uniform(0.1, 2, 6)
    for how, array in in_memory(x):
        np.testing.assert_array_equal(
            qkern.quantize(array, scale, axis=1), oracle.quantize(x, scale, axis=1), err_msg=how
        )
        np.testing.assert_array_equal(qkern.quantize(array, 0.3), oracle.quantize(x, 0.3), err_msg=how)
    for codes_in in (q, wide):
        for how, array in in_memory(codes_in):
            np.testing.assert_array_equal(
                qkern.dequantize(array, 0.3, 2), oracle.dequantize(codes_in, 0.3, 2), err_msg=how
            )
            expected = oracle.dequantize(codes_in, scale, axis=1)
            np.testing.assert_array_equal(qkern.dequantize(array, scale, axis=1), expected, err_msg=how)
    same = np.broadcast_to(np.float32(3), (4, 5))
    np.testing.assert_array_equal(qkern.quantize(same, 0.5), np.full((4, 5), 6))
    for n in (1, 7, 16, 33, 130):
        odd = misaligned((rng.standard_normal(n) * 50).astype(np.float32))
        assert odd.ctypes.data % 4
        check(odd, 0.3, 1)
        y = misaligned(np.zeros(n, np.float32))
        qkern.dequantize(codes(rng, np.uint8, n), 0.3, out=y)


def test_out(isa, rng):
    x, q = (rng.standard_normal((6, 7)) * 50).astype(np.float32), codes(rng, np.uint8, (6, 7))
    for dtype in CODES:
        for how, out in in_memory(np.zeros((6, 7), dtype)):
            if how == "read-only":
                with pytest.raises(ValueError, match="out"):
                    qkern.quantize(x, 0.5, dtype=dtype, out=out)
                continue
            assert qkern.quantize(x, 0.5, dtype=dtype, out=out) is out
            np.testing.assert_array_equal(out, oracle.quantize(x, 0.5, dtype=dtype), err_msg=how)
        with pytest.raises(TypeError, match="out"):
            qkern.quantize(x, 0.5, dtype=dtype, out=np.zeros((6, 7), np.int16))
        with pytest.raises(ValueError, match="out"):
            qkern.quantize(x, 0.5, dtype=dtype, out=np.zeros((7, 6), dtype))
    with pytest.raises(TypeError, match="out"):
        qkern.quantize(x, 0.5, dtype=np.int8, out=np.zeros((6, 7), np.uint8))
    for how, out in in_memory(np.zeros((6, 7), np.float32)):
        if how != "read-only":
            assert qkern.dequantize(q, 0.5, out=out) is out
            np.testing.assert_array_equal(out, oracle.dequantize(q, 0.5), err_msg=how)


def test_out_may_overlap(isa, rng):
    values = (rng.standard_normal(64) * 50).astype(np.float32)
    for offset in (0, 1, 100, 192):
        x = values.copy()
        out = x.view(np.int8)[offset : offset + 64]
        np.testing.assert_array_equal(qkern.quantize(x, 0.5, out=out), oracle.quantize(values, 0.5))
        q = codes(rng, np.int8, 64)
        memory = np.zeros(256, np.int8)
        memory[offset : offset + 64] = q
        y = qkern.dequantize(memory[offset : offset + 64], 0.5, out=memory.view(np.float32))
        np.testing.assert_array_equal(y, oracle.dequantize(q, 0.5))


@given(
    x=hnp.arrays(np.float32, hnp.array_shapes(max_dims=3, max_side=20), elements=st.floats(width=32)),
    scale=st.floats(2.0**-149, float(FLOAT.max), width=32),
    zero=st.integers(0, 127),
    dtype=st.sampled_from(CODES),
)
def test_random(isa, x, scale, zero, dtype):
    check(x, scale, zero, dtype=dtype)


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_arrays_that_no_cache_holds(isa, rng, axis):
    shape = (1031, 1109)  # more than 4 MiB of floats: fetched ahead, in pieces
    scale = np.float32(0.03) if axis is None else rng.uniform(0.02, 0.04, shape[axis]).astype(np.float32)
    zero = 3 if axis is None else codes(rng, np.int8, shape[axis])
    check(rng.standard_normal(shape, np.float32), scale, zero, axis=axis)
    q = rng.integers(-(2**31), 2**31, shape, np.int32)
    zero = np.int32(zero)
    np.testing.assert_array_equal(
        qkern.dequantize(q, scale, zero, axis=axis), oracle.dequantize(q, scale, zero, axis=axis)
    )


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32])
def test_a_numpy_scalar_is_one_number(dtype):
    result = qkern.dequantize(dtype(9), 0.5, 1)
    assert (np.shape(result), result.dtype, float(result)) == ((), np.float32, 4.0)
    assert float(qkern.dequantize(qkern.quantize(np.float32(3), 0.5, dtype=np.int8), 0.5)) == 3
    for wrong in (9, [9], None):
        with pytest.raises(TypeError, match="q must be an array"):
            qkern.dequantize(wrong, 0.5)
    with pytest.raises(TypeError, match="q is int64"):
        qkern.dequantize(np.int64(9), 0.5)
