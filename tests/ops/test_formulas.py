"""Formulas beside the common one, against their definitions: blocks, 16 and 4 bits, other roundings, fixed point."""

from __future__ import annotations

import importlib.util
import itertools

import numpy as np
import pytest
import qkern
from oracle import formulas as oracle
from oracle.samples import in_memory

FLOAT = np.finfo(np.float32)
NARROW = ("int4", "uint4") if importlib.util.find_spec("ml_dtypes") else ()
DTYPES = ("int8", "uint8", "int16", "uint16", *NARROW)
ROUNDINGS = ("half_even", "half_away", "reciprocal")


def dtype_of(name):
    if "4" not in name:
        return np.dtype(name)
    return np.dtype(getattr(pytest.importorskip("ml_dtypes", reason="int4 needs ml_dtypes"), name))


def ends(dtype):
    low, high = oracle.limits_of(dtype)
    return low, high, (low + high + 1) // 2


def codes(rng, dtype, shape):
    return rng.integers(*oracle.limits_of(dtype), shape, endpoint=True).astype(dtype)


def check(x, *parameters, **arguments):
    result = qkern.quantize(x, *parameters, **arguments)
    np.testing.assert_array_equal(result, oracle.quantize(x, *parameters, **arguments), strict=True)
    return result


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("name", DTYPES)
def test_special_values_and_ties(isa, name, rounding):
    dtype = dtype_of(name)
    halves = np.arange(-300, 300, dtype=np.float32) + np.float32(0.5)
    far = np.float32([65534.5, 65535.5, -32768.5, 32767.5, 32766.5, 65535, -32769, 131071, 8388607.5])
    special = np.float32([0, -0.0, np.nan, np.inf, -np.inf, FLOAT.max, FLOAT.min, FLOAT.tiny, 0.49999997, -0.49999997])
    x = np.concatenate([halves, np.nextafter(halves, np.float32(np.inf)), np.nextafter(halves, 0), far, -far, special])
    for scale, zero in itertools.product((1.0, 0.25, 0.1, 3.0, FLOAT.tiny, 1e-42, 1e30), ends(dtype)):
        with np.errstate(all="ignore"):
            check(x * np.float32(scale), scale, zero, dtype=dtype, rounding=rounding)


def test_roundings_differ_where_they_say():
    x = np.float32([0.5, 1.5, 2.5, -0.5, -1.5, -2.5])
    for rounding, expected in (("half_even", [0, 2, 2, 0, -2, -2]), ("half_away", [1, 2, 3, -1, -2, -3])):
        np.testing.assert_array_equal(qkern.quantize(x, 1, rounding=rounding), expected)
    scale = np.float32(1) / np.float32(49)
    x = (np.arange(127, dtype=np.float32) + np.float32(0.5)) * scale
    assert (qkern.quantize(x, scale) != qkern.quantize(x, scale, rounding="reciprocal")).any()


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("shape", [(5, 7, 3), (4, 1, 6), (2, 0, 3), (9,), (3, 4)], ids=str)
def test_axes_and_blocks(isa, rng, name, shape):
    dtype = dtype_of(name)
    x = (rng.standard_normal(shape) * 50).astype(np.float32)
    q = codes(rng, dtype, shape)
    for axis, block in itertools.product(range(-len(shape), len(shape)), (None, 1, 2, 3, 100)):
        wanted = [shape[axis]]
        if block is not None:
            wanted = list(shape)
            wanted[axis] = -(-shape[axis] // block)
        scale, zero = rng.uniform(0.1, 2, wanted).astype(np.float32), codes(rng, dtype, wanted).astype(np.int64)
        for s, z in ((scale, zero), (scale, 1), (0.3, zero)):
            check(x, s, z, dtype=dtype, axis=axis, block_size=block)
            given = qkern.dequantize(q, s, z, axis=axis, block_size=block)
            np.testing.assert_array_equal(given, oracle.dequantize(q, s, z, axis=axis, block_size=block), strict=True)


@pytest.mark.parametrize("name", [*DTYPES, "int32"])
def test_dequantize_every_code(isa, name):
    dtype = dtype_of(name)
    low, high = oracle.limits_of(dtype)
    every = np.arange(low, high + 1) if high < 2**16 else np.int64([low, -1, 0, 1, high])
    q = every.astype(dtype)
    for zero in (low, high, 0):
        result = qkern.dequantize(q, 0.3, zero)
        np.testing.assert_array_equal(result, oracle.dequantize(q, 0.3, zero), strict=True)
        if name != "int32":
            back = qkern.quantize(result, 0.3, zero, dtype=dtype)
            assert back.dtype == dtype
            np.testing.assert_array_equal(back, q)
    blocks = np.resize(q, (4, 6))
    scale = np.linspace(0.1, 1, 12, dtype=np.float32).reshape(4, 3)
    result = qkern.dequantize(blocks, scale, axis=1, block_size=2)
    np.testing.assert_array_equal(result, oracle.dequantize(blocks, scale, axis=1, block_size=2), strict=True)


def test_other_floats_are_rounded_to_float32_first(rng):
    x = rng.standard_normal((4, 6)) * 20
    kinds = [np.float16, np.float64, np.longdouble]
    if NARROW:
        kinds.append(np.dtype(pytest.importorskip("ml_dtypes").bfloat16))
    for kind, arguments in itertools.product(kinds, ({}, {"dtype": np.int16}, {"rounding": "half_away"})):
        given = x.astype(kind)
        result = qkern.quantize(given, 0.25, **arguments)
        np.testing.assert_array_equal(result, oracle.quantize(given.astype(np.float32), 0.25, **arguments), strict=True)


def test_any_memory(rng):
    x = (rng.standard_normal((5, 6, 7)) * 50).astype(np.float32)
    scale = rng.uniform(0.1, 2, (5, 3, 7)).astype(np.float32)
    expected = oracle.quantize(x, scale, dtype=np.int16, axis=1, block_size=2)
    for how, array in in_memory(x):
        result = qkern.quantize(array, scale, dtype=np.int16, axis=1, block_size=2)
        np.testing.assert_array_equal(result, expected, err_msg=how)
    for how, out in in_memory(np.zeros((5, 6, 7), np.int16)):
        if how != "read-only":
            assert qkern.quantize(x, scale, dtype=np.int16, axis=1, block_size=2, out=out) is out
            np.testing.assert_array_equal(out, expected, err_msg=how)
    for how, array in in_memory(expected):
        result = qkern.dequantize(array, scale, axis=1, block_size=2)
        np.testing.assert_array_equal(result, oracle.dequantize(expected, scale, axis=1, block_size=2), err_msg=how)


def test_out_may_overlap(rng):
    values = (rng.standard_normal(64) * 50).astype(np.float32)
    for offset in (0, 2, 100, 128):
        x = values.copy()
        out = x.view(np.int8)[offset : offset + 128].view(np.int16)
        np.testing.assert_array_equal(
            qkern.quantize(x, 0.5, dtype=np.int16, out=out), oracle.quantize(values, 0.5, dtype=np.int16)
        )


def test_on_threads(rng, threads):
    x = (rng.standard_normal((700, 400)) * 50).astype(np.float32)
    scale = rng.uniform(0.1, 2, (700, 13)).astype(np.float32)
    given = []
    for n in (1, 2, 3):
        threads(n)
        given.append(qkern.quantize(x, scale, axis=1, block_size=32, rounding="half_away"))
        given.append(qkern.quantize(x, 0.3, dtype=np.int16).astype(np.int32))
    for one, other in zip(given, given[2:], strict=False):
        np.testing.assert_array_equal(one, other, strict=True)


MULTIPLIERS = (1e-12, 2.0**-33, 2.0**-32, 3e-10, 0.25, 0.5 - 2**-34, 1 / 3, 0.9999999999, 1.0, 1.7, 255.5, 2.0**30)
SUMS = [0, 1, -1, 2, -2, 3, -3, 127, -128, 2**30, -(2**30), 2**31 - 1, -(2**31), 12345678, -87654321]


@pytest.mark.parametrize("rounding", ["tflite", "gemmlowp"])
def test_fixed_point_is_that_of_tensorflow_lite(isa, rng, rounding):
    acc = np.int32([*SUMS, *rng.integers(-(2**31), 2**31, 30), *rng.integers(-3000, 3000, 60)])
    for multiplier, dtype, zero in itertools.product(MULTIPLIERS, (np.int8, np.uint8), (0, 7)):
        limits = np.iinfo(dtype)
        exact = [oracle.fixed_point(int(x), multiplier, rounding) + zero for x in acc]
        expected = [min(max(each, limits.min), limits.max) for each in exact]
        result = qkern.requantize(acc, multiplier, zero, dtype=dtype, rounding=rounding)
        np.testing.assert_array_equal(result, np.array(expected, dtype), strict=True)


def test_requantize_along_an_axis(isa, rng):
    acc = rng.integers(-30_000, 30_000, (4, 5, 6)).astype(np.int32)
    multiplier, bias = rng.uniform(1e-3, 1e-2, 5), rng.integers(-999, 999, 5)
    total = acc + bias.astype(np.int32)[:, None]
    arguments = {"axis": 1, "bias": bias, "clamp": (-20, 90)}
    planes = zip(multiplier, total.swapaxes(0, 1), strict=True)
    planes = [(float(m), [int(x) for x in plane.ravel()]) for m, plane in planes]
    fixed = {
        rounding: np.reshape(
            [[oracle.fixed_point(x, m, rounding) for x in plane] for m, plane in planes], (5, 4, 6)
        ).swapaxes(0, 1)
        for rounding in ("tflite", "gemmlowp")
    }
    assert [oracle.fixed_point(833, 0.003, each) for each in fixed] == [2, 3]
    scaled = total.astype(np.float32) * multiplier.astype(np.float32)[:, None]
    away = oracle.half_away(scaled.astype(np.float64))
    for rounding, expected in (*fixed.items(), ("half_away", away)):
        result = qkern.requantize(acc, multiplier, 3, rounding=rounding, **arguments)
        np.testing.assert_array_equal(result, np.clip(expected + 3, -20, 90).astype(np.int8), strict=True)
    np.testing.assert_array_equal(qkern.requantize(np.int32([1, 3, -1, -3]), 0.5, rounding="half_away"), [1, 2, -1, -2])
    wrapped = qkern.requantize(np.int32([2**31 - 1]), 1e-9, bias=[1], axis=0, rounding="tflite")
    assert wrapped == oracle.fixed_point(-(2**31), 1e-9)


X = np.ones((4, 6), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: qkern.quantize(X, 1, rounding="up"), ValueError, "rounding 'up' is not one of half_even, half_"),
        (lambda: qkern.quantize(X, 1, rounding="tflite"), ValueError, "rounding 'tflite' is not one of"),
        (lambda: qkern.quantize(X, 1, block_size=2), ValueError, "block_size needs an axis"),
        (lambda: qkern.quantize(X, 1, block_size=0, axis=1), ValueError, "block_size must be at least 1"),
        (lambda: qkern.quantize(X, np.ones((4, 2)), block_size=2, axis=1), ValueError, r"\(4, 2\); .*\(4, 3\)"),
        (lambda: qkern.quantize(X, np.ones(3), block_size=2, axis=1), ValueError, r"scale has shape \(3,\)"),
        (lambda: qkern.quantize(X, 1, np.ones((4, 6), int), block_size=2, axis=1), ValueError, "zero_point has shape"),
        (lambda: qkern.quantize(X, np.zeros((4, 3)), block_size=2, axis=1), ValueError, "scale must be finite"),
        (lambda: qkern.quantize(X, 1, block_size=2, axis=2), ValueError, "axis 2 is out of range"),
        (lambda: qkern.quantize(X, 1, dtype=np.int64), TypeError, "dtype is int64; expected int8 or uint8 or int16"),
        (lambda: qkern.quantize(X, 1, 40_000, dtype=np.int16), ValueError, "zero_point 40000 is out of range"),
        (lambda: qkern.quantize(X, 1, dtype=np.int16, out=np.zeros((4, 6), np.int8)), TypeError, "out is int8"),
        (lambda: qkern.dequantize(X, 1), TypeError, "q is float32; expected int8"),
        (lambda: qkern.dequantize(np.zeros(4, np.int64), 1), TypeError, "q is int64"),
        (lambda: qkern.requantize(np.int32([1]), 2.0**31, rounding="tflite"), ValueError, "multiplier must be below"),
        (lambda: qkern.requantize(np.int32([1]), 2.0**31, rounding="gemmlowp"), ValueError, "with rounding='gemmlowp'"),
        (lambda: qkern.requantize(np.int32([1]), -1, rounding="tflite"), ValueError, "multiplier must be finite"),
        (lambda: qkern.requantize(np.int32([1]), 1, rounding="reciprocal"), ValueError, "'reciprocal' is not one"),
    ],
)  # fmt: skip
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.skipif(not NARROW, reason="int4 needs ml_dtypes")
def test_codes_of_4_bits_by_name():
    q = qkern.quantize(np.float32([-20, -3, 3, 20]), 1, dtype="int4")
    assert q.dtype.name == "int4"
    np.testing.assert_array_equal(q.astype(np.int8), [-8, -3, 3, 7])
    with pytest.raises(ValueError, match="zero_point 8 is out of range"):
        qkern.quantize(X, 1, 8, dtype="int4")
    with pytest.raises(TypeError, match=r"\ba\b is int4"):
        qkern.matmul(q[None], q[:, None])


def test_codes_of_4_bits_without_ml_dtypes(python):
    result = python("""
        import sys
        sys.modules["ml_dtypes"] = None
        import qkern
        try:
            qkern.quantize([1.0], 1, dtype="int4")
        except ImportError as error:
            assert "qkern[onnx]" in str(error)
        else:
            raise AssertionError
    """)
    assert result.returncode == 0, result.stderr
