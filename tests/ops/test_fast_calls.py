"""Small calls of the common form take a short way in; what comes out is what the general way gives."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import qkern

RNG = np.random.default_rng(30)


def codes(dtype, *shape):
    info = np.iinfo(dtype)
    return RNG.integers(info.min, info.max, shape, dtype, endpoint=True)


class Array(np.ndarray):
    """A subclass: the short ways take exact arrays only."""


def general(x):
    return x.view(Array)


def assert_same(a, b):
    assert a.dtype == b.dtype
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b), strict=True)


@pytest.mark.parametrize("shape", [(), (0,), (1,), (4096,), (3, 5, 7), (1 << 14,), ((1 << 14) + 1,)])
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_elementwise(isa, shape, dtype):
    x = RNG.normal(0, 9, shape).astype(np.float32)[()] if shape else np.array(3.7, np.float32)
    acc = np.asarray(RNG.integers(-(1 << 20), 1 << 20, shape, np.int32))
    q = qkern.quantize(x, 0.07, 5, dtype=dtype)
    assert_same(q, qkern.quantize(general(x), np.float64(0.07), np.int64(5), dtype=np.dtype(dtype)))
    for input in (q, acc):
        assert_same(qkern.dequantize(input, 0.3, 5), qkern.dequantize(general(input), np.array(0.3), np.array(5)))
    for bias in (None, -77):
        expected = qkern.requantize(general(acc), np.array(0.0004), 5, dtype=np.dtype(dtype), bias=bias)
        assert_same(qkern.requantize(acc, 0.0004, 5, dtype=dtype, bias=bias), expected)


def single(dtype):
    return lambda value: np.array(value, dtype)


FLOATS = [float, np.float64, np.float32, np.float16, single(np.float32), single(np.float64), single(">f4")]
INTEGERS = [int, np.int8, np.uint8, np.int16, np.int32, np.int64, *map(single, ["i1", "u1", "i2", "i4", "i8", ">i4"])]


@pytest.mark.parametrize("number", FLOATS)
@pytest.mark.parametrize("integer", INTEGERS)
def test_numbers_of_numpy(number, integer):
    x = RNG.normal(0, 9, 99).astype(np.float32)
    acc = RNG.integers(-(1 << 20), 1 << 20, (9, 11), np.int32)
    scale, zero, last = number(0.07), integer(5), integer(1)
    assert_same(qkern.quantize(x, scale, zero), qkern.quantize(general(x), scale, zero))
    assert_same(qkern.dequantize(acc, scale, zero), qkern.dequantize(general(acc), scale, zero))
    expected = qkern.requantize(general(acc), scale, 5, bias=zero, axis=last)
    assert_same(qkern.requantize(acc, scale, zero, bias=zero, axis=last), expected)
    for wrong in (number(-0.5), number("nan"), number("inf"), number(0)):
        for call in (qkern.quantize, qkern.requantize):
            with pytest.raises(ValueError, match=r"finite and greater than 0"):
                call(x if call is qkern.quantize else acc, wrong)
    with pytest.raises(ValueError, match="axis"):
        qkern.requantize(acc, scale, axis=integer(2))


def test_zero_points_outside_their_type():
    x = np.zeros(3, np.float32)
    for wrong in (np.int32(128), np.int64(-129), np.uint8(200), 128):
        with pytest.raises(ValueError, match="zero_point"):
            qkern.quantize(x, 1.0, wrong)


@pytest.mark.parametrize(
    "shape", [(3, 5, 7), (1, 1, 1), (1, 64, 33), (40, 40, 40), (41, 40, 40), (0, 3, 4), (3, 0, 4), (3, 4, 0)]
)
@pytest.mark.parametrize("a_type", [np.int8, np.uint8])
@pytest.mark.parametrize("b_type", [np.int8, np.uint8])
def test_matmul(isa, shape, a_type, b_type):
    rows, depth, cols = shape
    a, b = codes(a_type, rows, depth), codes(b_type, depth, cols)
    for zeros in ({}, {"a_zero_point": 7, "b_zero_point": 9}):
        expected = (a.astype(np.int64) - zeros.get("a_zero_point", 0)) @ (
            b.astype(np.int64) - zeros.get("b_zero_point", 0)
        )
        for right in (b, qkern.pack(b), np.asfortranarray(b)):
            assert_same(qkern.matmul(a, right, **zeros), expected.astype(np.int32))
        assert_same(qkern.matmul(np.repeat(a, 2, axis=0)[::2], b[:, ::-1], **zeros), expected[:, ::-1].astype(np.int32))


def test_out():
    x = RNG.normal(0, 9, 64).astype(np.float32)
    expected = qkern.quantize(x, 0.5)
    out = np.empty(64, np.int8)
    assert qkern.quantize(x, scale=0.5, out=out) is out
    assert_same(out, expected)
    shared = x.copy()
    target = shared.view(np.int8)[64:128]  # shares memory with its input
    assert_same(qkern.quantize(shared, 0.5, out=target), expected)
    apart = np.empty(128, np.int8)[::2]
    assert_same(qkern.quantize(x, 0.5, out=apart), expected)
    with pytest.raises(TypeError, match="out is uint8; expected int8"):
        qkern.quantize(x, 0.5, out=np.empty(64, np.uint8))
    with pytest.raises(ValueError, match="out has shape"):
        qkern.quantize(x, 0.5, out=np.empty(63, np.int8))
    out.flags.writeable = False
    with pytest.raises(ValueError, match="out is read-only"):
        qkern.quantize(x, 0.5, out=out)


def test_other_byte_order_is_refused():
    with pytest.raises(TypeError, match="q is >i4; expected int8"):
        qkern.dequantize(np.arange(4, dtype=np.dtype(np.int32).newbyteorder()), 0.5)


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m(),
        lambda m: m(np.ones((2, 2), np.int8)),
        lambda m: m(*[np.ones((2, 2), np.int8)] * 3),
        lambda m: m(np.ones((2, 2), np.int8), np.ones((2, 2), np.int8), a=1),
        lambda m: m(np.ones((2, 2), np.int8), np.ones((2, 2), np.int8), zero=1),
    ],
)
def test_calls_that_do_not_fit(call):
    with pytest.raises(TypeError):
        call(qkern.matmul)


def test_a_packed_matrix_that_was_never_made():
    with pytest.raises(TypeError):
        qkern.matmul(np.ones((2, 2), np.int8), qkern.PackedMatrix.__new__(qkern.PackedMatrix))


@pytest.mark.parametrize("name", ["quantize", "dequantize", "requantize", "matmul"])
def test_functions_pickle_and_have_names(name):
    function = getattr(qkern, name)
    assert pickle.loads(pickle.dumps(function)) is function
    assert (function.__name__, function.__module__) == (name, "qkern._core")


def test_names_that_are_not_interned():
    a = codes(np.int8, 3, 5)
    keyword = "".join(["a_zero", "_point"])
    assert_same(qkern.matmul(a, a.T, **{keyword: 3}), ((a.astype(np.int32) - 3) @ a.T.astype(np.int32)))
