"""Resize: nearest elements are moved, codes too; linear and cubic ones are computed in float32."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..graph_values import constant_of
from ..program import Call, Form, Lowering, Unsupported, axis_in, moved
from .interpolation import COORDINATES, NEAREST, Coordinates, cubic, linear, nearest
from .mover import Mover, filling
from .operator import NodeQuantization

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..scheme import QuantParams

__all__ = ["Resize"]

_BLOCK = 1 << 16  # elements
_OF_WHOLE_SIZES = frozenset(
    {"align_corners", "pytorch_half_pixel", "tf_crop_and_resize"}
)  # coordinates by the new size
# An axis of an array, what is read along it, with what weights (None: moved), and what lies outside.
_Step = tuple[int, NDArray[np.intp], "NDArray[np.float32] | None", NDArray[np.bool_]]


class Resize(Mover):
    """Another size along some axes, one axis after the other, as ONNX defines it.

    ONNX Runtime copies an array whose size stays, whatever its scales or region are, and has no region along an axis of
    scale 1.
    """

    op_type = "Resize"
    attributes = (
        "antialias",
        "axes",
        "coordinate_transformation_mode",
        "cubic_coeff_a",
        "exclude_outside",
        "extrapolation_value",
        "keep_aspect_ratio_policy",
        "mode",
        "nearest_mode",
    )
    keeps_layout = True

    def quantization(self, node: ir.Node) -> NodeQuantization | str:
        if node.attributes.get_string("mode", "nearest") != "nearest":
            return "it computes means of several pixels, which have no int8 kernel"
        if node.attributes.get_string("coordinate_transformation_mode") == "tf_crop_and_resize":
            return "what it extrapolates needn't lie in the range of its input"
        return super().quantization(node)

    def move(self, node: ir.Node, rank: int, params: QuantParams | None, channels_last: bool) -> Call:
        return _Resized(_resizing(node, rank), params, channels_last)

    def lower(self, node: ir.Node, lowering: Lowering) -> None:
        x = node.inputs[0]
        assert x is not None
        resizing = _resizing(node, lowering.rank(x))
        if resizing.mode == "nearest":
            super().lower(node, lowering)
            return
        if not lowering.is_float(x):
            raise Unsupported("its input is not float32")
        channels_last = lowering.rank(x) > 2 and lowering.channels_last(x)
        slots, to = [lowering.read(x, channels_last=channels_last)], lowering.destination(node, absorb=False)
        lowering.add_float(node, _Resized(resizing, None, channels_last), slots, to, channels_last=channels_last)


@dataclass(frozen=True)
class _Resizing:
    """Attributes and constant inputs of a node. `scales`, `sizes` (one of them) and `regions` are those of `axes`."""

    mode: str
    coordinates: str
    rounding: str
    cubic_a: float
    exclude_outside: bool
    extrapolation: float
    policy: str
    axes: tuple[int, ...]
    scales: tuple[np.float32, ...] | None
    sizes: tuple[int, ...] | None
    regions: tuple[tuple[np.float32, np.float32], ...]

    def lengths(self, shape: Sequence[int]) -> list[tuple[int, np.float32]]:
        """New size and scale of each of `axes` of an array of that shape, in the graph's order of axes."""
        old = [shape[axis] for axis in self.axes]
        if self.scales is not None:
            return [(int(np.float32(size) * scale), scale) for size, scale in zip(old, self.scales, strict=True)]
        assert self.sizes is not None
        if 0 in old:
            raise ValueError(f"an array of shape {tuple(shape)} has no element to resize")
        scales = [np.float32(new) / np.float32(size) for new, size in zip(self.sizes, old, strict=True)]
        if self.policy == "stretch":
            return list(zip(self.sizes, scales, strict=True))
        scale = min(scales) if self.policy == "not_larger" else max(scales)
        return [(int(np.floor(float(scale * np.float32(size)) + 0.5)), scale) for size in old]

    def along(self, shape: Sequence[int]) -> list[tuple[int, Coordinates]]:
        """The axes that change, and how."""
        found = []
        for axis, (after, scale), region in zip(self.axes, self.lengths(shape), self.regions, strict=True):
            how = Coordinates(self.coordinates, shape[axis], after, scale, region)
            if how.before == 0 and how.after > 0:
                raise ValueError(f"an array of shape {tuple(shape)} has no element to resize")
            if not how.is_identity:
                found.append((axis, how))
        return found


@dataclass(frozen=True, eq=False)
class _Resized(Call):
    """An array of codes with `params`, or of plain numbers, in that order of axes."""

    resizing: _Resizing
    params: QuantParams | None
    channels_last: bool

    def __call__(self, x: NDArray[Any], *, out: NDArray[Any] | None = None) -> NDArray[Any]:
        steps = self._steps(x.shape)
        y = _moved(x, steps) if self.resizing.mode == "nearest" else _weighed(x, steps, out)
        for axis, _, _, outside in steps:
            if outside.any():
                y[(slice(None),) * axis + (outside,)] = filling(self.resizing.extrapolation, x.dtype, self.params)
        return y if out is None else y if y is out else moved(y, out)

    def forms(self, *operands: Form) -> tuple[Form]:
        (x,) = operands
        shape = list(x.shape)
        for axis, _, _, outside in self._steps(x.shape):
            shape[axis] = len(outside)
        return (Form(tuple(shape), x.dtype),)

    def by_sample(self, *operands: Form) -> bool:
        return 0 not in self.resizing.axes

    def alias(self, *operands: Form) -> int | None:
        return 0 if self.resizing.mode == "nearest" and not self._steps(operands[0].shape) else None

    def native(self, *operands: Form) -> _core.NativeCall | None:
        (x,) = operands
        steps = self._steps(x.shape)
        if self.resizing.mode != "nearest" or any(outside.any() for *_, outside in steps):
            return None
        indices: list[NDArray[np.int64] | None] = [None] * len(x.shape)
        for axis, read, _, _ in steps:
            indices[axis] = read.astype(np.int64)
        return _core.NativeCall.gather(x.dtype.itemsize, x.shape, indices)

    def _steps(self, shape: tuple[int, ...]) -> list[_Step]:
        return _steps(self.resizing, self.channels_last, shape)


def _moved(x: NDArray[Any], steps: Sequence[_Step]) -> NDArray[Any]:
    for axis, indices, _, _ in steps:
        times = len(indices) // max(x.shape[axis], 1)
        if not np.array_equal(indices, np.arange(times * x.shape[axis]) // max(times, 1)):
            x = x.take(indices, axis)
            continue
        # Every element as often as the next: in a fifth of the time of `take` along the last axis.
        repeated = np.empty((*x.shape[: axis + 1], times, *x.shape[axis + 1 :]), x.dtype)
        for index in range(times):
            repeated[(slice(None),) * (axis + 1) + (index,)] = x
        x = repeated.reshape(*x.shape[:axis], len(indices), *x.shape[axis + 1 :])
    return x


def _weighed(x: NDArray[Any], steps: Sequence[_Step], out: NDArray[Any] | None) -> NDArray[Any]:
    shape = list(x.shape)
    for axis, indices, _, _ in steps:
        shape[axis] = indices.shape[1]
    y = np.empty(shape, x.dtype) if out is None else out
    if not steps:
        y[...] = x
        return y
    # In blocks of what stands before these axes, so that a block stays in the cache.
    first = min(axis for axis, *_ in steps)
    rows = math.prod(shape[:first])
    blocks_of_x, blocks_of_y = x.reshape(rows, *x.shape[first:]), y.reshape(rows, *shape[first:])
    size = max(1, _BLOCK // max(1, math.prod(shape[first:])))
    for start in range(0, rows, size):
        block, to = blocks_of_x[start : start + size], blocks_of_y[start : start + size]
        for number, (axis, indices, weights, _) in enumerate(steps, start=1):
            assert weights is not None
            parts = [
                np.take(block, index, axis - first + 1, mode="clip") * weight
                for index, weight in zip(indices, weights, strict=True)
            ]
            total = np.add(parts[0], parts[1], out=to if number == len(steps) else parts[0])
            for part in parts[2:]:
                total += part
            block = total
    return y


@lru_cache(maxsize=64)
def _steps(resizing: _Resizing, channels_last: bool, shape: tuple[int, ...]) -> list[_Step]:
    """For each axis that changes, in an array of that shape."""
    rank = len(shape)
    places = [axis_in(axis, rank, channels_last) for axis in range(rank)]
    steps: list[Any] = []
    for axis, how in resizing.along([shape[place] for place in places]):
        weights = None
        if resizing.mode == "nearest":
            indices = nearest(how, resizing.rounding)
        else:
            if resizing.mode == "linear":
                indices, shares = linear(how)
            else:
                indices, shares = cubic(how, resizing.cubic_a, resizing.exclude_outside)
            weights = shares.reshape(len(shares), -1, *[1] * (rank - 1 - places[axis]))
        growth = how.after / how.before if how.before else 0.0
        steps.append((growth, -axis, (places[axis], indices, weights, how.outside())))
    # What shrinks first, then from the last axis on: so the least is computed, in whatever order the axes are stored.
    return [step for *_, step in sorted(steps, key=lambda each: each[:2])]


def _resizing(node: ir.Node, rank: int) -> _Resizing:
    """Raises `Unsupported` for what isn't constant or has no kernel."""
    text, number = node.attributes.get_string, node.attributes.get_int
    inputs = [*node.inputs, None, None, None][1:4]
    arrays = [constant_of(value) for value in inputs]
    if any(value is not None and array is None for value, array in zip(inputs, arrays, strict=True)):
        raise Unsupported("its sizes are not constant")
    roi, scales, sizes = (None if array is None or array.size == 0 else array.reshape(-1) for array in arrays)
    if (scales is None) == (sizes is None):
        raise Unsupported("it has neither scales nor sizes, or both")
    given = node.attributes.get_ints("axes") or range(rank)
    axes = tuple(axis_in(axis, rank, channels_last=False) for axis in given)
    if len(set(axes)) != len(axes) or any(each is not None and each.size != len(axes) for each in (scales, sizes)):
        raise Unsupported("its scales or sizes are not one for each of its axes")
    mode = str(text("mode", "nearest"))
    coordinates = str(text("coordinate_transformation_mode", "half_pixel"))
    rounding = str(text("nearest_mode", "round_prefer_floor"))
    policy = str(text("keep_aspect_ratio_policy", "stretch"))
    known = mode in ("nearest", "linear", "cubic") and policy in ("stretch", "not_larger", "not_smaller")
    if not known or coordinates not in COORDINATES or rounding not in NEAREST:
        raise Unsupported(f"no kernel knows mode {mode!r}, {coordinates!r}, {rounding!r}, {policy!r}")
    if scales is not None and not (np.isfinite(scales) & (scales > 0)).all():
        raise Unsupported("its scales are not positive")
    if coordinates in _OF_WHOLE_SIZES and scales is not None and not _are_whole(node, axes, scales):
        raise Unsupported(f"{coordinates} by scales that give no whole sizes, on which ONNX and its runtimes disagree")
    shrinks = scales is None or bool((scales < 1).any())
    if number("antialias", 0) and mode != "nearest" and shrinks:
        raise Unsupported("antialias has no kernel")
    regions: list[tuple[np.float32, np.float32]] = [(np.float32(0), np.float32(1))] * len(axes)
    if coordinates == "tf_crop_and_resize":
        if roi is None or roi.size != 2 * len(axes):
            raise Unsupported("its region is not a pair for each of its axes")
        ends = roi.astype(np.float32)
        regions = list(zip(ends[: len(axes)], ends[len(axes) :], strict=True))
    return _Resizing(
        mode,
        coordinates,
        rounding,
        node.attributes.get_float("cubic_coeff_a", -0.75),
        bool(number("exclude_outside", 0)),
        node.attributes.get_float("extrapolation_value", 0.0),
        policy,
        axes,
        None if scales is None else tuple(scales.astype(np.float32)),
        None if sizes is None else tuple(int(size) for size in sizes),
        tuple(regions),
    )


def _are_whole(node: ir.Node, axes: Sequence[int], scales: NDArray[Any]) -> bool:
    """Whether the scaled sizes are known to be whole before they are rounded down."""
    x = node.inputs[0]
    shape = None if x is None or x.shape is None else tuple(x.shape)
    for axis, scale in zip(axes, scales, strict=True):
        size = None if shape is None else shape[axis]
        scaled = scale if not isinstance(size, int) else np.float32(size) * scale
        if scaled != np.floor(scaled):
            return False
    return True
