"""PyTorch: float32; `torch._int_mm`; FBGEMM and oneDNN through torch.ops.quantized. Convolutions with channels last."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..contest import Contestant
from ..operators import conv as conv_data
from ..operators import elementwise as elementwise_data
from ..operators import gemm as gemm_data

__all__ = ["conv", "elementwise", "gemm", "set_threads"]

Array = NDArray[Any]
ENGINES = {"fbgemm": "FBGEMM", "onednn": "oneDNN"}
torch.set_grad_enabled(False)
warnings.filterwarnings("ignore", message=".*quantized tensor creation.*")  # deprecated there, still its fastest int8


def set_threads(count: int) -> None:
    torch.set_num_threads(count)


@contextmanager
def engine(name: str) -> Iterator[None]:
    """What is packed inside belongs to this engine."""
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = name
    try:
        yield
    finally:
        torch.backends.quantized.engine = before


def _engines() -> list[str]:
    return [name for name in ENGINES if name in torch.backends.quantized.supported_engines]


class _Last:
    """Keeps what a function returned: most of these can't write to existing memory."""

    def __init__(self, function: Callable[[], torch.Tensor]) -> None:
        self.function = function
        self.result: torch.Tensor | None = None

    def __call__(self) -> None:
        self.result = self.function()

    def codes(self) -> Array:
        assert self.result is not None
        result: Array = (self.result.int_repr() if self.result.is_quantized else self.result).numpy()
        return result

    def channels_last(self) -> Array:
        return self.codes().transpose(0, 2, 3, 1)


def _quantized(x: Array, scale: np.float32, zero_point: int) -> torch.Tensor:
    tensor = torch.from_numpy(x)
    return torch._make_per_tensor_quantized_tensor(tensor, float(scale), zero_point)


def _weight(w: Array, scale: Array) -> torch.Tensor:
    scales, zeros = torch.from_numpy(scale.astype(np.float64)), torch.zeros(len(scale), dtype=torch.long)
    return torch._make_per_channel_quantized_tensor(torch.from_numpy(np.ascontiguousarray(w)), scales, zeros, 0)


def gemm(data: gemm_data.Data, threads: int, tiers: Sequence[str]) -> Iterator[Contestant]:
    shape = (data.shape.rows, data.shape.cols)
    b = torch.from_numpy(data.b_s8)
    for name, a in (("u8s8", data.a_u8), ("s8s8", data.a_s8)):
        out = torch.empty(shape, dtype=torch.int32)
        call = partial(torch._int_mm, torch.from_numpy(a), b, out=out)
        yield Contestant("torch", f"_int_mm {name}", "s32", name, call, out.numpy)
    x = _quantized(data.a_u8, data.x_scale, data.zero_point)
    for name in _engines():
        with engine(name):
            packed = torch.ops.quantized.linear_prepack(_weight(data.b_s8.T, data.w_scale), None)
        fused = _Last(partial(torch.ops.quantized.linear, x, packed, float(data.y_scale), data.zero_point))
        yield Contestant("torch", ENGINES[name], "u8", "u8", fused, fused.codes)
    real = torch.empty(shape)
    call = partial(torch.mm, torch.from_numpy(data.a_f32), torch.from_numpy(data.b_f32), out=real)
    yield Contestant("torch", "float", "fp32", "f32", call, real.numpy)


def conv(data: conv_data.Data, threads: int, tiers: Sequence[str]) -> Iterator[Contestant]:
    shape = data.shape
    pair = [[each] * 2 for each in (shape.stride, shape.padding, shape.dilation)]
    x = _quantized(data.x_u8, data.x_scale, data.zero_point).permute(0, 3, 1, 2)
    for name in _engines():
        with engine(name):
            weight = _weight(data.w_s8, data.w_scale)
            packed = torch.ops.quantized.conv2d_prepack(weight, None, *pair, shape.groups)
        fused = _Last(partial(torch.ops.quantized.conv2d, x, packed, float(data.y_scale), data.zero_point))
        yield Contestant("torch", ENGINES[name], "u8", "u8", fused, fused.channels_last)
    images = torch.from_numpy(data.x_f32).permute(0, 3, 1, 2)
    weight = torch.from_numpy(data.w_f32).contiguous(memory_format=torch.channels_last)
    call = partial(
        torch.nn.functional.conv2d, images, weight, None, shape.stride, shape.padding, shape.dilation, shape.groups
    )
    real = _Last(call)
    yield Contestant("torch", "float", "fp32", "f32", real, real.channels_last)


def elementwise(data: elementwise_data.Data, threads: int, tiers: Sequence[str]) -> Iterator[Contestant]:
    """Requantization from int32 is not offered."""
    x, scale, zero = torch.from_numpy(data.x), torch.from_numpy(np.atleast_1d(data.scale).astype(np.float64)), 128
    zeros = torch.full(scale.shape, zero, dtype=torch.long)
    if data.operator == "quantize":
        if data.per_channel:
            call = partial(torch.quantize_per_channel, x, scale, zeros, 1, torch.quint8)
        else:
            call = partial(torch.quantize_per_tensor, x, float(data.scale), zero, torch.quint8)
    elif data.operator == "dequantize":
        if data.per_channel:
            codes = torch._make_per_channel_quantized_tensor(x, scale, zeros, 1)
        else:
            codes = torch._make_per_tensor_quantized_tensor(x, float(data.scale), zero)
        call = codes.dequantize
    else:
        return
    last = _Last(call)
    yield Contestant("torch", "", data.operator, "exact", last, lambda: elementwise_data.bits(last.codes()))
