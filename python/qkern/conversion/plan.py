"""Which nodes are quantized, which tensors that makes 8-bit, and which of them share parameters.

Decided from the graph and the operators alone, before any range is known: calibration observes what the plan names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..graph_values import constant_of
from ..operators import activation_of, get_operator
from ..operators.pointwise import PointwiseGroup, pointwise_groups
from .exclusions import Exclude, Exclusions
from .fused_names import refuse_unknown
from .groups import ValueGroups

if TYPE_CHECKING:
    import onnx_ir as ir
    from numpy.typing import NDArray

    from ..operators.operator import NodeQuantization

__all__ = ["Layer", "Plan", "make_plan"]


@dataclass(frozen=True, eq=False)
class Layer:
    """A node to quantize.

    `activations` are the indices of its 8-bit inputs: constant ones too, and the weight where that isn't constant.
    `activation` is the Relu or Clip it absorbs, `outputs` the values that become 8-bit, after that activation.
    `weight_axis` (>= 0) and `weight_shape` are those of a constant weight. `gives_floats` says why the outputs are not
    rounded to 8 bits ("": they are). `group`: the nodes that are one table, where these are several.
    """

    node: ir.Node
    activations: tuple[int, ...]
    weight: int | None
    weight_axis: int | None
    bias: int | None
    shares_params: bool
    activation: ir.Node | None
    outputs: tuple[ir.Value, ...]
    weight_shape: tuple[int, ...] | None
    sums: bool = False
    gives_floats: str = ""
    group: PointwiseGroup | None = None

    @classmethod
    def of_group(cls, group: PointwiseGroup) -> Layer:
        """Nodes that are one function of one number, under the name of the last."""
        return cls(group.nodes[-1], (), None, None, None, False, None, (group.output,), None, group=group)

    def reads(self) -> tuple[tuple[ir.Node, int], ...]:
        """Where 8-bit inputs are read: pairs of a node and an index."""
        return tuple((self.node, index) for index in self.activations) if self.group is None else self.group.reads

    def inputs(self) -> Iterator[ir.Value]:
        """The 8-bit inputs."""
        seen: set[ir.Value] = set()
        for node, index in self.reads():
            value = node.inputs[index]
            assert value is not None
            if self.group is None or value not in seen:
                yield value
            seen.add(value)

    def of_copy(self, nodes: Mapping[ir.Node, ir.Node], values: Mapping[ir.Value, ir.Value]) -> Layer:
        """The same layer of a copy of the graph."""
        group = self.group
        if group is not None:
            reads = tuple((nodes[node], index) for node, index in group.reads)
            group = PointwiseGroup(tuple(nodes[node] for node in group.nodes), reads)
        return replace(
            self,
            node=nodes[self.node],
            activation=None if self.activation is None else nodes[self.activation],
            outputs=tuple(values[output] for output in self.outputs),
            group=group,
        )


@dataclass(eq=False)
class Plan:
    """`layers` by node, in the order of the graph; `float_reasons` of every other node; `groups` of 8-bit values."""

    layers: dict[ir.Node, Layer] = field(default_factory=dict)
    float_reasons: dict[ir.Node, str] = field(default_factory=dict)
    absorbed: dict[ir.Node, ir.Node] = field(default_factory=dict)  # activation -> the node that absorbs it
    groups: ValueGroups = field(default_factory=ValueGroups)

    def values(self) -> list[ir.Value]:
        """Every 8-bit value, constants too, once, in the order of the graph."""
        seen: dict[ir.Value, None] = {}
        for layer in self.layers.values():
            seen.update(dict.fromkeys((*layer.inputs(), *layer.outputs)))
        return list(seen)

    def sources(self, value: ir.Value) -> tuple[ir.Value, ...]:
        """The members of the value's group whose numbers are not just moved there from another member.

        Their ranges cover the group.
        """
        return tuple(member for member in self.groups.members(value) if member not in self._moved)

    @cached_property
    def _moved(self) -> set[ir.Value]:
        return {out for layer in self.layers.values() if layer.shares_params for out in layer.outputs}

    def of_copy(self, nodes: Mapping[ir.Node, ir.Node], values: Mapping[ir.Value, ir.Value]) -> Plan:
        """The same plan for a copy of the graph, whose nodes and values these are."""
        return Plan(
            {nodes[node]: layer.of_copy(nodes, values) for node, layer in self.layers.items()},
            {nodes[node]: reason for node, reason in self.float_reasons.items()},
            {nodes[activation]: nodes[by] for activation, by in self.absorbed.items()},
            self.groups.of_copy(values),
        )


def make_plan(model: ir.Model, exclude: Exclude = ()) -> Plan:
    """The plan for `model` (shapes inferred) without the nodes that `exclude` names, by node name or operator type.

    Raises ValueError for a name in `exclude` that the graph doesn't have.
    """
    excluded = Exclusions.of(exclude)
    refuse_unknown(excluded.nodes, (each for node in model.graph for each in (str(node.name), node.op_type)), "exclude")
    plan = Plan()
    groups = {node: group for group in pointwise_groups(model.graph) for node in group.nodes}
    for node in model.graph:
        if node in plan.absorbed:
            continue
        if node in groups:
            _add_group(plan, node, groups[node], excluded)
            continue
        verdict = _examine(node, excluded, plan)
        if isinstance(verdict, str):
            plan.float_reasons[node] = verdict
            continue
        plan.layers[node] = verdict
        if verdict.activation is not None:
            plan.absorbed[verdict.activation] = node
    _drop_idle_moves(plan)
    for layer in plan.layers.values():
        if layer.shares_params:
            first, *others = (*layer.inputs(), *layer.outputs)
            for value in others:
                plan.groups.join(first, value)
    return plan


def _add_group(plan: Plan, node: ir.Node, group: PointwiseGroup, excluded: Exclusions) -> None:
    """The group's layer, by its last node; the others are absorbed. One that stays float keeps all of them float: a
    smaller group would have another output, of which no range is known."""
    names = {str(each.name) for each in group.nodes} | {each.op_type for each in group.nodes}
    left_out = next((name for name in excluded.nodes if name in names), None)
    if left_out is None:
        if node is group.nodes[-1]:
            plan.layers[node] = Layer.of_group(group)
        else:
            plan.absorbed[node] = group.nodes[-1]
    elif left_out in (node.name, node.op_type):
        plan.float_reasons[node] = _why_excluded(node, excluded)
    else:
        plan.float_reasons[node] = f"it is one function with {left_out!r}, which stays float"


def _why_excluded(node: ir.Node, excluded: Exclusions) -> str:
    name = str(node.name)
    if name in excluded.nodes:
        return excluded.nodes[name] or "excluded by name"
    return f"excluded: every {node.op_type}" if node.op_type in excluded.nodes else ""


def _examine(node: ir.Node, excluded: Exclusions, plan: Plan) -> Layer | str:
    """The layer that `node` becomes, or why it stays float."""
    if why := _why_excluded(node, excluded):
        return why
    producer = node.inputs[0].producer() if node.inputs and node.inputs[0] is not None else None
    if producer is not None and producer in plan.float_reasons and activation_of(producer.outputs[0]) is node:
        return f"it belongs to {producer.name!r}, which stays float"
    operator = get_operator(node.op_type) if node.domain == "" else None
    if operator is None:
        return f"{node.domain + '.' if node.domain else ''}{node.op_type} has no int8 kernel"
    try:
        how = operator.obstacle(node) or operator.quantization(node)
    except ValueError as error:
        raise ValueError(f"node {node.name!r} ({node.op_type}): {error}") from error
    if isinstance(how, str):
        return how
    activations = how.activations
    weight = None if how.weight is None else constant_of(node.inputs[how.weight])
    if how.weight is not None and weight is None:
        activations = (*activations, how.weight)
    reason = _obstacle(node, how, activations, weight)
    if reason:
        return reason
    activation = None if how.shares_params else activation_of(node.outputs[0])
    if activation is not None and {activation.name, activation.op_type} & excluded.nodes.keys():
        activation = None
    if how.shares_params:
        outputs = tuple(output for output in node.outputs if output.name)
    else:
        outputs = (node.outputs[0] if activation is None else activation.outputs[0],)
    bias = how.bias
    if bias is not None and (bias >= len(node.inputs) or node.inputs[bias] is None):
        bias = None
    shape = None if weight is None else weight.shape
    axis = None if shape is None or how.weight_axis is None else how.weight_axis % len(shape)
    why = excluded.outputs.get(str(node.name), "")
    return Layer(
        node, activations, how.weight, axis, bias, how.shares_params, activation, outputs, shape, how.sums, why
    )


def _obstacle(node: ir.Node, how: NodeQuantization, activations: tuple[int, ...], weight: NDArray[Any] | None) -> str:
    """Why this node can't be quantized although its operator can; "" where it can."""
    import onnx_ir as ir

    inputs = [node.inputs[index] for index in activations]
    if any(value is None for value in inputs):
        return "an input is missing"
    values = [value for value in inputs if value is not None]
    if how.shares_params and any(output.name and output.dtype != values[0].dtype for output in node.outputs):
        return "not every output has the type of the input"
    if weight is not None and how.weight_axis is not None and not -weight.ndim <= how.weight_axis < weight.ndim:
        return f"its weight has shape {weight.shape}"
    weight_value = node.inputs[how.weight] if how.weight is not None else None
    typed = [*values, *([] if weight_value is None else [weight_value]), node.outputs[0]]
    dtypes = {value.dtype for value in typed} - {None}
    if not dtypes:
        return f"the type of {values[0].name!r} is not known"
    if dtypes != {ir.DataType.FLOAT}:
        return f"it computes {', '.join(sorted(dtype.name.lower() for dtype in dtypes if dtype))}, not float32"
    for value in typed:  # these types are one by ONNX's definition: what a custom operator hides comes back here
        if value.dtype is None:
            value.dtype = ir.DataType.FLOAT
    for value in values:
        constant = constant_of(value)
        if constant is not None and not np.isfinite(constant).all():
            return f"the constant {value.name!r} holds NaN or inf"
    bias = node.inputs[how.bias] if how.bias is not None and how.bias < len(node.inputs) else None
    if bias is not None:
        array = constant_of(bias)
        if array is None:
            return f"the bias {bias.name!r} is not constant"
        scales = 1 if weight is None or how.weight_axis is None else weight.shape[how.weight_axis]
        if array.size != max(array.shape, default=1) or (array.size > 1 and array.shape[-1] != array.size):
            return f"the bias {bias.name!r} of shape {array.shape} is not a row"
        if array.size > 1 and array.size % scales:
            return f"the bias {bias.name!r} of shape {array.shape} is not one number per output channel"
    return ""


def _drop_idle_moves(plan: Plan) -> None:
    """Takes back layers that only move values where no layer that computes is next to them: 8 bits would only cost
    accuracy there."""
    groups = ValueGroups()
    for layer in plan.layers.values():
        if layer.shares_params:
            first, *others = (*layer.inputs(), *layer.outputs)
            for value in others:
                groups.join(first, value)
    live = {
        groups.root(value)
        for layer in plan.layers.values()
        if not layer.shares_params
        for value in (*layer.inputs(), *layer.outputs)
    }
    for node, layer in tuple(plan.layers.items()):
        if layer.shares_params and groups.root(layer.outputs[0]) not in live:
            del plan.layers[node]
            plan.float_reasons[node] = "it only moves values, and nothing next to it is quantized"
