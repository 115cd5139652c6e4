"""Nodes that together are a function of one number: HardSwish written as Add, Clip, Mul and Div, a scale behind it.

    y = f(x), elementwise; x one tensor, everything else in f constant numbers

On codes such a group is one table of 256 entries. What its nodes hand on stays float instead of being rounded to 8 bits
each time. In float every node is a step of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..graph_values import constant_of
from .activation import activation_of
from .operator import Operator
from .registry import get_operator

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["PointwiseGroup", "pointwise_groups"]

_MOST_NODES = 32

# What tells one source from another: the value itself, or the codes behind it.
SourceOf = Callable[["ir.Value"], Hashable]


@dataclass(frozen=True, eq=False)
class PointwiseGroup:
    """`nodes`, in the order of the graph, of which the last writes the group's one output, and where they read its one
    input: `reads`, pairs of a node and an index."""

    nodes: tuple[ir.Node, ...]
    reads: tuple[tuple[ir.Node, int], ...]

    @property
    def source(self) -> ir.Value:
        """The input, as the first node reads it."""
        node, index = self.reads[0]
        value = node.inputs[index]
        assert value is not None
        return value

    @property
    def output(self) -> ir.Value:
        """What the last node writes."""
        return self.nodes[-1].outputs[0]

    def function(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """f of some numbers, by each node's own float arithmetic."""
        sources = {(node, index) for node, index in self.reads}
        values: dict[ir.Value, NDArray[Any]] = {}
        for node in self.nodes:
            operands = []
            for index, value in enumerate(node.inputs):
                if value is not None:
                    known = constant_of(value)
                    number = x if (node, index) in sources else values[value] if known is None else known.reshape(())
                    operands.append(number)
            with np.errstate(all="ignore"):
                values[node.outputs[0]] = _operator(node).pointwise(node, operands)
        return np.asarray(values[self.output], np.float32)


def pointwise_groups(graph: ir.Graph, source_of: SourceOf = lambda value: value) -> list[PointwiseGroup]:
    """The largest groups of `graph`.

    A node is a group by itself only where it has no int8 kernel of its own. An activation that a layer with weights
    absorbs stays with that layer. `source_of`: what two readers have to have in common to read the same input.
    """
    order = {node: number for number, node in enumerate(graph)}
    fitting = {node for node in order if _fits(node)}
    fitting -= {node for node in fitting if _is_absorbed(node, fitting)}
    taken: set[ir.Node] = set()
    found = []
    for last in reversed(order):
        if last in fitting and last not in taken:
            nodes = _grown(last, fitting - taken, order, source_of)
            if len(nodes) > 1 or (nodes and isinstance(_operator(last).quantization(last), str)):
                taken |= nodes
                members = tuple(sorted(nodes, key=order.__getitem__))
                found.append(PointwiseGroup(members, tuple(_reads(members, nodes))))
    return found


def _operator(node: ir.Node) -> Operator:
    operator = get_operator(node.op_type)
    assert operator is not None
    return operator


def _fits(node: ir.Node) -> bool:
    """Whether `node` computes each float from those in its place, in tensors of one rank, and from constant numbers."""
    import onnx_ir as ir

    operator = get_operator(node.op_type) if node.domain == "" else None
    if operator is None or not operator.is_pointwise(node) or operator.obstacle(node):
        return False
    values = [value for value in node.inputs if value is not None]
    tensors = [value for value in values if constant_of(value) is None]
    output = node.outputs[0]
    if not tensors or any(value.dtype != ir.DataType.FLOAT for value in (*tensors, output)):
        return False
    ranks = {None if value.shape is None else len(value.shape) for value in tensors}
    (rank, *others) = ranks
    if others or rank is None:
        return False
    constants = [constant for constant in map(constant_of, values) if constant is not None]
    return all(constant.size == 1 and constant.ndim <= rank for constant in constants)


def _is_absorbed(node: ir.Node, fitting: Collection[ir.Node]) -> bool:
    producer = node.inputs[0].producer() if node.inputs[0] is not None else None
    return producer is not None and producer not in fitting and activation_of(producer.outputs[0]) is node


def _reads(members: Collection[ir.Node], nodes: Collection[ir.Node]) -> list[tuple[ir.Node, int]]:
    return [
        (node, index)
        for node in members
        for index, value in enumerate(node.inputs)
        if value is not None and constant_of(value) is None and value.producer() not in nodes
    ]


def _grown(last: ir.Node, fitting: Collection[ir.Node], order: dict[ir.Node, int], source_of: SourceOf) -> set[ir.Node]:
    """The largest set that ends in `last` and has one source; the node nearest to `last` is added first."""
    nodes, best = {last}, set()
    while len(nodes) <= _MOST_NODES:
        outside = [node.inputs[index] for node, index in _reads(nodes, nodes)]
        values = [value for value in outside if value is not None]
        if len({source_of(value) for value in values}) == 1:
            best = set(nodes)
        producers = {value.producer() for value in values if not value.is_graph_output()}
        inner = [
            each
            for each in producers
            if each is not None and each in fitting and all(use.node in nodes for use in each.outputs[0].uses())
        ]
        if not inner:
            break
        nodes.add(max(inner, key=order.__getitem__))
    return best
