"""Groups of nodes that are one function of one number, between codes: one table instead of a step for each."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from typing import TYPE_CHECKING

from ..operators.pointwise import pointwise_groups
from ..operators.unary import table_for
from ..program import Lowering, params_of

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["FunctionGroups"]


class FunctionGroups:
    """Those of `model` that may be tables; `observed` names float values that have to be computed."""

    def __init__(self, graph: ir.Graph, observed: Collection[str]) -> None:
        quantizes = any(node.op_type == "QuantizeLinear" for node in graph)
        groups = pointwise_groups(graph, _source_of) if quantizes else []
        self._by_first = {
            group.nodes[0]: group
            for group in groups
            if not any(node.outputs[0].name in observed for node in group.nodes[:-1])
        }

    def lower(self, node: ir.Node, lowering: Lowering) -> tuple[ir.Node, ...]:
        """Adds the table of the group that begins with `node`; the nodes whose work it does, none where there is no
        group or it isn't between codes."""
        group = self._by_first.get(node)
        if group is None:
            return ()
        x, last = lowering.codes(group.source), group.nodes[-1]
        to = lowering.destination(last, absorb=False)
        if x is None or to.params is None:
            return ()
        reason = "" if len(group.nodes) == 1 else f"a table for {', '.join(each.op_type for each in group.nodes)}"
        lowering.add_table(last, x, table_for(group.function, x.params, to.params), to, reason)
        return group.nodes


def _source_of(value: ir.Value) -> Hashable:
    """Readers of the same codes have each a DequantizeLinear of their own."""
    producer = value.producer()
    params = params_of(producer) if producer is not None and producer.op_type == "DequantizeLinear" else None
    if producer is None or params is None or params.axis is not None:
        return value
    return producer.inputs[0], float(params.scale), int(params.zero_point)
