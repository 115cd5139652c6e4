"""What operators of opsets 1 to 20 mean, in operators of a later one up to 21.

`ADAPTERS` lists for each operator the opsets at which its signature, defaults or meaning changed, oldest first, with
the function that rewrites a node from before that opset. Operators without a line only became able to do more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..graph_values import constant_of
from .old_node import OldNode

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["ADAPTERS"]


Adapter = Callable[[OldNode], None]


def _drops(*names: str) -> Adapter:
    def adapt(node: OldNode) -> None:
        for name in names:
            node.take(name)

    return adapt


def _default(name: str, value: Any) -> Adapter:
    """An attribute whose default changed."""

    def adapt(node: OldNode) -> None:
        if name not in node.node.attributes:
            node.set(name, value)

    return adapt


def _input_from(name: str, index: int) -> Adapter:
    """A list of integers that became an input."""

    def adapt(node: OldNode) -> None:
        numbers = node.take(name)
        if numbers is not None:
            node.give(index, node.constant(name, numbers))

    return adapt


def _limited_broadcast(node: OldNode) -> None:
    """B was an attribute's business: equal shapes, or with broadcast=1 a part of A's shape that starts at `axis`."""
    axis, broadcast = node.take("axis"), node.take("broadcast", 0)
    a, b = node.first(), node.input(1)
    if not broadcast or axis is None or b is None:
        return
    rank, of_b = node.rank(a), node.rank(b)
    behind = rank - int(axis) % max(rank, 1) - of_b
    if of_b and behind > 0:
        axes = node.constant("axes", range(of_b, of_b + behind))
        node.give(1, node.insert("Unsqueeze", b, axes, name="broadcast"))


def _slope_of_channels(node: OldNode) -> None:
    """One slope per channel, or one for all; NumPy's rule would look for it at the last axis."""
    slope, rank = node.input(1), node.rank(node.first())
    if node.rank(slope) == 1 and rank > 2:
        assert slope is not None
        axes = node.constant("axes", range(1, rank - 1))
        node.give(1, node.insert("Unsqueeze", slope, axes, name="slope"))


def _inference(node: OldNode) -> None:
    """`is_test` is 0 by default."""
    if not node.take("is_test", 0):
        raise node.refuse("without is_test=1 it trains, which qkern doesn't do")


def _per_activation(node: OldNode) -> None:
    """spatial=0: statistics [C, D1, ...] instead of [C]."""
    if node.take("spatial", 1):
        return
    if len(node.node.outputs) > 1:
        raise node.refuse("with more than one output it trains, which qkern doesn't do")
    x, scale, bias, mean, variance = node.node.inputs
    epsilon = node.like_input("epsilon", node.take("epsilon", 1e-5))
    node.take("momentum")
    deviation = node.insert("Sqrt", node.insert("Add", variance, epsilon, name="variance"), name="deviation")
    scaled = node.insert(
        "Mul", node.insert("Div", node.insert("Sub", x, mean, name="centred"), deviation, name="unit"), scale, name="s"
    )
    node.become("Add", scaled, bias)


def _dropout(node: OldNode) -> None:
    """The identity; its mask isn't defined, or trains."""
    node.take("ratio")
    if len(node.node.outputs) > 1:
        mask = node.node.outputs[1]
        if mask.uses() or mask.is_graph_output():
            raise node.refuse("the mask that it returns isn't defined outside of training")


def _clip(node: OldNode) -> None:
    low, high = node.take("min"), node.take("max")
    if high is not None:
        node.give(2, node.like_input("max", high))
    if low is not None:
        node.give(1, node.like_input("min", low))


def _cast_to_name(node: OldNode) -> None:
    import onnx_ir as ir

    name = str(node.take("to")).upper()
    if name not in ir.DataType.__members__:
        raise node.refuse(f"to={name!r} isn't a type")
    node.set("to", int(ir.DataType[name]))


def _recurrent(node: OldNode) -> None:
    node.take("output_sequence")
    if node.node.attributes.get_string("direction", "") == "foward":  # the default of GRU-1, as it is spelled there
        node.take("direction")


def _whole_p(node: OldNode) -> None:
    p = float(node.take("p", 2.0))
    if not p.is_integer():
        raise node.refuse(f"p={p:g} isn't a whole number")
    node.set("p", int(p))


def _flattens(node: OldNode) -> None:
    """The axes from `axis` on (1 by default) are one."""
    x, axis = node.first(), int(node.take("axis", 1))
    if x.shape is not None:
        rank = len(x.shape)
        if all(size == 1 for index, size in enumerate(x.shape) if index > axis % max(rank, 1)):
            node.set("axis", axis)
            return
    flat = node.insert("Flatten", x, name="flat", axis=axis)
    result = node.insert(node.op_type, flat, name="rows", axis=-1)
    node.node.attributes.clear()
    node.become("Reshape", result, node.insert("Shape", x, name="shape"))


def _pads(node: OldNode) -> None:
    pads, value = node.take("pads"), node.take("value", 0.0)
    if pads is None:
        raise node.refuse("it has no pads")
    if value:
        node.give(2, node.like_input("value", value))
    node.give(1, node.constant("pads", pads))


def _paddings(node: OldNode) -> None:
    node.set("pads", node.take("paddings", ()))


def _slice(node: OldNode) -> None:
    axes = node.take("axes")
    if axes is not None:
        node.give(3, node.constant("axes", axes))
    _input_from("ends", 2)(node)
    _input_from("starts", 1)(node)


def _split(node: OldNode) -> None:
    if node.input(1) is not None:
        raise node.refuse("lengths as an input are not defined in words")


def _top(node: OldNode) -> None:
    node.give(1, node.constant("k", [node.take("k")]))


def _tiles(node: OldNode) -> None:
    tiles, axis = constant_of(node.input(1)), constant_of(node.input(2))
    if tiles is None or axis is None:
        raise node.refuse("its number of tiles or its axis isn't constant")
    repeats = np.ones(node.rank(node.first()), np.int64)
    repeats[int(axis.item())] = int(tiles.item())
    node.become("Tile", node.first(), node.constant("repeats", repeats))


def _upsample_by_two(node: OldNode) -> None:
    scales = [1.0, 1.0, node.take("height_scale"), node.take("width_scale")]
    if node.node.attributes.get_string("mode", "nearest") == "bilinear":
        node.set("mode", "linear")
    node.set("scales", [float(scale) for scale in scales])


def _upsample(node: OldNode) -> None:
    scales = node.take("scales")
    node.become("Resize", node.first(), node.constant("scales", scales, np.float32))


def _resize(node: OldNode) -> None:
    """Pixel i comes from i / scale. The nearest one is rounded down where the image grows, up where it shrinks."""
    x, scales = node.first(), node.input(1)
    node.set("coordinate_transformation_mode", "asymmetric")
    if node.node.attributes.get_string("mode", "nearest") != "nearest":
        node.become("Resize", x, None, scales)
        return
    one, factors = node.constant("one", 1, np.float32), constant_of(scales)
    parts: list[tuple[str, ir.Value]] = []
    for mode, bound, choose in (("floor", "Max", np.maximum), ("ceil", "Min", np.minimum)):
        if factors is None:
            parts.append((mode, node.insert(bound, scales, one, name=mode)))
        elif (part := choose(factors, np.float32(1))).tolist() != [1.0] * factors.size:
            parts.append((mode, node.constant(mode, part, np.float32)))
    if not parts:
        parts.append(("floor", node.constant("floor", factors, np.float32)))
    for mode, part in parts[:-1]:
        attributes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": mode}
        x = node.insert("Resize", x, None, part, name="larger", **attributes)
    mode, part = parts[-1]
    node.become("Resize", x, None, part, nearest_mode=mode)


def _scan(node: OldNode) -> None:
    """Axis 0 is a batch, axis 1 is scanned: a scan over the batch, whose body is the scan of one item."""
    import onnx_ir as ir

    lengths, *values = node.node.inputs
    if lengths is not None:
        raise node.refuse("sequence_lens has no equivalent in later opsets")
    directions = node.take("directions")
    if directions is not None:
        node.set("scan_input_directions", list(directions))
    prefix = node.free_name("item")
    items, results = [], []
    for number, value in enumerate(values):
        items.append(ir.Value(name=f"{prefix}.input{number}", type=None if value is None else value.type))
    for number, output in enumerate(node.node.outputs):
        results.append(ir.Value(name=f"{prefix}.output{number}", type=output.type))
    inner = ir.Node("", "Scan", items, attributes=tuple(node.node.attributes.values()), outputs=results, name=prefix)
    body = ir.Graph(items, results, nodes=[inner], name=prefix)
    node.node.attributes.clear()
    node.become("Scan", *values, body=body, num_scan_inputs=len(values))


def _normalizes(node: OldNode) -> None:
    """Outputs of statistics are those of training, which had no attribute of its own."""
    if len(node.node.outputs) > 1:
        raise node.refuse("with more than one output it trains, which qkern doesn't do")


def _equal_parts(node: OldNode) -> None:
    """Without lengths, as many equal parts as there are outputs."""
    if node.input(1) is None:
        node.set("num_outputs", len(node.node.outputs))


def _modes_of_any_rank(node: OldNode) -> None:
    modes = {"bilinear": "linear", "bicubic": "cubic"}
    mode = node.node.attributes.get_string("mode", "bilinear")
    node.set("mode", modes.get(mode, mode))


def _axis_of_transform(node: OldNode) -> None:
    node.give(2, node.constant("axis", node.take("axis", 1)))


def _per_group(node: OldNode) -> None:
    raise node.refuse("its scale and bias are per group, which no later opset has")


_BROADCASTS = ((7, _limited_broadcast),)
_AXES = ((13, _input_from("axes", 1)),)
_AXES_OF_18 = ((18, _input_from("axes", 1)),)
_RECURRENT = ((7, _recurrent),)
_FLATTENS = ((13, _flattens),)

ADAPTERS: dict[str, Sequence[tuple[int, Adapter]]] = {
    "Add": _BROADCASTS,
    "And": _BROADCASTS,
    "BatchNormalization": ((7, _inference), (9, _per_activation), (14, _normalizes)),
    "Cast": ((6, _cast_to_name),),
    "Clip": ((11, _clip),),
    "Concat": ((4, _default("axis", 1)),),
    "DFT": ((20, _axis_of_transform),),
    "Div": _BROADCASTS,
    "Dropout": ((7, _inference), (12, _dropout)),
    "Equal": _BROADCASTS,
    "GRU": _RECURRENT,
    "Gemm": ((7, _drops("broadcast")),),
    "GlobalLpPool": ((2, _whole_p),),
    "Greater": _BROADCASTS,
    "GridSample": ((20, _modes_of_any_rank),),
    "GroupNormalization": ((21, _per_group),),
    "Hardmax": _FLATTENS,
    "LSTM": _RECURRENT,
    "Less": _BROADCASTS,
    "LogSoftmax": _FLATTENS,
    "LpPool": ((2, _whole_p),),
    "Mul": _BROADCASTS,
    "Or": _BROADCASTS,
    "PRelu": ((7, _slope_of_channels),),
    "Pad": ((2, _paddings), (11, _pads)),
    "Pow": _BROADCASTS,
    "RNN": _RECURRENT,
    "ReduceL1": _AXES_OF_18,
    "ReduceL2": _AXES_OF_18,
    "ReduceLogSum": _AXES_OF_18,
    "ReduceLogSumExp": _AXES_OF_18,
    "ReduceMax": _AXES_OF_18,
    "ReduceMean": _AXES_OF_18,
    "ReduceMin": _AXES_OF_18,
    "ReduceProd": _AXES_OF_18,
    "ReduceSum": _AXES,
    "ReduceSumSquare": _AXES_OF_18,
    "Reshape": ((5, _input_from("shape", 1)),),
    "Resize": ((11, _resize),),
    "RoiAlign": ((16, _default("coordinate_transformation_mode", "output_half_pixel")),),
    "Scan": ((9, _scan),),
    "Scatter": ((13, lambda node: node.become("ScatterElements", *node.node.inputs)),),
    "Selu": ((6, _default("alpha", 1.6732)), (6, _default("gamma", 1.0507))),
    "Slice": ((10, _slice),),
    "Softmax": _FLATTENS,
    "Split": ((2, _split), (2, _default("axis", 0)), (13, _input_from("split", 1)), (18, _equal_parts)),
    "Squeeze": _AXES,
    "Sub": _BROADCASTS,
    "Tile": ((6, _tiles),),
    "TopK": ((10, _top),),
    "Unsqueeze": _AXES,
    "Upsample": ((7, _upsample_by_two), (9, _upsample), (10, _resize)),
    "Xor": _BROADCASTS,
}
