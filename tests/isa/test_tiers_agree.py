"""Every kernel gives the same bytes on every tier, on inputs that are large or odd enough to reach all their paths."""

from __future__ import annotations

import numpy as np
import pytest
import qkern
from emulation import smaller
from oracle.samples import CODES, FILLS, PAIRS, codes, ends
from qkern import _core

CASES = {}
SEEDS = smaller(3, 1)


def case(function):
    """A generator of results for a random number generator; registered by its name."""
    CASES[function.__name__] = function
    return function


def size(rng, high):
    """Small more often than large."""
    return int(np.exp(rng.uniform(0, np.log(high))))


def some_codes(rng, dtype, shape):
    return codes(rng, dtype, shape, FILLS[rng.choice(4, p=(0.7, 0.1, 0.1, 0.1))])


def floats(rng, shape):
    """Real numbers of many magnitudes, some of them special."""
    x = (rng.standard_normal(shape) * np.exp(rng.uniform(-12, 12, shape))).astype(np.float32)
    special = np.float32([np.nan, np.inf, -np.inf, 0, -0.0, 1e-45, -1e-40, 3.4e38, 0.5, 2.5])
    return np.where(rng.random(shape) < 0.02, rng.choice(special, shape), x).astype(np.float32)


@case
def matmul(rng):
    for _ in range(12):
        for a_type, b_type in PAIRS:
            rows, depth, cols = size(rng, 60), size(rng, 400), size(rng, 200)
            yield qkern.matmul(
                some_codes(rng, a_type, (rows, depth)), some_codes(rng, b_type, (depth, cols)),
                a_zero_point=codes(rng, a_type, rows), b_zero_point=codes(rng, b_type, cols),
            )  # fmt: skip


def geometries(rng):
    """x shape (NHWC), w shape, keywords."""
    for _ in range(10):
        kernel, stride, dilation = (int(rng.integers(1, high)) for high in (5, 4, 3))
        image = [dilation * (kernel - 1) + size(rng, 9) for _ in range(2)]
        kwargs = {"strides": stride, "dilations": dilation, "padding": rng.choice(["same", "valid"]).item()}
        for groups, depth, out in (
            (1, size(rng, 40), size(rng, 150)),
            (3, size(rng, 9), size(rng, 30)),
            (size(rng, 150), 1, 1),
        ):
            yield (
                (size(rng, 4), *image, groups * depth),
                (groups * out, depth, kernel, kernel),
                kwargs | {"groups": groups},
            )


@case
def conv(rng):
    for x_shape, w_shape, kwargs in geometries(rng):
        x_type, w_type = PAIRS[rng.integers(4)]
        yield qkern.conv(
            some_codes(rng, x_type, x_shape), some_codes(rng, w_type, w_shape), layout="NHWC",
            x_zero_point=ends(x_type)[rng.integers(3)], w_zero_point=codes(rng, w_type, w_shape[0]), **kwargs,
        )  # fmt: skip


@case
def qconv(rng):
    for x_shape, w_shape, kwargs in geometries(rng):
        (x_type, w_type), y_type = PAIRS[rng.integers(4)], CODES[rng.integers(2)]
        out = w_shape[0]
        for y_scale in (None, float(rng.uniform(0.1, 20))):
            output = {} if y_scale is None else {"y_zero_point": ends(y_type)[2], "y_dtype": y_type}
            layer = qkern.QConv(
                some_codes(rng, w_type, w_shape), rng.uniform(0.001, 0.1, out).astype(np.float32),
                rng.integers(-(2**31), 2**31, out).astype(np.int32) >> np.int32(rng.integers(0, 32)), x_scale=0.1,
                x_zero_point=ends(x_type)[2], weight_zero_point=ends(w_type)[rng.integers(3)], y_scale=y_scale,
                **output, **kwargs,
            )  # fmt: skip
            yield layer(some_codes(rng, x_type, x_shape))


@case
def qlinear(rng):
    for _ in range(40):
        (x_type, w_type), y_type = PAIRS[rng.integers(4)], CODES[rng.integers(2)]
        rows, depth, out = size(rng, 50), size(rng, 300), size(rng, 200)
        layer = qkern.QLinear(
            some_codes(rng, w_type, (out, depth)), rng.uniform(0.001, 0.1, out).astype(np.float32),
            rng.integers(-(2**20), 2**20, out).astype(np.int32), x_scale=0.1, x_zero_point=ends(x_type)[2],
            weight_zero_point=ends(w_type)[rng.integers(3)], y_scale=float(rng.uniform(0.1, 20)), y_dtype=y_type,
        )  # fmt: skip
        yield layer(some_codes(rng, x_type, (rows, depth)))


@case
def linear(rng):
    for values in (floats, lambda rng, shape: rng.standard_normal(shape).astype(np.float32)):
        for _ in range(12):
            rows, depth, out = size(rng, 40), size(rng, 300), size(rng, 150)
            layer = _core.Linear(values(rng, (out, depth)), values(rng, out), clamp=(-100, 1e6))
            yield layer(values(rng, (rows, depth)))


@case
def float_conv(rng):
    for x_shape, w_shape, kwargs in geometries(rng):
        w, bias, x = floats(rng, w_shape), floats(rng, w_shape[0]), rng.standard_normal(x_shape).astype(np.float32)
        yield _core.Conv(w, bias, **kwargs)(x)
        finite = rng.standard_normal(w_shape).astype(np.float32)
        yield _core.Conv(finite, clamp=(0, 6), **kwargs)(x)


@case
def quantize(rng):
    for _ in range(20):
        shape = (size(rng, 40), size(rng, 100))
        for dtype in CODES:
            x = floats(rng, shape)
            yield qkern.quantize(x, float(np.exp(rng.uniform(-8, 8))), ends(dtype)[rng.integers(3)], dtype=dtype)
            for axis in (0, 1):
                scale, zero = np.exp(rng.uniform(-8, 8, shape[axis])), codes(rng, dtype, shape[axis])
                yield qkern.quantize(x, scale, zero, dtype=dtype, axis=axis)


@case
def dequantize(rng):
    for _ in range(20):
        shape = (size(rng, 40), size(rng, 100))
        for dtype in CODES:
            q, scale, zero = (
                codes(rng, dtype, shape),
                np.exp(rng.uniform(-60, 60, shape[1])),
                codes(rng, dtype, shape[1]),
            )
            yield qkern.dequantize(q, scale[0], zero[0])
            yield qkern.dequantize(q, scale, zero, axis=1)
        wide = rng.integers(-(2**31), 2**31, shape).astype(np.int32)
        yield qkern.dequantize(wide, scale, axis=1)


@case
def requantize(rng):
    for _ in range(20):
        shape = (size(rng, 40), size(rng, 100))
        acc = rng.integers(-(2**31), 2**31, shape).astype(np.int32) >> np.int32(rng.integers(0, 20))
        multiplier, bias = (
            np.exp(rng.uniform(-22, -1, shape[1])),
            rng.integers(-(2**31), 2**31, shape[1]).astype(np.int32),
        )
        for dtype in CODES:
            yield qkern.requantize(acc, multiplier, ends(dtype)[2], dtype=dtype, bias=bias)
            yield qkern.requantize(acc, multiplier[0], ends(dtype)[1], dtype=dtype, clamp=(3, 100))


@case
def add(rng):
    for a_type, b_type in PAIRS * 10:
        n = size(rng, 3000)
        a_scale, b_scale, y_scale = np.exp(rng.uniform(-5, 2, 3))
        yield qkern.add(
            codes(rng, a_type, n), codes(rng, b_type, n), a_scale=a_scale, b_scale=b_scale, y_scale=y_scale,
            a_zero_point=ends(a_type)[2], b_zero_point=ends(b_type)[0], dtype=CODES[n % 2],
        )  # fmt: skip


@case
def pools(rng):
    for _ in range(10):
        shape, window = (size(rng, 3), size(rng, 12) + 3, size(rng, 12) + 3, size(rng, 150)), int(rng.integers(1, 5))
        kwargs = {"kernel": window, "strides": int(rng.integers(1, 4)), "padding": "same", "layout": "NHWC"}
        for x in (codes(rng, np.int8, shape), codes(rng, np.uint8, shape), floats(rng, shape)):
            yield qkern.max_pool(x, **kwargs)
            yield qkern.average_pool(x, x_scale=0.1, y_scale=0.07, **kwargs)
            yield qkern.global_average_pool(x, layout="NHWC")


@case
def lookup(rng):
    for n in (1, 15, 64, 65, 1000):
        yield qkern.lookup(codes(rng, np.int8, n), codes(rng, np.uint8, 256))


@pytest.mark.skipif(len(qkern.isa.available()) < 2, reason="this processor runs one tier only: nothing to compare")
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("seed", range(SEEDS))
def test_same_bytes(name, seed):
    results = {}
    for tier in qkern.isa.available():
        with qkern.isa.use(tier):
            results[tier] = [array.tobytes() for array in CASES[name](np.random.default_rng(seed))]
    reference = results.pop("scalar")
    assert len(reference) > 3
    for tier, result in results.items():
        differing = [i for i, (a, b) in enumerate(zip(result, reference, strict=True)) if a != b]
        assert not differing, f"{tier} and scalar differ in results {differing} of {len(reference)}"
