"""Pad with zeros into the padding of the Conv or pool behind it.

    Conv(Pad(x, p), pads=q)         -> Conv(x, pads=p+q)
    AveragePool(Pad(x, p), pads=q)  -> AveragePool(x, pads=p+q, count_include_pad=1)    where q counts already, or q = 0
    MaxPool(Pad(x, p), pads=q)      -> MaxPool(x, pads=p+q)         where x >= 0: MaxPool itself pads with -inf

p has to lie on the spatial axes alone and be >= 0. Pools: not with ceil_mode (the last window would start elsewhere)
and only with p+q below the kernel, as ONNX wants it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..graph_values import constant_of, integers_of
from ..operators import activation_bounds
from .fused import Fused

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["PASS_NAME", "merge_pads"]

PASS_NAME = "pad"


def merge_pads(model: ir.Model) -> list[Fused]:
    """Rewrites every such pair of the main graph; a Pad that others read too stays for them."""
    import onnx_ir as ir

    done: list[Fused] = []
    for node in tuple(model.graph):
        if node.op_type not in ("Conv", "AveragePool", "MaxPool") or node.domain != "" or node.inputs[0] is None:
            continue
        pad = node.inputs[0].producer()
        if pad is None or pad.op_type != "Pad" or pad.domain != "" or pad.graph is not node.graph:
            continue
        names = (pad.name or "", node.name or "")
        total = _total_padding(pad, node)
        if isinstance(total, str):
            done.append(Fused(PASS_NAME, names, "", total))
            continue
        node.attributes.add(ir.AttrInt64s("pads", total))
        node.attributes.pop("auto_pad", None)
        if node.op_type == "AveragePool":
            node.attributes.add(ir.AttrInt64("count_include_pad", 1))
        node.replace_input_with(0, pad.inputs[0])
        if not pad.outputs[0].uses() and not pad.outputs[0].is_graph_output():
            model.graph.remove(pad, safe=True)
        done.append(Fused(PASS_NAME, names, names[1]))
    return done


def _total_padding(pad: ir.Node, node: ir.Node) -> list[int] | str:
    """Begins then ends of the merged padding, or why there can be none."""
    added = _zero_padding(pad)
    if isinstance(added, str):
        return added
    spatial = len(added) // 2 - 2
    if spatial < 1 or len(added) % 2:
        return "the Pad is not one of an image"
    outside = [added[0], added[1], added[spatial + 2], added[spatial + 3]]
    if any(outside) or min(added) < 0:
        return "the Pad is not a positive one of the spatial axes"
    if node.attributes.get_string("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return f"{node.op_type} has auto_pad"
    own = node.attributes.get_ints("pads") or [0] * (2 * spatial)
    total = [p + q for p, q in zip([*added[2 : spatial + 2], *added[spatial + 4 :]], own, strict=True)]
    if node.op_type == "Conv":
        return total
    if node.attributes.get_int("ceil_mode", 0):
        return f"{node.op_type} has ceil_mode"
    kernel = node.attributes.get_ints("kernel_shape") or ()
    if any(p >= k for p, k in zip(total, [*kernel, *kernel], strict=True)):
        return "the padding is not smaller than the kernel"
    if node.op_type == "AveragePool" and any(own) and not node.attributes.get_int("count_include_pad", 0):
        return "AveragePool has padding of its own that it doesn't count"
    if node.op_type == "MaxPool" and not _is_non_negative(pad.inputs[0]):
        return "MaxPool pads with -inf, and its input may be negative"
    return total


def _zero_padding(pad: ir.Node) -> list[int] | str:
    """The Pad's own amounts, one per axis (begins, then ends)."""
    if pad.attributes.get_string("mode", "constant") != "constant":
        return "the Pad does not pad with a constant"
    amounts = integers_of(pad.inputs[1])
    fill = pad.inputs[2] if len(pad.inputs) > 2 else None
    axes_input = pad.inputs[3] if len(pad.inputs) > 3 else None
    fill_array = constant_of(fill) if fill is not None else np.zeros(())
    axes = integers_of(axes_input)
    if amounts is None or fill_array is None or (axes_input is not None and axes is None):
        return "the Pad's amounts are not constant"
    if fill_array.any():
        return "the Pad pads with another number than 0"
    if axes is None:
        return amounts
    data = pad.inputs[0]
    if data is None or data.shape is None:
        return "the rank of the Pad's input is not known"
    rank = len(data.shape)
    if len(amounts) != 2 * len(axes) or not all(-rank <= axis < rank for axis in axes):
        return "the Pad's amounts are not two per axis"
    full = [0] * (2 * rank)
    for index, axis in enumerate(axes):
        full[axis % rank] = amounts[index]
        full[axis % rank + rank] = amounts[index + len(axes)]
    return full


def _is_non_negative(value: ir.Value | None) -> bool:
    producer = value.producer() if value is not None else None
    bounds = activation_bounds(producer) if producer is not None else None
    return bounds is not None and bounds[0] >= 0
