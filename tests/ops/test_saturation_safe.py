"""Products by weights at the edge of what `vpmaddubsw` can add in int16, against int64, on every tier.

On avx2 weights of which no pair exceeds 128 in sum take a route of their own; one pair of 129 must not."""

from __future__ import annotations

import itertools

import numpy as np
import oracle
import pytest
import qkern
from emulation import smaller
from hypothesis import given
from hypothesis import strategies as st
from oracle.samples import CODES, codes, name_of

pytestmark = pytest.mark.usefixtures("isa")

DEPTHS = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33)


def at_the_edge(rng, depth, cols, most=128, alignment=0):
    """Weights whose pairs from `alignment` on are of one sign and sum up to `most` in magnitude."""
    w = np.zeros((depth, cols), np.int64)
    for d in range(alignment, depth - 1, 2):
        low = most - 128 if most > 128 else 0  # a code is at most 127, negative ones too
        first = rng.integers(max(low, 1), 128, cols)
        sign = np.where(rng.random(cols) < 0.5, -1, 1)
        w[d], w[d + 1] = first * sign, (most - first) * sign
    return w.astype(np.int8)


def inputs(rng, dtype, shape):
    """All at the upper end, all at the lower, ends at random, any."""
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    yield np.full(shape, high, dtype)
    yield np.full(shape, low, dtype)
    yield np.where(rng.random(shape) < 0.5, low, high).astype(dtype)
    yield codes(rng, dtype, shape)


@pytest.mark.parametrize("x_type", CODES, ids=name_of)
@pytest.mark.parametrize("most", [128, 129])
def test_products(x_type, most, rng):
    for depth, alignment in itertools.product(smaller(DEPTHS, DEPTHS[::3]), (0, 1)):
        for rows, cols in ((1, 17), (6, 16), (7, 40), (13, 9)):
            w = at_the_edge(rng, depth, cols, most, alignment)
            for x in inputs(rng, x_type, (rows, depth)):
                expected = oracle.matmul(x, w)
                np.testing.assert_array_equal(qkern.matmul(x, qkern.pack(w)), expected)
                np.testing.assert_array_equal(qkern.matmul(x, qkern.pack(np.asfortranarray(w))), expected)
                moved = (w.astype(np.int16) + 128).astype(np.uint8)
                zeros = {"a_zero_point": 3, "b_zero_point": 128}
                expected = oracle.matmul(x, moved, **zeros)
                np.testing.assert_array_equal(qkern.matmul(x, qkern.pack(moved), **zeros), expected)


@pytest.mark.parametrize("x_type", CODES, ids=name_of)
def test_one_pair_beyond_it_in_any_place(x_type, rng):
    for depth, cols in ((8, 16), (9, 33)):
        x = np.full((7, depth), np.iinfo(x_type).max, x_type)
        for d, c in itertools.product(range(depth - 1), range(0, cols, 5)):
            for one in ((64, 65), (-64, -65), (127, 2), (-128, -1)):
                w = np.zeros((depth, cols), np.int8)
                w[d : d + 2, c] = one
                np.testing.assert_array_equal(qkern.matmul(x, qkern.pack(w)), oracle.matmul(x, w))


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 70), st.integers(1, 50), st.sampled_from(CODES))
def test_any_size(seed, rows, depth, cols, x_type):
    rng = np.random.default_rng(seed)
    w = at_the_edge(rng, depth, cols)
    x = next(itertools.islice(inputs(rng, x_type, (rows, depth)), seed % 4, None))
    np.testing.assert_array_equal(qkern.matmul(x, qkern.pack(w)), oracle.matmul(x, w))


GEOMETRIES = [
    ((1, 5, 6, 7), (19, 5, 3, 3), {"padding": 1}),
    ((2, 8, 5, 5), (17, 8, 3, 3), {"padding": 1, "strides": 2}),
    ((1, 7, 9, 9), (5, 7, 3, 3), {"dilations": 2}),
    ((2, 13, 4, 5), (33, 13, 1, 1), {}),
    ((1, 3, 9, 8), (16, 3, 7, 7), {"padding": 3, "strides": 2}),
    ((1, 40, 5, 5), (44, 10, 3, 3), {"groups": 4, "padding": 1}),
    ((1, 17, 6, 6), (17, 1, 3, 3), {"groups": 17, "padding": 1}),
]


@pytest.mark.parametrize("x_type", CODES, ids=name_of)
@pytest.mark.parametrize("most", [128, 129])
def test_convolutions(x_type, most, rng):
    for x_shape, w_shape, geometry in GEOMETRIES:
        size = int(np.prod(w_shape[1:]))
        taps = np.ascontiguousarray(at_the_edge(rng, size, w_shape[0], most).T)
        w = np.moveaxis(taps.reshape(w_shape[0], *w_shape[2:], w_shape[1]), -1, 1)  # row, column, channel
        for x in inputs(rng, x_type, x_shape):
            for zero in (0, int(np.iinfo(x_type).max)):
                found = qkern.conv(x, w, x_zero_point=zero, **geometry)
                np.testing.assert_array_equal(found, oracle.conv(x, w, x_zero_point=zero, **geometry))


def test_groups_of_which_one_lacks_it(rng):
    w = np.stack([at_the_edge(rng, 36, 20, most).T for most in (128, 128, 129)]).reshape(60, 3, 3, 4)
    w = np.ascontiguousarray(np.moveaxis(w, -1, 1))
    for x in inputs(rng, np.uint8, (1, 12, 5, 5)):
        np.testing.assert_array_equal(qkern.conv(x, w, groups=3, padding=1), oracle.conv(x, w, groups=3, padding=1))


def test_layers(rng):
    for rows, depth, cols in ((1, 64, 10), (8, 33, 40), (30, 130, 71)):
        w = np.ascontiguousarray(at_the_edge(rng, depth, cols).T)
        bias = rng.integers(-1000, 1000, cols).astype(np.int32)
        for x_type in CODES:
            layer = qkern.QLinear(w, np.float32(0.01), bias, x_scale=0.5, x_zero_point=7, y_scale=0.9, y_zero_point=100)
            for x in inputs(rng, x_type, (rows, depth)):
                sums = oracle.matmul(x, w.T, a_zero_point=7).astype(np.int64) + bias
                factor = np.float32(0.5) * np.float32(0.01) / np.float32(0.9)
                expected = np.clip(np.rint(sums.astype(np.float32) * factor) + 100, 0, 255).astype(np.uint8)
                np.testing.assert_array_equal(layer(x), expected)


@pytest.mark.parametrize("x_type", CODES, ids=name_of)
@pytest.mark.parametrize("share", smaller([0.45, 0.7, 0.95], [0.7]))
def test_groups_of_depth_of_which_some_are_safe(x_type, share, rng):
    for depth, cols, rows in ((64, 48, 13), (67, 33, 7), (130, 16, 6), (259, 17, 1)):
        w = np.stack([at_the_edge(rng, depth, 1, 128)[:, 0] for _ in range(cols)], axis=1)
        for d in range(0, depth, 4):
            if rng.random() > share:
                w[d : d + 4] = codes(rng, np.int8, w[d : d + 4].shape)
        packed = qkern.pack(w)
        for x in inputs(rng, x_type, (rows, depth)):
            np.testing.assert_array_equal(qkern.matmul(x, packed), oracle.matmul(x, w))
    taps = np.stack([at_the_edge(rng, 9 * 20, 1, 128)[:, 0] for _ in range(24)])
    taps[:, 4:24] = codes(rng, np.int8, (24, 20))
    kernel = np.ascontiguousarray(np.moveaxis(taps.reshape(24, 3, 3, 20), -1, 1))
    for x in inputs(rng, x_type, (1, 20, 6, 7)):
        found = qkern.conv(x, kernel, padding=1, x_zero_point=5)
        np.testing.assert_array_equal(found, oracle.conv(x, kernel, padding=1, x_zero_point=5))
