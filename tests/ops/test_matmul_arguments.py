"""matmul and pack: arguments that are refused, and by which name."""

from __future__ import annotations

import numpy as np
import pytest
import qkern

A, B = np.ones((2, 3), np.int8), np.ones((3, 4), np.uint8)


def test_packed_matrix_tells_what_it_is():
    packed = qkern.pack(B)
    assert packed.shape == (3, 4)
    assert packed.dtype == np.uint8
    assert packed.isa == qkern.isa.active()
    assert packed.nbytes >= B.nbytes
    assert "3, 4" in repr(packed)
    with pytest.raises(AttributeError):
        packed.shape = (4, 3)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.bool_, "S1", ">i2", object])
def test_wrong_dtypes(dtype):
    with pytest.raises(TypeError, match=r"\ba\b"):
        qkern.matmul(np.zeros((2, 3), dtype), B)
    with pytest.raises(TypeError, match=r"\bb\b"):
        qkern.matmul(A, np.zeros((3, 4), dtype))
    with pytest.raises(TypeError, match=r"\bb\b"):
        qkern.pack(np.zeros((3, 4), dtype))


@pytest.mark.parametrize("order", ["<i1", ">i1", "=u1"])
def test_one_byte_has_no_order(order):
    np.testing.assert_array_equal(qkern.matmul(np.ones((2, 3), order), B), np.full((2, 4), 3))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((2, 3), (4, 5)),
        ((3,), (4,)),
        ((3,), (4, 3)),
        ((2, 2, 3), (3, 3, 4)),
        ((2, 0), (1, 2)),
        ((2, 3, 1, 3), (4, 3, 1)),
    ],
    ids=str,
)
def test_shapes_that_do_not_match(a, b):
    with pytest.raises(ValueError, match="shapes"):
        qkern.matmul(np.zeros(a, np.int8), np.zeros(b, np.int8))


def test_no_dimensions():
    scalar = np.array(1, np.int8)
    with pytest.raises(ValueError, match=r"\ba\b"):
        qkern.matmul(scalar, B)
    with pytest.raises(ValueError, match=r"\bb\b"):
        qkern.matmul(A, scalar)
    for shape in ((3,), (2, 3, 4), ()):
        with pytest.raises(ValueError, match=r"\bb\b"):
            qkern.pack(np.zeros(shape, np.int8))


@pytest.mark.parametrize("name", ["a_zero_point", "b_zero_point"])
@pytest.mark.parametrize(
    "value", [256, -129, 2**31, -(2**40), 2**63, 2**64 - 1, np.uint64(2**64 - 1), np.uint64(2**63 + 5)]
)
def test_zero_point_out_of_range(name, value):
    with pytest.raises(ValueError, match=name):
        qkern.matmul(A, B, **{name: value})


def test_zero_point_outside_its_own_dtype():
    for name, value in (
        ("a_zero_point", 128),
        ("a_zero_point", [0, 128]),
        ("b_zero_point", -1),
        ("b_zero_point", [0, 0, 0, -1]),
    ):
        with pytest.raises(ValueError, match=name):
            qkern.matmul(A, B, **{name: value})


@pytest.mark.parametrize("name", ["a_zero_point", "b_zero_point"])
@pytest.mark.parametrize(
    "value", [[1, 2, 3], [], [[1, 2]], np.zeros((2, 1), np.int8), [[1]], np.zeros((4, 1), np.uint8)]
)
def test_zero_point_of_wrong_shape(name, value):
    if np.size(value) == 0:
        value = np.zeros(0, np.int8)
    with pytest.raises(ValueError, match=name):
        qkern.matmul(A, B, **{name: value})


@pytest.mark.parametrize("name", ["a_zero_point", "b_zero_point"])
@pytest.mark.parametrize("value", [1.0, float("nan"), "1", None, 1j, True, [1.5, 2.5], 2**70, [[1], [1, 2]]])
def test_zero_point_that_is_no_integer(name, value):
    with pytest.raises((TypeError, ValueError), match=name):
        qkern.matmul(A, B, **{name: value})


@pytest.mark.parametrize("b", [None, [[1]], "b", 3])
def test_b_that_is_no_array(b):
    with pytest.raises(TypeError, match=r"\bb\b"):
        qkern.matmul(A, b)
    with pytest.raises(TypeError):
        qkern.matmul(b, B)


def test_positions_and_names():
    with pytest.raises(TypeError):
        qkern.matmul(A, B, 0)
    with pytest.raises(TypeError):
        qkern.matmul(A, B, zero_point=0)
    with pytest.raises(TypeError):
        qkern.PackedMatrix()


@pytest.mark.usefixtures("address_space_limit")
def test_more_than_any_memory(python):
    # Stride 0: such arrays cost nothing until something copies them.
    done = python("""
        import resource
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
        import numpy as np, qkern
        for size in (2**31, 2**24):
            huge = np.broadcast_to(np.int8(1), (size, size))
            one_row, one_column = np.broadcast_to(np.int8(1), (size, 1)), np.broadcast_to(np.int8(1), (size, 1))
            for name, call in {
                "pack": lambda: qkern.pack(huge),
                "rows": lambda: qkern.matmul(huge, one_column),
                "columns": lambda: qkern.matmul(huge.T, one_row.T),
                "result": lambda: qkern.matmul(one_row, one_row.T),
                "layer": lambda: qkern.QLinear(huge, 1.0, x_scale=1.0),
            }.items():
                try:
                    call()
                except (MemoryError, ValueError) as error:
                    print(name, "refused", error)
                else:
                    print(name, "returned")
    """)
    assert done.returncode == 0, done.stderr
    expected = ["pack", "rows", "columns", "result", "layer"] * 2
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [[name, "refused"] for name in expected]
