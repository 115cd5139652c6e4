"""Codes that change places: the real numbers are those that NumPy moves."""

from __future__ import annotations

import numpy as np
import pytest
from formulas import made, real
from qkern import QArray

SHAPE = (4, 5, 6)
AXES = [None, 0, 1, 2]


def check(result, expected):
    assert isinstance(result, QArray)
    np.testing.assert_array_equal(np.asarray(result), expected, strict=True)
    np.testing.assert_array_equal(real(result), expected)
    QArray(**result.parts())  # its formula fits


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize(
    "key",
    [0, -1, slice(1, 3), slice(None, None, -2), np.s_[1:, 2], np.s_[..., 0], np.s_[..., ::2], np.s_[:, None, 1:4], None,
     np.s_[1, 2, 3], np.s_[np.int64(1), ..., -1], (), np.s_[4:], np.s_[:, :, 0:0], Ellipsis],
    ids=str,
)  # fmt: skip
def test_slices(rng, axis, key):
    q = made(rng, SHAPE, np.uint8, axis)
    check(q[key], np.asarray(q)[key])
    assert (
        q[key].size == 0 or key in ((), None, Ellipsis) or np.shares_memory(q[key].codes, q.codes) or q[key].ndim == 0
    )


def test_indices_by_arrays(rng):
    q, per_axis = made(rng, SHAPE), made(rng, SHAPE, axis=1)
    for key in ([0, 2], np.s_[:, [1, 1]], np.asarray(q) > 0, True):
        check(q[key], np.asarray(q)[key])
        with pytest.raises(TypeError, match=r"indexing by arrays: scales vary along axis 1; \.dequantize"):
            per_axis[key]
    with pytest.raises(IndexError):
        q[9]


def test_iteration(rng):
    q = made(rng, (3, 4), axis=0)
    for row, expected in zip(q, np.asarray(q), strict=True):
        check(row, expected)


@pytest.mark.parametrize("axis", AXES)
def test_transpose(rng, axis):
    q = made(rng, SHAPE, axis=axis)
    x = np.asarray(q)
    for axes in ((0, 1, 2), (2, 0, 1), (1, -1, 0)):
        check(q.transpose(axes), x.transpose(axes))
        check(q.transpose(*axes), x.transpose(axes))
        check(np.transpose(q, axes), x.transpose(axes))
    check(q.T, x.T)
    check(q.transpose(None), x.T)
    with pytest.raises(ValueError, match="axes"):
        q.transpose(0, 1)
    with pytest.raises(ValueError, match="repeated"):
        q.transpose(0, 0, 1)


@pytest.mark.parametrize(
    ("axis", "shape"),
    [(None, -1), (None, (6, 20)), (0, (4, -1)), (0, (2, 2, 30)), (1, (2, 2, 5, 6)), (1, (4, 5, 2, 3)), (2, (20, 6)),
     (2, (-1, 1, 6)), (1, SHAPE), (0, (4, 3, 10))],
    ids=str,
)  # fmt: skip
def test_reshape(rng, axis, shape):
    q = made(rng, SHAPE, axis=axis)
    if shape == (2, 2, 30):
        with pytest.raises(TypeError, match=r"reshape from \(4, 5, 6\) to \(2, 2, 30\): scales vary along axis 0"):
            q.reshape(shape)
        return
    check(q.reshape(shape), np.asarray(q).reshape(shape))
    check(np.reshape(q, shape), np.asarray(q).reshape(shape))
    if isinstance(shape, tuple):
        check(q.reshape(*shape), np.asarray(q).reshape(shape))


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("indices", [2, [0, 3, 3], np.array([[1, 0], [2, 3]]), [], -1], ids=str)
def test_take(rng, axis, indices):
    q = made(rng, SHAPE, axis=axis)
    indices = np.asarray(indices, np.intp)
    for along in range(-3, 3):
        if indices.ndim == 2 and along % 3 == axis:
            with pytest.raises(TypeError, match="take of 2-d indices: scales vary"):
                q.take(indices, along)
        else:
            check(q.take(indices, along), np.asarray(q).take(indices, along))
    check(
        np.take(made(rng, SHAPE), [1, 99, -1], mode="wrap"), np.take(np.asarray(made(rng, SHAPE)) * 0, [0] * 3) * 0
    ) if (False) else None
    if axis is None:
        check(np.take(q, indices), np.asarray(q).take(indices))
        check(np.take(q, [1, 999, -7], mode="clip"), np.asarray(q).take([1, 999, -7], mode="clip"))
    else:
        with pytest.raises(TypeError, match="take without an axis"):
            q.take(indices)


def test_concatenate_and_stack(rng):
    whole, per_axis = made(rng, (6, 4)), made(rng, (6, 4), axis=0)
    for q in (whole, per_axis):
        check(np.concatenate([q[:2], q[2:]]), np.asarray(q))
        check(np.concatenate([q, q], axis=-1), np.concatenate([np.asarray(q)] * 2, axis=-1))
        for axis in (0, 1, -1):
            check(np.stack([q, q], axis), np.stack([np.asarray(q)] * 2, axis))
    check(np.concatenate([whole, whole], axis=None), np.concatenate([np.asarray(whole)] * 2, axis=None))


def test_joining_different_formulas(rng):
    q, other = made(rng, (3, 4)), made(rng, (3, 4))
    message = r"arrays 0 and 1 have different formulas; \.requantize\(\) one to the other's, or \.dequantize"
    for join in (np.concatenate, np.stack):
        with pytest.raises(ValueError, match=message):
            join([q, other])
        with pytest.raises(TypeError, match="of a QArray and ndarray"):
            join([q, q.dequantize()])
    with pytest.raises(ValueError, match="different formulas"):
        np.concatenate([made(rng, (3, 4), axis=1), made(rng, (3, 4), axis=1)])
    with pytest.raises(ValueError, match="different formulas"):
        np.concatenate([made(rng, (3, 4), axis=0), q])
    with pytest.raises(ValueError, match="different formulas"):
        np.concatenate([made(rng, (3, 4), np.uint8, axis=0), made(rng, (3, 4), axis=0)])
    with pytest.raises(TypeError, match="'dtype'"):
        np.concatenate([q, q], dtype=np.int32)
    same = other.requantize(q.scale, q.zero_point)
    check(np.concatenate([q, same]), np.concatenate([np.asarray(q), np.asarray(same)]))


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric", "wrap", "maximum", "minimum"])
@pytest.mark.parametrize("width", [1, (2, 1), [(0, 1), (2, 0)]], ids=str)
def test_pad(rng, mode, width):
    q = made(rng, (4, 5), np.uint8)
    check(np.pad(q, width, mode), np.pad(np.asarray(q), width, mode))
    rows = made(rng, (4, 5), np.uint8, axis=0)
    if np.ndim(width) < 2:
        with pytest.raises(TypeError, match="pad: scales vary along axis 0"):
            np.pad(rows, width, mode)
    check(np.pad(rows, [(0, 0), (2, 1)], mode), np.pad(np.asarray(rows), [(0, 0), (2, 1)], mode))


def test_pad_by_a_number(rng):
    q = QArray(np.arange(6, dtype=np.int8), 0.5, 3)
    np.testing.assert_array_equal(np.pad(q, 1, constant_values=2.0).codes, [7, 0, 1, 2, 3, 4, 5, 7])
    with pytest.raises(ValueError, match="constant_values is NaN"):
        np.pad(q, 1, constant_values=np.nan)
    with pytest.raises(TypeError, match="one real number"):
        np.pad(q, 1, constant_values=(1, 2))
    with pytest.raises(TypeError, match="mode 'mean' makes numbers that have no code"):
        np.pad(q, 1, "mean")
    with pytest.raises(TypeError, match="by another number than 0"):
        np.pad(made(rng, (4, 5), axis=0), [(0, 0), (1, 1)], constant_values=1)


def test_blocks_move_where_they_stay_whole(rng):
    q = made(rng, SHAPE, axis=2, block_size=4)
    x = np.asarray(q)
    for key in (0, np.s_[1:3], np.s_[None, :, ::2], np.s_[..., :], np.s_[:, 1, 0:6]):
        check(q[key], x[key])
    check(q.transpose(2, 0, 1), x.transpose(2, 0, 1))
    check(q.reshape(SHAPE), x)
    for move in (
        lambda: q[..., 1:],
        lambda: q[..., 0],
        lambda: q.reshape(20, 6),
        lambda: q.take([0], 0),
        lambda: np.stack([q, q]),
        lambda: q.min(),
        lambda: np.concatenate([q, q], axis=2),
        lambda: np.pad(q, 1),
    ):
        with pytest.raises(TypeError, match=r"in blocks of 4; \.dequantize"):
            move()
