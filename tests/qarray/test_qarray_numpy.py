"""Order, comparisons and arithmetic of QArrays; and that everything else is refused, never a silent float."""

from __future__ import annotations

import operator

import numpy as np
import oracle
import pytest
from formulas import grids, integers, made
from qkern import QArray
from qkern.qarray.array import NUMPY


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_min_and_max(rng, axis):
    q = made(rng, (4, 5, 6), axis=axis)
    x = np.asarray(q)
    for over in (None, 0, 1, -1, (1, 2), (0, 2)):
        for keepdims in (False, True):
            for name in ("min", "max"):
                touched = range(3) if over is None else {i % 3 for i in np.atleast_1d(over)}
                if axis in touched:
                    with pytest.raises(TypeError, match=f"{name}: scales vary along axis {axis}"):
                        getattr(q, name)(over, keepdims=keepdims)
                    continue
                expected = getattr(x, name)(axis=over, keepdims=keepdims)
                np.testing.assert_array_equal(np.asarray(getattr(q, name)(over, keepdims=keepdims)), expected)
                np.testing.assert_array_equal(np.asarray(getattr(np, name)(q, over, keepdims=keepdims)), expected)
    with pytest.raises(TypeError, match="'initial'"):
        np.min(q, initial=0)


def test_minimum_and_maximum(rng):
    a = made(rng, (3, 4))
    b = QArray(a.codes[::-1], a.scale, a.zero_point)
    for function in (np.minimum, np.maximum):
        np.testing.assert_array_equal(np.asarray(function(a, b)), function(np.asarray(a), np.asarray(b)))
        np.testing.assert_array_equal(np.asarray(function(a, b[0])), function(np.asarray(a), np.asarray(b[0])))
        with pytest.raises(ValueError, match="different formulas"):
            function(a, made(rng, (3, 4)))
        with pytest.raises(TypeError, match="of a QArray and float"):
            function(a, 1.0)
    rows = made(rng, (3, 4), axis=0)
    np.testing.assert_array_equal(np.asarray(np.minimum(rows, rows)), np.asarray(rows))
    x = np.asarray(rows)
    np.testing.assert_array_equal(np.asarray(np.minimum(rows, rows[:, :1])), np.minimum(x, x[:, :1]))
    square = QArray(np.zeros((3, 3, 4), np.int8), rows.scale, rows.zero_point, 0)
    with pytest.raises(TypeError, match=r"shapes \(3, 4\) and \(3, 3, 4\): scales vary"):
        np.minimum(rows, square)


@pytest.mark.parametrize("axis", [None, 0])
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_clip(isa, rng, axis, dtype):
    q = made(rng, (3, 40), dtype, axis)
    scale, zero = grids(q)
    for low, high in ((-3.0, 5), (None, 0.3), (np.float32(-0.1), None), (-np.inf, np.inf), (2, 1), (None, None)):
        ratio = np.clip(np.asarray(q), low, high) if (low, high) != (None, None) else np.asarray(q)
        expected = np.stack(
            [oracle.quantize(r, s[0], z[0], dtype=dtype) for r, s, z in zip(ratio, scale, zero, strict=True)]
        )
        for result in (q.clip(low, high), np.clip(q, low, high)):
            np.testing.assert_array_equal(result.codes, expected, strict=True)
            assert result.formula is q.formula
    for bad, error, message in (
        (np.nan, ValueError, "min is NaN"),
        ([1, 2, 3], TypeError, "one real number"),
        (q, TypeError, "QArray"),
    ):
        with pytest.raises(error, match=message):
            np.clip(q, bad, 5)
    with pytest.raises(TypeError, match=r"no int32 code; \.requantize"):
        QArray(np.int32([1]), 1).clip(0, 1)


@pytest.mark.parametrize("name", ["eq", "ne", "lt", "le", "gt", "ge"])
def test_comparisons_are_of_real_numbers(rng, name):
    compare = getattr(operator, name)
    a, b = made(rng, (3, 4)), made(rng, (3, 4), np.uint8, axis=1)
    x, y = np.asarray(a), np.asarray(b)
    for left, right in ((a, b), (a, a), (a, x), (y, a), (a, 0.5), (2, b), (a, y[0]), (a, np.float64(0.1))):
        expected = compare(*(np.asarray(side) if isinstance(side, QArray) else side for side in (left, right)))
        result = compare(left, right)
        assert result.dtype == bool
        np.testing.assert_array_equal(result, expected, strict=True)
    for other in ("text", None, 1j):
        with pytest.raises(TypeError):
            compare(a, other)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_add_and_multiply(isa, rng, dtype):
    for a_axis, b_axis in ((None, None), (0, None), (1, 1), (None, 0)):
        a, b = made(rng, (6, 7), dtype, a_axis), made(rng, (6, 7), np.int8, b_axis)
        scale, zero = np.float32(1.75), 3
        result = a.add(b, out_scale=scale, out_zero_point=zero)
        np.testing.assert_array_equal(
            result.codes, oracle.quantize(np.asarray(a) + np.asarray(b), scale, zero, dtype=dtype), strict=True
        )
        assert result.dtype == dtype
        assert (result.scale, result.zero_point, result.axis) == (scale, zero, None)
        result = a.multiply(b, out_scale=200.0, dtype=np.int8)
        multiplier = (grids(a)[0] * grids(b)[0]) / np.float32(200)
        product = (integers(a) * integers(b)).astype(np.float32)
        expected = np.clip(np.rint(product * multiplier), -128, 127).astype(np.int8)
        np.testing.assert_array_equal(result.codes, expected, strict=True)
    row = made(rng, (7,), dtype)
    assert a.add(row, out_scale=1).shape == row.multiply(a, out_scale=1).shape == (6, 7)
    assert row.add(row, out_scale=1, dtype="uint8").dtype == np.uint8


def test_a_sum_of_products_comes_back_to_8_bits(isa, rng):
    for a_axis, b_axis in ((None, None), (0, None), (None, 1), (0, 1)):
        sums = made(rng, (6, 70), axis=a_axis) @ made(rng, (70, 9), axis=b_axis)
        result = sums.requantize(70.0, 5, dtype=np.uint8)
        multiplier = grids(sums)[0] / np.float32(70)
        expected = np.clip(np.rint(sums.codes.astype(np.float32) * multiplier) + 5, 0, 255)
        np.testing.assert_array_equal(result.codes, expected.astype(np.uint8), strict=True)
    wide = QArray(np.int32([2**31 - 1, -(2**31)]), 2**-24, 0)
    np.testing.assert_array_equal(wide.requantize(1).codes, [127, -128])
    with pytest.raises(ValueError, match="don't fit int32"):
        QArray(np.int32([2**31 - 1]), 1, -1).requantize(1)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda q: q + q, TypeError, r"add: the result needs a scale, a\.add\(b, out_scale=\.\.\.\); or \.dequantize"),
        (lambda q: 2.0 * q, TypeError, r"multiply: the result needs a scale, a\.multiply"),
        (lambda q: q - q, TypeError, r"numpy\.subtract .* \.dequantize"),
        (lambda q: -q, TypeError, r"numpy\.negative .* \.dequantize"),
        (lambda q: q / 2, TypeError, r"numpy\.divide .* \.dequantize"),
        (lambda q: q.__iadd__(q), TypeError, "dequantize"),
        (lambda q: np.add.reduce(q), TypeError, r"numpy\.add\.reduce .* \.dequantize"),
        (lambda q: np.minimum.reduce(q), TypeError, r"numpy\.minimum\.reduce .* \.dequantize"),
        (lambda q: np.add(np.ones(3), 1, out=q), TypeError, "dequantize"),
        (lambda q: np.equal(q, q, out=np.zeros(3, bool)), TypeError, r"'out'; \.dequantize"),
        (lambda q: q.add(q.dequantize(), out_scale=1), TypeError, "other is ndarray; expected a QArray"),
        (lambda q: q.add(q, out_scale=[1, 2]), ValueError, "scale has shape"),
        (lambda q: q.add(q, out_scale=0), ValueError, "scale must be finite"),
        (lambda q: q.add(q, out_scale=1, out_zero_point=300), ValueError, "zero_point 300"),
        (lambda q: q.multiply(q, out_scale=1e-38), ValueError, "quotient of scales"),
        (lambda q: q.multiply(q[:2], out_scale=1), ValueError, "broadcast"),
        (
            lambda q: q.add(QArray(np.int32([1]), 1), out_scale=1),
            TypeError,
            r"int32 codes have no kernel .*\.requantize",
        ),
        (lambda q: q.requantize(1, dtype=np.int32), TypeError, "dtype is int32"),
    ],
)
def test_refused(call, error, message):
    with pytest.raises(error, match=message):
        call(QArray(np.int8([1, 2, 3]), 30.0))


def functions_of_numpy():
    names = sorted({*np.__all__} - {"set_array_function_like_doc"})
    return [
        name
        for name in names
        if hasattr(getattr(np, name), "_implementation") or isinstance(getattr(np, name), np.ufunc)
    ]


def test_nothing_of_numpy_makes_a_silent_float():
    """Every function that NumPy dispatches either has an exact form here, or raises TypeError."""
    q = QArray(np.arange(4, dtype=np.int8).reshape(2, 2), 0.5)
    swept = 0
    for name in functions_of_numpy():
        function = getattr(np, name)
        if function in NUMPY:
            continue
        swept += 1
        arguments = (q,) * function.nin if isinstance(function, np.ufunc) else ()
        if arguments:
            with pytest.raises(TypeError, match="dequantize"):
                function(*arguments)
        else:
            with pytest.raises(TypeError, match="dequantize"):
                q.__array_function__(function, (QArray,), (q,), {})
    assert swept > 250
    for call in (np.mean, np.sum, np.sort, np.sqrt, np.argmax, np.linalg.norm, np.fft.fft, np.copy, np.array_equal):
        with pytest.raises(TypeError, match="dequantize"):
            call(*(q,) * (2 if call is np.array_equal else 1))
