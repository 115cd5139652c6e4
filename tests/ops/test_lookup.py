"""lookup against indexing, on every tier."""

from __future__ import annotations

import itertools

import numpy as np
import oracle
import pytest
import qkern
from oracle.samples import ODD, PAIRS, codes, in_memory, name_of


@pytest.mark.parametrize(("x_type", "y_type"), PAIRS, ids=lambda d: name_of(d))
def test_every_code_and_length(isa, rng, guarded, x_type, y_type):
    table = guarded(codes(rng, y_type, 256))
    everything = np.arange(256, dtype=np.uint8).view(x_type)
    np.testing.assert_array_equal(qkern.lookup(everything, table), table, strict=True)
    for n, front in itertools.product((0, *ODD), (False, True)):
        x, out = guarded(codes(rng, x_type, n), front=front), guarded(np.zeros(n, y_type), front=front)
        assert qkern.lookup(x, table, out=out) is out
        np.testing.assert_array_equal(out, oracle.lookup(x, table))


def test_int8_code_minus_one_is_entry_255():
    table = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(qkern.lookup(np.int8([-128, -1, 0, 127]), table), [128, 255, 0, 127])


def test_any_memory_and_out(isa, rng):
    x, table = codes(rng, np.int8, (4, 5, 6)), codes(rng, np.uint8, 256)
    want = oracle.lookup(x, table)
    for (how_x, array), (how_t, entries) in itertools.product(in_memory(x), in_memory(table)):
        np.testing.assert_array_equal(qkern.lookup(array, entries), want, err_msg=f"x {how_x}, table {how_t}")
    for how, out in in_memory(np.zeros_like(want)):
        if how == "read-only":
            with pytest.raises(ValueError, match="out"):
                qkern.lookup(x, table, out=out)
            continue
        assert qkern.lookup(x, table, out=out) is out
        np.testing.assert_array_equal(out, want, err_msg=how)
    assert qkern.lookup(x[0, 0, 0, ...], table).shape == ()


def test_out_may_overlap(isa, rng):
    values, table = codes(rng, np.uint8, 256), codes(rng, np.uint8, 256)
    want = oracle.lookup(values, table)
    x = values.copy()
    np.testing.assert_array_equal(qkern.lookup(x, table, out=x), want)
    entries = table.copy()
    np.testing.assert_array_equal(qkern.lookup(values, entries, out=entries), want)
    memory = np.concatenate([values, np.zeros(1, np.uint8)])
    np.testing.assert_array_equal(qkern.lookup(memory[:256], table, out=memory[1:]), want)


def test_refused():
    x, table = np.ones(3, np.int8), np.zeros(256, np.uint8)
    for bad in (table[:255], np.zeros(257, np.uint8), table.reshape(16, 16), np.uint8(0)):
        with pytest.raises((ValueError, TypeError), match="table"):
            qkern.lookup(x, bad)
    for dtype in (np.int16, np.float32, np.bool_):
        with pytest.raises(TypeError, match=r"\bx\b"):
            qkern.lookup(x.astype(dtype), table)
        with pytest.raises(TypeError, match="table"):
            qkern.lookup(x, table.astype(dtype))
    with pytest.raises(TypeError, match="out"):
        qkern.lookup(x, table, out=np.zeros(3, np.int8))
    with pytest.raises(ValueError, match="out"):
        qkern.lookup(x, table, out=np.zeros(4, np.uint8))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_a_numpy_scalar_is_one_code(dtype):
    table = np.arange(256, dtype=np.uint8)[::-1].copy()
    result = qkern.lookup(dtype(7), table)
    assert (result.shape, result.dtype, int(result)) == ((), np.uint8, 248)
    for wrong in (7, [7], None, "7"):
        with pytest.raises(TypeError, match="x must be an array"):
            qkern.lookup(wrong, table)
