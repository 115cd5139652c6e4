"""Channels that have to be scaled together, found by walking the graph.

A channel of a tensor may be multiplied by any s > 0 where its producers multiply a row of their weights by s and its
consumers divide a column of theirs: Relu, pools, Add and what only moves values pass the factor on. Channels that a
node ties to each other have one factor. A Clip at [0, high] passes on what stays below it: 1 <= s <= high / maximum, so
a channel that reaches its bound keeps s = 1. Anything else, inputs and outputs of the graph included, fixes s = 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..graph_values import constant_of
from ..operators import activation_bounds, get_operator
from .plan import Layer, Plan
from .windows import weight_rows

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["Channels", "find_channels"]


@dataclass(eq=False)
class Channels:
    """`of[value]`: for each channel of a tensor (axis 1) the index of its factor. `highest`: the bounds of the factors,
    1 where a factor is fixed; `lowest` likewise. `layers`: those whose weights can take factors up."""

    of: dict[ir.Value, NDArray[np.intp]]
    lowest: NDArray[np.float64]
    highest: NDArray[np.float64]
    layers: list[Layer]


@dataclass(eq=False)
class _Union:
    parent: list[int] = field(default_factory=list)

    def new(self, count: int) -> NDArray[np.intp]:
        first = len(self.parent)
        self.parent.extend(range(first, first + count))
        return np.arange(first, first + count)

    def root(self, index: int) -> int:
        while self.parent[index] != index:
            self.parent[index] = self.parent[self.parent[index]]
            index = self.parent[index]
        return index

    def join(self, a: NDArray[np.intp], b: NDArray[np.intp]) -> None:
        for x, y in zip(a.tolist(), b.tolist(), strict=True):
            self.parent[self.root(x)] = self.root(y)


def find_channels(model: ir.Model, plan: Plan, maxima: dict[str, NDArray[np.float64]]) -> Channels:
    """The factors of `model`. `maxima`: of each tensor the largest |x| per channel, by name; what has none is fixed."""
    union = _Union()
    indices: dict[ir.Value, NDArray[np.intp]] = {}
    fixed: list[NDArray[np.intp]] = []
    bounds: list[tuple[NDArray[np.intp], NDArray[np.float64]]] = []

    def of(value: ir.Value) -> NDArray[np.intp] | None:
        if value not in indices:
            shape = value.shape
            size = shape[1] if shape is not None and len(shape) >= 2 else None
            if not isinstance(size, int):
                return None
            indices[value] = union.new(size)
        return indices[value]

    def fix(*values: ir.Value | None) -> None:
        for value in values:
            index = None if value is None or constant_of(value) is not None else of(value)
            if index is not None:
                fixed.append(index)

    layers = []
    for node in model.graph:
        layer = plan.layers.get(node)
        rows = None if layer is None else weight_rows(layer)
        if layer is not None and rows is not None and _takes_factors(layer):
            ends = [value for value in (node.inputs[layer.activations[0]], node.outputs[0]) if value is not None]
            known = [of(value) is not None for value in ends]  # of every one of them: it makes their indices
            if all(known):
                layers.append(layer)
            else:
                fix(*ends)
            continue
        tied = _ties(node)
        if tied is None:
            fix(*node.inputs, *node.outputs)
            continue
        for a, b, shift in tied:
            first, second = of(a), of(b)
            if first is None or second is None or len(first) + shift > len(second):
                fix(a, b)
                continue
            union.join(first, second[shift : shift + len(first)])
            if len(first) != len(second):
                fixed.extend((second[:shift], second[shift + len(first) :]))
        limits = activation_bounds(node)
        if limits is not None and math.isfinite(limits[1]):
            index, most = of(node.outputs[0]), maxima.get(str(node.outputs[0].name))
            if index is not None and most is not None:
                bounds.append((index, np.maximum(limits[1] / np.maximum(most, limits[1] / 1e3), 1)))
            else:
                fix(node.outputs[0])
    fix(*model.graph.inputs, *model.graph.outputs)
    fix(*(value for value in indices if any(use.node.graph is not model.graph for use in value.uses())))

    roots = np.array([union.root(index) for index in range(len(union.parent))], np.intp)
    lowest, highest = np.zeros(len(roots)), np.full(len(roots), np.inf)
    for index, most in bounds:
        np.minimum.at(highest, roots[index], most)
        lowest[roots[index]] = 1
    for index in fixed:
        lowest[roots[index]] = highest[roots[index]] = 1
    return Channels({value: roots[index] for value, index in indices.items()}, lowest, highest, layers)


def _takes_factors(layer: Layer) -> bool:
    """Whether both ends of the layer's weight are channels (axis 1) of its input and output."""
    node = layer.node
    x = node.inputs[layer.activations[0]]
    if node.op_type == "MatMul" or x is None or x.shape is None or constant_of(x) is not None:
        return False
    if len(layer.activations) != 1 or sum(use.node is node for use in x.uses()) != 1:
        return False
    return node.op_type == "Conv" or (len(x.shape) == 2 and not node.attributes.get_int("transA", 0))


def _ties(node: ir.Node) -> list[tuple[ir.Value, ir.Value, int]] | None:
    """Pairs of values whose channels have one factor: channel c of the first is channel c + shift of the second. None
    where the node passes no factors on."""
    output = node.outputs[0]
    inputs = [value for value in node.inputs if value is not None and constant_of(value) is None]
    if node.domain != "" or not inputs or inputs[0].shape is None or output.shape is None:
        return None
    x = inputs[0]
    if _keeps_channels(node):
        if len(node.outputs) != 1 or len(inputs) != (2 if node.op_type == "Add" else 1):
            return None
        if any(value.shape is None or len(value.shape) != len(output.shape) for value in inputs):
            return None
        return [(value, output, 0) for value in inputs]
    limits = activation_bounds(node)
    if limits is not None:
        return [(x, output, 0)] if limits[0] == 0 else None
    shape, result = tuple(x.shape), tuple(output.shape)  # type: ignore[arg-type]
    if node.op_type in ("Flatten", "Reshape"):
        same = len(result) == 2 and len(shape) > 2 and all(size == 1 for size in shape[2:]) and shape[1] == result[1]
        return [(x, output, 0)] if same else None
    if node.op_type == "Slice":
        return [(x, output, 0)] if _slices_space_only(node) else None
    if node.op_type == "Pad":
        pads = constant_of(node.inputs[1]) if len(node.inputs) > 1 else None
        value = constant_of(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] is not None else np.zeros(1)
        plain = node.attributes.get_string("mode", "constant") == "constant" and len(node.inputs) < 4
        if pads is None or pads.size != 2 * len(shape) or min(pads) < 0 or value is None or value.any() or not plain:
            return None
        return [(x, output, int(pads[1]))]
    return None


def _slices_space_only(node: ir.Node) -> bool:
    axes = constant_of(node.inputs[3]) if len(node.inputs) > 3 else None
    return axes is not None and all(int(axis) > 1 for axis in axes.reshape(-1))


def _keeps_channels(node: ir.Node) -> bool:
    operator = get_operator(node.op_type)
    return operator is not None and operator.keeps_channels
