"""Hashes of what fixed inputs have to give on every processor, and the check of this one against them.

`golden.json` holds, for each case, the SHA-256 of the outputs of a set of kernel calls, or of the demo's model,
quantized and run on 64 images. Inputs come from the raw 64-bit output of PCG64 and integer arithmetic, which no version
of NumPy changes. After a change of the arithmetic contract: `python -m qkern.golden > golden.json`, on any tier.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from . import _core, isa

__all__ = ["KERNEL_CASES", "MODEL_CASES", "Check", "expected", "run_case", "verify"]

Arrays = Iterator[NDArray[Any]]
CODES = (np.int8, np.uint8)


class _Stream:
    """Arrays from the raw bits of PCG64."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.PCG64(seed)

    def codes(self, dtype: DTypeLike, *shape: int) -> NDArray[Any]:
        """All 256 codes, the lowest and the highest more often than the others."""
        raw = self._bits.random_raw(math.prod(shape))
        byte = (raw & 0xFF).astype(np.uint8).view(dtype)
        limits = np.iinfo(byte.dtype)
        kind = raw >> np.uint64(8) & np.uint64(15)
        return np.where(kind == 0, limits.min, np.where(kind == 1, limits.max, byte)).astype(dtype).reshape(shape)

    def integers(self, bits: int, *shape: int) -> NDArray[np.int32]:
        """int32 of magnitude below 2**bits."""
        raw = self._bits.random_raw(math.prod(shape)) >> np.uint64(63 - bits)
        return (raw.astype(np.int64) - (1 << bits)).astype(np.int32).reshape(shape)

    def floats(self, *shape: int, exponent: int = -8) -> NDArray[np.float32]:
        """Multiples of 2**exponent with up to 12 bits, negative ones too."""
        return (self.integers(12, *shape).astype(np.float32) * np.float32(2.0**exponent)).astype(np.float32)

    def scales(self, *shape: int, exponent: int = -20) -> NDArray[np.float32]:
        """Positive numbers of 12 bits, none of them a power of two alone."""
        return ((np.abs(self.integers(12, *shape)) | 3).astype(np.float32) * np.float32(2.0**exponent)).astype(
            np.float32
        )


def _matmul(data: _Stream) -> Arrays:
    for rows, depth, cols in ((1, 1, 1), (3, 5, 7), (7, 16, 17), (13, 67, 65), (5, 300, 130), (17, 129, 33)):
        for a_type in CODES:
            for b_type in CODES:
                a, b = data.codes(a_type, rows, depth), data.codes(b_type, depth, cols)
                yield _core.matmul(a, b)
                narrow = np.maximum(b, -127) if b_type is np.int8 else np.maximum(b, 1)
                yield _core.matmul(a, narrow.astype(b_type))
                yield _core.matmul(a, b, a_zero_point=data.codes(a_type, rows), b_zero_point=data.codes(b_type, cols))


# Kernel, stride, dilation, channels in, channels out, groups.
_WINDOWS = (
    ((1, 1), 1, 1, 19, 35, 1),
    ((3, 3), 1, 1, 3, 16, 1),
    ((3, 3), 2, 1, 16, 30, 1),
    ((2, 3), 1, 2, 8, 12, 2),
    ((3, 3), 1, 1, 21, 21, 21),
    ((5, 5), 2, 1, 64, 64, 64),
)


def _qconv(data: _Stream) -> Arrays:
    for kernel, stride, dilation, channels, out, groups in _WINDOWS:
        for x_type in CODES:
            for w_type in CODES:
                w = data.codes(w_type, out, channels // groups, *kernel)
                where: dict[str, Any] = {"strides": stride, "dilations": dilation, "padding": 1, "groups": groups}
                layer = _core.QConv(
                    w, data.scales(out), data.integers(16, out), x_scale=0.25, x_zero_point=3,
                    weight_zero_point=128 if w_type is np.uint8 else 0, y_scale=0.75, y_zero_point=9, y_dtype=x_type,
                    **where,
                )  # fmt: skip
                x = data.codes(x_type, 2, 7, 9, channels)
                yield layer(x)
                yield _core.conv(x, w, layout="NHWC", x_zero_point=5, w_zero_point=data.codes(w_type, out), **where)


def _qlinear(data: _Stream) -> Arrays:
    for rows, depth, out in ((1, 64, 10), (9, 33, 50), (30, 130, 71)):
        for x_type in CODES:
            w, scale, bias = data.codes(np.int8, out, depth), data.scales(out), data.integers(18, out)
            x = data.codes(x_type, rows, depth)
            yield _core.QLinear(
                w, scale, bias, x_scale=0.5, x_zero_point=7, y_scale=0.3, y_dtype=x_type, clamp=(3, 120)
            )(x)
            yield _core.QLinear(w, scale, bias, x_scale=0.5, x_zero_point=7)(x)


def _float(data: _Stream) -> Arrays:
    for rows, depth, out in ((1, 40, 10), (13, 65, 37)):
        layer = _core.Linear(data.floats(out, depth), data.floats(out), clamp=(-100.0, 900.0))
        yield layer(data.floats(rows, depth, exponent=-11))
    for kernel, stride, dilation, channels, out, groups in _WINDOWS:
        conv = _core.Conv(
            data.floats(out, channels // groups, *kernel), data.floats(out), strides=stride, dilations=dilation,
            padding=1, groups=groups,
        )  # fmt: skip
        yield conv(data.floats(1, 7, 9, channels, exponent=-11))


def _quantize(data: _Stream) -> Arrays:
    special = np.array([np.nan, np.inf, -np.inf, -0.0, 0.5, 1.5, 2.5, -0.5, 1e-45, 3.4e38], np.float32)
    for dtype in CODES:
        x = np.concatenate(
            [data.floats(23, 41).ravel(), special, data.integers(12, 50).astype(np.float32) / np.float32(2)]
        )
        yield _core.quantize(x, 0.0625 * 3, 11, dtype=dtype)
        yield _core.quantize(x, 0.5, 100, dtype=dtype)
        yield _core.quantize(
            data.floats(9, 37), data.scales(37, exponent=-12), data.codes(dtype, 37), dtype=dtype, axis=1
        )
        q = data.codes(dtype, 9, 37)
        yield _core.dequantize(q, 0.3, 11)
        yield _core.dequantize(q, data.scales(37), data.codes(dtype, 37), axis=1)
    yield _core.dequantize(data.integers(31, 5, 37), data.scales(37), axis=1)


def _requantize(data: _Stream) -> Arrays:
    for dtype in CODES:
        yield _core.requantize(data.integers(20, 9, 67), 0.0007, 5, dtype=dtype)
        yield _core.requantize(
            data.integers(31, 9, 67), data.scales(67, exponent=-36), dtype=dtype, bias=data.integers(31, 67),
            clamp=(2, 99),
        )  # fmt: skip


def _elementwise(data: _Stream) -> Arrays:
    for dtype in CODES:
        x, y = data.codes(dtype, 2, 7, 9, 35), data.codes(dtype, 2, 7, 9, 35)
        yield _core.add(x, y, a_scale=0.3, b_scale=0.07, y_scale=0.21, a_zero_point=4, b_zero_point=90, y_zero_point=31)
        yield _core.max_pool(x, kernel=3, strides=2, padding=1, layout="NHWC")
        yield _core.average_pool(
            x, kernel=3, strides=2, padding=1, layout="NHWC", x_scale=0.3, x_zero_point=4, y_scale=0.2, y_zero_point=1
        )  # fmt: skip
        yield _core.global_average_pool(x, layout="NHWC", x_scale=0.3, x_zero_point=4, y_scale=0.2, y_zero_point=1)
        yield _core.lookup(x, data.codes(dtype, 256))


def _demo_model(target: str) -> Callable[[_Stream], Arrays]:
    def run(_: _Stream) -> Arrays:
        from .demo import data as demo
        from .pipeline import quantize_model

        images = demo.load()
        feeds = [{"image": images.calibration[i : i + 50]} for i in range(0, 100, 50)]
        # minmax: ranges are exact, where a method that searches takes logarithms from the C library.
        model = quantize_model(demo.model_path(), feeds, target=target, method="minmax", effort="fast")
        yield model.session().run(None, {"image": images.test[:64]})[0]

    return run


KERNEL_CASES: dict[str, Callable[[_Stream], Arrays]] = {
    "matmul": _matmul,
    "qconv": _qconv,
    "qlinear": _qlinear,
    "float": _float,
    "quantize": _quantize,
    "requantize": _requantize,
    "elementwise": _elementwise,
}
MODEL_CASES: dict[str, Callable[[_Stream], Arrays]] = {"demo_arm": _demo_model("arm"), "demo_x86": _demo_model("x86")}


@dataclass(frozen=True)
class Check:
    """One case on one tier."""

    tier: str
    case: str
    passed: bool


def expected() -> dict[str, str]:
    """Case -> SHA-256, as golden.json has it."""
    hashes: dict[str, str] = json.loads(files("qkern").joinpath("golden.json").read_text())
    return hashes


def run_case(name: str) -> str:
    """SHA-256 over dtype, shape and bytes of every output of case `name` on the active tier. Raises KeyError."""
    case = (KERNEL_CASES | MODEL_CASES)[name]
    digest = hashlib.sha256()
    for array in case(_Stream(2024)):
        little = array.astype(array.dtype.newbyteorder("<"))
        digest.update(f"{array.dtype.name}{array.shape}".encode())
        digest.update(np.ascontiguousarray(little).tobytes())
    return digest.hexdigest()


def verify() -> Iterator[Check]:
    """Each case on each tier that this processor can run."""
    hashes = expected()
    for tier in _core.isa_available():
        with isa.use(tier):
            for name in (*KERNEL_CASES, *MODEL_CASES):
                yield Check(tier, name, run_case(name) == hashes[name])


if __name__ == "__main__":
    print(json.dumps({name: run_case(name) for name in (*KERNEL_CASES, *MODEL_CASES)}, indent=2))
