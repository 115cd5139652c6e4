"""What the corrections know of a layer's input: moments of what its kernel sees, over samples, in the float network.

A layer with weights is, per group of output channels, y = W x + b, where x is what lies under the kernel: a row for
Gemm and MatMul, a window of all the group's channels for Conv. `WeightRows` brings weights into that form and back,
`Moments` holds means over all positions:

    mean = E[x]     square = E[x²] (elementwise)     covariance = E[(x - E[x])(x - E[x])ᵀ], from evenly spaced positions
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._core import add_column_sums
from ..graph_values import constant_of
from ..operators import get_operator
from ..operators.window import window_of
from ..program import Window
from ..runtime.session import Execution
from .observation import Taps, observe

if TYPE_CHECKING:
    import onnx_ir as ir

    from .plan import Layer

__all__ = ["Moments", "WeightRows", "moment_taps", "observe_moments", "weight_ratio", "weight_rows"]

_POSITIONS = 256  # of a sample that covariances are taken from: windows that overlap say nearly the same


@dataclass(frozen=True, eq=False)
class WeightRows:
    """A layer's weight as `rows`, float32 [groups, output channels per group, size of what the kernel sees]."""

    rows: NDArray[np.float32]
    axis: int
    shape: tuple[int, ...]  # of the weight with the output channels first
    window: Window | None

    def of(self, weight: NDArray[Any]) -> NDArray[Any]:
        """The rows of an array in the shape of the weight."""
        return np.moveaxis(weight, self.axis, 0).reshape(self.rows.shape)

    @property
    def order(self) -> NDArray[np.intp]:
        """Indices along what the kernel sees such that neighbours are those of packed weights: row, column, channel
        within a group; depth."""
        size = self.rows.shape[-1]
        taps = 1 if self.window is None else math.prod(self.window.kernel)
        return np.arange(size).reshape(-1, taps).T.reshape(-1)

    def in_order(self, rows: NDArray[Any]) -> NDArray[Any]:
        """`rows` with weights beside their neighbours."""
        return rows[..., self.order]

    def restore(self, rows: NDArray[Any]) -> NDArray[Any]:
        """An array like `rows` in the shape of the weight."""
        return np.ascontiguousarray(np.moveaxis(rows.reshape(self.shape), 0, self.axis))


def weight_rows(layer: Layer) -> WeightRows | None:
    """The rows of `layer`; None where it has no constant weight, or isn't a Conv, a Gemm or a MatMul by a matrix."""
    node = layer.node
    operator = get_operator(node.op_type)
    if layer.weight is None or layer.weight_axis is None or operator is None or not operator.has_weight_rows:
        return None
    weight = constant_of(node.inputs[layer.weight])
    if weight is None or (node.op_type != "Conv" and weight.ndim != 2):
        return None
    first = np.moveaxis(np.asarray(weight, np.float32), layer.weight_axis, 0)
    groups = node.attributes.get_int("group", 1) if node.op_type == "Conv" else 1
    window = window_of(node, first.shape[2:]) if node.op_type == "Conv" else None
    rows = first.reshape(groups, len(first) // groups, -1)
    return WeightRows(rows, layer.weight_axis, first.shape, window)


def weight_ratio(layer: Layer) -> float | None:
    """Largest over smallest range of the output channels of the layer's weight, those of only zeros left out."""
    rows = weight_rows(layer)
    if rows is None:
        return None
    reach = np.abs(rows.rows).max(axis=2, initial=0)
    return float(reach.max() / reach[reach > 0].min()) if reach.any() else 1.0


@dataclass(eq=False)
class Moments:
    """Sums for one layer; `covariance` is only there where it was asked for (`with_covariance`)."""

    groups: int
    size: int
    window: Window | None
    with_covariance: bool
    _count: int = field(default=0, init=False)
    _rows: int = field(default=0, init=False)
    _sums: Any = field(default=0.0, init=False)
    _squares: Any = field(default=0.0, init=False)
    _row_sums: Any = field(default=0.0, init=False)
    _products: Any = field(default=0.0, init=False)

    def add(self, x: NDArray[Any]) -> None:
        """Adds what the kernel sees of `x`, a batch of the layer's input."""
        if self.window is None:
            seen = x.reshape(-1, 1, self.size).astype(np.float64)
            self._count += len(seen)
            self._sums = self._sums + seen.sum(axis=0)
            self._squares = self._squares + np.square(seen).sum(axis=0)
            if self.with_covariance:
                self._add_products(seen.astype(np.float32))
            return
        places = _places(self.window, x.shape[2:])
        for name, total in zip(("_sums", "_squares"), _sums_over_samples(x), strict=True):
            # Windows of the sum are the sum of the windows. Tap by tap: over all of them at once NumPy's inner loop has
            # the length of a kernel's row. What a tap sees of the border is 0.
            axes = tuple(range(1, total.ndim))
            taps = [total[(slice(None), *each)].sum(axis=axes) for each in itertools.product(*places.taps)]
            setattr(self, name, getattr(self, name) + np.stack(taps, axis=-1).reshape(self.groups, self.size))
        positions = math.prod(places.positions)
        self._count += len(x) * positions
        if self.with_covariance:
            windows = self._windows(x)
            spatial = windows.shape[2 : 2 + len(self.window.kernel)]
            chosen = np.unique(np.linspace(0, positions - 1, min(_POSITIONS, positions)).astype(np.intp))
            at = np.unravel_index(chosen, spatial)
            index: tuple[Any, ...] = (slice(None), slice(None), *at)
            rows = np.moveaxis(windows[index], 2, 1)
            self._add_products(np.ascontiguousarray(rows).reshape(-1, self.groups, self.size))

    @property
    def mean(self) -> NDArray[np.float64]:
        """float64 [groups, size]."""
        return np.asarray(self._sums / self._count)

    @property
    def square(self) -> NDArray[np.float64]:
        """float64 [groups, size]."""
        return np.asarray(self._squares / self._count)

    @property
    def covariance(self) -> NDArray[np.float64]:
        """float64 [groups, size, size]."""
        mean = self._row_sums / self._rows
        return np.asarray(self._products / self._rows - mean[:, :, None] * mean[:, None, :])

    def _add_products(self, rows: NDArray[np.float32]) -> None:
        by_group = rows.transpose(1, 0, 2)
        self._products = self._products + (by_group.transpose(0, 2, 1) @ by_group).astype(np.float64)
        self._row_sums = self._row_sums + rows.sum(axis=0, dtype=np.float64)
        self._rows += len(rows)

    def _windows(self, x: NDArray[Any]) -> NDArray[Any]:
        """[batch, channels, positions..., kernel...], a view of the padded x."""
        window = self.window
        assert window is not None
        spatial = tuple(range(2, x.ndim))
        reach = [dilation * (size - 1) + 1 for size, dilation in zip(window.kernel, window.dilations, strict=True)]
        padding = window.padding_for(x.shape[2:])
        padded = np.pad(x, ((0, 0), (0, 0), *padding)) if any(map(any, padding)) else x
        seen = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=spatial)
        steps = [slice(None, None, stride) for stride in window.strides]
        taps = [slice(None, None, dilation) for dilation in window.dilations]
        return np.asarray(seen[(slice(None), slice(None), *steps, *taps)])


@dataclass(frozen=True)
class _Places:
    """Of a window on an image: how many `positions` it has along each axis, and where in the image a tap is at these,
    per axis and tap."""

    positions: list[int]
    taps: list[list[slice]]


def _places(window: Window, spatial: Sequence[int]) -> _Places:
    positions, taps = [], []
    sides = zip(window.kernel, window.strides, window.dilations, window.padding_for(spatial), spatial, strict=True)
    for kernel, stride, dilation, (begin, end), size in sides:
        count = (size + begin + end - (dilation * (kernel - 1) + 1)) // stride + 1
        positions.append(count)
        of_axis = []
        for tap in range(kernel):
            offset = tap * dilation - begin
            first, last = max(0, -(offset // stride)), min(count - 1, (size - 1 - offset) // stride)
            start = first * stride + offset
            of_axis.append(slice(start, last * stride + offset + 1, stride) if last >= first else slice(0, 0))
        taps.append(of_axis)
    return _Places(positions, taps)


def _sums_over_samples(x: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sums of x and of its squares, over axis 0; in the order of axes in which `x` is stored."""
    order = sorted(range(1, x.ndim), key=lambda axis: -x.strides[axis])
    stored = np.asarray(x.transpose(0, *order), np.float32)
    sums, squares = np.zeros(stored[0].size), np.zeros(stored[0].size)
    add_column_sums(stored.reshape(len(x), -1), sums, squares)
    back = np.argsort(order)
    return sums.reshape(stored.shape[1:]).transpose(back), squares.reshape(stored.shape[1:]).transpose(back)


def moment_taps(layers: Sequence[Layer], moments: dict[str, Moments], *, covariance: bool = False) -> Taps:
    """What fills `moments`, by node name, with those of the input of each of `layers` that has `weight_rows`."""
    taps: dict[str, list[Any]] = {}
    for layer in layers:
        weight = weight_rows(layer)
        x = None if weight is None else layer.node.inputs[layer.activations[0]]
        if weight is None or x is None or constant_of(x) is not None:
            continue
        groups, _, size = weight.rows.shape
        own = moments.setdefault(str(layer.node.name), Moments(groups, size, weight.window, covariance))
        taps.setdefault(str(x.name), []).append(own.add)
    return taps


def observe_moments(
    model: ir.Model,
    layers: Sequence[Layer],
    samples: Iterable[Mapping[str, NDArray[Any]]],
    *,
    covariance: bool = False,
    execution: Execution = Execution(),
) -> dict[str, Moments]:
    """Moments of the input of each of `layers` that has `weight_rows`, by node name. Runs the float `model`."""
    moments: dict[str, Moments] = {}
    observe(model, samples, moment_taps(layers, moments, covariance=covariance), execution=execution)
    return moments
