"""What the pools have in common: their window, the parameters of kernels on codes, and windows in NumPy.

The kernels of `_core` have 1 to 3 spatial axes, and means of windows that end at the padding. What else ONNX defines
goes tap by tap through NumPy: exact sums in integers, float sums in the order of the window, as there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..program import Destination, PoolScales, Quantized, Unsupported, Window
from .window import window_of

if TYPE_CHECKING:
    import onnx_ir as ir


__all__ = ["counts", "global_obstacle", "pool_window", "scales", "taps"]


def scales(x: Quantized, to: Destination) -> PoolScales:
    """For an averaging kernel on codes of `x` that writes codes of `to`."""
    assert to.params is not None
    return PoolScales(x.scale, x.zero_point, float(to.params.scale), int(to.params.zero_point), to.params.dtype)


def pool_window(node: ir.Node) -> Window:
    """The window of a pool. Raises `Unsupported`."""
    window, x = window_of(node, None), node.inputs[0]
    if x is not None and x.shape is not None and len(x.shape) != len(window.kernel) + 2:
        raise Unsupported(f"its window has {len(window.kernel)} axes, for an input of {len(x.shape)}")
    if isinstance(window.padding, str):
        if max(window.dilations) > 1:
            raise Unsupported("auto_pad with dilations, on whose padding ONNX and its runtimes disagree")
        if any(stride > size + 1 for stride, size in zip(window.strides, window.kernel, strict=True)):
            raise Unsupported("auto_pad with windows so far apart that its padding is negative")
    if not isinstance(window.padding, str) and any(
        max(pair) >= size for pair, size in zip(window.padding, window.kernel, strict=True)
    ):
        raise Unsupported("the padding is not smaller than the kernel")
    return window


def global_obstacle(node: ir.Node) -> str:
    """Why a pool over all spatial axes has no kernel; "" where it has one."""
    x = node.inputs[0]
    if x is None or x.shape is None:
        return "the rank of its input is not known"
    return "" if len(x.shape) > 2 else "it has no spatial axis"


def taps(
    x: NDArray[Any], window: Window, padding: Sequence[tuple[int, int]], fill: Any
) -> Iterator[tuple[tuple[int, ...], NDArray[Any]]]:
    """For each position in the window, in the order of the window: the position, and a view of what lies there under
    every window of x (channels last), with `fill` around x."""
    spatial, axes = x.shape[1:-1], range(len(window.kernel))
    room = [
        size + sum(pair) - window.dilations[i] * (window.kernel[i] - 1) - 1
        for i, size, pair in zip(axes, spatial, padding, strict=True)
    ]
    if min(room) < 0:
        raise ValueError(f"the window does not fit into an image of the size {tuple(spatial)}")
    padded = np.pad(x, ((0, 0), *padding, (0, 0)), constant_values=fill) if any(map(any, padding)) else x
    for tap in product(*(range(size) for size in window.kernel)):
        first = [tap[i] * window.dilations[i] for i in axes]
        where = [slice(first[i], first[i] + room[i] + 1, window.strides[i]) for i in axes]
        yield tap, padded[(slice(None), *where)]


def counts(
    window: Window, spatial: Sequence[int], padding: Sequence[tuple[int, int]], inside: Sequence[tuple[int, int]]
) -> NDArray[np.int64]:
    """How many positions of each window lie in the image or its border of `inside` numbers, at least 1: int64
    [spatial..., 1]."""
    result = np.ones((1,) * len(spatial), np.int64)
    for i, (size, (begin, end), (before, after)) in enumerate(zip(spatial, padding, inside, strict=True)):
        reach = window.dilations[i] * (window.kernel[i] - 1) + 1
        starts = np.arange(-begin, size + end - reach + 1, window.strides[i])
        at = starts[:, None] + window.dilations[i] * np.arange(window.kernel[i])
        along = ((at >= -before) & (at < size + after)).sum(axis=1)
        result = result * along.reshape([-1 if axis == i else 1 for axis in range(len(spatial))])
    return np.maximum(result, 1)[..., None]
