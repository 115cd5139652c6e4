"""Sums of columns, against NumPy's, one row after the other: the same bits, whatever the number of threads."""

import numpy as np
import pytest
import qkern
from qkern._core import add_column_sums


def expected(x, sums, squares):
    for row in x:
        sums, squares = sums + row.astype(np.float64), squares + np.square(row).astype(np.float64)
    return sums, squares


@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (3, 0), (8, 7), (300, 17), (5, 4097), (3, 20000)])
@pytest.mark.parametrize("threads", [1, 3])
def test_rows_are_added_in_their_order(rng, shape, threads):
    x = (rng.normal(size=shape) * 10.0 ** rng.integers(-6, 6, shape)).astype(np.float32)
    sums, squares = rng.normal(size=shape[1]), rng.random(shape[1])
    wanted = expected(x, sums, squares)
    before = qkern.get_num_threads()
    qkern.set_num_threads(threads)
    try:
        add_column_sums(x, sums, squares)
    finally:
        qkern.set_num_threads(before)
    np.testing.assert_array_equal(sums, wanted[0])
    np.testing.assert_array_equal(squares, wanted[1])


def test_a_square_beyond_float32_is_infinite_and_x_may_be_strided():
    x = np.float32([[1e30, 1, 2], [3, 4, 5]])[:, ::-1]
    sums, squares = np.zeros(3), np.zeros(3)
    add_column_sums(x, sums, squares)
    assert squares.tolist() == [29.0, 17.0, np.inf]
    assert sums.tolist() == [7.0, 5.0, np.float64(np.float32(1e30)) + 3]


X = np.zeros((2, 3), np.float32)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((X.astype(np.float64), np.zeros(3), np.zeros(3)), TypeError, "x is not float32"),
        ((X[0], np.zeros(3), np.zeros(3)), ValueError, r"x has to be a matrix, not of shape \(3,\)"),
        ((X, np.zeros(2), np.zeros(3)), ValueError, "sums has to be contiguous"),
        ((X, np.zeros(3), np.zeros(6)[::2]), ValueError, "squares has to be contiguous"),
        ((X, np.zeros(3), np.zeros(3, np.float32)), TypeError, "squares is not float64"),
    ],
)
def test_wrong_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        add_column_sums(*arguments)


def test_arrays_that_overlap_are_refused():
    both = np.zeros(4)
    with pytest.raises(ValueError, match="sums and squares overlap"):
        add_column_sums(X, both[:3], both[1:])
    with pytest.raises(ValueError, match="x and sums overlap"):
        add_column_sums(both.view(np.float32)[:6].reshape(2, 3), both[:3], np.zeros(3))
