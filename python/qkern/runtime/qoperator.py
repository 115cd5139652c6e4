"""QOperator nodes into the QDQ form they stand for, so that the lowering knows one form.

    QLinearConv(x, xs, xz, w, ws, wz, ys, yz, b) -> Quantize(Conv(Dequantize(x), Dequantize(w), Dequantize(b)))

with the scale xs * ws for the bias, and likewise for the `qoperator` of other operators: ONNX's own and those that ONNX
Runtime's quantizer writes (domain com.microsoft). QGemm's alpha goes to the scale of its weight. Scales and zero points
have to be constant; other nodes stay as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..fusion.opset import MINIMUM_OPSET, opset_of
from ..graph_values import add_initializer, constant_of, fresh_name
from ..operators import OPERATORS, QOperator

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["expand_qoperators"]


_FORMS = {
    (form.domain, form.op_type): (operator.op_type, form)
    for operator in OPERATORS
    if (form := operator.qoperator) is not None
}
_SAME_AS_ONNX = frozenset(("com.microsoft", name) for name in ("QuantizeLinear", "DequantizeLinear"))


def expand_qoperators(model: ir.Model) -> None:
    """Replaces every such node of the main graph, in place."""
    for node in tuple(model.graph):
        if (node.domain, node.op_type) in _SAME_AS_ONNX and opset_of(model) >= MINIMUM_OPSET:
            node.domain = ""  # from opset 13 on these are what ONNX defines
        op_type, form = _FORMS.get((node.domain, node.op_type), ("", None))
        if form is not None and not node.attributes.get_int("channels_last", 0):
            try:
                _expand(model.graph, node, op_type, form)
            except (ValueError, TypeError) as error:
                raise ValueError(f"node {node.name!r} ({node.op_type}): {error}") from error


def _expand(graph: ir.Graph, node: ir.Node, op_type: str, form: QOperator) -> None:
    import onnx_ir as ir

    def given(index: int) -> ir.Value | None:
        return node.inputs[index] if index < len(node.inputs) else None

    alpha = node.attributes.get_float("alpha", 1.0) if op_type == "Gemm" else 1.0
    scales = [constant_of(given(index + 1)) for index, _ in form.inputs]
    needed = [form.output, *(index for index, _ in form.inputs)]
    if any(scale is None for scale in scales) or any(given(index) is None for index in needed) or not alpha > 0:
        return
    parts = []
    for (index, axis), scale in zip(form.inputs, scales, strict=True):
        assert scale is not None
        at = axis
        scale_value = given(index + 1)
        if op_type == "Gemm" and index == 3:
            at = 0 if node.attributes.get_int("transB", 0) else 1
            if alpha != 1:
                scale = scales[1] = np.asarray(np.float32(alpha) * scale)
                scale_value = add_initializer(graph, f"{node.name}.weight_scale", scale)
        parts.append(_dequantize(graph, node, given(index), scale_value, given(index + 2), at, scale.size > 1))
    if form.bias is not None and given(form.bias) is not None:
        first, second = scales
        assert first is not None
        assert second is not None
        product = np.asarray(first * second, np.float32)
        product = product.reshape(-1 if product.size > 1 else ())
        scale_value = add_initializer(graph, f"{node.name}.bias_scale", product)
        zero = add_initializer(graph, f"{node.name}.bias_zero_point", np.zeros(product.shape, np.int32))
        parts.append(_dequantize(graph, node, given(form.bias), scale_value, zero, 0, product.size > 1))
    result = ir.Value(name=fresh_name(graph, f"{node.outputs[0].name}.real"), type=ir.TensorType(ir.DataType.FLOAT))
    result.shape = node.outputs[0].shape
    gone = "alpha" if op_type == "Gemm" else "channels_last"
    attributes = [attribute for attribute in node.attributes.values() if attribute.name != gone]
    inner = ir.Node("", op_type, parts, attributes=attributes, outputs=[result], name=node.name)
    output = node.outputs[0]
    quantized = ir.Value(name=fresh_name(graph, f"{output.name}.codes"), type=output.type, shape=output.shape)
    outer = ir.Node(
        "",
        "QuantizeLinear",
        [result, given(form.output), given(form.output + 1)],
        outputs=[quantized],
        name=f"{node.name}.quantize",
    )
    graph.insert_before(node, [inner, outer])
    name = output.name
    output.replace_all_uses_with(quantized, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    quantized.name = name


def _dequantize(
    graph: ir.Graph,
    node: ir.Node,
    codes: ir.Value | None,
    scale: ir.Value | None,
    zero_point: ir.Value | None,
    axis: int,
    per_channel: bool,
) -> ir.Value:
    import onnx_ir as ir

    assert codes is not None
    real = ir.Value(
        name=fresh_name(graph, f"{codes.name}.real"), type=ir.TensorType(ir.DataType.FLOAT), shape=codes.shape
    )
    attributes = [ir.AttrInt64("axis", axis)] if per_channel else []
    inputs = [codes, scale, zero_point] if zero_point is not None else [codes, scale]
    graph.insert_before(
        node,
        ir.Node("", "DequantizeLinear", inputs, attributes=attributes, outputs=[real], name=f"{real.name}.dequantize"),
    )
    return real
