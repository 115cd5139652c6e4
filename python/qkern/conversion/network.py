"""A float network made ready for conversion: prepared and planned once, however often it is converted.

Every attempt writes into a copy of the graph, to which the plan goes along; a change of the graph's own nodes, or of
what stays float, needs another plan.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Union

from ..fusion.clean import complete_shapes, infer_shapes
from ..fusion.opset import MINIMUM_OPSET, opset_of, raise_opset
from .exclusions import Exclude, Exclusions
from .plan import Plan, make_plan

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["FloatModel", "Network", "prepared"]

FloatModel = Union["ir.Model", "Network"]


@dataclass(frozen=True, eq=False)
class Network:
    """`model`, as `prepared` gives it, and its `plan` without the nodes that `exclude` names."""

    model: ir.Model
    plan: Plan
    exclude: Exclusions

    @classmethod
    def of(cls, model: FloatModel, exclude: Exclude = ()) -> Network:
        """A copy of `model` (fused, float32), prepared and planned; or `model`, where it is a network, with more left
        in float. Raises ValueError where the model is quantized already or `exclude` names nothing in it."""
        if isinstance(model, Network):
            return model.without(exclude)
        return cls.planned(prepared(model), Exclusions.of(exclude))

    @classmethod
    def planned(cls, model: ir.Model, exclude: Exclusions) -> Network:
        """Of a model that is prepared."""
        return cls(model, make_plan(model, exclude), exclude)

    def without(self, exclude: Exclude) -> Network:
        """The same graph with more of its nodes left in float."""
        more = Exclusions.of(exclude)
        return Network.planned(self.model, self.exclude.also(more)) if more else self

    def copy(self) -> Network:
        """One with a graph of its own; tensors are shared."""
        model = self.model.clone()
        nodes = dict(zip(self.model.graph, model.graph, strict=True))
        values = dict(zip(self.model.graph.inputs, model.graph.inputs, strict=True))
        values.update((value, model.graph.initializers[name]) for name, value in self.model.graph.initializers.items())
        for old, new in nodes.items():
            values.update(zip(old.outputs, new.outputs, strict=True))
        return replace(self, model=model, plan=self.plan.of_copy(nodes, values))


def prepared(model: ir.Model) -> ir.Model:
    """A copy (of the graph; tensors are shared) with opset >= 13, node names, types and shapes."""
    import onnx_ir.passes.common as common

    for node in model.graph:
        if node.domain == "" and node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            raise ValueError(f"the model is quantized already: node {node.name!r} is a {node.op_type}")
    copy = model.clone()
    if copy.functions:
        common.InlinePass()(copy)
    if opset_of(copy) < MINIMUM_OPSET:
        infer_shapes(copy)
        raise_opset(copy)
    common.NameFixPass()(copy)
    complete_shapes(copy)
    return copy
