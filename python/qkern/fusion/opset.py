"""Opset 13 or later: the first with per-channel QuantizeLinear, and with which every pass and operator is written.
Models with weights of 4 bits are raised to 21.

ONNX's own converter isn't used: it turns Upsample and the Resize of opset 10 into half pixels, forgets that Hardmax
flattened, and doesn't know what lies in subgraphs, foreign domains or models above 2 GiB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..graph_values import value_names
from .old_node import OldNode
from .opset_adapters import ADAPTERS

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["MINIMUM_OPSET", "OPSET_OF_FOUR_BITS", "opset_of", "raise_opset"]

MINIMUM_OPSET = 13
OPSET_OF_FOUR_BITS = 21  # the first whose Cast knows them


def opset_of(model: ir.Model) -> int:
    """Version of the standard operators that `model` imports (0: it imports none)."""
    return model.opset_imports.get("", model.opset_imports.get("ai.onnx", 0))


def raise_opset(model: ir.Model, to: int = MINIMUM_OPSET) -> None:
    """Rewrites `model` in place for opset `to` where its opset is below; every node keeps the meaning that it had.

    Types and shapes have to be inferred beforehand, functions inlined. Raises ValueError naming the node whose meaning
    that opset can't express, or that needs a rank or type that isn't known.
    """
    before = opset_of(model)
    if before >= to:
        return
    import onnx_ir.passes.common as common

    if model.ir_version < 4:  # there, initializers had to be listed as inputs too: they are constants all the same
        common.RemoveInitializersFromInputsPass()(model)
        model.ir_version = 4
    if before:
        taken = value_names(model.graph)
        for graph in tuple(model.graphs()):
            for node in tuple(graph):
                if node.domain == "":
                    _raise_node(OldNode(node, graph, before, taken), to)
    model.opset_imports.pop("ai.onnx", None)
    model.opset_imports[""] = to


def _raise_node(node: OldNode, to: int) -> None:
    if node.opset < 6:
        node.take("consumed_inputs")  # said which inputs may be overwritten
    for below, adapt in ADAPTERS.get(node.op_type, ()):
        if node.opset < below <= to:
            adapt(node)
