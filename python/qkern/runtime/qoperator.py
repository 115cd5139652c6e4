"""QOperator nodes into the QDQ form they stand for, so that the lowering knows one form.

    QLinearConv(x, xs, xz, w, ws, wz, ys, yz, b) -> Quantize(Conv(Dequantize(x), Dequantize(w), Dequantize(b)))

with the scale xs * ws for the bias, and likewise for the others in `_FORMS`: ONNX's own and those that ONNX Runtime's
quantizer writes (domain com.microsoft). QGemm's alpha goes to the scale of its weight. Scales and zero points have to
be constant; other nodes stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..fusion import constant_of
from ..fusion.constant import add_initializer, fresh_name
from ..fusion.opset import MINIMUM_OPSET, opset_of

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["expand_qoperators"]


@dataclass(frozen=True)
class _Form:
    """`inputs`: index of each tensor, whose scale and zero point follow it, and the axis of a scale that isn't one
    number. `output`: index of the result's scale. `bias`: index of an int32 bias, scale the product of the others'."""

    op_type: str
    inputs: tuple[tuple[int, int], ...]
    output: int
    bias: int | None = None


_FORMS = {
    ("", "QLinearConv"): _Form("Conv", ((0, 0), (3, 0)), 6, bias=8),
    ("", "QLinearMatMul"): _Form("MatMul", ((0, -2), (3, -1)), 6),
    ("com.microsoft", "QLinearAdd"): _Form("Add", ((0, 0), (3, 0)), 6),
    ("com.microsoft", "QLinearMul"): _Form("Mul", ((0, 0), (3, 0)), 6),
    ("com.microsoft", "QLinearAveragePool"): _Form("AveragePool", ((0, 0),), 3),
    ("com.microsoft", "QLinearGlobalAveragePool"): _Form("GlobalAveragePool", ((0, 0),), 3),
    ("com.microsoft", "QLinearLeakyRelu"): _Form("LeakyRelu", ((0, 0),), 3),
    ("com.microsoft", "QLinearSigmoid"): _Form("Sigmoid", ((0, 0),), 3),
    ("com.microsoft", "QGemm"): _Form("Gemm", ((0, 0), (3, 0)), 7, bias=6),
}
_SAME_AS_ONNX = frozenset(("com.microsoft", name) for name in ("QuantizeLinear", "DequantizeLinear"))


def expand_qoperators(model: ir.Model) -> None:
    """Replaces every such node of the main graph, in place."""
    for node in tuple(model.graph):
        if (node.domain, node.op_type) in _SAME_AS_ONNX and opset_of(model) >= MINIMUM_OPSET:
            node.domain = ""  # from opset 13 on these are what ONNX defines
        form = _FORMS.get((node.domain, node.op_type))
        if form is not None and not node.attributes.get_int("channels_last", 0):
            try:
                _expand(model.graph, node, form)
            except (ValueError, TypeError) as error:
                raise ValueError(f"node {node.name!r} ({node.op_type}): {error}") from error


def _expand(graph: ir.Graph, node: ir.Node, form: _Form) -> None:
    import onnx_ir as ir

    def given(index: int) -> ir.Value | None:
        return node.inputs[index] if index < len(node.inputs) else None

    alpha = node.attributes.get_float("alpha", 1.0) if form.op_type == "Gemm" else 1.0
    scales = [constant_of(given(index + 1)) for index, _ in form.inputs]
    needed = [form.output, *(index for index, _ in form.inputs)]
    if any(scale is None for scale in scales) or any(given(index) is None for index in needed) or not alpha > 0:
        return
    parts = []
    for (index, axis), scale in zip(form.inputs, scales, strict=True):
        assert scale is not None
        at = axis
        scale_value = given(index + 1)
        if form.op_type == "Gemm" and index == 3:
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
    gone = "alpha" if form.op_type == "Gemm" else "channels_last"
    attributes = [attribute for attribute in node.attributes.values() if attribute.name != gone]
    inner = ir.Node("", form.op_type, parts, attributes=attributes, outputs=[result], name=node.name)
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
