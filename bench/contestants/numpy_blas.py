"""NumPy: float32 through its BLAS; int32 products, which have no BLAS; elementwise as one writes it in NumPy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from ..contest import Contestant
from ..operators import conv as conv_data
from ..operators import elementwise as elementwise_data
from ..operators import gemm as gemm_data

__all__ = ["conv", "elementwise", "gemm", "set_threads"]

MOST_INT32_OPERATIONS = 300_000_000  # about a second; what is larger would take the whole run
_limits: list[object] = []


def set_threads(count: int) -> None:
    """Of NumPy's BLAS; without threadpoolctl only OPENBLAS_NUM_THREADS limits it, so then it has to be one of them."""
    from threadpoolctl import threadpool_limits

    _limits[:] = [threadpool_limits(count, user_api="blas")]


def gemm(data: gemm_data.Data, threads: int, tiers: Sequence[str]) -> Iterator[Contestant]:
    shape = (data.shape.rows, data.shape.cols)
    real = np.empty(shape, np.float32)
    yield Contestant(
        "numpy", "float", "fp32", "f32", partial(np.matmul, data.a_f32, data.b_f32, out=real), lambda: real
    )
    if data.shape.operations <= MOST_INT32_OPERATIONS:
        a, b, out = data.a_u8.astype(np.int32), data.b_s8.astype(np.int32), np.empty(shape, np.int32)
        yield Contestant("numpy int32", "", "s32", "u8s8", partial(np.matmul, a, b, out=out), lambda: out)


def conv(data: conv_data.Data, threads: int, tiers: Sequence[str]) -> Iterator[Contestant]:
    """NumPy has none."""
    yield from ()


def elementwise(data: elementwise_data.Data, threads: int, tiers: Sequence[str]) -> Iterator[Contestant]:
    x, scale, zero, real = data.x, data.scale, np.float32(data.zero_point), np.empty(data.x.shape, np.float32)
    codes = np.empty(data.x.shape, np.uint8)

    def to_codes() -> None:
        np.rint(real, out=real)
        np.add(real, zero, out=real)
        np.clip(real, 0, 255, out=real)
        np.copyto(codes, real, casting="unsafe")

    def quantize() -> None:
        np.divide(x, scale, out=real)
        to_codes()

    def requantize() -> None:
        np.copyto(real, x, casting="unsafe")
        np.multiply(real, scale, out=real)
        to_codes()

    def dequantize() -> None:
        np.subtract(x, zero, out=real)
        np.multiply(real, scale, out=real)

    call = {"quantize": quantize, "dequantize": dequantize, "requantize": requantize}[data.operator]
    output = elementwise_data.bits(real if data.operator == "dequantize" else codes)
    yield Contestant("numpy", "", data.operator, "exact", call, lambda: output)
