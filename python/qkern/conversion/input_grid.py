"""Input grids: a scale and a zero point for each channel of an image, at no cost to the layers.

Pixels normalized by mean and standard deviation lie on 256 numbers per channel, on other ones in each channel, and one
scale for all channels hits none of them. For a Conv that alone reads the input, with integer zero points z_c,

    W x = W' x',    x' = s (x / s_c + o_c - z),    W'_c = W_c s_c / s,    o_c = lowest code - low_c / s_c

and the codes of x' with (s, z), which Conv reads, are those of x with (s_c, z_c = round(o_c)): the difference is in the
QuantizeLinear of the input alone, the layer stays per tensor. A channel that spans its 256 numbers from end to end is
exact. Borders are x = 0, which is no single number in x', so they are added before quantization, and off by half a step
at most.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..graph_values import add_initializer, constant_of, fresh_name
from ..scheme import QuantParams, Scheme
from .plan import Plan
from .windows import weight_rows

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["InputGrid", "find_grids", "move_inputs", "restore_inputs"]

_ALIKE = 1e-3  # scales that differ by less are one; so are zero points, by as much of the range


@dataclass(frozen=True, eq=False)
class InputGrid:
    """Of the input `name`: per channel s_c (float32) and o_c (float64), `params` (s, z) of x', and the borders
    `pads` as ONNX Pad has them, channels and samples included. `shape` is that of x."""

    name: str
    scales: NDArray[np.float32]
    offsets: NDArray[np.float64]
    params: QuantParams
    pads: tuple[int, ...]
    shape: ir.Shape

    @property
    def factor(self) -> NDArray[np.float32]:
        """x' = x * factor + addend, per channel."""
        return np.asarray(self.params.scale / self.scales, np.float32)

    @property
    def addend(self) -> NDArray[np.float32]:
        """See `factor`."""
        return np.asarray(self.params.scale * (self.offsets - float(self.params.zero_point)), np.float32)

    @property
    def zero_points(self) -> NDArray[Any]:
        """z_c, of the dtype of the codes."""
        return np.rint(self.offsets).astype(self.params.dtype)

    def moved(self, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """`feed` with x' in the place of x."""
        x = feed[self.name]
        half = len(self.pads) // 2
        padded = np.pad(x, list(zip(self.pads[:half], self.pads[half:], strict=True)))
        shape = (-1,) + (1,) * (x.ndim - 2)
        return {**feed, self.name: padded * self.factor.reshape(shape) + self.addend.reshape(shape)}


def find_grids(
    model: ir.Model, plan: Plan, samples: Iterable[Mapping[str, NDArray[Any]]], scheme: Scheme
) -> list[InputGrid]:
    """A grid for each input of `model` that one Conv without groups reads and nothing else, where the ranges of its
    channels in `samples` differ. A symmetric `scheme` has no zero points to set: no grids."""
    readers: dict[str, ir.Node] = {}
    for value in model.graph.inputs:
        uses = [use.node for use in value.uses()]
        layer = plan.layers.get(uses[0]) if len(uses) == 1 and not value.is_graph_output() else None
        rows = None if layer is None or uses[0].op_type != "Conv" else weight_rows(layer)
        if rows is not None and rows.window is not None and rows.window.padding != "same" and len(rows.rows) == 1:
            readers[str(value.name)] = uses[0]
    if not readers or scheme.symmetric:
        return []
    ranges: dict[str, tuple[Any, Any]] = {}
    for feed in samples:
        for name in readers:
            axes = (0, *range(2, feed[name].ndim))
            low, high = ranges.get(name, (0.0, 0.0))  # the range has 0 in it: borders are
            ranges[name] = np.minimum(low, feed[name].min(axis=axes)), np.maximum(high, feed[name].max(axis=axes))
    lowest, highest = scheme.limits
    grids = []
    for value in model.graph.inputs:
        name = str(value.name)
        if name not in ranges or value.shape is None:
            continue
        low, high = (np.asarray(each, np.float64) for each in ranges[name])
        if not (high > low).all():
            continue
        scales = np.asarray((high - low) / (highest - lowest), np.float32)
        offsets = lowest - low / scales
        spread = np.ptp(offsets) / (highest - lowest)
        if scales.size == 1 or (float(scales.max() / scales.min()) < 1 + _ALIKE and spread < _ALIKE):
            continue
        zero = np.rint(np.median(offsets)).astype(scheme.dtype)
        params = QuantParams(np.asarray(scales.mean(dtype=np.float64), np.float32), np.asarray(zero))
        sides = _window_padding(plan, readers[name])
        pads = (0, 0, *(begin for begin, _ in sides), 0, 0, *(end for _, end in sides))
        grids.append(InputGrid(name, scales, offsets, params, pads, value.shape))
    return grids


def move_inputs(model: ir.Model, plan: Plan, grids: Sequence[InputGrid]) -> None:
    """Makes `model` (float, in place) a function of x', with borders, for each of `grids`."""
    import onnx_ir as ir

    by_name = {str(value.name): value for value in model.graph.inputs}
    for grid in grids:
        value = by_name[grid.name]
        node = next(iter(value.uses())).node
        layer = plan.layers[node]
        rows = weight_rows(layer)
        assert rows is not None
        assert layer.weight is not None
        channels = grid.scales.size
        weight = rows.rows.astype(np.float64).reshape(rows.rows.shape[1], channels, -1)
        weight = weight / grid.factor.astype(np.float64)[None, :, None]
        shift = -np.einsum("oct,c->o", weight, grid.addend.astype(np.float64))
        bias = node.inputs[2] if len(node.inputs) > 2 else None
        old = constant_of(bias)
        if bias is not None and old is None:
            raise ValueError(f"node {node.name!r}: its bias is not a constant")
        name = str(node.inputs[layer.weight].name)  # type: ignore[union-attr]
        moved = rows.restore(weight.reshape(rows.rows.shape).astype(np.float32))
        node.replace_input_with(layer.weight, add_initializer(model.graph, f"{name}.moved", moved))
        if bias is None:
            node.resize_inputs(3)
        start = 0.0 if old is None else old.astype(np.float64)
        new = np.asarray(start + shift, np.float32)
        node.replace_input_with(2, add_initializer(model.graph, f"{node.name}.bias.moved", new))
        node.attributes["pads"] = ir.AttrInt64s("pads", [0] * (len(grid.pads) - 4))
        half = len(grid.pads) // 2
        value.shape = ir.Shape(
            [
                size + grid.pads[axis] + grid.pads[half + axis] if isinstance(size, int) else size
                for axis, size in enumerate(grid.shape)
            ]
        )


def restore_inputs(model: ir.Model, grids: Sequence[InputGrid]) -> None:
    """Makes `model`, float or converted from such a one, a function of x again (in place)."""
    import onnx_ir as ir

    graph = model.graph
    by_name = {str(value.name): value for value in graph.inputs}
    for grid in grids:
        value = by_name[grid.name]
        uses = [(use.node, use.idx) for use in value.uses()]
        value.shape = grid.shape
        nodes: list[ir.Node] = []
        x = value

        def append(op_type: str, *operands: ir.Value) -> ir.Value:
            output = ir.Value(name=fresh_name(graph, f"{grid.name}.{op_type.lower()}"), type=value.type)  # noqa: B023
            nodes.append(ir.Node("", op_type, operands, outputs=[output], name=f"{output.name}.node"))  # noqa: B023
            return output

        if any(grid.pads):
            x = append("Pad", x, add_initializer(graph, f"{grid.name}.pads", np.asarray(grid.pads, np.int64)))
        if all(node.op_type == "QuantizeLinear" for node, _ in uses):
            for node, index in uses:
                node.replace_input_with(index, x)
                node.replace_input_with(1, add_initializer(graph, f"{grid.name}.scales", grid.scales))
                node.replace_input_with(2, add_initializer(graph, f"{grid.name}.zero_points", grid.zero_points))
                node.attributes["axis"] = ir.AttrInt64("axis", 1)
        else:
            shape = (-1,) + (1,) * (len(grid.pads) // 2 - 2)
            x = append("Mul", x, add_initializer(graph, f"{grid.name}.factor", grid.factor.reshape(shape)))
            x = append("Add", x, add_initializer(graph, f"{grid.name}.addend", grid.addend.reshape(shape)))
            for node, index in uses:
                node.replace_input_with(index, x)
        graph.insert_before(graph[0], nodes)


def _window_padding(plan: Plan, node: ir.Node) -> tuple[tuple[int, int], ...]:
    rows = weight_rows(plan.layers[node])
    assert rows is not None
    assert rows.window is not None
    assert not isinstance(rows.window.padding, str)
    return tuple((int(begin), int(end)) for begin, end in rows.window.padding)
