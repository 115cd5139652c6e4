"""Constant folding: onnxscript's, which infers shapes on its way through the graph, with a look at each size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..graph_values import constant_of
from ..reference_list import unlisted
from .opset import opset_of
from .sizes import check_sizes

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["fold_constants"]

_LARGEST_FOLDED = 1 << 24  # elements: any weight, but no array that somebody's Expand blows up
_LARGEST_FILLED = 1 << 12  # elements of a ConstantOfShape: those of shape arithmetic
_QUANTIZATION = frozenset({"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"})


def fold_constants(model: ir.Model) -> None:
    """Replaces, in place, what can be computed beforehand, but for QuantizeLinear and DequantizeLinear.

    Raises ValueError naming a node whose output would have a negative size.
    """
    from onnxscript.optimizer._constant_folding import FoldConstantsPass

    class Folding(FoldConstantsPass):
        def visit_node(self, node: ir.Node, root: Any) -> None:
            check_sizes(node)  # before the shape inference of this node, which may end the process
            replaced = any(self._state.get_sym_value(value) is not None for value in node.inputs)
            if replaced or not _infer_quantization(node):  # those that it infers aren't folded
                super().visit_node(node, root)

        def process_node(self, node: ir.Node, *args: Any, **named: Any) -> Any:
            try:
                return super().process_node(node, *args, **named)
            except RuntimeError:  # one of its rules doesn't know this form of the operator
                return None

    before = [node for graph in model.graphs() for node in graph if node.op_type in ("CastLike", "SplitToSequence")]
    casts = {node.outputs[0].name: dict(node.attributes) for node in before if node.op_type == "CastLike"}
    opsets = dict(model.opset_imports)
    fold = Folding(
        shape_inference=True,
        input_size_limit=_LARGEST_FOLDED,
        output_size_limit=_LARGEST_FOLDED,
        should_fold=lambda node: _should_fold(node, opsets.get(node.domain, 0)),
    )
    with np.errstate(all="ignore"):  # a constant may be NaN
        fold(model)
    if before:
        _correct(model, casts)


def _infer_quantization(node: ir.Node) -> bool:
    """Type and shape of what a QuantizeLinear or DequantizeLinear writes: most nodes of a quantized graph are these,
    and asking onnx takes ten times as long. False where one of its inputs or attributes is out of the ordinary."""
    import onnx_ir as ir

    if node.domain != "" or node.op_type not in ("QuantizeLinear", "DequantizeLinear") or len(node.inputs) != 3:
        return False
    x, scale, zero_point = node.inputs
    if x is None or scale is None or zero_point is None or not node.attributes.keys() <= {"axis"}:
        return False
    codes, output = zero_point.dtype, node.outputs[0]
    if node.op_type == "QuantizeLinear":
        usual = codes in (ir.DataType.INT8, ir.DataType.UINT8) and x.dtype == ir.DataType.FLOAT
    else:
        usual = codes in (ir.DataType.INT8, ir.DataType.UINT8, ir.DataType.INT32) and x.dtype == codes
    if not usual or scale.dtype != ir.DataType.FLOAT or x.shape is None or output.shape not in (None, x.shape):
        return False
    written = codes if node.op_type == "QuantizeLinear" else ir.DataType.FLOAT
    assert written is not None
    output.type, output.shape = ir.TensorType(written), x.shape.copy()
    return True


def _correct(model: ir.Model, casts: Mapping[str | None, Mapping[str, ir.Attr]]) -> None:
    """What onnxscript gets wrong: a Cast that it makes of a CastLike forgets what that says beside the type (`casts`,
    by output); a SplitToSequence becomes a Split with an attribute of opset 18, and before that, equal parts are what
    no attribute means."""
    for node in (node for graph in model.graphs() for node in graph):
        if node.op_type == "Cast":
            node.attributes.update(casts.get(node.outputs[0].name, {}))
        elif node.op_type == "Split" and node.domain == "" and opset_of(model) < 18:
            node.attributes.pop("num_outputs", None)


def _should_fold(node: ir.Node, opset: int) -> bool | None:
    """Folding computes with `onnx.reference`: only what a sweep has shown to be right there."""
    import onnx_ir as ir

    if node.op_type in _QUANTIZATION:
        return False
    if node.op_type == "Cast":  # to 8 bits of float: the attributes of a CastLike come back behind the folding
        to = ir.DataType(node.attributes.get_int("to", 1))
        if to.bitwidth <= 8 and to.is_floating_point():
            return False
    if unlisted(node, opset):
        return False
    if node.op_type == "ConstantOfShape":  # onnxscript leaves it: a large one costs nothing as a node
        shape = constant_of(node.inputs[0])
        return shape is not None and math.prod(shape.reshape(-1).tolist()) <= _LARGEST_FILLED
    for output in node.outputs:
        sizes = [] if output.shape is None else [size for size in output.shape if isinstance(size, int)]
        if math.prod(sizes) > _LARGEST_FOLDED:
            return False
    return None
