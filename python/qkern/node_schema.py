"""Nodes as ONNX's schemas want them: whether inputs, outputs and attributes are those that their operator has.

What comes after loading takes it for granted: that a Conv has a weight, that `perm` is a list of integers, that no
window has strides of 0 (which ends a process inside of ONNX's shape inference).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx

__all__ = ["check_nodes"]

_POSITIVE = frozenset({"blocksize", "dilations", "group", "hidden_size", "kernel_shape", "num_outputs", "strides"})
_UNSAID = 13  # the opset of a model that imports none: the lowest that the runtime computes


def check_nodes(proto: onnx.ModelProto, name: str) -> None:
    """Raises ValueError naming the first node of `proto` (called `name`) that isn't as the schema of its operator says,
    or whose operator is of an opset that the installed onnx doesn't know."""
    import onnx

    for holder, imports in (
        (proto.graph, proto.opset_import),
        *((each, each.opset_import) for each in proto.functions),
    ):
        opsets = {each.domain if each.domain != "ai.onnx" else "": each.version for each in imports}
        for node in _nodes(holder.node):
            fault = _fault(node, opsets, onnx.defs.onnx_opset_version())
            if fault:
                raise ValueError(f"{name}: node {node.name or ' '.join(node.output)!r} ({node.op_type}): {fault}")


def _nodes(nodes: Sequence[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for body in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                yield from _nodes(body.node)


def _fault(node: onnx.NodeProto, opsets: Mapping[str, int], newest: int) -> str:
    """What is wrong with `node`; "" where nothing is, or where nobody knows its operator."""
    domain = node.domain if node.domain != "ai.onnx" else ""
    version = opsets.get(domain, _UNSAID)
    if domain == "" and not 1 <= version <= newest:
        return f"opset {version} is none of 1 to {newest}, which the installed onnx knows"
    untyped = [each.name for each in node.attribute if each.type == each.UNDEFINED]
    if untyped:
        return f"its attribute {untyped[0]!r} has no type"
    schema = _schema(node.op_type, max(0, min(version, newest)), domain)
    if schema is None:
        return ""
    if not schema.min_input <= len(node.input) <= schema.max_input:
        return f"it has {len(node.input)} inputs, not {_range(schema.min_input, schema.max_input)}"
    if not schema.min_output <= len(node.output) <= schema.max_output:
        return f"it has {len(node.output)} outputs, not {_range(schema.min_output, schema.max_output)}"
    for each, formal in zip(node.input, schema.inputs, strict=False):
        if not each and formal.option == formal.option.Single:
            return f"its input {formal.name!r} is missing"
    known = schema.attributes
    for attribute in node.attribute:
        if attribute.name not in known:
            return f"it has an attribute {attribute.name!r}, which {node.op_type} does not have"
        kind: Any = known[attribute.name].type
        if attribute.type != int(kind.value):
            return f"its attribute {attribute.name!r} is not of type {kind.name}"
        if not _is_text(attribute):
            return f"its attribute {attribute.name!r} is not UTF-8"
        numbers = [attribute.i] if attribute.HasField("i") else attribute.ints
        if attribute.name in _POSITIVE and min(numbers, default=1) < 1:
            return f"its attribute {attribute.name!r} is not positive"
    given = {attribute.name for attribute in node.attribute}
    missing = next((each for each, how in known.items() if how.required and each not in given), None)
    return "" if missing is None else f"it lacks the attribute {missing!r}"


def _is_text(attribute: onnx.AttributeProto) -> bool:
    try:
        attribute.s.decode()
    except UnicodeDecodeError:
        return False
    return True


def _range(least: int, most: int) -> str:
    if least == most:
        return str(least)
    return f"{least} to {most}" if most < 1 << 20 else f"at least {least}"


@cache
def _schema(op_type: str, version: int, domain: str) -> onnx.defs.OpSchema | None:
    import onnx

    try:
        return onnx.defs.get_schema(op_type, version, domain)
    except onnx.defs.SchemaError:
        return None
