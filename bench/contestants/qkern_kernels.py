"""qkern, on every tier that is asked for; where there are several threads, its main variant on one of them too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import qkern
from numpy.typing import NDArray
from qkern import _core

from ..contest import OURS, Contestant, one_thread
from ..operators import conv as conv_data
from ..operators import elementwise as elementwise_data
from ..operators import gemm as gemm_data

__all__ = ["conv", "elementwise", "gemm", "set_threads"]


def set_threads(count: int) -> None:
    qkern.set_num_threads(count)


def gemm(data: gemm_data.Data, threads: int, tiers: Sequence[str]) -> Iterator[Contestant]:
    """Packed once, and in every call; besides, on the first tier, float32."""
    shape = (data.shape.rows, data.shape.cols)
    for tier in tiers:
        with qkern.isa.use(tier):
            packed = qkern.pack(data.b_s8)
            layer, safe = _linear(data, data.b_s8), _linear(data, data.b_safe)
            safe_packed = qkern.pack(data.b_safe) if safe.is_safe else None
        pairs = (("u8s8", data.a_u8), ("s8s8", data.a_s8))
        for name, a in pairs if tier != "scalar" else pairs[:1]:
            out = np.empty(shape, np.int32)
            call = partial(qkern.matmul, a, packed, out=out)
            contestant = _ours(tier, f"{name} packed", "s32", name, call, out, threads)
            yield contestant
            if name == "u8s8":
                yield from _on_one_thread(contestant, tiers)
        codes = np.empty(shape, np.uint8)
        yield _ours(tier, "fused", "u8", "u8", partial(layer, data.a_u8, out=codes), codes, threads)
        if safe_packed is not None:
            out, codes = np.empty(shape, np.int32), np.empty(shape, np.uint8)
            call = partial(qkern.matmul, data.a_u8, safe_packed, out=out)
            yield _safe(_ours(tier, "u8s8 packed", "s32", "u8s8", call, out, threads))
            yield _safe(_ours(tier, "fused", "u8", "u8", partial(safe, data.a_u8, out=codes), codes, threads))
        if tier != "scalar":
            out = np.empty(shape, np.int32)
            call = partial(qkern.matmul, data.a_u8, data.b_s8, out=out)
            yield _ours(tier, "u8s8 unpacked", "s32", "u8s8", call, out, threads)
    with qkern.isa.use(tiers[0]):
        dense = _core.Linear(np.ascontiguousarray(data.b_f32.T))
    real = np.empty(shape, np.float32)
    yield _ours(tiers[0], "float", "fp32", "f32", partial(dense, data.a_f32, out=real), real, threads)


def _linear(data: gemm_data.Data, b: NDArray[np.int8]) -> qkern.QLinear:
    return qkern.QLinear(
        b.T,
        data.w_scale,
        x_scale=data.x_scale,
        x_zero_point=data.zero_point,
        y_scale=data.y_scale,
        y_zero_point=data.zero_point,
    )


def conv(data: conv_data.Data, threads: int, tiers: Sequence[str]) -> Iterator[Contestant]:
    """Channels last on all tiers; besides, on the first: channels first, and float32."""
    for tier in tiers:
        out = np.empty(data.output_shape, np.uint8)
        call = partial(_conv(data, data.w_s8, tier, "NHWC"), data.x_u8, out=out)
        contestant = _ours(tier, "fused", "u8", "u8", call, out, threads)
        yield contestant
        yield from _on_one_thread(contestant, tiers)
        safe = _conv(data, data.w_safe, tier, "NHWC")
        if safe.is_safe:
            out = np.empty(data.output_shape, np.uint8)
            yield _safe(_ours(tier, "fused", "u8", "u8", partial(safe, data.x_u8, out=out), out, threads))
        for algorithm in ("direct", "winograd2", "winograd4") if data.shape.kernel == 3 else ():
            try:
                layer = _conv(data, data.w_s8, tier, "NHWC", algorithm)
            except ValueError:  # the form has another stride or groups, or isn't exact for these weights
                continue
            out = np.empty(data.output_shape, np.uint8)
            yield _ours(tier, f"fused, {algorithm}", "u8", "u8", partial(layer, data.x_u8, out=out), out, threads)
    first = np.empty(_channels_first(data.output_shape), np.uint8)
    x = np.ascontiguousarray(data.x_u8.transpose(0, 3, 1, 2))
    call = partial(_conv(data, data.w_s8, tiers[0], "NCHW"), x, out=first)
    yield _ours(tiers[0], "fused NCHW", "u8", "u8", call, first.transpose(0, 2, 3, 1), threads)
    with qkern.isa.use(tiers[0]):
        dense = _core.Conv(data.w_f32, **_geometry(data))
    real = np.empty(data.output_shape, np.float32)
    yield _ours(tiers[0], "float", "fp32", "f32", partial(dense, data.x_f32, out=real), real, threads)


def _channels_first(shape: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    return (shape[0], shape[3], shape[1], shape[2])


def _geometry(data: conv_data.Data) -> dict[str, Any]:
    shape = data.shape
    return {
        "strides": shape.stride,
        "padding": shape.padding,
        "dilations": shape.dilation,
        "groups": shape.groups,
    }


def _conv(data: conv_data.Data, w: NDArray[np.int8], tier: str, layout: str, algorithm: Any = "auto") -> qkern.QConv:
    with qkern.isa.use(tier):
        return qkern.QConv(
            w,
            data.w_scale,
            x_scale=data.x_scale,
            x_zero_point=data.zero_point,
            y_scale=data.y_scale,
            y_zero_point=data.zero_point,
            layout=layout,
            algorithm=algorithm,
            **_geometry(data),
        )


def elementwise(data: elementwise_data.Data, threads: int, tiers: Sequence[str]) -> Iterator[Contestant]:
    """On all tiers: these follow the active one."""
    common: dict[str, Any] = {"axis": data.axis}
    if data.operator == "quantize":
        common["dtype"] = np.uint8
    elif data.operator == "requantize":
        common |= {"dtype": np.uint8, "axis": 1}
    function: Callable[..., object] = getattr(qkern, data.operator)
    for tier in tiers:
        out = np.empty(data.x.shape, np.float32 if data.operator == "dequantize" else np.uint8)
        call = partial(function, data.x, data.scale, data.zero_point, out=out, **common)
        contestant = _ours(tier, "", data.operator, "exact", call, elementwise_data.bits(out), threads)
        yield contestant
        yield from _on_one_thread(contestant, tiers)


def _ours(
    tier: str, variant: str, task: str, answer: str, call: Callable[[], object], output: Any, threads: int
) -> Contestant:
    return Contestant(OURS, variant, task, answer, call, lambda: output, tier, threads)


def _safe(contestant: Contestant) -> Contestant:
    """The same by saturation-safe weights."""
    variant, answer = (f"{text}, safe weights" for text in (contestant.variant, contestant.answer))
    return replace(contestant, variant=variant, answer=answer, products="int8_safe")


def _on_one_thread(contestant: Contestant, tiers: Sequence[str]) -> Iterator[Contestant]:
    """The same call, on the first tier, so that what more threads bring is measured in the same rounds."""
    if contestant.threads > 1 and contestant.tier == tiers[0]:
        yield replace(contestant, variant=one_thread(contestant.variant), threads=1)
