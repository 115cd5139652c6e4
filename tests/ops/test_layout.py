"""to_nhwc and to_nchw against np.moveaxis."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from oracle.samples import in_memory, misaligned, name_of
from qkern._core import to_nchw, to_nhwc

DTYPES = (np.int8, np.uint8, np.int32, np.float32)
FEW = [shape for n in (2, 3, 4) for shape in ((1, n, 70), (1, 70, n))]
SHAPES = [(1, 1, 1), (2, 3, 5), (1, 33, 31), (2, 64, 65), *FEW, (1, 3, 7, 5), (2, 17, 3, 11), (1, 2, 3, 4, 5)]
EMPTY = [(0, 3, 4), (2, 0, 4, 5), (1, 3, 0, 5), (1, 3, 5, 0), (2, 3, 0), (1, 3, 2, 0, 4)]


def numbers(rng, dtype, shape):
    return rng.integers(0, 256, shape).astype(np.uint8).astype(dtype)


@pytest.mark.parametrize("shape", SHAPES + EMPTY, ids=str)
def test_there_and_back(rng, guarded, shape):
    for dtype, front in itertools.product(DTYPES, (False, True)):
        x = guarded(numbers(rng, dtype, shape), front=front)
        last = np.moveaxis(x, 1, -1)
        out = guarded(np.zeros(last.shape, dtype), front=front)
        assert to_nhwc(x, out=out) is out
        np.testing.assert_array_equal(out, last)
        back = guarded(np.zeros(shape, dtype), front=front)
        assert to_nchw(out, out=back) is back
        np.testing.assert_array_equal(back, x)
        result = to_nhwc(x)
        assert result.dtype == dtype
        assert result.flags.c_contiguous


@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
def test_any_memory_and_out(rng, dtype):
    x = numbers(rng, dtype, (2, 3, 4, 5))
    for function, want in ((to_nhwc, np.moveaxis(x, 1, -1)), (to_nchw, np.moveaxis(x, -1, 1))):
        for how, array in in_memory(x):
            np.testing.assert_array_equal(function(array), want, err_msg=how)
        for how, out in in_memory(np.zeros(want.shape, dtype)):
            if how == "read-only":
                with pytest.raises(ValueError, match="out"):
                    function(x, out=out)
                continue
            assert function(x, out=out) is out
            np.testing.assert_array_equal(out, want, err_msg=how)
        memory = x.copy()
        np.testing.assert_array_equal(function(memory, out=memory.reshape(want.shape)), want)
    odd = misaligned(x)
    np.testing.assert_array_equal(to_nhwc(odd), np.moveaxis(x, 1, -1))


def test_refused():
    x = np.zeros((1, 2, 3), np.int8)
    for function in (to_nhwc, to_nchw):
        for bad in (x[0], x[0, 0], np.zeros((1,) * 6, np.int8)):
            with pytest.raises(ValueError, match=r"\bx\b"):
                function(bad)
        for dtype in (np.int16, np.float64, ">f4", ">i4", np.bool_):
            with pytest.raises(TypeError, match=r"\bx\b"):
                function(x.astype(dtype))
        with pytest.raises(ValueError, match="out"):
            function(x, out=np.zeros((1, 2, 2), np.int8))
        with pytest.raises(TypeError, match="out"):
            function(x, out=np.zeros((1, 3, 2), np.uint8))
