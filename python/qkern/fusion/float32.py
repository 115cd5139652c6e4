"""float16, bfloat16 and double networks as float32 ones: what can be quantized.

    y16 = f16(x16)   ->   y16 = Cast(f32(Cast(x16)))

Inputs and outputs keep their type, everything between computes in float32: constants, what Cast and other operators
are told to give, subgraphs. The finite numbers of a double beyond float32 become its largest (a mask of the lowest
double stays finite). Networks in float32 with a few nodes in another type stay as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..graph_values import fresh_name, value_names

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["compute_in_float32"]

_TYPE_ATTRIBUTES = frozenset({"to", "dtype"})


def compute_in_float32(model: ir.Model) -> tuple[str, ...]:
    """Converts `model` in place where an input, an output or a weight (two axes or more) is of such a type; the names
    of these types, none where nothing was done."""
    import onnx_ir as ir
    import onnx_ir.passes.common as common

    others = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE)
    graph = model.graph
    weights = [value for value in graph.initializers.values() if value.shape is not None and len(value.shape) > 1]
    found = {value.dtype for value in (*graph.inputs, *graph.outputs, *weights)} & set(others)
    if not found:
        return ()
    if model.functions:
        common.InlinePass()(model)
    outputs = [(index, value, value.dtype) for index, value in enumerate(graph.outputs) if value.dtype in others]
    for each in model.graphs():
        for value in each.initializers.values():
            if value.dtype in others and not value.is_graph_input():
                value.const_value = _widened(value.const_value, value.name)
                value.dtype = ir.DataType.FLOAT
        inner = () if each is graph else each.inputs
        for value in (*inner, *(output for node in each for output in node.outputs)):
            if value.dtype in others:
                value.dtype = ir.DataType.FLOAT
        for node in each:
            for name, attribute in tuple(node.attributes.items()):
                if attribute.type == ir.AttributeType.TENSOR and attribute.as_tensor().dtype in others:
                    node.attributes.add(ir.AttrTensor(name, _widened(attribute.as_tensor(), None)))
                elif name in _TYPE_ATTRIBUTES and node.domain == "" and attribute.value in others:
                    node.attributes.add(ir.AttrInt64(name, int(ir.DataType.FLOAT)))
    names = value_names(graph)
    for value in graph.inputs:
        if value.dtype in others:
            cast = _cast(value, fresh_name(graph, f"{value.name}.float32", names), ir.DataType.FLOAT)
            value.replace_all_uses_with(cast.outputs[0])
            cast.replace_input_with(0, value)
            if len(graph):
                graph.insert_before(graph[0], cast)
    casts: dict[ir.Value, ir.Node] = {}
    for index, value, dtype in outputs:
        if value.is_graph_input():
            continue
        if value in casts:  # an output listed twice
            graph.outputs[index] = casts[value].outputs[0]
            continue
        own = str(value.name)
        value.name = fresh_name(graph, f"{own}.float32", names)
        cast = _cast(value, own, dtype)
        casts[value] = cast
        graph.append(cast)
        graph.outputs[index] = cast.outputs[0]
    return tuple(sorted(dtype.name.lower() for dtype in found if dtype is not None))


def _cast(source: ir.Value, name: str, dtype: ir.DataType) -> ir.Node:
    import onnx_ir as ir

    output = ir.Value(name=name, shape=source.shape, type=ir.TensorType(dtype))
    return ir.Node("", "Cast", [source], [ir.AttrInt64("to", int(dtype))], outputs=[output], name=f"{name}.Cast")


def _widened(tensor: ir.TensorProtocol | None, name: str | None) -> ir.TensorProtocol:
    import onnx_ir as ir

    assert tensor is not None
    array = np.asarray(tensor.numpy())
    limits = np.finfo(np.float32)
    with np.errstate(all="ignore"):
        wide = array.astype(np.float32)
        wide = np.where(np.isfinite(array.astype(np.float64)), np.clip(wide, limits.min, limits.max), wide)
    return ir.tensor(np.asarray(wide, np.float32), name=name)
