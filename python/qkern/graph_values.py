"""Constants of a graph: reading the array behind a value, adding an initializer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["add_initializer", "add_lookup", "constant_of", "fresh_name", "integers_of", "lookup_of"]

_LOOKUP = "qkern.lookup"


def constant_of(value: ir.Value | None) -> NDArray[Any] | None:
    """The array of an initializer or of a Constant node's output; None for everything else.

    An initializer that is also a graph input is a default that a caller can override, hence no constant.
    """
    import onnx_ir as ir

    if value is None or value.is_graph_input():
        return None
    tensor = ir.convenience.get_const_tensor(value)
    if tensor is None or tensor.dtype == ir.DataType.STRING:
        return None
    return tensor.numpy()


def integers_of(value: ir.Value | None) -> list[int] | None:
    """The numbers of a constant of integers (axes, sizes), one without a dimension too; None for everything else."""
    array = constant_of(value)
    if array is None or array.dtype.kind not in "iu":
        return None
    return [int(number) for number in array.reshape(-1)]


def fresh_name(graph: ir.Graph, wanted: str, taken: set[str] | None = None) -> str:
    """`wanted`, or `wanted` with the first number appended that no value of the graph or its subgraphs has.

    `taken` (the names in use, extended by the result) saves the walk over the graph where many names are needed.
    """
    used = value_names(graph) if taken is None else taken
    name, number = wanted, 1
    while name in used:
        name, number = f"{wanted}_{number}", number + 1
    used.add(name)
    return name


def value_names(graph: ir.Graph) -> set[str]:
    """Names of every value of the graph and its subgraphs."""
    names: set[str] = set()
    for each in (graph, *graph.subgraphs()):
        values = [*each.inputs, *each.initializers.values(), *(out for node in each for out in node.outputs)]
        names.update(value.name for value in values if value.name)
    return names


def add_initializer(graph: ir.Graph, name: str, array: NDArray[Any], taken: set[str] | None = None) -> ir.Value:
    """Registers `array` under `name` (made unique) and returns its value."""
    import onnx_ir as ir

    unique = fresh_name(graph, name, taken)
    tensor = ir.Tensor(np.ascontiguousarray(array).reshape(array.shape), name=unique)
    value = ir.Value(name=unique, type=ir.TensorType(tensor.dtype), shape=ir.Shape(array.shape), const_value=tensor)
    graph.register_initializer(value)
    return value


def add_lookup(graph: ir.Graph, name: str, table: NDArray[Any], places: NDArray[Any]) -> ir.Value:
    """Registers `table[places]` under `name` (made unique), and remembers what it is made of."""
    value = add_initializer(graph, name, table[places])
    value.meta[_LOOKUP] = (table, places)
    return value


def lookup_of(value: ir.Value) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Table and places of what `add_lookup` has made; None for other values."""
    found: tuple[NDArray[Any], NDArray[Any]] | None = value.meta.get(_LOOKUP)
    return found
