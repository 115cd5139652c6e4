"""Before any fusion: a graph without functions, shape arithmetic, Identity, Dropout or dead nodes.

All of it is onnx_ir's and onnxscript's work. QuantizeLinear and DequantizeLinear are never folded: a model that is
quantized already keeps its int8 weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .constant import constant_of
from .opset import MINIMUM_OPSET, opset_of, raise_opset

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["clean", "infer_shapes", "sweep"]

_LARGEST_FOLDED = 1 << 24  # elements: any weight, but no array that somebody's Expand blows up
_LARGEST_FILLED = 1 << 12  # elements of a ConstantOfShape: those of shape arithmetic
_QUANTIZATION = frozenset({"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"})


def clean(model: ir.Model) -> None:
    """Cleans `model` in place and brings it to opset 13 or later; names of inputs and outputs stay."""
    import onnx_ir.passes.common as common
    from onnxscript import optimizer

    if model.functions:
        common.InlinePass()(model)
    if opset_of(model) < MINIMUM_OPSET:
        infer_shapes(model)
        raise_opset(model)
    common.TopologicalSortPass()(model)
    common.NameFixPass()(model)  # every node gets a name: reports and `exclude` need one
    casts = _attributes_of_casts(model)
    optimizer.fold_constants(
        model,
        onnx_shape_inference=True,
        input_size_limit=_LARGEST_FOLDED,
        output_size_limit=_LARGEST_FOLDED,
        should_fold=_should_fold,
    )
    _drop_num_outputs(model)
    for node in (node for graph in model.graphs() for node in graph if node.op_type == "Cast"):
        node.attributes.update(casts.get(node.outputs[0].name, {}))
    sweep(model)
    infer_shapes(model)


def sweep(model: ir.Model) -> None:
    """Removes what nothing reads, turns Constant nodes into initializers and merges equal initializers."""
    import onnx_ir.passes.common as common

    _remove_identities(model.graph)
    common.RemoveUnusedNodesPass()(model)
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    common.DeduplicateInitializersPass()(model)
    common.RemoveUnusedOpsetsPass()(model)


def infer_shapes(model: ir.Model) -> None:
    """Fills in the types and shapes that ONNX can infer, also where a part of the graph is beyond it."""
    import onnx_ir.passes.common as common

    common.ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)(model)


def _attributes_of_casts(model: ir.Model) -> dict[str | None, dict[str, ir.Attr]]:
    """What each CastLike says beside the type, by its output: onnxscript forgets it when it makes a Cast of one."""
    return {
        node.outputs[0].name: dict(node.attributes)
        for graph in model.graphs()
        for node in graph
        if node.op_type == "CastLike" and node.domain == ""
    }


def _drop_num_outputs(model: ir.Model) -> None:
    """onnxscript turns a SplitToSequence into Split with an attribute of opset 18; before it, equal parts are what no
    attribute means."""
    if opset_of(model) < 18:
        for node in model.graph.all_nodes():
            if node.op_type == "Split" and node.domain == "":
                node.attributes.pop("num_outputs", None)


def _should_fold(node: ir.Node) -> bool | None:
    import onnx_ir as ir

    if node.op_type in _QUANTIZATION:
        return False
    if node.op_type == "Cast":  # to 8 bits of float: the attributes of a CastLike come back behind the folding
        to = ir.DataType(node.attributes.get_int("to", 1))
        return None if to.bitwidth > 8 or not to.is_floating_point() else False
    if node.op_type == "ConstantOfShape":  # onnxscript leaves it: a large one costs nothing as a node
        shape = constant_of(node.inputs[0])
        return shape is not None and int(shape.prod()) <= _LARGEST_FILLED
    return None


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
