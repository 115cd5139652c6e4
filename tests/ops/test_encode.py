"""Codes of codebooks: the nearest level, as defined, on every tier."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
import qkern
from emulation import smaller
from hypothesis import given
from hypothesis import strategies as st
from oracle.samples import in_memory
from qkern import _core

pytestmark = pytest.mark.usefixtures("isa")

TABLES = {
    "16": np.int8([-104, -71, -52, -38, -27, -17, -8, 0, 7, 16, 26, 37, 51, 70, 103, 127]),
    "16, no zero": np.int8([*range(-128, -120), *range(120, 128)]),
    "15": np.int8([*range(-70, 80, 10)]),
    "1": np.int8([5]),
    "256": np.arange(-128, 128).astype(np.int8),
}


def numbers(rng, shape):
    """Middles of levels, what is next to them, and what is no number, among others."""
    values = (rng.standard_normal(shape) * 60).astype(np.float32)
    halves = rng.integers(-260, 260, shape).astype(np.float32) / 2
    odd = np.float32([np.nan, np.inf, -np.inf, 0, -0.0, 1e-45, -1e-45, 3e38, -3e38, 127.5, -128.5])
    kind = rng.integers(0, 5, shape)
    beside = np.nextafter(halves, rng.choice(np.float32([-1e9, 1e9]), shape))
    return np.select([kind == 0, kind == 1, kind == 2], [halves, beside, rng.choice(odd, shape)], values)


@pytest.mark.parametrize("name", TABLES)
def test_every_length(name, rng):
    levels = TABLES[name]
    for size in smaller((*range(70), 129, 1000), (0, 1, 15, 16, 67)):
        x = numbers(rng, size)
        np.testing.assert_array_equal(_core.encode(x, levels, 1.0), oracle.encode(x, levels, 1.0), strict=True)


@pytest.mark.parametrize("name", TABLES)
def test_scales_along_an_axis(name, rng):
    for shape, axis in (((5, 37), 0), ((5, 37), 1), ((3, 19, 4), 1), ((70, 3), -1), ((1, 9), 0)):
        scale = np.exp(rng.uniform(-3, 3, shape[axis])).astype(np.float32)
        along = scale.reshape([-1 if i == axis % len(shape) else 1 for i in range(len(shape))])
        with np.errstate(over="ignore"):
            x = numbers(rng, shape) * along
        expected = oracle.encode(x, TABLES[name], along)
        for how, array in in_memory(x):
            np.testing.assert_array_equal(_core.encode(array, TABLES[name], scale, axis), expected, how, strict=True)


@pytest.mark.parametrize("scale", [1e-38, 1e-45, 3e38])
@pytest.mark.parametrize("name", TABLES)
def test_scales_at_the_ends_of_float32(name, scale, rng):
    with np.errstate(over="ignore"):
        x = np.concatenate([numbers(rng, 100), numbers(rng, 100) * np.float32(scale)])
    np.testing.assert_array_equal(_core.encode(x, TABLES[name], scale), oracle.encode(x, TABLES[name], scale))


@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(-128, 127), min_size=16, max_size=16, unique=True).map(sorted),
    st.floats(2**-120, 2**120, width=32),
)
def test_any_table_and_scale(seed, levels, scale):
    rng = np.random.default_rng(seed)
    with np.errstate(over="ignore"):
        x = numbers(rng, 67) * rng.choice(np.float32([1, scale]), 67)
    book = qkern.Codebook(levels, scale)
    codes = oracle.encode(x, levels, scale)
    np.testing.assert_array_equal(book.encode(x), codes, strict=True)
    np.testing.assert_array_equal(book.decode(codes), np.float32(levels)[codes] * np.float32(scale), strict=True)


@pytest.mark.parametrize("threads_of", [1, 2])
def test_what_threads_share(threads_of, threads, rng):
    threads(threads_of)
    x = numbers(rng, smaller(1_200_001, 150_001))
    np.testing.assert_array_equal(_core.encode(x, TABLES["16"], 0.7), oracle.encode(x, TABLES["16"], 0.7))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((np.zeros(3), TABLES["16"], 1.0), TypeError, "x is float64; expected float32"),
        (
            (np.zeros(3, np.float32), np.zeros(17, np.int8), 1.0),
            ValueError,
            r"levels has shape \(17,\); expected at most 16 levels, or 256",
        ),
        ((np.zeros(3, np.float32), TABLES["16"][::-1], 1.0), ValueError, "levels must be ascending"),
        ((np.zeros(3, np.float32), TABLES["16"], 0.0), ValueError, "scale must be finite and greater than 0"),
        ((np.zeros(3, np.float32), TABLES["16"], [1.0, 2.0], 0), ValueError, "scale"),
        ((np.zeros(3, np.float32), TABLES["16"], 1.0, 1), ValueError, "axis"),
    ],
)
def test_what_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        _core.encode(*arguments)
