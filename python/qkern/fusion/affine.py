"""A constant factor or summand, one number or one per output channel, into the linear node before it.

    (W x + b) c = (c W) x + c b          (W x + b) + c = W x + (b + c)

and the same for Sub and Div; for Conv, ConvTranspose and Gemm, with or without a bias. Biases that are written as an
Add and learned scales (PP-LCNet) become part of the layer. Not done where anything else reads the node's output.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..graph_values import constant_of
from .fused import Fused
from .linear import channels_of, fold_into, linear_before, obstacle

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["PASS_NAME", "fold_affine"]

PASS_NAME = "affine"
_FOLDED = frozenset({"Add", "Sub", "Mul", "Div"})


def fold_affine(model: ir.Model) -> list[Fused]:
    """Folds every such node of the main graph."""
    done: list[Fused] = []
    for node in tuple(model.graph):
        if node.domain != "" or node.op_type not in _FOLDED or len(node.inputs) != 2:
            continue
        for index in (0, 1):
            linear = linear_before(node, index)
            numbers = None if linear is None else _per_channel(linear, node, node.inputs[1 - index])
            if linear is not None and numbers is not None and _fold(linear, node, numbers, linear_first=index == 0):
                names = (linear.name or "", node.name or "")
                done.append(Fused(PASS_NAME, names, names[0]))
                break
    return done


def _per_channel(linear: ir.Node, node: ir.Node, other: ir.Value | None) -> NDArray[np.float64] | None:
    """The constant operand as one number per output channel; None where it isn't that, or can't be folded."""
    channels, array, output = channels_of(linear), constant_of(other), linear.outputs[0]
    if channels is None or array is None or output.shape is None or array.ndim > len(output.shape):
        return None
    axis = 1 - len(output.shape)  # of the channels, from the end
    shape = (1,) * (len(output.shape) - array.ndim) + array.shape
    if array.size != shape[axis] or array.size not in (1, channels) or not np.isfinite(array).all():
        return None
    if obstacle(linear, channels, f"{node.name!r}", other):
        return None
    return np.array(np.broadcast_to(array.reshape(-1), (channels,)), np.float64)


def _fold(linear: ir.Node, node: ir.Node, c: NDArray[np.float64], *, linear_first: bool) -> bool:
    one = np.ones_like(c)
    if node.op_type == "Add":
        fold_into(linear, node, one, lambda bias: bias + c)
    elif node.op_type == "Sub":
        sign = 1 if linear_first else -1
        fold_into(linear, node, sign * one, lambda bias: sign * (bias - c))
    elif node.op_type == "Mul":
        fold_into(linear, node, c, lambda bias: bias * c)
    elif linear_first and c.all():
        fold_into(linear, node, 1 / c, lambda bias: bias / c)
    else:
        return False
    return True
