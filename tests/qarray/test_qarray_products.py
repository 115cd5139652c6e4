"""Products of QArrays: the sums of their integers, exact, and the product of their scales."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from formulas import grids, integers, made
from oracle.products import wrap
from qkern import QArray

AXES = [None, 0, 1]


def check(result, sums, scales):
    """`sums`: int64; `scales`: the product of both scales, of the same shape."""
    assert result.dtype == np.int32
    assert not result.zero_point.any()
    np.testing.assert_array_equal(result.codes, wrap(sums), strict=True)
    np.testing.assert_array_equal(grids(result)[0], np.broadcast_to(scales, result.shape))
    expected = wrap(sums).astype(np.float32) * scales
    np.testing.assert_array_equal(np.asarray(result), expected, strict=True)


@pytest.mark.parametrize(
    "dtypes", [("int8", "int8"), ("int8", "uint8"), ("uint8", "int8"), ("uint8", "uint8")], ids=str
)
def test_matmul(isa, rng, dtypes):
    for a_axis, b_axis in ((None, None), (0, None), (None, 1), (0, 1)):
        a, b = made(rng, (5, 7), dtypes[0], a_axis), made(rng, (7, 3), dtypes[1], b_axis)
        scales = grids(a)[0][:, :1] * grids(b)[0][:1]
        check(a @ b, integers(a) @ integers(b), scales)
        check(np.dot(a, b), integers(a) @ integers(b), scales)
        check(np.inner(a, b.T), integers(a) @ integers(b), scales)
        check(np.tensordot(a, b, 1), integers(a) @ integers(b), scales)
    kinds = {(a, b): (made(rng, (5, 7), axis=a) @ made(rng, (7, 3), axis=b)) for a in (None, 0) for b in (None, 1)}
    assert [(q.axis, q.block_size) for q in kinds.values()] == [(None, None), (1, None), (0, None), (1, 1)]


@pytest.mark.parametrize(
    ("a_shape", "b_shape"),
    [((7,), (7,)), ((7,), (7, 3)), ((2, 7), (7,)), ((2, 5, 7), (7, 3)), ((5, 7), (4, 7, 3)), ((4, 1, 5, 7), (2, 7, 3)),
     ((1, 0), (0, 2)), ((0, 3), (3, 2)), ((2, 3), (3, 0))],
    ids=str,
)  # fmt: skip
def test_shapes_of_matmul(rng, a_shape, b_shape):
    a, b = made(rng, a_shape), made(rng, b_shape, np.uint8)
    check(np.matmul(a, b), np.matmul(integers(a), integers(b)), a.scale * b.scale)


def test_formulas_along_the_batch(isa, rng):
    a, b = made(rng, (4, 5, 7), axis=0), made(rng, (4, 7, 3), np.uint8, axis=0)
    check(a @ b, integers(a) @ integers(b), (a.scale * b.scale)[:, None, None])
    b = made(rng, (7, 3), axis=1)
    check(a @ b, integers(a) @ integers(b), a.scale[:, None, None] * b.scale)
    rows = made(rng, (4, 5, 7), axis=1)
    check(rows @ b, integers(rows) @ integers(b), rows.scale[:, None] * b.scale)


@pytest.mark.parametrize(
    "subscripts",
    ["ij,jk->ik", "ij,jk", "ij,kj->ki", "ijl,jk->lik", "ij,ij->ij", "ijl,jl->i", "bij,bjk->bki", "ij,k->ikj",
     "...ij,jk->...ik", "bij,...jk->b...ik", "ji,jk", "i,i->", "i,i", "a,b->ba", "i...,i...->i...", "ij , jk -> ik"],
)  # fmt: skip
def test_einsum(isa, rng, subscripts):
    sizes = dict(zip("abijkl", (3, 2, 5, 7, 4, 6), strict=True))
    left, right = subscripts.replace(" ", "").partition("->")[0].split(",")
    shapes = [[sizes[x] if x != "." else 2 for x in part.replace("...", ".")] for part in (left, right)]
    a, b = made(rng, tuple(shapes[0])), made(rng, tuple(shapes[1]), np.uint8)
    check(np.einsum(subscripts, a, b), np.einsum(subscripts, integers(a), integers(b)), a.scale * b.scale)


def test_einsum_with_formulas_along_axes(isa, rng):
    a, b = made(rng, (3, 5, 7), axis=1), made(rng, (3, 7, 4), np.uint8, axis=2)
    scales = np.einsum("i,k->ki", a.scale, b.scale)
    sums = np.einsum("bij,bjk->bki", integers(a), integers(b))
    check(np.einsum("bij,bjk->bki", a, b), sums, scales)


@pytest.mark.parametrize("axes", [0, 1, 2, ([1, 0], [0, 1]), (1, 0), ([-1], [0])], ids=str)
def test_tensordot(rng, axes):
    a, b = made(rng, (4, 4)), made(rng, (4, 4), np.uint8)
    check(np.tensordot(a, b, axes), np.tensordot(integers(a), integers(b), axes), a.scale * b.scale)
    a, b = made(rng, (3, 4, 5), axis=0), made(rng, (5, 4, 6), axis=2)
    sums = np.tensordot(integers(a), integers(b), ([1, 2], [1, 0]))
    check(np.tensordot(a, b, ([1, 2], [1, 0])), sums, a.scale[:, None] * b.scale)


def test_sums_wrap_beyond_their_depth_and_say_so(isa):
    depth = 140_000
    lowest = QArray(np.full((1, depth), -128, np.int8), 1)
    with pytest.warns(RuntimeWarning, match="matmul: int32 sums over a depth of 140000 may wrap"):
        result = lowest @ lowest.T
    assert result.codes == wrap(depth * 128 * 128)
    far = QArray(np.full((1, 65_536), 255, np.uint8), 1)
    with pytest.warns(RuntimeWarning, match="depth of 65536"):
        assert (far @ far.T).codes == wrap(65_536 * 255 * 255)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (lowest[:, :131_071] @ lowest[:, :131_071].T).codes == 131_071 * 2**14


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda a, b: made_by_depth() @ b, TypeError, "scales vary along axis 1, which is summed over"),
        (lambda a, b: a @ b.T, ValueError, r"matmul: shapes \(2, 3\) and \(4, 3\) do not match"),
        (lambda a, b: np.tensordot(a, b, 3), ValueError, "tensordot: axes 3"),
        (lambda a, b: np.tensordot(a, b, ([0], [0])), ValueError, "tensordot: shapes"),
        (lambda a, b: (a @ b) @ b.T, TypeError, r"int32 codes has no kernel; \.requantize"),
        (lambda a, b: a @ b.dequantize(), TypeError, "matmul of a QArray and ndarray: qkern.asquantized"),
        (lambda a, b: a.codes @ b, TypeError, "matmul of a QArray and ndarray"),
        (lambda a, b: np.dot(a, 3), TypeError, "dot of a QArray and int"),
        (lambda a, b: np.dot(a, b[0, 0]), TypeError, "dot with one number"),
        (lambda a, b: a @ b[0, 0], ValueError, "without axes"),
        (lambda a, b: np.matmul(a, b, out=np.zeros((2, 4), np.int32)), TypeError, r"'out'; \.dequantize"),
        (lambda a, b: np.einsum("ij,jk->i", a, b), TypeError, "k is summed over in one operand"),
        (lambda a, b: np.einsum("ii,jk->ijk", a, b), TypeError, "a letter twice"),
        (lambda a, b: np.einsum("ij->ij", a), TypeError, "dequantize"),
        (lambda a, b: np.einsum("ij,jk,kl", a, b, a), TypeError, "dequantize"),
        (lambda a, b: np.einsum(a, [0, 1], b, [1, 2]), TypeError, "dequantize"),
        (lambda a, b: np.einsum("ijk,jk->i", a, b), ValueError, "'ijk' names other than 2 axes"),
        (lambda a, b: np.einsum("ij,jk->iz", a, b), ValueError, "a letter that no operand has"),
        (lambda a, b: np.einsum("...j,jk->k", a, b), ValueError, "ellipsis"),
        (lambda a, b: QArray(a.codes, 1e30) @ QArray(b.codes, 1e30), ValueError, "scale must be finite"),
    ],
)  # fmt: skip
def test_bad_input(rng, call, error, message):
    with pytest.raises(error, match=message):
        call(made(rng, (2, 3)), made(rng, (3, 4)))


def made_by_depth():
    return made(np.random.default_rng(0), (2, 3), axis=1)
