"""What a QArray is: its parts, its real numbers, other libraries' memory, and what it refuses."""

from __future__ import annotations

import copy
import pickle
import sys

import numpy as np
import pytest
import qkern
from formulas import KINDS, integers, made, real
from oracle.formulas import limits_of
from qkern import QArray

SHAPE = (4, 5, 6)
CODES = np.arange(-6, 6, dtype=np.int8).reshape(3, 4)


@pytest.fixture(params=KINDS, ids=str)
def q(request, rng):
    axis, block_size = request.param
    return made(rng, SHAPE, np.uint8, axis if axis != -1 or block_size is None else 2, block_size)


def test_real_numbers(isa, q):
    for given in (q.dequantize(), np.asarray(q), np.array(q), np.asarray(q, np.float32, copy=True)):
        assert given.dtype == np.float32
        np.testing.assert_array_equal(given, real(q), strict=True)
    np.testing.assert_array_equal(np.asarray(q, np.float64), real(q).astype(np.float64), strict=True)


def test_sums_of_products_have_int32_codes(isa, rng):
    sums = rng.integers(-(2**31), 2**31, SHAPE).astype(np.int32)
    q = QArray(sums, rng.uniform(0.1, 1, 5), [2**31 - 1, -(2**31), 0, 7, -7], axis=1)
    np.testing.assert_array_equal(q.dequantize(), real(q), strict=True)


@pytest.mark.parametrize("name", ["int16", "uint16", "int4", "uint4"])
def test_codes_of_16_and_of_4_bits(isa, rng, name):
    if "4" in name:
        dtype = np.dtype(getattr(pytest.importorskip("ml_dtypes", reason="int4 needs ml_dtypes"), name))
    else:
        dtype = np.dtype(name)
    low, high = limits_of(dtype)
    codes = rng.integers(low, high, (4, 6), endpoint=True).astype(dtype)
    scale, zero_point = rng.uniform(0.1, 1, (4, 3)), rng.integers(low, high, (4, 3), endpoint=True)
    q = QArray(codes, scale, zero_point, 1, 2)
    np.testing.assert_array_equal(q.dequantize(), real(q), strict=True)
    assert pickle.loads(pickle.dumps(q)).equals(q)
    q = QArray(codes, 0.25, low)
    np.testing.assert_array_equal(np.asarray(q[1:, ::2].T), real(q)[1:, ::2].T)
    if "4" in name:
        product = q @ q.T
        np.testing.assert_array_equal(product.codes, integers(q) @ integers(q).T)
    else:
        with pytest.raises(TypeError, match=f"{name} codes has no kernel"):
            q @ q.T
    with pytest.raises(ValueError, match=f"zero_point {high + 1} is out of the range of {name}"):
        QArray(codes, 1, high + 1)


def test_never_a_view_of_the_codes_as_numbers():
    q = QArray(CODES, 0.5)
    with pytest.raises(ValueError, match=r"copy.*\.codes"):
        np.asarray(q, copy=False)
    with pytest.raises(TypeError, match=r"int8.*\.codes"):
        np.asarray(q, np.int8)
    with pytest.raises(TypeError):
        memoryview(q)
    assert not any(hasattr(q, name) for name in ("__array_interface__", "__array_struct__", "__dlpack__", "__buffer__"))
    assert np.shares_memory(np.from_dlpack(q.codes), CODES)
    assert memoryview(q.codes).format == "b"


def test_frozen():
    q = QArray(CODES, 0.5)
    for name in ("codes", "scale", "zero_point", "axis", "block_size", "shape", "other"):
        with pytest.raises(AttributeError):
            setattr(q, name, 1)
    for part in (q.scale, q.zero_point):
        with pytest.raises(ValueError, match="read-only"):
            part[...] = 1
    with pytest.raises(TypeError):
        q[0] = q[1]
    given = np.float32([1, 2, 3])
    q = QArray(CODES, given, axis=0)
    given[:] = 9
    np.testing.assert_array_equal(q.scale, [1, 2, 3])
    with pytest.raises(TypeError, match="unhashable"):
        hash(q)


def test_copies_and_files(q, tmp_path):
    for other in (pickle.loads(pickle.dumps(q)), copy.copy(q), copy.deepcopy(q), q.copy(), QArray(**q.parts())):
        assert q.equals(other)
        assert other.equals(q)
    assert not np.shares_memory(q.copy().codes, q.codes)
    assert not np.shares_memory(copy.deepcopy(q).codes, q.codes)
    np.savez(tmp_path / "q.npz", **q.parts())
    with np.load(tmp_path / "q.npz") as file:
        assert QArray(**file).equals(q)


def test_equals_is_of_codes_and_formula(rng):
    q = QArray(CODES, [1, 2, 3], [0, 1, 2], 0)
    others = [
        QArray(CODES + np.int8(1), [1, 2, 3], [0, 1, 2], 0),
        QArray(CODES, [1, 2, 4], [0, 1, 2], 0),
        QArray(CODES, [1, 2, 3], [0, 1, 3], 0),
        QArray(CODES, [1, 2, 3, 4], [0, 1, 2, 3], 1),
        QArray(CODES, 1),
        QArray(CODES.astype(np.int32), [1, 2, 3], [0, 1, 2], 0),
        q[:2],
        q.dequantize(),
    ]
    assert not any(q.equals(other) for other in others)


def test_what_it_says(q):
    text = repr(QArray(CODES[:2, :2], [0.5, 0.25], 3, axis=1))
    expected = "QArray([[-6, -5],\n        [-2, -1]], dtype=int8, scale=[0.5 , 0.25], zero_point=[3, 3], axis=1)"
    assert text == expected
    assert "block_size" in repr(q) or q.block_size is None
    large = QArray(np.zeros((1000, 1000), np.int8), np.ones(1000), axis=0)
    assert "..." in repr(large)
    assert len(repr(large)) < 500
    assert (q.shape, q.ndim, q.size, len(q), q.dtype) == (SHAPE, 3, 120, 4, np.uint8)
    assert q.nbytes == 120 + 5 * q.scale.size
    assert (np.shape(q), np.ndim(q), np.size(q)) == (SHAPE, 3, 120)
    with pytest.raises(TypeError, match="dequantize"):
        bool(q)


class Lent:
    """An array of another library, as torch's CPU tensors are to NumPy."""

    def __init__(self, array):
        self.array = array

    @property
    def __array_interface__(self):
        return self.array.__array_interface__


class OnlyDLPack:
    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **kwargs):
        return self.array.__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class OnlyArray:
    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


@pytest.mark.parametrize("lend", [memoryview, Lent, OnlyDLPack, OnlyArray], ids=lambda lend: lend.__name__)
def test_other_libraries_memory_without_a_copy(lend):
    owner = np.arange(12, dtype=np.uint8)
    q = QArray(lend(owner), 0.5)
    assert np.shares_memory(q.codes, owner)
    np.testing.assert_array_equal(q.codes, owner)
    assert qkern.asquantized(lend(owner.astype(np.float32)), scale=1).equals(QArray(owner.astype(np.int8), 1))
    assert "torch" not in sys.modules


def test_torch_tensors_go_in_without_a_copy(python):
    pytest.importorskip("torch", reason="torch is not installed")
    result = python("""
        import torch, numpy as np, qkern
        codes = torch.arange(12, dtype=torch.int8).reshape(3, 4)
        q = qkern.QArray(codes, torch.tensor([1.0, 2.0, 3.0]), axis=0)
        codes[1, 1] = 100
        assert q.codes[1, 1] == 100 and np.asarray(q)[1, 1] == 200
        assert torch.from_dlpack(q.codes).data_ptr() == codes.data_ptr()
    """)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"codes": CODES.astype(np.int64)}, TypeError, "codes is int64; expected int8"),
        ({"codes": CODES.astype(np.float32)}, TypeError, "codes is float32"),
        ({"codes": CODES.astype(bool)}, TypeError, "codes is bool"),
        ({"codes": [[1, 2], [3]]}, TypeError, "codes is no array"),
        ({"codes": object()}, TypeError, "codes is object"),
        ({"scale": 0}, ValueError, "scale must be finite"),
        ({"scale": -1.0}, ValueError, "scale must be finite"),
        ({"scale": np.nan}, ValueError, "scale must be finite"),
        ({"scale": 1e39}, ValueError, "scale must be finite"),
        ({"scale": 1e-50}, ValueError, "scale must be finite"),
        ({"scale": "1"}, TypeError, "scale is"),
        ({"scale": 1j}, TypeError, "scale is complex"),
        ({"scale": [1, 2, 3]}, ValueError, r"scale has shape \(3,\); expected a scalar"),
        ({"scale": [1, 2, 3], "axis": 1}, ValueError, r"scale has shape \(3,\); expected a scalar or \(4,\)"),
        ({"zero_point": [1, 2, 3], "axis": 1}, ValueError, r"zero_point has shape \(3,\)"),
        ({"zero_point": 128}, ValueError, "zero_point 128 is out of the range of int8"),
        ({"zero_point": [0, 0, -129, 0], "axis": 1}, ValueError, "zero_point -129 is out of the range of int8"),
        ({"zero_point": 2**64 - 1}, ValueError, "zero_point 18446744073709551615 is out"),
        ({"zero_point": 0.0}, TypeError, "zero_point is float64; expected integers"),
        ({"axis": 2}, ValueError, "axis 2 is out of range for rank 2"),
        ({"axis": -3}, ValueError, "axis -3 is out of range for rank 2"),
        ({"axis": 1.0}, TypeError, "axis must be an integer"),
        ({"block_size": 2}, ValueError, "block_size needs an axis"),
        ({"block_size": 0, "axis": 1}, ValueError, "block_size 0 must be at least 1"),
        ({"block_size": 1.5, "axis": 1}, TypeError, "block_size must be an integer"),
        ({"block_size": 2, "axis": 1, "scale": [1, 2]}, ValueError, r"scale has shape \(2,\); .*\(3, 2\)"),
    ],
)
def test_bad_input(arguments, error, message):
    with pytest.raises(error, match=message):
        QArray(**({"codes": CODES, "scale": 0.5} | arguments))
