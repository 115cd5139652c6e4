"""Sizes of tensors: what ONNX infers node by node, with a look at each before the next.

A window larger than its image has an output of negative size, and onnx doesn't mind: a Slice of that ends the process
inside of its shape inference. So a negative size is an error that names its node.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["are_known", "check_all_sizes", "check_sizes", "infer_nodes", "is_control_flow"]


def check_sizes(node: ir.Node) -> None:
    """Raises ValueError where an input or output of `node` has a negative size, naming the node that writes it."""
    for value in (*node.inputs, *node.outputs):
        sizes = () if value is None or value.shape is None else value.shape.dims
        if value is not None and any(isinstance(size, int) and size < 0 for size in sizes):
            writer = value.producer() or node
            raise ValueError(
                f"node {(writer.name or value.name)!r} ({writer.op_type}): "
                f"{value.name!r} would have a negative size: {value.shape}"
            )


def check_all_sizes(graphs: Iterable[ir.Graph]) -> None:
    """`check_sizes` of every node of `graphs`."""
    for graph in graphs:
        for node in graph:
            check_sizes(node)


def are_known(graphs: Iterable[ir.Graph]) -> bool:
    """Whether every tensor of `graphs` has a type and a shape, each size of it a number or a name: shape inference has
    nothing to add."""
    return all(
        value.type is not None and value.shape is not None and not value.shape.has_unknown_dim()
        for graph in graphs
        for node in graph
        for value in node.outputs
        if value.name
    )


def infer_nodes(model: ir.Model) -> None:
    """Types and shapes of what every node of the main graph writes, in order, where they aren't known; `check_sizes`
    in between. What shape inference makes of bodies isn't looked at."""
    import onnx
    import onnx_ir as ir

    for node in model.graph:
        check_sizes(node)
        values = [value for value in node.inputs if value is not None]
        if any(value.type is None for value in values) or is_control_flow(node):
            continue
        try:
            schema = onnx.defs.get_schema(node.op_type, model.opset_imports[node.domain], node.domain)
            found = onnx.shape_inference.infer_node_outputs(
                schema,
                ir.to_proto(node),
                {value.name or "": _type_of(value) for value in values},
                _small_constants(values),
            )
        except Exception:  # of an operator that onnx doesn't know, or a node that it can't infer: nothing is known
            continue
        for output in node.outputs:
            if output.name in found:
                proto = found[output.name]
                output.type = output.type or ir.serde.deserialize_type_proto_for_type(proto)
                output.shape = output.shape or ir.serde.deserialize_type_proto_for_shape(proto)
        check_sizes(node)


def is_control_flow(node: ir.Node) -> bool:
    """Whether the node has bodies."""
    import onnx_ir as ir

    return any(each.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for each in node.attributes.values())


def _type_of(value: ir.Value) -> Any:
    import onnx_ir as ir

    assert value.type is not None
    proto = ir.serde.serialize_type(value.type)
    if value.shape is not None:
        ir.serde.serialize_shape_into(proto, value.shape)
    return proto


def _small_constants(values: list[ir.Value]) -> dict[str, Any]:
    import onnx_ir as ir

    found = {}
    for value in values:
        tensor = ir.convenience.get_const_tensor(value)
        if tensor is not None and tensor.size <= 20 and not value.is_graph_input():  # shapes, axes, scales
            found[value.name or ""] = ir.to_proto(tensor)
    return found
