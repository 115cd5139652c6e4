"""conv, QConv and Conv: geometry that is refused, by the name of the argument."""

from __future__ import annotations

import numpy as np
import pytest
import qkern
from qkern import _core

X = np.ones((1, 4, 6, 6), np.int8)
W = np.ones((4, 4, 3, 3), np.int8)
BAD = {
    "strides": [0, -1, (1, 0), (1,), (1, 1, 1), 1.5, "2", None, (1, 1.5), 2**70, (1, 2**70)],
    "dilations": [0, (1, -2), (), 2**70],
    "padding": [
        -1, (0, -1), [(0, 1)], [(0, -1), (0, 0)], [(0, 1, 2), (0, 0)], "full", "SAME", [], None, {}, [1, (1, 1)], 2**70,
        [(0, 2**70), (0, 0)], ["a", "b"],
    ],
    "groups": [0, -1, 3, 8, 1.5],
    "layout": ["CHWN", "", None],
}  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in BAD for value in BAD[name]], ids=str)
def test_bad_geometry(name, value):
    kwargs = {name: value}
    with pytest.raises((ValueError, TypeError), match=name):
        qkern.conv(X, W, **kwargs)
    with pytest.raises((ValueError, TypeError), match=name):
        qkern.QConv(W, 1.0, x_scale=1.0, **kwargs)
    with pytest.raises((ValueError, TypeError), match=name):
        _core.Conv(W.astype(np.float32), **kwargs)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"strides": np.int64(2)}, {"strides": np.array([2, 1])}, {"padding": np.int64(1)},
        {"padding": np.array([1, 2])}, {"padding": np.array([[1, 2], [0, 1]])}, {"dilations": (np.int8(2),
        1)}, {"groups": np.int32(1)},
    ],
    ids=str,
)  # fmt: skip
def test_integers_of_numpy_are_integers(kwargs):
    plain = {
        name: value.tolist() if hasattr(value, "tolist") else [int(v) for v in value] for name, value in kwargs.items()
    }
    np.testing.assert_array_equal(qkern.conv(X, W, **kwargs), qkern.conv(X, W, **plain))


def test_shapes():
    with pytest.raises(ValueError, match=r"\bx\b.*channels"):
        qkern.conv(X[:, :3], W)
    with pytest.raises(ValueError, match=r"\bx\b.*channels"):
        qkern.conv(X, W, layout="NHWC")
    for x in (X[0], X[..., None], X[0, 0, 0]):
        with pytest.raises(ValueError, match=r"\bx\b"):
            qkern.conv(x, W)
    for w in (W[0, 0], W[0, 0, 0], np.ones((1, 1, 1, 1, 1, 1), np.int8), np.ones((4, 4, 0, 3), np.int8)):
        with pytest.raises(ValueError, match=r"\bw\b"):
            qkern.conv(X, w)
        with pytest.raises(ValueError, match="weight"):
            qkern.QConv(w, 1.0, x_scale=1.0)


def test_window_that_does_not_fit():
    for kwargs in ({"dilations": 3}, {"dilations": (1, 3)}, {"dilations": 3, "padding": [(0, 0), (3, 3)]}):
        with pytest.raises(ValueError, match="window"):
            qkern.conv(X, W, **kwargs)
    with pytest.raises(ValueError, match="window"):
        qkern.conv(X[:, :, :0], W)
    assert qkern.conv(X, W, dilations=3, padding=1).shape == (1, 4, 2, 2)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.bool_, ">i2"])
def test_wrong_dtypes(dtype):
    with pytest.raises(TypeError, match=r"\bx\b"):
        qkern.conv(X.astype(dtype), W)
    with pytest.raises(TypeError, match=r"\bw\b"):
        qkern.conv(X, W.astype(dtype))
    with pytest.raises(TypeError, match="weight"):
        qkern.QConv(W.astype(dtype), 1.0, x_scale=1.0)


@pytest.mark.parametrize("value", [128, -129, 2**40, 1.5, None, "1"])
def test_zero_points(value):
    with pytest.raises((ValueError, TypeError), match="x_zero_point"):
        qkern.conv(X, W, x_zero_point=value)
    with pytest.raises((ValueError, TypeError), match="w_zero_point"):
        qkern.conv(X, W, w_zero_point=value)
    with pytest.raises((ValueError, TypeError), match="w_zero_point"):
        qkern.conv(X, W, w_zero_point=[0, 0, 0, value])


def test_zero_points_of_wrong_length():
    for value in ([0, 0, 0], [0] * 5, [[0, 0, 0, 0]]):
        with pytest.raises(ValueError, match="w_zero_point"):
            qkern.conv(X, W, w_zero_point=value)
    with pytest.raises(TypeError, match="x_zero_point"):
        qkern.conv(X, W, x_zero_point=[0, 0, 0, 0])


HUGE = [
    {"padding": 2**61, "strides": 2**62}, {"padding": 2**62, "strides": 2**62},
    {"padding": 2**63 - 1, "strides": 2**62}, {"padding": 2**31, "strides": 2**40}, {"padding": 2**62},
    {"padding": [(2**62, 2**62), (0, 0)], "strides": 2**61}, {"dilations": 2**62}, {"dilations": 2**63 - 1},
    {"dilations": 2**61, "padding": 2**61}, {"dilations": 2**62, "padding": "same"},
    {"dilations": 2**40, "padding": "same"}, {"strides": 2**63 - 1, "padding": 2**40},
]  # fmt: skip


@pytest.mark.usefixtures("address_space_limit")
def test_sizes_that_overflow(python):
    # In a process of its own: a product that wraps would write outside the memory it asked for.
    done = python(f"""
        import resource
        resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
        import numpy as np, qkern
        x, w = np.ones((1, 1, 8, 8), np.int8), np.ones((1, 1, 3, 3), np.int8)
        x_3d, w_3d = np.ones((1, 2, 8, 8, 8), np.int8), np.ones((1, 2, 2, 2, 2), np.int8)
        for kwargs in {HUGE!r}:
            in_3d = {{name: [*value, (0, 0)] if isinstance(value, list) else value for name, value in kwargs.items()}}
            print("case", kwargs, flush=True)
            for call in (
                lambda: qkern.conv(x, w, **kwargs),
                lambda: qkern.conv(x_3d, w_3d, **in_3d),
                lambda: qkern.max_pool(x, kernel=3, **kwargs),
                lambda: qkern.QConv(w, 1.0, x_scale=1.0, layout="NCHW", **kwargs)(x),
            ):
                try:
                    print("returned", call())
                except (MemoryError, ValueError) as error:
                    print("refused", error)
    """)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-500:]
    lines = [line.split()[0] for line in done.stdout.splitlines()]
    assert lines == ["case", *["refused"] * 4] * len(HUGE), done.stdout
    assert "-9223372036854775" not in done.stdout, "a size that wrapped"
