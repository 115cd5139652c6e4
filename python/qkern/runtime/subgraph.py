"""Nodes cut out of a graph, as a model of their own, for a library that runs what has no kernel."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir

__all__ = ["Subgraph", "captured_by", "cut_out", "label_of", "nodes_in", "sources_of"]


@dataclass(frozen=True, eq=False)
class Subgraph:
    """`model` computes `outputs`, what is read outside of `nodes`, from `inputs`; constants are inside it."""

    nodes: tuple[ir.Node, ...]
    model: onnx.ModelProto
    inputs: tuple[ir.Value, ...]
    outputs: tuple[ir.Value, ...]


def cut_out(
    nodes: Sequence[ir.Node],
    model: ir.Model,
    constant: Callable[[ir.Value], NDArray[Any] | None],
    observed: Collection[str],
) -> Subgraph:
    """The subgraph of `nodes`, which are in order. `constant` gives the array of a value that is known beforehand;
    values called `observed` are outputs, whoever reads them."""
    import onnx
    import onnx_ir as ir

    graph = onnx.GraphProto(name="subgraph")
    inside = {inner for node in nodes for inner in nodes_in(node)}
    written = {value for node in nodes for value in node.outputs}
    inputs: list[ir.Value] = []
    for value in dict.fromkeys(value for node in nodes for value in sources_of(node)):
        if value in written:
            continue
        tensor = _tensor_of(value, constant)
        if tensor is None:
            inputs.append(value)
            graph.input.append(_described(value))
        else:
            graph.initializer.append(tensor)
    outputs = [
        value
        for node in nodes
        for value in node.outputs
        if value.name
        and (value.is_graph_output() or value.name in observed or any(u.node not in inside for u in value.uses()))
    ]
    for node in nodes:
        _load_external_tensors(node)
        graph.node.append(ir.to_proto(node))
    graph.output.extend(onnx.ValueInfoProto(name=value.name) for value in outputs)
    opsets = [onnx.helper.make_opsetid(domain, version) for domain, version in model.opset_imports.items()]
    proto = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=max(model.ir_version, 4))
    return Subgraph(tuple(nodes), proto, tuple(inputs), tuple(outputs))


def label_of(node: ir.Node) -> str:
    """The node as errors name it."""
    return f"node {node.name!r} ({operator_of(node)})"


def operator_of(node: ir.Node) -> str:
    """The node's operator, with its domain where that isn't ONNX's own."""
    return f"{node.domain}.{node.op_type}" if node.domain else node.op_type


def nodes_in(node: ir.Node) -> Iterator[ir.Node]:
    """`node` and the nodes of its bodies, to any depth."""
    yield node
    for body in _bodies(node):
        yield from body
        for graph in body.subgraphs():
            yield from graph


def sources_of(node: ir.Node) -> list[ir.Value]:
    """What the node reads: its inputs, and values of outer graphs that its bodies read."""
    return list(dict.fromkeys([*(value for value in node.inputs if value is not None), *captured_by(node)]))


def captured_by(node: ir.Node) -> list[ir.Value]:
    """Values of outer graphs that the node's bodies read."""
    found: dict[ir.Value, None] = {}
    bodies = _bodies(node)
    graphs = [each for body in bodies for each in (body, *body.subgraphs())]
    inside = {id(graph) for graph in graphs}
    for graph in graphs:
        for value in [*(value for inner in graph for value in inner.inputs), *graph.outputs]:
            if value is not None and value.graph is not None and id(value.graph) not in inside:
                found[value] = None
    return list(found)


def _bodies(node: ir.Node) -> list[ir.Graph]:
    import onnx_ir as ir

    graphs: list[ir.Graph] = []
    for attribute in node.attributes.values():
        if attribute.is_ref():
            continue
        if attribute.type == ir.AttributeType.GRAPH:
            graphs.append(attribute.as_graph())
        elif attribute.type == ir.AttributeType.GRAPHS:
            graphs.extend(attribute.as_graphs())
    return graphs


def _tensor_of(value: ir.Value, constant: Callable[[ir.Value], NDArray[Any] | None]) -> onnx.TensorProto | None:
    import onnx_ir as ir

    known = ir.convenience.get_const_tensor(value)
    if known is None or known.dtype != ir.DataType.STRING or value.is_graph_input():
        array = constant(value)
        if array is None:
            return None
        same = known is not None and known.shape == array.shape and known.dtype.numpy() == array.dtype
        known = ir.Tensor(array, dtype=known.dtype if known is not None and same else None)
    proto = ir.to_proto(known)
    proto.name = value.name or ""
    return proto


def _described(value: ir.Value) -> onnx.ValueInfoProto:
    """Name, type and rank; the size only of a list of integers, such as a shape, which has to be known: other sizes may
    be those of another batch than the one that is run."""
    import onnx_ir as ir

    if value.type is None:
        import onnx

        return onnx.ValueInfoProto(name=value.name)
    shape = value.shape
    if shape is not None and not (len(shape) == 1 and value.dtype in (ir.DataType.INT32, ir.DataType.INT64)):
        shape = ir.Shape([None] * len(shape))
    return ir.to_proto(ir.Value(name=value.name, type=value.type, shape=shape))


def _load_external_tensors(node: ir.Node) -> None:
    """A body's tensors in files become tensors in memory: the subgraph has no folder."""
    import onnx_ir as ir

    for body in _bodies(node):
        for graph in (body, *body.subgraphs()):
            for value in graph.initializers.values():
                tensor = value.const_value
                if isinstance(tensor, ir.ExternalTensor):
                    value.const_value = ir.Tensor(tensor.numpy(), dtype=tensor.dtype, name=tensor.name)
