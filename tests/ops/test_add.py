"""add against dequantize, +, quantize, on every tier."""

from __future__ import annotations

import itertools

import numpy as np
import oracle
import pytest
import qkern
from hypothesis import given
from hypothesis import strategies as st
from oracle.samples import CODES, ODD, PAIRS, codes, ends, in_memory, name_of

SCALES = {"a_scale": 0.031, "b_scale": 0.017, "y_scale": 0.043}


def check(a, b, **kwargs):
    np.testing.assert_array_equal(qkern.add(a, b, **kwargs), oracle.add(a, b, **kwargs), strict=True)


@pytest.mark.parametrize(("a_type", "b_type"), PAIRS, ids=lambda d: name_of(d))
def test_every_pair_of_codes(isa, a_type, b_type):
    a, b = (np.arange(256, dtype=np.uint8).view(t) for t in (a_type, b_type))
    a, b = (x.copy() for x in np.broadcast_arrays(a[:, None], b[None]))
    for dtype, ia in itertools.product((None, *CODES), range(3)):
        y_zero = ends(a_type if dtype is None else dtype)[2 - ia]
        check(
            a,
            b,
            **SCALES,
            a_zero_point=ends(a_type)[ia],
            b_zero_point=ends(b_type)[1 - ia],
            y_zero_point=y_zero,
            dtype=dtype,
        )
    check(a, b, a_scale=1.0, b_scale=0.5, y_scale=1.0)  # ties
    check(a, b, **SCALES, clamp=(3, 77), dtype=np.uint8)


def test_a_sum_and_a_division_that_round(isa, rng):
    a, b = codes(rng, np.int8, 4000), codes(rng, np.uint8, 4000)
    for _ in range(40):
        s = {name: np.float32(value) for name, value in zip(SCALES, rng.uniform(0.01, 1, 3), strict=True)}
        check(a, b, **s, a_zero_point=-7, b_zero_point=100, y_zero_point=3)


def test_scales_at_the_limits(isa):
    a = np.resize(np.int8([127, -128, 0, 100, -100, 0]), 300)
    for scale, y_scale in itertools.product((1e-45, 1e-38, 0.3, 3e35, 3e38), (1e-45, 5e-8, 1.0, 3e38)):
        check(a, a[::-1].copy(), a_scale=scale, b_scale=scale, y_scale=y_scale, y_zero_point=5)
        check(a, a[::-1].copy(), a_scale=scale, b_scale=1.0, y_scale=y_scale, a_zero_point=127, b_zero_point=-128)


@pytest.mark.parametrize("n", [0, *ODD])
def test_lengths(isa, rng, guarded, n):
    for (a_type, b_type), front in itertools.product(PAIRS, (False, True)):
        a, b = guarded(codes(rng, a_type, n), front=front), guarded(codes(rng, b_type, n), front=front)
        out = guarded(np.zeros(n, np.int8), front=front)
        assert qkern.add(a, b, dtype=np.int8, out=out, **SCALES) is out
        np.testing.assert_array_equal(out, oracle.add(a, b, dtype=np.int8, **SCALES))


def test_any_memory_and_out(isa, rng):
    a, b = codes(rng, np.int8, (4, 5, 6)), codes(rng, np.uint8, (4, 5, 6))
    want = oracle.add(a, b, **SCALES)
    for (how_a, left), (how_b, right) in itertools.product(in_memory(a), in_memory(b)):
        np.testing.assert_array_equal(qkern.add(left, right, **SCALES), want, err_msg=f"a {how_a}, b {how_b}")
    for how, out in in_memory(np.zeros_like(want)):
        if how == "read-only":
            with pytest.raises(ValueError, match="out"):
                qkern.add(a, b, out=out, **SCALES)
            continue
        assert qkern.add(a, b, out=out, **SCALES) is out
        np.testing.assert_array_equal(out, want, err_msg=how)
    for shift in (-1, 0, 1):
        memory = np.zeros(130, np.int8)
        x = memory[1:121].reshape(4, 5, 6)
        x[...] = a
        out = memory[1 + shift : 121 + shift].reshape(4, 5, 6)
        np.testing.assert_array_equal(qkern.add(x, b, out=out, **SCALES), want)
    same = codes(rng, np.int8, 50)
    want = oracle.add(same, same, **SCALES)
    np.testing.assert_array_equal(qkern.add(same, same, out=same, **SCALES), want)


@given(data=st.data())
def test_random(isa, data):
    (a_type, b_type), dtype = data.draw(st.sampled_from(PAIRS)), data.draw(st.sampled_from(CODES))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    shape = data.draw(st.lists(st.integers(0, 20), max_size=3))
    scales = {name: data.draw(st.floats(1e-3, 10)) for name in SCALES}
    zeros = {name: data.draw(st.sampled_from(ends(t))) for name, t in
             (("a_zero_point", a_type), ("b_zero_point", b_type), ("y_zero_point", dtype))}  # fmt: skip
    check(codes(rng, a_type, shape), codes(rng, b_type, shape), dtype=dtype, **scales, **zeros)


A = np.ones((2, 3), np.int8)


@pytest.mark.parametrize("name", ["a_scale", "b_scale", "y_scale"])
@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf, 1e-60, 1e60, None, "1", [1.0, 2.0]], ids=str)
def test_refused_scales(name, value):
    with pytest.raises((ValueError, TypeError), match=name):
        qkern.add(A, A, **(SCALES | {name: value}))


@pytest.mark.parametrize("name", ["a_zero_point", "b_zero_point", "y_zero_point"])
@pytest.mark.parametrize("value", [128, -129, 2**63, 0.5, None], ids=str)
def test_refused_zero_points(name, value):
    with pytest.raises((ValueError, TypeError), match=name):
        qkern.add(A, A, **SCALES, **{name: value})


def test_refused():
    for b in (A[:1], A[0], A.T, np.int8(1)):
        with pytest.raises((ValueError, TypeError), match=r"\bb\b"):
            qkern.add(A, b, **SCALES)
    for dtype in (np.int16, np.float32, np.int32):
        with pytest.raises(TypeError, match=r"\ba\b"):
            qkern.add(A.astype(dtype), A, **SCALES)
        with pytest.raises(TypeError, match=r"\bb\b"):
            qkern.add(A, A.astype(dtype), **SCALES)
        with pytest.raises(TypeError, match="dtype"):
            qkern.add(A, A, dtype=dtype, **SCALES)
    with pytest.raises(ValueError, match="clamp"):
        qkern.add(A, A, clamp=(0, 200), **SCALES)
    with pytest.raises(TypeError):
        qkern.add(A, A)
