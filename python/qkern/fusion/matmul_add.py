"""MatMul and the Add of a constant after it into one Gemm.

    x W + c = Gemm(x, W, c)      x (rows, depth), W (depth, cols) constant, c constant, one number per column

so that the bias is part of the layer: an int32 added to the accumulator instead of a step of its own. Only for x of
rank 2 (Gemm knows no other) and only where nobody else reads x W.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..graph_values import add_initializer, constant_of
from .fused import Fused

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["PASS_NAME", "merge_matmul_add"]

PASS_NAME = "matmul_add"


def merge_matmul_add(model: ir.Model) -> list[Fused]:
    """Rewrites every such pair of the main graph; the Gemm keeps the MatMul's name."""
    done: list[Fused] = []
    for add in tuple(model.graph):
        if add.op_type != "Add" or add.domain != "":
            continue
        for product, addend in (add.inputs, reversed(add.inputs)):
            matmul = product.producer() if product is not None else None
            if matmul is not None and addend is not None and _fits(matmul, add, addend):
                done.append(_merge(model.graph, matmul, add, addend))
                break
    return done


def _fits(matmul: ir.Node, add: ir.Node, addend: ir.Value) -> bool:
    if matmul.op_type != "MatMul" or matmul.domain != "" or matmul.graph is not add.graph:
        return False
    product, x, weight, bias = matmul.outputs[0], matmul.inputs[0], constant_of(matmul.inputs[1]), constant_of(addend)
    if len(product.uses()) != 1 or product.is_graph_output() or weight is None or bias is None:
        return False
    if x is None or x.shape is None or len(x.shape) != 2 or weight.ndim != 2 or weight.dtype != np.float32:
        return False
    return (
        bias.dtype == np.float32
        and bias.ndim <= 2
        and bias.shape in ((), (1,), (1, 1), weight.shape[1:], (1, weight.shape[1]))
    )


def _merge(graph: ir.Graph, matmul: ir.Node, add: ir.Node, addend: ir.Value) -> Fused:
    names = (matmul.name or "", add.name or "")
    cols = matmul.inputs[1].shape[1] if matmul.inputs[1] is not None and matmul.inputs[1].shape is not None else None
    bias = constant_of(addend)
    assert bias is not None
    assert isinstance(cols, int)
    if bias.shape != (cols,):
        addend = add_initializer(graph, f"{addend.name}.row", np.broadcast_to(bias.reshape(-1), (cols,)))
    matmul.op_type = "Gemm"
    matmul.resize_inputs(3)
    matmul.replace_input_with(2, addend)
    before, after = matmul.outputs[0], add.outputs[0]
    if after.is_graph_output():
        name, after.name = after.name, f"{after.name}.unfused"
        before.name = name
    before.shape, before.type = after.shape or before.shape, after.type or before.type
    after.replace_all_uses_with(before, replace_graph_outputs=True)
    graph.remove(add, safe=True)
    return Fused(PASS_NAME, names, names[0])
