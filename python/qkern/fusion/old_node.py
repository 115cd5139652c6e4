"""A node of an older opset, and what an adapter does to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..graph_values import add_initializer

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["OldNode"]


class OldNode:
    """A node of `opset`, and how an adapter rewrites it. `taken`: names of values in use."""

    def __init__(self, node: ir.Node, graph: ir.Graph, opset: int, taken: set[str]) -> None:
        self.node, self.graph, self.opset, self._taken = node, graph, opset, taken

    @property
    def op_type(self) -> str:
        """The operator's name."""
        return self.node.op_type

    def refuse(self, reason: str) -> ValueError:
        """The error that names this node."""
        named = self.node.name or ", ".join(repr(value.name) for value in self.node.outputs)
        return ValueError(f"node {named} ({self.op_type} of opset {self.opset}): {reason}")

    def take(self, name: str, default: Any = None) -> Any:
        """The value of an attribute, which the node then no longer has."""
        attribute = self.node.attributes.pop(name, None)
        return default if attribute is None else attribute.value

    def set(self, name: str, value: Any) -> None:
        """Gives the node an attribute."""
        import onnx_ir as ir

        self.node.attributes[name] = ir.convenience.convert_attribute(name, value)

    def input(self, index: int) -> ir.Value | None:
        """The input, or None."""
        return self.node.inputs[index] if index < len(self.node.inputs) else None

    def first(self) -> ir.Value:
        """Input 0."""
        value = self.input(0)
        if value is None:
            raise self.refuse("it has no input")
        return value

    def rank(self, value: ir.Value | None) -> int:
        """The number of axes of a value. Raises ValueError where it isn't known."""
        if value is None or value.shape is None:
            raise self.refuse("its meaning depends on the rank of an input that isn't known")
        return len(value.shape)

    def constant(self, name: str, array: Any, dtype: Any = np.int64) -> ir.Value:
        """A new initializer."""
        output = next((value.name for value in self.node.outputs if value.name), self.op_type)
        return add_initializer(self.graph, f"{output}.{name}", np.asarray(array, dtype), self._taken)

    def like_input(self, name: str, number: float) -> ir.Value:
        """A new initializer: one number of input 0's type."""
        dtype = self.first().dtype
        if dtype is None:
            raise self.refuse("its meaning depends on the type of an input that isn't known")
        try:
            return self.constant(name, number, dtype.numpy())
        except (OverflowError, ValueError) as error:
            raise self.refuse(f"{number:g} is no {dtype.name.lower()}") from error

    def insert(self, op_type: str, *inputs: ir.Value | None, name: str, **attributes: Any) -> ir.Value:
        """The output of a new node in front of this one."""
        import onnx_ir as ir

        output = ir.Value(name=self.free_name(name))
        self.graph.insert_before(
            self.node, ir.node(op_type, inputs, attributes=attributes, outputs=[output], name=output.name)
        )
        return output

    def free_name(self, name: str) -> str:
        """A free name made of the node's first output and `name`."""
        base = f"{self.node.outputs[0].name}.{name}"
        unique, number = base, 1
        while unique in self._taken:
            unique, number = f"{base}_{number}", number + 1
        self._taken.add(unique)
        return unique

    def become(self, op_type: str, *inputs: ir.Value | None, **attributes: Any) -> None:
        """Replaces the node by another one with those inputs, its attributes and `attributes`."""
        import onnx_ir as ir

        old = self.node
        outputs = [ir.Value(name=value.name, type=value.type, shape=value.shape) for value in old.outputs]
        merged = {**old.attributes, **{key: ir.convenience.convert_attribute(key, v) for key, v in attributes.items()}}
        new = ir.Node("", op_type, inputs, attributes=merged.values(), outputs=outputs, name=old.name)
        self.graph.insert_before(old, new)
        for value, output in zip(old.outputs, outputs, strict=True):
            value.replace_all_uses_with(output, replace_graph_outputs=True)
        self.graph.remove(old, safe=True)
        for output, value in zip(outputs, old.outputs, strict=True):
            value.name, output.name = None, value.name
        self.node = new

    def give(self, index: int, value: ir.Value | None) -> None:
        """Sets an input, which may be behind those that there are."""
        inputs = [*self.node.inputs, *[None] * (index + 1 - len(self.node.inputs))]
        inputs[index] = value
        self.become(self.op_type, *inputs)
