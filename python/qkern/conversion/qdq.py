"""Writes QuantizeLinear and DequantizeLinear nodes into a graph, and what looks levels up.

An 8-bit value has one QuantizeLinear behind its producer. Every reader has a DequantizeLinear of its own, as the fusion
of ONNX Runtime wants it: it matches a node together with the DequantizeLinear nodes that only this node reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..graph_values import add_initializer, fresh_name, value_names
from ..scheme import QuantParams
from .levels import Levels

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["QdqWriter"]


class QdqWriter:
    """Adds nodes to one graph; equal parameters and equal integer constants are stored once."""

    def __init__(self, graph: ir.Graph) -> None:
        self._graph = graph
        self._names = value_names(graph)
        self._node_names = {node.name for node in graph if node.name}
        self._constants: dict[tuple[str, tuple[int, ...], bytes], ir.Value] = {}

    def quantize(self, value: ir.Value, params: QuantParams) -> ir.Value:
        """A QuantizeLinear behind the producer of `value`, at the front where it is an input; returns its output."""
        node = self._node("QuantizeLinear", value, f"{value.name}.quantized", params, params.dtype)
        producer = value.producer()
        if producer is not None:
            self._graph.insert_after(producer, node)
        elif len(self._graph):
            self._graph.insert_before(self._graph[0], node)
        return node.outputs[0]

    def dequantize_input(self, reader: ir.Node, index: int, codes: ir.Value, params: QuantParams, name: str) -> None:
        """Makes input `index` of `reader` the DequantizeLinear of `codes`."""
        node = self._node("DequantizeLinear", codes, f"{name}.dequantized", params, params.scale.dtype)
        producer = codes.producer()
        if reader.graph is self._graph:
            self._graph.insert_before(reader, node)
        else:  # a node of a subgraph reads it
            assert producer is not None
            self._graph.insert_after(producer, node)
        reader.replace_input_with(index, node.outputs[0])

    def look_up(self, reader: ir.Node, indices: NDArray[np.uint8], levels: Levels, name: str) -> ir.Value:
        """What stands in front of `reader` for the levels at `indices`, which are stored in 4 bits: a Gather of the
        table; of all tables in a row where channels have their own."""
        import ml_dtypes
        import onnx_ir as ir

        def before(
            op_type: str, inputs: list[ir.Value], dtype: ir.DataType, output: str, **attributes: int
        ) -> ir.Value:
            value = ir.Value(name=fresh_name(self._graph, f"{name}.{output}", self._names))
            value.type, value.shape = ir.TensorType(dtype), ir.Shape(indices.shape)
            named = self._node_name(value, op_type)
            self._graph.insert_before(
                reader, ir.node(op_type, inputs, attributes=attributes, outputs=[value], name=named)
            )
            return value

        codes = self.constant(indices.astype(ml_dtypes.uint4), f"{name}.codes")
        at = before("Cast", [codes], ir.DataType.INT32, "indices", to=int(ir.DataType.INT32))
        if levels.table.ndim > 1:
            shape = [-1 if axis == levels.axis else 1 for axis in range(indices.ndim)]
            count, size = levels.table.shape
            first = self.constant(size * np.arange(count, dtype=np.int32).reshape(shape), f"{name}.tables")
            at = before("Add", [at, first], ir.DataType.INT32, "indices")
        table = self.constant(levels.table.reshape(-1), f"{name}.levels")
        return before("Gather", [table, at], ir.DataType.INT8, "quantized", axis=0)

    def dequantize_output(self, value: ir.Value, codes: ir.Value, params: QuantParams) -> None:
        """Puts the DequantizeLinear of `codes` in the place of `value` among the outputs, under its name."""
        name = value.name
        assert name is not None
        node = self._node("DequantizeLinear", codes, f"{name}.dequantized", params, params.scale.dtype)
        producer = codes.producer()
        assert producer is not None
        self._graph.insert_after(producer, node)
        output = node.outputs[0]
        output.type, output.shape = value.type, value.shape
        value.name = fresh_name(self._graph, f"{name}.float", self._names)
        output.name = name
        for index, each in enumerate(self._graph.outputs):
            if each is value:
                self._graph.outputs[index] = output

    def constant(self, array: NDArray[Any], name: str, *, shared: bool = True) -> ir.Value:
        """An initializer that holds `array`; `shared`: the same one for equal arrays."""
        if not shared:
            return add_initializer(self._graph, name, array, self._names)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = add_initializer(self._graph, name, array, self._names)
        return self._constants[key]

    def _node_name(self, output: ir.Value, op_type: str) -> str:
        name = f"{output.name}.{op_type}"
        while name in self._node_names:
            name += "_"
        self._node_names.add(name)
        return name

    def _node(self, op_type: str, source: ir.Value, name: str, params: QuantParams, dtype: Any) -> ir.Node:
        import onnx_ir as ir

        base = name.rsplit(".", 1)[0]
        scale = self.constant(params.scale, f"{base}.scale")
        # Weights don't share one: ONNX Runtime's "x64quantprecision" rewrites each and fails on the second time.
        producer = source.producer()
        is_weight = source.is_initializer() or (producer is not None and producer.op_type == "Gather")
        own = params.dtype == np.int8 and is_weight
        zero_point = self.constant(params.zero_point, f"{base}.zero_point", shared=not own)
        output = ir.Value(name=fresh_name(self._graph, name, self._names), shape=source.shape)
        output.type = ir.TensorType(ir.DataType.from_numpy(dtype))
        axis = [] if params.axis is None else [ir.AttrInt64("axis", params.axis)]
        return ir.Node(
            "",
            op_type,
            [source, scale, zero_point],
            attributes=axis,
            outputs=[output],
            name=self._node_name(output, op_type),
        )
