"""Before any fusion: a graph without functions, shape arithmetic, Identity, Dropout or dead nodes.

All of it is onnx_ir's and onnxscript's work. QuantizeLinear and DequantizeLinear are never folded: a model that is
quantized already keeps its int8 weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .folding import fold_constants
from .opset import MINIMUM_OPSET, opset_of, raise_opset
from .sizes import are_known, check_all_sizes, infer_nodes, is_control_flow

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["clean", "complete_shapes", "infer_shapes", "sweep"]


def clean(model: ir.Model) -> None:
    """Cleans `model` in place and brings it to opset 13 or later; names of inputs and outputs stay."""
    import onnx_ir.passes.common as common

    if model.functions:
        common.InlinePass()(model)
    if opset_of(model) < MINIMUM_OPSET:
        infer_nodes(model)
        infer_shapes(model)
        raise_opset(model)
    if not _is_sorted(model.graph):
        common.TopologicalSortPass()(model)
    common.NameFixPass()(model)  # every node gets a name: reports and `exclude` need one
    fold_constants(model)
    sweep(model)
    complete_shapes(model)


def sweep(model: ir.Model) -> None:
    """Removes what nothing reads, turns Constant nodes into initializers and merges equal initializers."""
    import onnx_ir.passes.common as common

    _remove_identities(model.graph)
    common.RemoveUnusedNodesPass()(model)
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    common.DeduplicateInitializersPass()(model)
    common.RemoveUnusedOpsetsPass()(model)


def complete_shapes(model: ir.Model) -> None:
    """`infer_shapes`, where anything isn't known yet: folding has inferred what one node at a time tells."""
    graphs = tuple(model.graphs())
    if are_known(graphs):
        check_all_sizes(graphs)
    else:
        infer_shapes(model)


def infer_shapes(model: ir.Model) -> None:
    """Fills in the types and shapes that ONNX can infer, also where a part of the graph is beyond it. Raises ValueError
    naming a node whose output would have a negative size."""
    import onnx_ir.passes.common as common

    common.ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)(model)
    check_all_sizes(model.graphs())


def _is_sorted(graph: ir.Graph) -> bool:
    """Whether every node comes behind those that it reads. Not asked of bodies, whose nodes read too: there, no."""
    behind: set[ir.Node] = set()
    for node in graph:
        if is_control_flow(node):
            return False
        for value in node.inputs:
            producer = None if value is None else value.producer()
            if producer is not None and producer not in behind:
                return False
        behind.add(node)
    return True


def _remove_identities(graph: ir.Graph) -> None:
    # Not onnx_ir's pass: with two outputs a and b = Identity(a) it renames a to b.
    for node in tuple(graph):
        if node.op_type != "Identity" or node.domain != "" or node.inputs[0] is None:
            continue
        source, output = node.inputs[0], node.outputs[0]
        if output.is_graph_output():
            if source.producer() is None or source.is_graph_output() or source.graph is not graph:
                continue
            name, output.name = output.name, f"{output.name}.identity"
            source.name = name
        source.shape, source.type = source.shape or output.shape, source.type or output.type
        output.replace_all_uses_with(source, replace_graph_outputs=True)
        graph.remove(node, safe=True)
