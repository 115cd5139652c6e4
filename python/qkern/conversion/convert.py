"""The conversion itself: plan, parameters, then the constants and nodes that say it in ONNX."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from ..fusion.opset import OPSET_OF_FOUR_BITS, raise_opset
from ..graph_values import constant_of
from ..scheme import QuantParams
from .codes import finite_constant, quantize_constant
from .constants import layer_constants
from .exclusions import Exclude
from .network import FloatModel, Network
from .plan import Layer, Plan
from .qdq import QdqWriter
from .ranges import RangeTable, choose_params, is_redundant
from .report import ConversionReport, LayerReport
from .weights import QuantizedWeight, nearest_weights

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..target import Target

__all__ = ["convert", "tensors_to_observe"]

# The lowest that goes with opset 13; the first with integers of 4 bits, which ONNX Runtime has read for years.
_IR_VERSIONS = (7, 10)


def tensors_to_observe(model: FloatModel, exclude: Exclude = ()) -> list[str]:
    """Names of the tensors whose ranges `convert` asks for, with the same `exclude`, in the order of the graph.

    Constants are not among them, nor tensors that only repeat values of another one (the output of a MaxPool).
    Raises ValueError as `convert` does.
    """
    plan = Network.of(model, exclude).plan
    sources = (source for value in plan.values() for source in plan.sources(value))
    return list(dict.fromkeys(source.name for source in sources if source.name and constant_of(source) is None))


def convert(
    model: FloatModel,
    table: RangeTable,
    target: Target,
    *,
    method: str | None = None,
    exclude: Exclude = (),
    weights: Mapping[str, QuantizedWeight] | None = None,
    float_outputs: bool = False,
) -> tuple[ir.Model, ConversionReport]:
    """The QDQ form of `model` (fused, float32; left as it is) and a report of every layer. Where it is converted more
    than once it is better given as a `Network`.

    `table` holds the range of each tensor of `tensors_to_observe`, `method` says how to choose it (None: the target's),
    `exclude` names nodes to leave float, by node name or operator type; `weights` are those that a correction has
    rounded, by node name (others: to the nearest code of their extremes' scale). With `float_outputs` a layer with
    weights whose result is an output and nothing else gives its sums in float instead of rounding them to 8 bits and
    back. The result has opset >= 13, IR version <= 10.

    Raises ValueError where the model is quantized already, `exclude` names nothing in the graph, a weight or bias holds
    NaN or inf, a range is missing, or the target quantizes activations per channel.
    """
    if target.activation.per_channel:
        raise ValueError(f"target {target.name!r}: activations are quantized per tensor, not per channel")
    method = target.method if method is None else method
    network = Network.of(model, exclude)
    if isinstance(model, Network):
        network = network.copy()
    plan, graph = network.plan, network.model.graph
    params = choose_params(plan, table, target.activation, method)
    # Read off the graph before it changes.
    nodes = [node for node in graph if _computes_floats(node)]
    values = [value for value in plan.values() if constant_of(value) is None]
    notes: dict[ir.Node, str] = {}
    stored: dict[ir.Node, tuple[str, int] | None] = {}  # format and bytes of the weight

    names = {str(layer.node.name) for layer in plan.layers.values()}
    rounded = {name: weight for name, weight in (weights or {}).items() if name in names}
    writer = QdqWriter(graph)
    for layer in plan.layers.values():
        notes[layer.node], stored[layer.node] = _write_constants(
            writer, layer, params, target, rounded.get(str(layer.node.name))
        )
    stands_for: dict[ir.Value, ir.Value] = {}  # what an activation wrote -> what its producer writes in its place
    written = {value for layer in plan.layers.values() if not layer.gives_floats for value in layer.outputs}
    for layer in plan.layers.values():
        activation = layer.activation
        if activation is None or activation.outputs[0] not in written:
            continue
        if is_redundant(activation, params[activation.outputs[0]]):
            stands_for[activation.outputs[0]] = layer.node.outputs[0]
            _drop_activation(graph, activation, layer.node.outputs[0])
            notes[activation] = "dropped: the 8-bit range ends at its bounds"
    readers = {read for layer in plan.layers.values() for read in layer.reads()}
    direct = {layer.outputs[0] for layer in plan.layers.values() if float_outputs and _gives_output(layer)}
    for value in values:
        if value in direct:
            continue
        _write_value(writer, stands_for.get(value, value), params[value], readers, value in written)

    for layer in plan.layers.values():
        why = "its output is the model's: not rounded" if layer.outputs[0] in direct else layer.gives_floats
        notes[layer.node] = "; ".join(filter(None, (notes[layer.node], why)))
    layers = tuple(_layer_report(node, plan, params, notes, stored.get(node)) for node in nodes)
    _finish(network.model, target.name, method, four_bits=any(each.levels for each in rounded.values()))
    return network.model, ConversionReport(target.name, method, layers)


def _gives_output(layer: Layer) -> bool:
    """Whether nothing reads what the layer computes but the caller of the model."""
    value = layer.outputs[0]
    return layer.weight is not None and layer.activation is None and value.is_graph_output() and not value.uses()


def _computes_floats(node: ir.Node) -> bool:
    types = [output.dtype for output in node.outputs]
    return node.op_type != "Constant" and any(dtype is None or dtype.is_floating_point() for dtype in types)


def _write_constants(
    writer: QdqWriter,
    layer: Layer,
    params: dict[ir.Value, QuantParams],
    target: Target,
    given: QuantizedWeight | None,
) -> tuple[str, tuple[str, int] | None]:
    """Quantizes the constants that `layer` reads; returns what the report should say about it, and of a constant weight
    the format and the bytes it takes."""
    node, inputs = layer.node, tuple(layer.node.inputs)
    for index in layer.activations:
        value = inputs[index]
        array = constant_of(value)
        if value is not None and array is not None:
            limits = target.activation.limits
            codes = writer.constant(quantize_constant(array, params[value], limits), f"{value.name}.quantized")
            writer.dequantize_input(node, index, codes, params[value], f"{value.name}")
    if layer.weight is None:
        return "", None
    weight, x = inputs[layer.weight], inputs[layer.activations[0]]
    bias = None if layer.bias is None else inputs[layer.bias]
    assert weight is not None
    assert x is not None
    weight_array = None if layer.weight in layer.activations else finite_constant(weight)
    if weight_array is not None and given is None:
        given = nearest_weights([layer], target.weight, safe=target.safe_weights).get(str(node.name))
    constants = layer_constants(
        params[weight] if weight_array is None else weight_array,
        None if bias is None else finite_constant(bias),
        target.weight,
        axis=layer.weight_axis,
        x_scale=params[x].scale,
        rounded=given,
    )
    stored = None
    if constants.weight is not None:
        if given is None or given.levels is None:
            codes, taken = writer.constant(constants.weight, f"{weight.name}.quantized"), constants.weight.nbytes
        else:
            codes = writer.look_up(node, given.levels.indices(constants.weight), given.levels, str(weight.name))
            taken = given.levels.nbytes(constants.weight.size)
        of_params = constants.weight_params
        stored = (
            "int8" if given is None else given.form,
            taken + of_params.scale.nbytes + of_params.zero_point.nbytes,
        )
        writer.dequantize_input(node, layer.weight, codes, constants.weight_params, f"{weight.name}")
    if layer.bias is not None and bias is not None and constants.bias is not None and constants.bias_params is not None:
        codes = writer.constant(constants.bias, f"{bias.name}.quantized")
        writer.dequantize_input(node, layer.bias, codes, constants.bias_params, f"{bias.name}")
    note = f"weight scale of {constants.raised} channels raised for their bias" if constants.raised else ""
    return note, stored


def _drop_activation(graph: ir.Graph, activation: ir.Node, before: ir.Value) -> None:
    after = activation.outputs[0]
    name, after.name = after.name, f"{after.name}.dropped"
    before.name = name
    before.type, before.shape = after.type or before.type, after.shape or before.shape
    after.replace_all_uses_with(before, replace_graph_outputs=True)
    graph.remove(activation, safe=True)


def _write_value(
    writer: QdqWriter, value: ir.Value, params: QuantParams, readers: Collection[tuple[ir.Node, int]], written: bool
) -> None:
    """The Q/DQ pairs of one 8-bit value. Where an 8-bit layer has `written` it, there is no float to read, so that
    every reader gets the dequantized value; else only the 8-bit `readers` do."""
    uses = [(use.node, use.idx) for use in value.uses() if written or (use.node, use.idx) in readers]
    is_output = written and value.is_graph_output()
    if not uses and not is_output:
        return
    codes = writer.quantize(value, params)
    for node, index in uses:
        writer.dequantize_input(node, index, codes, params, f"{value.name}")
    if is_output:
        writer.dequantize_output(value, codes, params)


def _layer_report(
    node: ir.Node,
    plan: Plan,
    params: dict[ir.Value, QuantParams],
    notes: dict[ir.Node, str],
    stored: tuple[str, int] | None,
) -> LayerReport:
    name = node.name or ""
    if node in plan.absorbed:
        by = plan.layers[plan.absorbed[node]]
        where = "at the end of" if by.group is None else "in the table of"
        note = notes.get(node, f"runs {where} {by.node.name!r}")
        return LayerReport(name, node.op_type, True, note, None, *_numbers(params[by.outputs[0]]))
    if node not in plan.layers:
        return LayerReport(name, node.op_type, False, plan.float_reasons[node])
    layer = plan.layers[node]
    form, taken = stored or (None, None)
    return LayerReport(
        name,
        node.op_type,
        True,
        notes.get(node, ""),
        layer.weight_shape,
        *_numbers(params[layer.outputs[0]]),
        weight_format=form,
        weight_bytes=taken,
    )


def _numbers(params: QuantParams) -> tuple[float, int]:
    return float(params.scale), int(params.zero_point)


def _finish(model: ir.Model, target: str, method: str, *, four_bits: bool) -> None:
    import onnx_ir.passes.common as common

    if four_bits:
        raise_opset(model, OPSET_OF_FOUR_BITS)
    common.RemoveUnusedNodesPass()(model)
    common.TopologicalSortPass()(model)
    lowest, highest = _IR_VERSIONS
    model.ir_version = highest if four_bits else min(max(model.ir_version, lowest), highest)
    model.metadata_props.update({"qkern.target": target, "qkern.method": method})
