"""Weights that are looked up in a table: what Gather makes of constants, before the lowering sees it.

    DequantizeLinear(Gather(levels, codes)) -> DequantizeLinear(levels[codes])

with int8 (or uint8) levels in one axis and integer codes: initializers, or what a Cast, or an Add of a constant, makes
of one. So every node behind it meets 8-bit weights, whatever the codes are stored in; `graph_values.lookup_of` tells
table and codes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..graph_values import add_lookup, constant_of

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["expand_lookups", "looked_up"]


def expand_lookups(model: ir.Model) -> None:
    """Replaces every such input of a DequantizeLinear by an initializer, in place. What else reads it still does."""
    for graph in tuple(model.graphs()):
        for node in tuple(graph):
            if node.domain != "" or node.op_type != "DequantizeLinear":
                continue
            source = node.inputs[0]
            found = _lookup(source)
            if source is not None and found is not None:
                node.replace_input_with(0, add_lookup(graph, f"{source.name}", *found))
                _remove_unread(source.producer())


def looked_up(value: ir.Value | None) -> NDArray[Any] | None:
    """The array of `value`, where that is the Gather of a constant table at constant places; None for anything else.
    Raises ValueError for a place that the table doesn't have."""
    found = _lookup(value)
    return None if found is None else found[0][found[1]]


def _lookup(value: ir.Value | None) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Table and places."""
    gather = _producer(value, "Gather")
    if gather is None or gather.attributes.get_int("axis", 0) not in (0, -1):
        return None
    table, places = constant_of(gather.inputs[0]), _integers(gather.inputs[1])
    if table is None or table.ndim != 1 or table.dtype not in (np.int8, np.uint8) or places is None:
        return None
    outside = (places < -table.size) | (places >= table.size)
    if outside.any():
        wrong = places[outside][0]
        raise ValueError(f"node {gather.name!r} (Gather): index {wrong} of a table of {table.size} levels")
    return table, (places % max(table.size, 1)).astype(np.uint8 if table.size <= 256 else np.int64)


def _integers(value: ir.Value | None) -> NDArray[np.int64] | None:
    """The constant integers that `value` is: stored, cast, or the sum of two such."""
    import onnx_ir as ir

    stored = constant_of(value)
    if stored is not None:
        is_integer = value is not None and value.dtype is not None and value.dtype.is_integer()
        return stored.astype(np.int64) if is_integer else None
    cast = _producer(value, "Cast")
    if cast is not None:
        wide = cast.attributes.get_int("to", 0) in (ir.DataType.INT32, ir.DataType.INT64)
        return _integers(cast.inputs[0]) if wide else None
    add = _producer(value, "Add")
    if add is None:
        return None
    summands = [_integers(each) for each in add.inputs]
    if summands[0] is None or summands[1] is None:
        return None
    return summands[0] + summands[1]


def _producer(value: ir.Value | None, op_type: str) -> ir.Node | None:
    node = None if value is None or value.is_graph_output() else value.producer()
    return node if node is not None and node.domain == "" and node.op_type == op_type else None


def _remove_unread(node: ir.Node | None) -> None:
    """Removes the node, and those before it, as long as nothing reads what they write."""
    if node is None or any(value.uses() or value.is_graph_output() for value in node.outputs):
        return
    before = [value.producer() for value in node.inputs if value is not None]
    assert node.graph is not None
    node.graph.remove(node, safe=True)
    for each in before:
        _remove_unread(each)
