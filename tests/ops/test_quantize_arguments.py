"""quantize, dequantize and requantize: what is refused, by the name of the argument."""

from __future__ import annotations

import numpy as np
import pytest
import qkern

X, Q, ACC = np.ones((2, 3), np.float32), np.ones((2, 3), np.int8), np.ones((2, 3), np.int32)
CALLS = {
    "quantize": (lambda scale=1.0, zero_point=0, **k: qkern.quantize(X, scale, zero_point, **k), "scale"),
    "dequantize": (lambda scale=1.0, zero_point=0, **k: qkern.dequantize(Q, scale, zero_point, **k), "scale"),
    "requantize": (lambda scale=1.0, zero_point=0, **k: qkern.requantize(ACC, scale, zero_point, **k), "multiplier"),
}
each = pytest.mark.parametrize(("call", "scale_name"), CALLS.values(), ids=CALLS)


@each
@pytest.mark.parametrize(
    "scale",
    [0, 0.0, -0.0, -1.0, np.nan, np.inf, -np.inf, 1e-60, 1e60, 10**400, np.float64(1e39), [1, 0, 1], [1, 1, np.nan]],
    ids=str,
)
def test_scales_that_are_not_positive(call, scale_name, scale):
    with pytest.raises((ValueError, TypeError), match=scale_name):
        call(scale=scale, **({"axis": 1} if isinstance(scale, list) else {}))


@each
@pytest.mark.parametrize("scale", ["1", None, 1j, True, [[1], [1, 2]], b"1", np.datetime64("2020")], ids=str)
def test_scales_that_are_no_numbers(call, scale_name, scale):
    with pytest.raises(TypeError, match=scale_name):
        call(scale=scale)


@each
def test_scales_of_wrong_shape(call, scale_name):
    for scale in ([1, 2], [1, 2, 3, 4], [[1, 2, 3]], np.ones((1, 1)), np.ones(0)):
        with pytest.raises(ValueError, match=scale_name):
            call(scale=scale, axis=1)
    with pytest.raises(ValueError, match=scale_name):
        call(scale=[1, 2, 3], axis=0)


def test_parameters_per_channel_need_an_axis():
    for scale, zero_point, name in (([1, 2, 3], 0, "scale"), (1.0, [1, 2, 3], "zero_point")):
        with pytest.raises(ValueError, match=name):
            qkern.quantize(X, scale, zero_point)
        with pytest.raises(ValueError, match=name):
            qkern.dequantize(Q, scale, zero_point)


@each
@pytest.mark.parametrize("zero", [128, -129, 2**31, 2**62])
def test_zero_points_out_of_range(call, scale_name, zero):
    with pytest.raises(ValueError, match="zero_point"):
        call(zero_point=zero)


@each
@pytest.mark.parametrize("zero", [2**64 - 1, np.uint64(2**64 - 3), 2**63, 2**70], ids=str)
def test_zero_points_beyond_int64(call, scale_name, zero):
    with pytest.raises((ValueError, TypeError), match="zero_point"):
        call(zero_point=zero)


@each
@pytest.mark.parametrize("zero", [1.0, "0", None, 1j, np.nan], ids=str)
def test_zero_points_that_are_no_integers(call, scale_name, zero):
    with pytest.raises(TypeError, match="zero_point"):
        call(zero_point=zero)


def test_zero_points_follow_the_dtype():
    for dtype, zero in ((np.uint8, -1), (np.uint8, 256), (np.int8, 200)):
        with pytest.raises(ValueError, match="zero_point"):
            qkern.quantize(X, 1.0, zero, dtype=dtype)
        with pytest.raises(ValueError, match="zero_point"):
            qkern.dequantize(Q.astype(dtype), 1.0, zero)
        with pytest.raises(ValueError, match="zero_point"):
            qkern.requantize(ACC, 1.0, zero, dtype=dtype)
    with pytest.raises(ValueError, match="zero_point"):
        qkern.quantize(X, 1.0, [0, 0, 200], axis=1)


@each
@pytest.mark.parametrize("axis", [2, -3, 100, 2**40])
def test_axis_out_of_range(call, scale_name, axis):
    with pytest.raises(ValueError, match="axis"):
        call(scale=[1.0, 1.0, 1.0], axis=axis)
    with pytest.raises(ValueError, match="axis"):
        call(axis=axis)


@each
def test_axis_that_is_no_integer(call, scale_name):
    for axis in (1.0, "1", (0,)):
        with pytest.raises(TypeError, match="axis"):
            call(axis=axis)


@pytest.mark.parametrize(
    "dtype", [np.int16, np.float32, "f8", ">i2", np.bool_, object, "no such type", 3, "int4"], ids=str
)
def test_result_dtypes(dtype):
    if dtype not in (np.int16, "int4"):
        with pytest.raises(TypeError):
            qkern.quantize(X, 1.0, dtype=dtype)
    with pytest.raises(TypeError):
        qkern.requantize(ACC, 1.0, dtype=dtype)


@pytest.mark.parametrize("dtype", ["int8", "i1", np.int8, np.dtype(np.int8), None], ids=str)
def test_spellings_of_a_dtype(dtype):
    assert qkern.quantize(X, 1.0, dtype=dtype).dtype == np.int8


def test_inputs_of_wrong_dtype():
    for dtype in (np.int32, np.int8, np.bool_, np.complex64, "S1", object, "m8[s]"):
        with pytest.raises(TypeError, match=r"\bx\b"):
            qkern.quantize(X.astype(dtype), 1.0)
    for dtype in (np.float32, np.int64, np.uint32, np.bool_, ">i2", ">i4", "m8[s]", "S4"):
        with pytest.raises(TypeError, match=r"\bq\b"):
            qkern.dequantize(Q.astype(dtype), 1.0)
        with pytest.raises(TypeError, match=r"\bacc\b"):
            qkern.requantize(ACC.astype(dtype), 1.0)


@pytest.mark.parametrize(
    "clamp", [(5, 4), (-129, 0), (0, 128), (-(2**40), 2**40), (0,), (0, 1, 2), 3, "ab", (0.5, 1)], ids=str
)
def test_clamps(clamp):
    with pytest.raises((ValueError, TypeError), match="clamp"):
        qkern.requantize(ACC, 1.0, clamp=clamp)


@pytest.mark.parametrize(
    "bias", [1.5, [1, 2], [1.0, 2.0, 3.0], 2**31, -(2**31) - 1, 2**63, 2**64 - 1, "1", [[1, 2, 3]], None], ids=str
)
def test_biases(bias):
    if bias is None:
        np.testing.assert_array_equal(qkern.requantize(ACC, 1.0, bias=None), ACC)
        return
    with pytest.raises((ValueError, TypeError), match="bias"):
        qkern.requantize(ACC, 1.0, bias=bias)
