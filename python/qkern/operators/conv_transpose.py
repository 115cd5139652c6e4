"""ConvTranspose: one ordinary convolution per output phase, in int8 and in float32.

    y[q s + r - begin] = sum over taps k with k d = r (mod s) of x[q - (k d - r) / s] w[k]        per spatial axis

so with stride s the outputs of one phase (every s-th) are a convolution of stride 1 with the flipped taps of one
residue, and phases don't share a tap: no multiplication is wasted on the zeros between pixels, and every phase has the
arithmetic, the kernels and the epilogue of Conv. A phase without a tap is its bias.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..graph_values import constant_of
from ..program import Call, Form, Lowering, Unsupported
from .operator import NodeQuantization, Operator
from .weights import int8_layer, output_arguments, shape_of_weight

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir


__all__ = ["ConvTranspose"]


class ConvTranspose(Operator):
    """x (batch, channels, spatial...), weight (channels, out / group, kernel...), bias (out).

    A scale per index of the weight's axis 1 is one per output channel of a group, the same in every group.
    """

    op_type = "ConvTranspose"
    attributes = ("auto_pad", "dilations", "group", "kernel_shape", "output_padding", "output_shape", "pads", "strides")
    absorbs_activation = True
    scales_by_output = True

    def quantization(self, node: ir.Node) -> NodeQuantization | str:
        weight = constant_of(node.inputs[1])
        if weight is None:
            return "its weight is not constant"
        try:
            _axes(node, weight.shape)
        except Unsupported as reason:
            return str(reason)
        return NodeQuantization((0,), weight=1, weight_axis=1, bias=2)

    def lower(self, node: ir.Node, lowering: Lowering) -> None:
        axes, groups = _axes(node, shape_of_weight(node, lowering)), node.attributes.get_int("group", 1)
        layer = int8_layer(node, lowering, channel_axis=1, groups=groups)
        if isinstance(layer, str):
            self._lower_float(node, lowering, axes, layer)
            return
        to = lowering.destination(node)
        if to.params is None:  # float output: no activation is absorbed
            to = lowering.destination(node, absorb=False)

        def convolution(taps: NDArray[Any], padding: list[tuple[int, int]], dilations: list[int]) -> Any:
            return _core.QConv(
                taps,
                layer.scale,
                layer.bias,
                x_scale=layer.x.scale,
                x_zero_point=layer.x.zero_point,
                weight_zero_point=layer.zero_point,
                padding=padding,
                dilations=dilations,
                groups=groups,
                algorithm=lowering.algorithm,
                budget=lowering.budget,
                **output_arguments(to),
            )

        call = _phases(axes, layer.weight, groups, convolution, layer.x.params.zero_point)
        codes = lowering.read_codes(layer.x, channels_last=True)
        lowering.add(node, call, [codes], to, kind="int8", channels_last=True, reason=layer.note)

    def _lower_float(self, node: ir.Node, lowering: Lowering, axes: list[_Axis], reason: str) -> None:
        x, weight = node.inputs[0], lowering.constant(node.inputs[1])
        bias = lowering.constant(node.inputs[2]) if len(node.inputs) > 2 else None
        assert x is not None
        assert weight is not None
        if len(node.inputs) > 2 and node.inputs[2] is not None and bias is None:
            raise Unsupported("its bias is not constant")
        if weight.dtype != np.float32 or not lowering.is_float(x):
            raise Unsupported("its input or its weight is not float32")
        to, groups = lowering.destination(node), node.attributes.get_int("group", 1)

        def convolution(taps: NDArray[Any], padding: list[tuple[int, int]], dilations: list[int]) -> Any:
            return _core.Conv(taps, bias, clamp=to.bounds, padding=padding, dilations=dilations, groups=groups)

        call = _phases(axes, weight, groups, convolution, np.float32(0))
        lowering.add_float(node, call, [lowering.read(x, channels_last=True)], to, channels_last=True, reason=reason)


@dataclass(frozen=True)
class _Axis:
    """One spatial axis. `grows`: the size of the output minus stride * the size of the input, whatever that is."""

    kernel: int
    stride: int
    dilation: int
    begin: int
    grows: int

    def firsts(self) -> list[int]:
        """The first output of each phase that a tap reaches."""
        return sorted({(tap * self.dilation - self.begin) % self.stride for tap in range(self.kernel)})

    def phase(self, first: int) -> tuple[list[int], int, tuple[int, int], slice]:
        """Of the outputs first, first + stride, ...: the taps, flipped; their dilation; the padding; and what to keep
        of the convolution, where the padding would be negative."""
        quotient, residue = divmod(first + self.begin, self.stride)
        taps = [tap for tap in range(self.kernel) if tap * self.dilation % self.stride == residue]
        dilation = self.dilation // math.gcd(self.dilation, self.stride)
        nearest = (taps[0] * self.dilation - residue) // self.stride
        begin = nearest + (len(taps) - 1) * dilation - quotient
        end = quotient - nearest - (first - self.grows) // self.stride
        return taps[::-1], dilation, (max(begin, 0), max(end, 0)), slice(max(-begin, 0), min(end, 0) or None)


@dataclass(frozen=True, eq=False)
class _Phases(Call):
    """x channels last -> y channels last.

    `phases`: which outputs, the convolution that computes them, and what to keep of it; `bias`: one pixel as the
    epilogue leaves it, which every output is that no tap reaches; `weight`: the shape of the weights.
    """

    axes: tuple[_Axis, ...]
    phases: tuple[tuple[tuple[slice, ...], Any, tuple[slice, ...]], ...]
    bias: NDArray[Any]
    weight: tuple[int, ...]
    route = "phases"

    def __call__(self, x: NDArray[Any], *, out: NDArray[Any] | None = None) -> NDArray[Any]:
        (form,) = self.forms(Form(x.shape, x.dtype))
        y = np.empty(form.shape, form.dtype) if out is None else out
        if not all(len(axis.firsts()) == axis.stride for axis in self.axes):
            y[...] = self.bias
        for where, layer, kept in self.phases:
            to = y[where]
            if to.size:
                to[...] = layer(x)[kept]
        return y

    def forms(self, *operands: Form) -> tuple[Form]:
        batch, *sizes, _ = operands[0].shape
        spatial = [axis.stride * size + axis.grows for axis, size in zip(self.axes, sizes, strict=True)]
        if min(spatial) < 0:
            raise ValueError(f"the output would have the spatial size {tuple(spatial)}")
        return (Form((batch, *spatial, self.bias.shape[-1]), self.bias.dtype),)

    def macs(self, *operands: Form) -> int:
        return operands[0].size * math.prod(self.weight[1:])

    def layers(self) -> tuple[_core.QConv | _core.Conv, ...]:
        return tuple(layer for _, layer, _ in self.phases)


def _phases(
    axes: list[_Axis],
    weight: NDArray[Any],
    groups: int,
    convolution: Callable[[NDArray[Any], list[tuple[int, int]], list[int]], Any],
    zero: Any,
) -> _Phases:
    """`weight` as ONNX has it; `convolution` makes the layer of some of its taps; `zero`: real 0 as x has it."""
    taps_last = _as_convolution(weight, groups)
    nothing = np.full((1,) * (len(axes) + 1) + (len(weight),), zero)
    zeros: NDArray[Any] = np.zeros((*taps_last.shape[:2], *[1] * len(axes)), weight.dtype)
    bias = convolution(zeros, [(0, 0)] * len(axes), [1] * len(axes))(nothing)
    phases = []
    for firsts in product(*(axis.firsts() for axis in axes)):
        parts = [axis.phase(first) for axis, first in zip(axes, firsts, strict=True)]
        where = tuple(slice(first, None, axis.stride) for axis, first in zip(axes, firsts, strict=True))
        chosen = taps_last
        for number, (taps, *_) in enumerate(parts, start=2):
            chosen = chosen.take(taps, axis=number)
        layer = convolution(chosen, [part[2] for part in parts], [part[1] for part in parts])
        phases.append(((slice(None), *where), layer, (slice(None), *(part[3] for part in parts))))
    return _Phases(tuple(axes), tuple(phases), bias, weight.shape)


def _as_convolution(weight: NDArray[Any], groups: int) -> NDArray[Any]:
    """(in, out / groups, kernel...) -> (out, in / groups, kernel...)."""
    inputs, outputs, *kernel = weight.shape
    split = weight.reshape(groups, inputs // groups, outputs, *kernel)
    return split.swapaxes(1, 2).reshape(groups * outputs, inputs // groups, *kernel)


def _axes(node: ir.Node, weight: tuple[int, ...]) -> list[_Axis]:
    """The geometry of `node`, for a weight of that shape. Raises `Unsupported`."""
    kernel, x = weight[2:], node.inputs[0]
    count = len(kernel)
    if x is not None and x.shape is not None and len(x.shape) != len(weight):
        raise Unsupported(f"its weight has {len(weight)} axes, for an input of {len(x.shape)}")
    if not 1 <= count <= 3:
        raise Unsupported(f"{count} spatial axes: kernels are for 1 to 3")
    if min(kernel) < 1 or tuple(node.attributes.get_ints("kernel_shape") or kernel) != kernel:
        raise Unsupported(f"its weight has the shape {weight}, which is not that of its kernel")
    if weight[0] % node.attributes.get_int("group", 1):
        raise Unsupported(f"{weight[0]} input channels are no multiple of its groups")
    strides = tuple(node.attributes.get_ints("strides") or (1,) * count)
    dilations = tuple(node.attributes.get_ints("dilations") or (1,) * count)
    extra = tuple(node.attributes.get_ints("output_padding") or (0,) * count)
    pads = tuple(node.attributes.get_ints("pads") or (0,) * (2 * count))
    if [len(strides), len(dilations), len(extra), len(pads)] != [count, count, count, 2 * count]:
        raise Unsupported("its attributes do not have one entry per spatial axis")
    if min(strides) < 1 or min(dilations) < 1 or min(extra) < 0 or min(pads) < 0:
        raise Unsupported("its strides or dilations are not positive, or its padding is negative")
    auto_pad = node.attributes.get_string("auto_pad", "NOTSET")
    if auto_pad not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise Unsupported(f"its auto_pad {auto_pad!r} is not one that ONNX defines")
    shape = _output_shape(node, count)
    axes = []
    for i in range(count):
        whole = dilations[i] * (kernel[i] - 1) + 1 + extra[i] - strides[i]  # `grows`, without padding
        begin, end = pads[i], pads[i + count]
        grows = whole - begin - end
        if shape is not None or auto_pad in ("SAME_UPPER", "SAME_LOWER"):
            grows = 0 if shape is None else shape[i]
            total = max(0, whole - grows)
            begin = total // 2 if auto_pad == "SAME_UPPER" else total - total // 2
            grows = whole - total if shape is None else grows
        elif auto_pad == "VALID":
            begin, grows = 0, whole
        axes.append(_Axis(kernel[i], strides[i], dilations[i], begin, grows))
    return axes


def _output_shape(node: ir.Node, count: int) -> tuple[int, ...] | None:
    """The attribute output_shape of the spatial axes, less stride * the size of the input."""
    wanted = node.attributes.get_ints("output_shape")
    if not wanted:
        return None
    x = node.inputs[0]
    spatial = () if x is None or x.shape is None else tuple(x.shape)[2:]
    if len(spatial) != count or not all(isinstance(size, int) for size in spatial):
        raise Unsupported("an output_shape for an image whose size is not known")
    if len(wanted) not in (count, count + 2):
        raise Unsupported("its output_shape does not have one entry per spatial axis")
    strides = node.attributes.get_ints("strides") or (1,) * count
    return tuple(
        size - stride * int(before)  # type: ignore[arg-type]
        for size, stride, before in zip(wanted[-count:], strides, spatial, strict=True)
    )
