"""The calls that a kernel of `_core` computes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..scheme import QuantParams
from .call import Call, Form, same_form
from .window import Window

__all__ = [
    "AddCodes",
    "Convolution",
    "Dequantize",
    "DequantizeBy",
    "FullyConnected",
    "GlobalAverage",
    "GlobalMax",
    "Lookup",
    "PoolScales",
    "Quantize",
    "QuantizeBy",
    "WindowMax",
]

_Array: TypeAlias = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Convolution(Call):
    """A convolution of channels-last images with the packed weights of `layer`, to `dtype`."""

    layer: _core.QConv | _core.Conv
    dtype: np.dtype[Any]

    def __call__(self, x: _Array, *, out: _Array | None = None) -> _Array:
        return self.layer(x, out=out)

    def forms(self, *operands: Form) -> tuple[Form]:
        return (Form(self.layer.output_shape(operands[0].shape), self.dtype),)

    def by_sample(self, *operands: Form) -> bool:
        return True

    def native(self, *operands: Form) -> _core.NativeCall | None:
        return _core.NativeCall.conv(self.layer, operands[0].shape, operands[0].dtype)

    def macs(self, *operands: Form) -> int:
        (result,) = self.forms(*operands)
        return result.size * math.prod(self.layer.weight_shape[1:])

    def layers(self) -> tuple[_core.QConv | _core.Conv]:
        return (self.layer,)


@dataclass(frozen=True, eq=False)
class FullyConnected(Call):
    """A fully connected layer on the last axis, with the packed weights of `layer`, to `dtype`."""

    layer: _core.QLinear | _core.Linear
    dtype: np.dtype[Any]
    route = "dense"

    def __call__(self, x: _Array, *, out: _Array | None = None) -> _Array:
        return self.layer(x, out=out)

    def forms(self, *operands: Form) -> tuple[Form]:
        shape, (out, features) = operands[0].shape, self.layer.weight_shape
        if not shape or shape[-1] != features:
            raise ValueError(f"x has shape {shape}; expected (..., {features})")
        return (Form((*shape[:-1], out), self.dtype),)

    def by_sample(self, *operands: Form) -> bool:
        return True

    def native(self, *operands: Form) -> _core.NativeCall | None:
        return _core.NativeCall.linear(self.layer, operands[0].shape, operands[0].dtype)

    def macs(self, *operands: Form) -> int:
        return operands[0].size * self.layer.weight_shape[0]

    def layers(self) -> tuple[_core.QLinear | _core.Linear]:
        return (self.layer,)


@dataclass(frozen=True, eq=False)
class AddCodes(Call):
    """quantize(dequantize(a) + dequantize(b)), broadcast as NumPy does."""

    a: QuantParams
    b: QuantParams
    y: QuantParams
    clamp: tuple[int, int] | None

    def __call__(self, a: _Array, b: _Array, *, out: _Array | None = None) -> _Array:
        if a.shape != b.shape:
            a, b = np.broadcast_arrays(a, b)
        return _core.add(a, b, out=out, **self._arguments())

    def forms(self, *operands: Form) -> tuple[Form]:
        a, b = operands
        return (Form(np.broadcast_shapes(a.shape, b.shape), self.y.dtype),)

    def by_sample(self, *operands: Form) -> bool:
        a, b = operands
        return len(a.shape) == len(b.shape)

    def native(self, *operands: Form) -> _core.NativeCall | None:
        a, b = operands
        if a.shape != b.shape:
            return None
        return _core.NativeCall.add(a.shape, a.dtype, b.dtype, **self._arguments())

    def _arguments(self) -> dict[str, Any]:
        return {
            "a_scale": float(self.a.scale),
            "b_scale": float(self.b.scale),
            "y_scale": float(self.y.scale),
            "a_zero_point": int(self.a.zero_point),
            "b_zero_point": int(self.b.zero_point),
            "y_zero_point": int(self.y.zero_point),
            "dtype": self.y.dtype,
            "clamp": self.clamp,
        }


@dataclass(frozen=True, eq=False)
class Lookup(Call):
    """Codes by a table of 256 entries."""

    table: NDArray[Any]
    route = "table"

    def __call__(self, x: _Array, *, out: _Array | None = None) -> _Array:
        return _core.lookup(x, self.table, out=out)

    def forms(self, *operands: Form) -> tuple[Form]:
        return same_form(operands[0], self.table.dtype)

    def by_sample(self, *operands: Form) -> bool:
        return True

    def native(self, *operands: Form) -> _core.NativeCall | None:
        return _core.NativeCall.lookup(operands[0].shape, self.table)


@dataclass(frozen=True, eq=False)
class Quantize(Call):
    """float32 to 8-bit codes."""

    params: QuantParams

    def __call__(self, x: _Array, *, out: _Array | None = None) -> _Array:
        to = self.params
        return _core.quantize(x, to.scale, to.zero_point, dtype=to.dtype, axis=to.axis, out=out)

    def forms(self, *operands: Form) -> tuple[Form]:
        return same_form(operands[0], self.params.dtype)

    def by_sample(self, *operands: Form) -> bool:
        return self.params.axis != 0

    def native(self, *operands: Form) -> _core.NativeCall | None:
        (x,), to = operands, self.params
        if x.dtype != np.float32:
            return None
        return _core.NativeCall.quantize(x.shape, to.scale, to.zero_point, dtype=to.dtype, axis=to.axis)


@dataclass(frozen=True, eq=False)
class Dequantize(Call):
    """Codes of 8 or 32 bits to float32."""

    params: QuantParams

    def __call__(self, q: _Array, *, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        of = self.params
        return _core.dequantize(q, of.scale, of.zero_point, axis=of.axis, out=out)

    def forms(self, *operands: Form) -> tuple[Form]:
        return same_form(operands[0], np.dtype(np.float32))

    def by_sample(self, *operands: Form) -> bool:
        return self.params.axis != 0

    def native(self, *operands: Form) -> _core.NativeCall | None:
        (q,), of = operands, self.params
        return _core.NativeCall.dequantize(q.shape, q.dtype, of.scale, of.zero_point, axis=of.axis)


@dataclass(frozen=True)
class PoolScales:
    """Parameters of the codes that an averaging kernel reads and writes."""

    x_scale: float
    x_zero_point: int
    y_scale: float
    y_zero_point: int
    dtype: np.dtype[Any]

    def arguments(self) -> dict[str, Any]:
        """As the kernels of `_core` take them."""
        return dict(vars(self))


@dataclass(frozen=True)
class WindowMax(Call):
    """The largest number of each window of channels-last images with at most KERNEL_AXES spatial axes."""

    window: Window

    def __call__(self, x: _Array, *, out: _Array | None = None) -> _Array:
        return _core.max_pool(x, layout="NHWC", out=out, **self._arguments(x.shape))

    def forms(self, *operands: Form) -> tuple[Form]:
        (x,) = operands
        return (Form((x.shape[0], *self.window.positions(x.shape[1:-1]), x.shape[-1]), x.dtype),)

    def by_sample(self, *operands: Form) -> bool:
        return True

    def native(self, *operands: Form) -> _core.NativeCall | None:
        (x,) = operands
        return _core.NativeCall.max_pool(x.shape, x.dtype, **self._arguments(x.shape))

    def _arguments(self, shape: tuple[int, ...]) -> dict[str, Any]:
        window = self.window
        padding = window.padding_for(shape[1:-1])
        return {
            "kernel": window.kernel,
            "strides": window.strides,
            "dilations": window.dilations,
            "padding": padding,
        }


class _Global(Call):
    """Over all spatial axes of channels-last images, which keep size 1 and are one axis for the kernels."""

    def pool(self, flat: _Array, out: _Array | None) -> _Array:
        raise NotImplementedError

    def __call__(self, x: _Array, *, out: _Array | None = None) -> _Array:
        batch, *spatial, channels = x.shape
        flat = x.reshape(batch, _pixels(spatial), channels)
        pooled = self.pool(flat, out=None if out is None else out.reshape(batch, 1, channels))
        return pooled.reshape(batch, *[1] * len(spatial), channels)

    def by_sample(self, *operands: Form) -> bool:
        return True

    def forms(self, *operands: Form) -> tuple[Form]:
        batch, *spatial, channels = operands[0].shape
        _pixels(spatial)
        return (Form((batch, *[1] * len(spatial), channels), operands[0].dtype),)


def _pixels(spatial: list[int]) -> int:
    if 0 in spatial:
        raise ValueError(f"an image of the size {tuple(spatial)} has no element")
    return math.prod(spatial)


@dataclass(frozen=True)
class GlobalAverage(_Global):
    """The mean of every channel; `scales` where it reads codes."""

    scales: PoolScales | None = None

    def pool(self, flat: _Array, out: _Array | None) -> _Array:
        return _core.global_average_pool(flat, layout="NHWC", out=out, **self._arguments())

    def forms(self, *operands: Form) -> tuple[Form]:
        (form,) = super().forms(*operands)
        return same_form(form, None if self.scales is None else self.scales.dtype)

    def native(self, *operands: Form) -> _core.NativeCall | None:
        batch, *spatial, channels = operands[0].shape
        flat = (batch, _pixels(spatial), channels)
        return _core.NativeCall.average_pool(flat, operands[0].dtype, kernel=flat[1], **self._arguments())

    def _arguments(self) -> dict[str, Any]:
        return {} if self.scales is None else self.scales.arguments()


@dataclass(frozen=True)
class GlobalMax(_Global):
    """The largest number of every channel."""

    def pool(self, flat: _Array, out: _Array | None) -> _Array:
        return _core.max_pool(flat, kernel=flat.shape[1], layout="NHWC", out=out)

    def native(self, *operands: Form) -> _core.NativeCall | None:
        batch, *spatial, channels = operands[0].shape
        flat = (batch, _pixels(spatial), channels)
        return _core.NativeCall.max_pool(flat, operands[0].dtype, kernel=flat[1])


@dataclass(frozen=True)
class QuantizeBy(Call):
    """x, scale and, if given, zero point, which another step computes -> codes of `dtype`."""

    axis: int
    dtype: np.dtype[Any]
    takes_out = False

    def __call__(self, x: _Array, scale: _Array, zero_point: _Array | None = None) -> _Array:
        where = self.axis if scale.size > 1 else None
        zero = 0 if zero_point is None else _plain(zero_point)
        return _core.quantize(x, _plain(scale), zero, dtype=self.dtype, axis=where)

    def forms(self, *operands: Form) -> tuple[Form]:
        return same_form(operands[0], self.dtype)


@dataclass(frozen=True)
class DequantizeBy(Call):
    """Codes, scale and, if given, zero point, which another step computes -> float32."""

    axis: int
    takes_out = False

    def __call__(self, q: _Array, scale: _Array, zero_point: _Array | None = None) -> _Array:
        where = self.axis if scale.size > 1 else None
        return _core.dequantize(q, _plain(scale), 0 if zero_point is None else _plain(zero_point), axis=where)

    def forms(self, *operands: Form) -> tuple[Form]:
        return same_form(operands[0], np.dtype(np.float32))


def _plain(array: _Array) -> _Array:
    """One number without axes; more as they are."""
    return array.reshape(()) if array.size == 1 else array
