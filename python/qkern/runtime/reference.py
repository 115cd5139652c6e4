"""A node without a kernel -> a call of ONNX's reference implementation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["reference_call"]


def reference_call(node: ir.Node, model: ir.Model) -> tuple[Callable[..., Any], list[ir.Value]]:
    """A function that computes `node` from arrays, and the values that it takes, in their order.

    Those are the node's inputs and whatever its subgraphs read from outside. It returns one array, or a tuple. Raises
    ValueError naming the node where ONNX's reference doesn't know the operator.
    """
    import onnx
    import onnx_ir as ir
    from onnx.reference import ReferenceEvaluator

    label = f"node {node.name!r} ({node.domain + '.' if node.domain else ''}{node.op_type})"
    sources = list(dict.fromkeys(value for value in node.inputs if value is not None))
    sources += [value for value in _captured(node) if value not in sources]
    graph = onnx.GraphProto(name=node.op_type)
    graph.node.append(ir.to_proto(node))
    graph.input.extend(onnx.ValueInfoProto(name=value.name) for value in sources)
    names = [output.name or "" for output in node.outputs if output.name]
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    opsets = [onnx.helper.make_opsetid(domain, version) for domain, version in model.opset_imports.items()]
    proto = onnx.helper.make_model(graph, opset_imports=opsets)
    try:
        evaluator = ReferenceEvaluator(proto)
    except Exception as error:  # whatever the evaluator stumbles over, it can't run this node
        raise ValueError(
            f"{label} can't run: there is no kernel for it, nor a reference implementation ({error})"
        ) from error
    feeds = [value.name or "" for value in sources]

    def call(*arrays: Any) -> Any:
        try:
            results: Any = evaluator.run(None, dict(zip(feeds, arrays, strict=True)))
        except Exception as error:
            raise RuntimeError(f"{label}: {error}") from error
        return results[0] if len(names) == 1 else tuple(results)

    return call, sources


def _captured(node: ir.Node) -> list[ir.Value]:
    """Values of outer graphs that the node's subgraphs read."""
    import onnx_ir as ir

    found: dict[ir.Value, None] = {}
    pending = [attribute for attribute in node.attributes.values() if not attribute.is_ref()]
    graphs: list[ir.Graph] = []
    for attribute in pending:
        if attribute.type == ir.AttributeType.GRAPH:
            graphs.append(attribute.as_graph())
        elif attribute.type == ir.AttributeType.GRAPHS:
            graphs.extend(attribute.as_graphs())
    inside = {id(each) for graph in graphs for each in (graph, *graph.subgraphs())}
    for graph in graphs:
        for each in (graph, *graph.subgraphs()):
            read = [value for inner in each for value in inner.inputs] + list(each.outputs)
            for value in read:
                if value is not None and value.graph is not None and id(value.graph) not in inside:
                    found[value] = None
    return list(found)
