"""Pools against their definition, on every tier and in both layouts."""

from __future__ import annotations

import itertools

import numpy as np
import oracle
import pytest
import qkern
from hypothesis import given
from hypothesis import strategies as st
from oracle.samples import CODES, FILLS, codes, ends, in_memory, name_of

# (x channels first, keywords)
GEOMETRIES = {
    "2x2": ((2, 3, 6, 6), {"kernel": 2, "strides": 2}),
    "3x3 padded": ((1, 5, 7, 6), {"kernel": 3, "strides": 2, "padding": 1}),
    "asymmetric": ((1, 2, 5, 6), {"kernel": (2, 3), "strides": (1, 2), "padding": [(0, 1), (2, 0)]}),
    "same": ((1, 17, 5, 6), {"kernel": 3, "strides": 2, "padding": "same"}),
    "leap": ((1, 3, 9, 9), {"kernel": 2, "strides": 4}),
    "1-d": ((2, 65, 9), {"kernel": 3}),
    "3-d": ((1, 3, 4, 5, 3), {"kernel": (2, 3, 1), "padding": (1, 1, 0)}),
    "one channel": ((2, 1, 5, 5), {"kernel": 3}),
    "whole image": ((1, 33, 4, 5), {"kernel": (4, 5)}),
    "windows of padding alone": ((1, 2, 2, 2), {"kernel": 2, "padding": 3}),
    "no batch": ((0, 3, 4, 4), {"kernel": 2}),
    "no channels": ((1, 0, 4, 4), {"kernel": 2}),
}
DTYPES = (*CODES, np.float32)


def image(rng, dtype, shape, fill="random"):
    return rng.standard_normal(shape).astype(np.float32) if dtype == np.float32 else codes(rng, dtype, shape, fill)


def check(kernel_function, definition, x, **kwargs):
    want = definition(x, **kwargs)
    np.testing.assert_array_equal(kernel_function(x, **kwargs), want, strict=True)
    last = kernel_function(np.ascontiguousarray(np.moveaxis(x, 1, -1)), layout="NHWC", **kwargs)
    np.testing.assert_array_equal(last, np.moveaxis(want, 1, -1), strict=True)


@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_max_pool(isa, rng, dtype, geometry):
    shape, kwargs = GEOMETRIES[geometry]
    for fill in FILLS:
        check(qkern.max_pool, oracle.max_pool, image(rng, dtype, shape, fill), **kwargs)
    if geometry in ("same", "1-d", "one channel", "2x2"):
        check(qkern.max_pool, oracle.max_pool, image(rng, dtype, shape), **kwargs, dilations=2)


def test_max_pool_hands_nan_on(isa):
    x = np.float32([1, np.nan, 2, -np.inf, -np.inf, np.inf, 0.0, -0.0]).reshape(1, 1, 8)
    check(qkern.max_pool, oracle.max_pool, x, kernel=2)
    check(qkern.max_pool, oracle.max_pool, np.repeat(x, 40, axis=1), kernel=3, padding=1)


@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_average_pool(isa, rng, dtype, geometry):
    shape, kwargs = GEOMETRIES[geometry]
    for fill, include in itertools.product(FILLS, (False, True)):
        x = image(rng, dtype, shape, fill)
        check(qkern.average_pool, oracle.average_pool, x, count_include_pad=include, **kwargs)
        if geometry in ("same", "1-d", "one channel", "2x2"):
            check(qkern.average_pool, oracle.average_pool, x, count_include_pad=include, **kwargs, dilations=2)
        if dtype != np.float32:
            for y_dtype in CODES:
                zeros = {"x_zero_point": ends(dtype)[1], "y_zero_point": ends(y_dtype)[2], "dtype": y_dtype}
                check(
                    qkern.average_pool,
                    oracle.average_pool,
                    x,
                    count_include_pad=include,
                    x_scale=0.07,
                    y_scale=0.05,
                    **zeros,
                    **kwargs,
                )


@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
@pytest.mark.parametrize(
    "shape", [(1, 5, 4, 4), (2, 65, 3, 7), (1, 1, 9), (2, 3, 2, 3, 4), (0, 3, 4, 4), (1, 2, 61, 70)], ids=str
)
def test_global_average_pool(isa, rng, dtype, shape):
    def definition(x, **kwargs):
        return oracle.average_pool(x, kernel=x.shape[2:], **kwargs)

    for fill in FILLS:
        x = image(rng, dtype, shape, fill)
        check(qkern.global_average_pool, definition, x)
        if dtype != np.float32:
            zero = ends(dtype)[0]
            check(qkern.global_average_pool, definition, x, x_scale=0.3, y_scale=0.2, x_zero_point=zero, y_zero_point=9)


def test_ties_go_to_even(isa):
    x = np.array([[[0, 1, 0, 3, 2, 3, -1, 0, -3, 0]]], np.int8)
    np.testing.assert_array_equal(qkern.average_pool(x, kernel=2, strides=2), [[[0, 2, 2, 0, -2]]])


@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
@pytest.mark.parametrize("geometry", [name for name in GEOMETRIES if "no " not in name])
def test_reads_and_writes_nothing_around_the_arrays(isa, rng, guarded, dtype, geometry):
    shape, kwargs = GEOMETRIES[geometry]
    for front, (function, definition) in itertools.product(
        (False, True), ((qkern.max_pool, oracle.max_pool), (qkern.average_pool, oracle.average_pool))
    ):
        x = image(rng, dtype, shape)
        want = definition(x, **kwargs)
        for layout, values, result in (("NCHW", x, want), ("NHWC", np.moveaxis(x, 1, -1), np.moveaxis(want, 1, -1))):
            out = guarded(np.zeros_like(result), front=front)
            assert function(guarded(values, front=front), layout=layout, out=out, **kwargs) is out
            np.testing.assert_array_equal(out, result)


def test_any_memory_and_out(isa, rng):
    x = codes(rng, np.uint8, (2, 3, 5, 4))
    for function, definition in ((qkern.max_pool, oracle.max_pool), (qkern.average_pool, oracle.average_pool)):
        want = definition(x, kernel=2)
        for how, array in in_memory(x):
            np.testing.assert_array_equal(function(array, kernel=2), want, err_msg=how)
        for how, out in in_memory(np.zeros_like(want)):
            if how == "read-only":
                with pytest.raises(ValueError, match="out"):
                    function(x, kernel=2, out=out)
                continue
            assert function(x, kernel=2, out=out) is out
            np.testing.assert_array_equal(out, want, err_msg=how)
        in_place = x.copy()
        np.testing.assert_array_equal(
            function(in_place, kernel=3, padding=1, out=in_place), definition(x, kernel=3, padding=1)
        )
        with pytest.raises(ValueError, match="out"):
            function(x, kernel=2, out=np.zeros_like(x))
        with pytest.raises(TypeError, match="out"):
            function(x, kernel=2, out=np.zeros(want.shape, np.int8))


@given(data=st.data())
def test_random(isa, data):
    dtype = data.draw(st.sampled_from(DTYPES))
    axes = data.draw(st.integers(1, 3))
    kernel = [data.draw(st.integers(1, 3)) for _ in range(axes)]
    shape = (
        data.draw(st.integers(1, 2)),
        data.draw(st.integers(1, 70)),
        *(k + data.draw(st.integers(0, 4)) for k in kernel),
    )
    kwargs = {
        "kernel": kernel,
        "strides": data.draw(st.integers(1, 3)),
        "padding": data.draw(st.sampled_from(["same", "valid", 0, 1])),
    }
    x = image(np.random.default_rng(data.draw(st.integers(0, 2**32 - 1))), dtype, shape)
    check(qkern.max_pool, oracle.max_pool, x, **kwargs)
    check(qkern.average_pool, oracle.average_pool, x, count_include_pad=data.draw(st.booleans()), **kwargs)


X = np.ones((1, 2, 4, 4), np.int8)
REFUSED = [
    ({"kernel": 0}, "kernel"), ({"kernel": (2,)}, "kernel"), ({"kernel": 1.5}, "kernel"), ({"strides": 0}, "strides"),
    ({"padding": -1}, "padding"), ({"padding": "full"}, "padding"), ({"layout": "HW"}, "layout"),
    ({"kernel": 5}, "window"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "name"), REFUSED, ids=str)
def test_refused(change, name):
    for function in (qkern.max_pool, qkern.average_pool):
        with pytest.raises((ValueError, TypeError), match=name):
            function(X, **({"kernel": 2} | change))


def test_refused_parameters():
    for function, kwargs in ((qkern.average_pool, {"kernel": 2}), (qkern.global_average_pool, {})):
        for name in ("x_scale", "y_scale"):
            for value in (0.0, -1.0, np.nan, np.inf):
                with pytest.raises(ValueError, match=name):
                    function(X, **kwargs, **{name: value})
        for name in ("x_zero_point", "y_zero_point"):
            with pytest.raises(ValueError, match=name):
                function(X, **kwargs, **{name: 200})
    with pytest.raises(ValueError, match=r"\bx\b"):
        qkern.global_average_pool(X[:, :, :0])
    for dtype in (np.int32, np.float64, np.bool_, ">f4"):
        for function in (qkern.max_pool, qkern.average_pool):
            with pytest.raises(TypeError, match=r"\bx\b"):
                function(X.astype(dtype), kernel=2)


def test_scales_whose_quotient_overflows():
    # Their multiplier is infinite, and a sum of 0 times it is no number.
    with pytest.raises(ValueError, match="scale"):
        qkern.average_pool(X, kernel=2, x_scale=1e30, y_scale=1e-30)
    with pytest.raises(ValueError, match="scale"):
        qkern.global_average_pool(X, x_scale=1e30, y_scale=1e-30)


@pytest.mark.parametrize(("dtype", "code", "zero"), [(np.uint8, 255, 0), (np.int8, -128, 127), (np.uint8, 3, 255)])
def test_means_of_more_codes_than_int32_sums_hold(isa, dtype, code, zero):
    size = 2900  # 2900 * 2900 > 2^23
    x = np.full((1, size, size, 1), code, dtype)
    x[0, :, : size // 2] = zero
    scales = {"x_scale": 0.5, "y_scale": 1.0, "x_zero_point": zero, "y_zero_point": zero, "layout": "NHWC"}
    expected = np.clip(np.rint((code - zero) / 4) + zero, np.iinfo(dtype).min, np.iinfo(dtype).max)
    assert qkern.global_average_pool(x, **scales).item() == expected
    assert qkern.average_pool(x, kernel=size, count_include_pad=True, **scales).item() == expected
