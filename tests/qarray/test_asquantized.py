"""Floats as codes with the formula that covers them."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
import qkern
from qkern import QArray, asquantized

X = np.array([[-2.0, 1.0, 0.5], [0.25, 3.0, -0.125]], np.float32)


def test_int8_is_symmetric_over_the_narrow_range(isa):
    q = asquantized(X)
    assert q.equals(QArray(np.rint(X / np.float32(3 / 127)).astype(np.int8), np.float32(3 / 127)))


def test_uint8_is_affine(isa):
    q = asquantized(X, np.uint8)
    assert q.scale == np.float32(3 / 255 + 2 / 255)
    assert (q.codes.min(), q.codes.max()) == (0, 255)
    np.testing.assert_array_equal(q.codes, oracle.quantize(X, q.scale, q.zero_point, dtype=np.uint8))


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_per_axis(isa, axis):
    q = asquantized(X, axis=axis)
    assert q.axis == axis % 2
    np.testing.assert_array_equal(q.scale, (np.abs(X).max(axis=1 - axis % 2) / 127.0).astype(np.float32))
    np.testing.assert_array_equal(q.codes, oracle.quantize(X, q.scale, axis=axis))


def test_a_given_formula(isa):
    q = asquantized(X, np.uint8, 1, [0.5, 0.25, 1], [3, 4, 5])
    np.testing.assert_array_equal(q.codes, oracle.quantize(X, q.scale, [3, 4, 5], dtype=np.uint8, axis=1))
    assert asquantized([np.nan, np.inf, -np.inf], scale=1).equals(QArray(np.int8([0, 127, -128]), 1))


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.longdouble, ">f4"])
def test_other_floats(dtype):
    assert asquantized(X.astype(dtype)).equals(asquantized(X))


def test_empty_and_zero():
    assert asquantized(np.zeros((0, 3), np.float32)).equals(QArray(np.zeros((0, 3), np.int8), 1))
    assert asquantized(np.zeros((0, 3), np.float32), axis=1).scale.shape == (3,)
    assert asquantized(np.zeros(3, np.float32)).equals(QArray(np.zeros(3, np.int8), 1))
    assert asquantized(2.0).equals(QArray(np.int8(127), np.float32(2 / 127)))


def test_a_qarray_is_itself():
    q = asquantized(X, axis=1)
    assert asquantized(q, axis=1) is q
    assert asquantized(q, axis=-1, scale=q.scale) is q
    for arguments in ({}, {"axis": 0}, {"axis": 1, "dtype": np.uint8}, {"axis": 1, "scale": 2}):
        with pytest.raises(ValueError, match="another formula"):
            asquantized(q, **arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"x": [1, 2]}, TypeError, "x is int64; expected floats"),
        ({"x": "text"}, TypeError, "x is"),
        ({"x": [1j]}, TypeError, "x is complex128"),
        ({"x": [1.0, np.nan]}, ValueError, "x holds NaN or infinities"),
        ({"x": [1.0, np.inf]}, ValueError, "x holds NaN or infinities"),
        ({"x": [[1.0, np.inf]], "axis": 1}, ValueError, "x holds NaN or infinities"),
        ({"x": [1e300]}, ValueError, "x holds NaN or infinities"),
        ({"dtype": np.int64}, TypeError, "dtype is int64"),
        ({"axis": 2}, ValueError, "axis 2 is out of range for rank 2"),
        ({"zero_point": 1}, ValueError, "zero_point without scale"),
        ({"scale": [1, 2], "axis": 1}, ValueError, r"scale has shape \(2,\)"),
        ({"scale": 1, "zero_point": 300}, ValueError, "zero_point 300 is out of the range"),
    ],
)
def test_bad_input(arguments, error, message):
    with pytest.raises(error, match=message):
        qkern.asquantized(**({"x": X} | arguments))
